import { Effect, type Option, References } from "effect"
import { checkup, type Finding } from "../../doctor/Checkup.ts"
import { ExitCode } from "../ExitCode.ts"
import { Ended } from "../Failure.ts"
import * as Flags from "../Flags.ts"
import * as Output from "../Output.ts"

const marks: Record<Finding["level"], string> = { ok: "✓", warning: "!", error: "✗" }

const told = ({ check, level, message, remedy }: Finding) => {
  const line = `${marks[level]} ${check}: ${message}`
  return remedy === null ? [line] : [line, `    ${remedy}`]
}

const verdict = (errors: number, warnings: number) => {
  if (errors > 0) return errors === 1 ? "One thing is wrong." : `${errors} things are wrong.`
  return warnings > 0 ? "Nothing is wrong; see what is marked with !." : "All is well."
}

export const doctor = Effect.fnUntraced(function* (flags: {
  readonly port: Option.Option<string>
  readonly host: Option.Option<string>
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}) {
  const items = yield* checkup(yield* Flags.settings(flags)).pipe(
    Effect.provideService(References.MinimumLogLevel, "Error")
  )
  const count = (level: Finding["level"]) => items.filter((item) => item.level === level).length
  const healthy = count("error") === 0
  yield* Output.either(flags.json, { healthy, items, nextCursor: null }, [
    ...items.flatMap(told),
    "",
    verdict(count("error"), count("warning"))
  ])
  if (!healthy) return yield* new Ended({ code: ExitCode.unexpected })
})
