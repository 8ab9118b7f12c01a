/** CSV that spreadsheets open as text: RFC 4180, with cells that would run as formulas defused. */
import { DateTime } from "effect"

const formula = /^[=+\-@\t\r]/
const special = /[",\r\n]/

export type Cell = string | number | boolean | null

/** Numbers are what they are; only text can smuggle in a formula. */
export const quote = (cell: Cell) => {
  if (cell === null) return ""
  if (typeof cell !== "string") return String(cell)
  const safe = formula.test(cell) ? `'${cell}` : cell
  return special.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

export const line = (cells: ReadonlyArray<Cell>) => `${cells.map(quote).join(",")}\r\n`

/** Hands a file to the browser's downloads. The mark at the start makes Excel read UTF-8. */
export const download = (name: string, lines: ReadonlyArray<string>) => {
  const url = URL.createObjectURL(new Blob(["\uFEFF", ...lines], { type: "text/csv;charset=utf-8" }))
  const link = document.createElement("a")
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 1_000)
}

export const iso = (time: DateTime.Utc | null) => (time === null ? null : DateTime.formatIso(time))

/** How rows of a kind stand in a file. */
export interface Sheet<Row> {
  /** What the file's name starts with; the day follows. */
  readonly name: string
  readonly header: ReadonlyArray<string>
  readonly cells: (row: Row) => ReadonlyArray<Cell>
}

const pageSize = 200

const write = <Row>({ header, name }: Sheet<Row>, lines: ReadonlyArray<string>) =>
  download(`${name}-${new Date().toISOString().slice(0, 10)}.csv`, [line(header), ...lines])

export const saveRows = <Row>(sheet: Sheet<Row>, rows: ReadonlyArray<Row>) =>
  write(
    sheet,
    rows.map((row) => line(sheet.cells(row)))
  )

/** Saves the whole of a list, asked for page by page. Returns how many rows it has; `progress` hears of each page. */
export const saveAll = async <Row>(
  sheet: Sheet<Row>,
  ask: (page: { readonly limit: number; readonly cursor: string | null }) => Promise<{
    readonly items: ReadonlyArray<Row>
    readonly nextCursor: string | null
  }>,
  progress?: (rows: number) => void
) => {
  const lines: Array<string> = []
  let cursor: string | null = null
  do {
    const page = await ask({ limit: pageSize, cursor })
    lines.push(...page.items.map((row) => line(sheet.cells(row))))
    cursor = page.nextCursor
    progress?.(lines.length)
  } while (cursor !== null)
  write(sheet, lines)
  return lines.length
}
