/** Reports as they arrive from the broker. */
import { Page } from "@broker/domain/Primitives"
import {
  ListedReport,
  ReportData,
  type ReportFormat,
  ReportRequest,
  ReportRun,
  type ReportRunId
} from "@broker/domain/Report"
import { Schema } from "effect"

export type ReportView = typeof ListedReport.json.Type

export const decodeReportData = Schema.decodeUnknownSync(ReportData)
export const decodeReport = Schema.decodeUnknownSync(ListedReport.json)
export const decodeReports = Schema.decodeUnknownSync(Schema.Array(ListedReport.json))
export const decodeRun = Schema.decodeUnknownSync(ReportRun)
export const decodeRunsPage = Schema.decodeUnknownSync(Page(ReportRun))
export const encodeRequest = Schema.encodeSync(ReportRequest)

/** Where a file of a run is downloaded. */
export const fileHref = (id: ReportRunId, format: ReportFormat) => `/rpc/reports/runs/${id}/${format}`
