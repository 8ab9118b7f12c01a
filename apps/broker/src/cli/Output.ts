/** How commands speak: results on standard output, everything else on standard error. */
import { Console, DateTime, Duration, Effect } from "effect"
import { CliOutput } from "effect/cli"

/** A result for programs. */
export const json = (value: unknown) => Console.log(JSON.stringify(value, null, 2))

/** A result for people. */
export const text = (...lines: ReadonlyArray<string>) => Console.log(lines.join("\n"))

/** What happens meanwhile, and what to do next: never in the way of a result that is piped on. */
export const note = (...lines: ReadonlyArray<string>) => Console.error(lines.join("\n"))

const pad = (text: string, width: number) => text + " ".repeat(Math.max(0, width - CliOutput.displayWidth(text)))

/** Columns, as wide as what stands in them. */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> => {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => CliOutput.displayWidth(row[column] ?? ""))))
  return all.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  )
}

/** `key: value` lines, the values below each other. */
export const fields = (rows: ReadonlyArray<readonly [string, string]>) => {
  const width = Math.max(...rows.map(([name]) => CliOutput.displayWidth(name)))
  return rows.map(([name, value]) => `${pad(name, width)}  ${value}`.trimEnd())
}

/** A frame around lines that must not be overlooked. */
export const box = (lines: ReadonlyArray<string>) => {
  const width = Math.max(...lines.map(CliOutput.displayWidth))
  const edge = "─".repeat(width + 4)
  return [`┌${edge}┐`, ...lines.map((line) => `│  ${pad(line, width)}  │`), `└${edge}┘`]
}

/** The two largest units at most: `3 d 4 h`, `12 s`. */
const span = (duration: Duration.Duration) => {
  const { days, hours, minutes, seconds } = Duration.parts(duration)
  const parts = [
    [days, "d"],
    [hours, "h"],
    [minutes, "min"],
    [seconds, "s"]
  ] as const
  const first = parts.findIndex(([amount]) => amount > 0)
  if (first === -1) return "0 s"
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(" ")
}

/** What was set for 7 days a moment ago is in 7 days, not in 6 d 23 h. */
const almost = Duration.seconds(30)

/** A moment as people think of it: how long ago, or in how long. */
export const relative = (at: DateTime.Utc | null, now: DateTime.Utc) => {
  if (at === null) return "never"
  return DateTime.isLessThanOrEqualTo(at, now)
    ? `${span(DateTime.distance(at, now))} ago`
    : `in ${span(Duration.sum(DateTime.distance(now, at), almost))}`
}

/** What is left out of a table. */
export const or = (text: string | null, otherwise = "–") => (text === null || text === "" ? otherwise : text)

export const list = (items: ReadonlyArray<string>) => or(items.join(", "))

/** For people and for programs, by the flag. */
export const either = (isJson: boolean, forPrograms: unknown, forPeople: ReadonlyArray<string>) =>
  Effect.suspend(() => (isJson ? json(forPrograms) : text(...forPeople)))

/** A page of a list; people are told when there is nothing, or more. */
export const page = (
  isJson: boolean,
  forPrograms: { readonly items: ReadonlyArray<unknown>; readonly nextCursor: string | null },
  forPeople: ReadonlyArray<string>,
  nothing: string
) =>
  Effect.gen(function* () {
    if (isJson) return yield* json(forPrograms)
    const { items, nextCursor } = forPrograms
    // A look may end before it has been through all that there is.
    if (items.length === 0)
      return yield* note(nextCursor === null ? nothing : `None so far. Look on: --cursor ${nextCursor}`)
    yield* text(...forPeople)
    if (nextCursor !== null) yield* note("", `There are more: --cursor ${nextCursor}`)
  })
