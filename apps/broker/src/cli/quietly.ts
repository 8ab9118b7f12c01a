import * as Logging from "../Logging.ts"
import type * as Settings from "../Settings.ts"

/** How a command logs: a fault, unless asked for more, as its answer is what it prints. */
export const quietly = ({ sources, values }: Settings.Reading) =>
  Logging.layer({
    level: sources.logLevel === "default" ? "error" : values.logLevel,
    format: values.logFormat,
    to: process.stderr
  })
