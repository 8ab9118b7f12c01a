/** A report as JSON: `ReportData` as it is, with the report's name, written row by row. */
import { ReportData } from "@broker/domain/Report"
import { Schema } from "effect"

const encode = Schema.encodeSync(ReportData)

export function* pieces(data: ReportData, name: string): Generator<string> {
  // Rows are JSON as they are: however many there are, no more than one is written at a time.
  const { tables, ...rest } = encode({ ...data, tables: data.tables.map((table) => ({ ...table, rows: [] })) })
  // Without its closing brace: tables follow.
  yield `${JSON.stringify({ name, ...rest }).slice(0, -1)},"tables":[`
  for (const [index, { rows: _, ...table }] of tables.entries()) {
    yield `${index === 0 ? "" : ","}\n${JSON.stringify(table).slice(0, -1)},"rows":[`
    for (const [at, cells] of (data.tables[index]?.rows ?? []).entries())
      yield `${at === 0 ? "" : ","}\n${JSON.stringify(cells)}`
    yield "]}"
  }
  yield "]}\n"
}
