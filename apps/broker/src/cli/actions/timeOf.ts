import { DateTime, Effect, Option } from "effect"
import { usage } from "../Failure.ts"

/** A time as it was typed; null where none was. */
export const timeOf = (flag: string, text: Option.Option<string>) =>
  Option.match(text, {
    onNone: () => Effect.succeed(null),
    onSome: (text) =>
      Option.match(DateTime.make(text), {
        onNone: () => Effect.fail(usage(`${flag} is no time: ${text}`, "Say it like 2026-11-01T08:00:00Z.")),
        onSome: (at) => Effect.succeed(DateTime.toUtc(at))
      })
  })
