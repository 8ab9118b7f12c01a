/** Tables of a report: in the order that somebody chose, and as CSV. */
import type { ReportCell, ReportTable } from "@broker/domain/Report"
import { saveRows } from "#lib/csv.ts"
import { isMidnight, labels, momentIn } from "#lib/zoned.ts"
import type { TableSort } from "./view.ts"

const compared = (one: ReportCell, other: ReportCell) => {
  if (typeof one === "number" && typeof other === "number") return one - other
  return String(one).localeCompare(String(other), "en", { numeric: true })
}

/** The rows in order; what is not known comes last, whichever way. */
export const sorted = ({ columns, id, rows }: ReportTable, sort: TableSort | null) => {
  if (sort === null || sort.table !== id) return rows
  const at = columns.findIndex((column) => column.id === sort.column)
  if (at === -1) return rows
  const cell = (row: ReadonlyArray<ReportCell>) => row[at] ?? null
  return rows.toSorted((one, other) => {
    const [a, b] = [cell(one), cell(other)]
    if (a === null || b === null) return Number(a === null) - Number(b === null)
    return sort.down ? compared(b, a) : compared(a, b)
  })
}

/** Figures are large at the top first, words by the alphabet; once more turns it round, and then it is as it came. */
export const nextSort = (table: string, column: string, numeric: boolean, sort: TableSort | null): TableSort | null => {
  if (sort === null || sort.table !== table || sort.column !== column) return { table, column, down: numeric }
  return sort.down === numeric ? { table, column, down: !numeric } : null
}

/** How moments of a column are written there: where all are midnights, they are days. */
export const momentsOf = ({ rows }: Pick<ReportTable, "rows">, at: number, zone: string) => {
  const times = rows.flatMap((row) => {
    const cell = row[at]
    const time = typeof cell === "string" ? Date.parse(cell) : Number.NaN
    return Number.isNaN(time) ? [] : [time]
  })
  return times.every((time) => isMidnight(time, zone))
    ? labels(zone, "day").step
    : (time: number) => momentIn(time, zone)
}

export const exportTable = (name: string, { columns, rows }: ReportTable) =>
  saveRows(
    {
      name,
      header: columns.map(({ id, unit }) => (unit === "text" || unit === "count" ? id : `${id}_${unit}`)),
      cells: (row: ReadonlyArray<ReportCell>) => row
    },
    rows
  )
