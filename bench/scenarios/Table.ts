/** Runs as tables: for the terminal, and as Markdown for docs/sizing.md. */
import type { Operation, Result } from "./Result.ts"

const number = (value: number | null, digits = 0) =>
  value === null ? "–" : Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value)

const errorsOf = ({ errors }: Operation) =>
  Object.entries(errors)
    .map(([code, count]) => `${count} × ${code}`)
    .join(", ")

const markdown = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) => {
  const all = [header, ...rows]
  const widths = header.map((_, at) => Math.max(3, ...all.map((row) => row[at]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) =>
    `| ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(" | ")} |`
  const rule = `| ${widths.map((width, at) => (at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`
  return [line(header), rule, ...rows.map(line)].join("\n")
}

const share = (cpuSeconds: number | null, seconds: number) =>
  cpuSeconds === null ? "–" : `${number((cpuSeconds / seconds) * 100)} %`

/** All of one run. */
export const report = (result: Result) => {
  const { asker, broker, database, machine, notes, operations, seconds, servers, title } = result
  const rows = operations.map((one) => [
    one.name,
    number(one.count),
    number(one.perSecond, 1),
    ...[one.p50, one.p90, one.p99, one.max].map((value) => number(value, 1)),
    errorsOf(one) || "none"
  ])
  const costly = database.top.map(({ calls, milliseconds, rows, text }) => [
    text.slice(0, 80),
    number(calls),
    number(rows),
    number(milliseconds)
  ])
  return [
    `${title} (${number(servers)} servers, ${number(seconds, 1)} s; load of the machine ${machine.loadBefore} before, ${machine.loadAfter} after)`,
    "",
    markdown(["request", "answered", "a second", "p50 ms", "p90 ms", "p99 ms", "most ms", "failed"], rows),
    "",
    `Broker: ${share(broker.cpuSeconds, seconds)} of a processor, ${number(broker.mostMegabytes)} MB at most.`,
    `PostgreSQL: ${share(database.cpuSeconds, seconds)} of a processor, ${number(database.statements / seconds)} statements and ` +
      `${number(database.rows / seconds)} rows a second, ${number(database.walBytes / 1e6, 1)} MB of WAL.`,
    `What asked took ${share(asker.cpuSeconds, seconds)} of a processor.`,
    ...notes,
    "",
    markdown(["costliest statements", "calls", "rows", "ms"], costly)
  ].join("\n")
}

/** A row for each run, for docs/sizing.md. */
export const sizing = (results: ReadonlyArray<Result>) =>
  markdown(
    [
      "scenario",
      "servers",
      "answered/s",
      "p50 ms",
      "p99 ms",
      "failed",
      "broker",
      "memory",
      "PostgreSQL",
      "statements/s",
      "WAL/s",
      "load"
    ],
    results.map(({ broker, database, machine, operations, scenario, seconds, servers }) => {
      const answered = operations.reduce((sum, { count }) => sum + count, 0)
      const failed = operations.reduce((sum, { errors }) => Object.values(errors).reduce((a, b) => a + b, sum), 0)
      const [most] = operations.toSorted((a, b) => b.count - a.count)
      return [
        scenario,
        number(servers),
        number(answered / seconds),
        number(most?.p50 ?? null, 1),
        number(most?.p99 ?? null, 1),
        number(failed),
        share(broker.cpuSeconds, seconds),
        `${number(broker.mostMegabytes)} MB`,
        share(database.cpuSeconds, seconds),
        number(database.statements / seconds),
        `${number(database.walBytes / seconds / 1_024)} kB`,
        `${machine.loadBefore}–${machine.loadAfter}`
      ]
    })
  )
