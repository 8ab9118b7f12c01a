/**
 * A report as one CSV file: what it is about, the figures, the series, then each table, one below the other. All lines
 * have as many cells as the widest, so that whoever reads them strictly reads them all.
 */
import type { ReportCell, ReportData, ReportUnit } from "@broker/domain/Report"
import { DateTime } from "effect"
import { row } from "../Csv.ts"

/** What numbers count, beside their names: the numbers themselves stay bare. */
const suffixes: Record<ReportUnit, string> = {
  count: "",
  bytes: " (bytes)",
  bytes_per_second: " (bytes per second)",
  seconds: " (seconds)",
  milliseconds: " (ms)",
  share: " (share)",
  text: "",
  time: ""
}

const headOf = ({ label, unit }: { readonly label: string; readonly unit: ReportUnit }) => `${label}${suffixes[unit]}`

export function* lines(data: ReportData, name: string): Generator<string> {
  const zone = DateTime.zoneMakeNamedUnsafe(data.timeZone)
  const local = (at: DateTime.Utc) => DateTime.formatIsoOffset(DateTime.setZone(at, zone))
  const compared = data.previous !== null
  const seriesWidth = 1 + data.series.length * (compared ? 2 : 1)
  const width = Math.max(compared ? 3 : 2, seriesWidth, ...data.tables.map(({ columns }) => columns.length))
  const line = (cells: ReadonlyArray<ReportCell>) =>
    row([...cells, ...Array.from({ length: width - cells.length }, () => null)])
  const cellOf = (value: ReportCell, unit: ReportUnit) =>
    unit === "time" && typeof value === "string" ? local(DateTime.makeUnsafe(value)) : value

  yield line(["Report", name])
  yield line(["Kind", data.title])
  yield line(["Of", data.group ?? "The whole organization"])
  yield line(["From", local(data.from)])
  yield line(["To", local(data.to)])
  if (data.previous !== null) {
    yield line(["Previously from", local(data.previous.from)])
    yield line(["Previously to", local(data.previous.to)])
  }
  yield line(["Time zone", data.timeZone])
  yield line(["Complete", data.complete ? "yes" : "no, so far"])
  for (const note of data.notes) yield line(["Note", note])
  yield line([])
  yield line(["Figure", "Value", ...(compared ? ["Previously"] : [])])
  for (const figure of data.figures) {
    yield line([headOf(figure), figure.value, ...(compared ? [figure.previous] : [])])
  }
  yield line([])
  yield line([
    data.step === "day" ? "Day" : "Hour",
    ...data.series.flatMap((series) => [headOf(series), ...(compared ? [`${headOf(series)}, previously`] : [])])
  ])
  for (const [index, { at }] of (data.series[0]?.points ?? []).entries()) {
    yield line([
      local(at),
      ...data.series.flatMap(({ points }) => [
        points[index]?.value ?? null,
        ...(compared ? [points[index]?.previous ?? null] : [])
      ])
    ])
  }
  for (const table of data.tables) {
    yield line([])
    yield line([table.title])
    yield line(table.columns.map(headOf))
    for (const cells of table.rows)
      yield line(cells.map((value, at) => cellOf(value, table.columns[at]?.unit ?? "text")))
    if (table.total > table.rows.length) yield line([`and ${table.total - table.rows.length} more`])
  }
}
