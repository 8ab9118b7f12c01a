/** CSV that spreadsheets open as text: RFC 4180, with cells that would run as formulas defused. */

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
