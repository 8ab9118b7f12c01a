import { Effect, Option } from "effect"
import * as Settings from "../../Settings.ts"
import * as Flags from "../Flags.ts"
import * as Output from "../Output.ts"

export const config = Effect.fnUntraced(function* ({
  json,
  ...flags
}: Parameters<typeof Flags.settings>[0] & { readonly json: boolean }) {
  const reading = yield* Settings.read(yield* Flags.settings(flags))
  const items = Settings.describe(reading)
  const file = Option.getOrNull(reading.file)
  const rows = items.map(({ name, source, value, variable }) => [
    name,
    variable,
    Output.or(value === null ? null : String(value)),
    source
  ])
  yield* Output.either(json, { file, items, nextCursor: null }, [
    ...Output.table(["SETTING", "VARIABLE", "VALUE", "FROM"], rows),
    "",
    file === null ? "No file was read." : `File: ${file}`
  ])
})
