import { PageLimit } from "@broker/domain/Primitives"
import { Effect, Option, Schema } from "effect"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"

/** Which page of a list was asked for. */
export const pageOf = (flags: { readonly limit: number; readonly cursor: Option.Option<string> }) =>
  Schema.decodeEffect(PageLimit)(flags.limit).pipe(
    Effect.map((limit) => ({ limit, cursor: Option.getOrNull(flags.cursor) })),
    Effect.mapError(
      () =>
        new CommandFailed({
          code: ExitCode.usage,
          what: `--limit is ${flags.limit}.`,
          remedy: "Take a number from 1 to 200; --cursor goes on from there."
        })
    )
  )
