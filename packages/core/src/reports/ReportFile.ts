/** Files of a report: the same data in every format, and the same bytes for the same data (W4). */
import type { ReportData, ReportFormat } from "@broker/domain/Report"
import { DateTime, Stream } from "effect"
import * as ReportCsv from "./ReportCsv.ts"
import * as ReportJson from "./ReportJson.ts"
import * as ReportPdf from "./ReportPdf.ts"
import type { Span } from "./ReportPeriod.ts"

export const mediaTypes: Record<ReportFormat, string> = {
  pdf: "application/pdf",
  csv: "text/csv; charset=utf-8; header=present",
  json: "application/json"
}

/** How a download is called, as RFC 8187 writes it: what people call a report may have any letters. */
export const disposition = (name: string) =>
  `attachment; filename*=UTF-8''${encodeURIComponent(name).replaceAll(
    /['()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`
  )}`

/** Tables of at most so many rows; they tell how many there are in all. */
export const shortened = (data: ReportData, rows: number): ReportData => ({
  ...data,
  tables: data.tables.map((table) => ({ ...table, rows: table.rows.slice(0, rows) }))
})

/** What a file is called: of no sign that a file system or a header takes for something else. */
export const nameOf = (
  name: string,
  { from, timeZone, to }: Span & { readonly timeZone: string },
  format: ReportFormat
) => {
  const day = (at: DateTime.Utc) => DateTime.formatIsoDate(DateTime.setZone(at, DateTime.zoneMakeNamedUnsafe(timeZone)))
  const [first, last] = [day(from), day(DateTime.subtract(to, { milliseconds: 1 }))]
  const safe = name.replaceAll(/[\p{C}\p{Z}/\\:*?"<>|]+/gu, " ").trim()
  return `${safe === "" ? "Report" : safe} ${first === last ? first : `${first} to ${last}`}.${format}`
}

/** Whole tables go into files for programs; a PDF has as many rows as a screen. */
export const render = (
  format: ReportFormat,
  data: ReportData,
  name: string,
  shownRows: number
): Stream.Stream<Uint8Array> => {
  switch (format) {
    case "csv":
      return Stream.encodeText(Stream.fromIterable(ReportCsv.lines(data, name)))
    case "json":
      return Stream.encodeText(Stream.fromIterable(ReportJson.pieces(data, name)))
    case "pdf":
      return ReportPdf.render(shortened(data, shownRows), name)
  }
}
