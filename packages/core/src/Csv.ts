/** Lines of CSV (RFC 4180) that spreadsheets show as they are (W4). */

/** Spreadsheets take what begins so for a formula. */
const formula = /^[=+\-@\t\r]/

const cell = (value: string | number | null) => {
  if (typeof value === "number") return String(value)
  const text = value ?? ""
  const guarded = formula.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded
}

/** Numbers are no formulas, whatever their sign. */
export const row = (cells: ReadonlyArray<string | number | null>) => `${cells.map(cell).join(",")}\r\n`
