import { Command } from "effect/cli"
import * as Flags from "./Flags.ts"
import { later } from "./later.ts"

export const config = Command.make(
  "config",
  { port: Flags.port, host: Flags.host, dataDir: Flags.dataDir, json: Flags.json },
  (flags) =>
    later(
      () => import("./actions/config.ts"),
      ({ config }) => config(flags)
    )
).pipe(
  Command.withDescription(
    "Show every setting: its value, and whether that comes from a flag, the environment, the file or the default. " +
      "Secrets are not shown."
  ),
  Command.withShortDescription("Show the settings that are in force")
)
