import { GroupNotFound } from "@broker/domain/Group"
import { MoreThanHeld } from "@broker/domain/Permission"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { InvalidCursor, Page, PageLimit, Text } from "@broker/domain/Primitives"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import {
  MailNotSetUp,
  Report,
  ReportChanges,
  ReportData,
  ReportFileNotFound,
  ReportFormat,
  ReportId,
  ReportNameTaken,
  ReportNotFound,
  ReportParameters,
  ReportRequest,
  ReportRun,
  ReportRunId,
  ReportRunNotFound,
  ReportRunRequest,
  ReportScheduleRefused,
  ReportTooLarge,
  TooManyReportRuns,
  TooManyReports
} from "@broker/domain/Report"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { ifMatch, ifNoneMatch, Paged, Sparse, sparse } from "./Conditional.ts"
import { example } from "./Example.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { ids, inventoryReport, lastWeek, makingOf, weekly, weeklyRun } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

const one = { id: ReportId }
const run = ReportRun

/** Reports that are saved, and made by schedule or on request. */
export class ReportsApi extends HttpApiGroup.make("reports")
  .add(
    HttpApiEndpoint.post("create", "/", {
      headers: idempotencyKey,
      payload: ReportRequest,
      success: Report.json.pipe(HttpApiSchema.status(201)),
      error: [GroupNotFound, ReportNameTaken, TooManyReports, ReportScheduleRefused, MailNotSetUp, IdempotencyKeyReused]
    })
      .annotateMerge(requires("reports:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          headers: { "idempotency-key": "weekly-inventory" },
          body: {
            name: "Weekly inventory",
            parameters: lastWeek,
            formats: ["csv", "pdf"],
            schedule: { cron: "0 7 * * 1", timeZone: "Europe/Berlin" },
            emails: [],
            webhook: true
          },
          answer: weekly
        })
      )
      .annotate(OpenApi.Summary, "Save a report, with a schedule where it is to be made regularly")
      .annotate(OpenApi.Description, "It shows what the token may see, and never more: 403 for a kind beyond that."),
    HttpApiEndpoint.get("list", "/", {
      query: Paged,
      success: Page(Report.json),
      error: InvalidCursor
    })
      .annotateMerge(requires("reports:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { limit: "10" },
          answer: { items: [weekly], nextCursor: null }
        })
      )
      .annotate(OpenApi.Summary, "List saved reports, by name")
      .annotate(OpenApi.Description, "Those whose kind the token may see. An organization saves 200 at most."),
    HttpApiEndpoint.get("get", "/:id", {
      params: one,
      headers: ifNoneMatch,
      query: Sparse,
      success: Report.json,
      error: ReportNotFound
    })
      .annotateMerge(requires("reports:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.report },
          answer: weekly
        })
      )
      .annotate(OpenApi.Summary, "Read a saved report")
      .annotate(
        OpenApi.Description,
        "With its parameters, its schedule and when it is due next. Its `ETag` is the one for `If-Match`."
      ),
    HttpApiEndpoint.patch("update", "/:id", {
      params: one,
      headers: ifMatch,
      payload: ReportChanges,
      success: Report.json,
      error: [
        ReportNotFound,
        MoreThanHeld,
        GroupNotFound,
        ReportNameTaken,
        ReportScheduleRefused,
        MailNotSetUp,
        PreconditionFailed,
        IdempotencyKeyReused
      ]
    })
      .annotateMerge(requires("reports:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.report },
          body: { formats: ["csv"] },
          answer: { ...weekly, formats: ["csv"] }
        })
      )
      .annotate(OpenApi.Summary, "Change a saved report")
      .annotate(OpenApi.Description, "What is left out stays."),
    HttpApiEndpoint.delete("delete", "/:id", {
      params: one,
      headers: ifMatch,
      success: HttpApiSchema.NoContent,
      error: [ReportNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("reports:delete"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.report }
        })
      )
      .annotate(OpenApi.Summary, "Delete a saved report")
      .annotate(OpenApi.Description, "What was made of it stays."),
    HttpApiEndpoint.post("run", "/:id/run", {
      params: one,
      headers: idempotencyKey,
      success: run.pipe(HttpApiSchema.status(201)),
      error: [ReportNotFound, GroupNotFound, TooManyReportRuns, IdempotencyKeyReused]
    })
      .annotateMerge(requires("reports:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.report },
          answer: weeklyRun,
          varies: makingOf
        })
      )
      .annotate(OpenApi.Summary, "Have a saved report made now")
      .annotate(OpenApi.Description, "Read the run until its `state` is `done`, and then download its files."),
    HttpApiEndpoint.post("preview", "/preview", {
      payload: ReportParameters,
      success: ReportData,
      error: [GroupNotFound, ReportTooLarge]
    })
      .annotateMerge(requires("reports:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          body: lastWeek,
          answer: inventoryReport,
          varies: ["figures", "series", "tables"]
        })
      )
      .annotate(OpenApi.Summary, "Read the figures of a report at once")
      .annotate(OpenApi.Description, "Nothing is kept of it. A time that is still going on is shown so far.")
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/reports")
  .annotateMerge(
    OpenApi.annotations({ title: "Reports", description: "For machines with an API token: how the fleet did." })
  ) {}

const ofRun = { id: ReportRunId }

/** What was made of reports. */
export class ReportRunsApi extends HttpApiGroup.make("reportRuns")
  .add(
    HttpApiEndpoint.post("create", "/", {
      headers: idempotencyKey,
      payload: ReportRunRequest,
      success: run.pipe(HttpApiSchema.status(201)),
      error: [GroupNotFound, TooManyReportRuns, IdempotencyKeyReused]
    })
      .annotateMerge(requires("reports:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          headers: { "idempotency-key": "inventory-now" },
          body: { parameters: lastWeek, formats: ["csv"] },
          answer: { ...weeklyRun, id: ids.otherRun, reportId: null, name: "Inventory" },
          varies: makingOf
        })
      )
      .annotate(OpenApi.Summary, "Have a report made that is not saved")
      .annotate(OpenApi.Description, "Read the run until its `state` is `done`, and then download its files."),
    HttpApiEndpoint.get("list", "/", {
      query: Schema.Struct({
        reportId: Schema.optionalKey(ReportId),
        limit: Schema.optionalKey(PageLimit),
        cursor: Schema.optionalKey(Text(512)),
        ...sparse
      }),
      success: Page(run),
      error: [InvalidCursor, ReportNotFound]
    })
      .annotateMerge(requires("reports:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { reportId: ids.report, limit: "10" },
          answer: { items: [weeklyRun], nextCursor: null },
          varies: makingOf
        })
      )
      .annotate(OpenApi.Summary, "List what was made of reports, the newest first")
      .annotate(OpenApi.Description, "Of one report, or of all that show nothing beyond what the token may see."),
    HttpApiEndpoint.get("get", "/:id", {
      params: ofRun,
      headers: ifNoneMatch,
      query: Sparse,
      success: run,
      error: ReportRunNotFound
    })
      .annotateMerge(requires("reports:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.run },
          answer: weeklyRun,
          varies: makingOf
        })
      )
      .annotate(OpenApi.Summary, "Read how far a report is, and which files there are")
      .annotate(
        OpenApi.Description,
        "`files` tells which there are once its `state` is `done`, each with its SHA-256."
      ),
    HttpApiEndpoint.get("file", "/:id/files/:format", {
      params: { ...ofRun, format: ReportFormat },
      headers: ifNoneMatch,
      success: HttpApiSchema.StreamUint8Array({ contentType: ["application/pdf", "text/csv", "application/json"] }),
      error: [ReportRunNotFound, ReportFileNotFound]
    })
      .annotateMerge(requires("reports:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.otherRun, format: "csv" }
        })
      )
      .annotate(OpenApi.Summary, "Download a file of a report")
      .annotate(
        OpenApi.Description,
        "As `application/pdf`, `text/csv` or `application/json`. Its `ETag` is the SHA-256 that the run tells."
      )
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/report-runs")
  .annotateMerge(
    OpenApi.annotations({
      title: "Report runs",
      description: "For machines with an API token: reports that were made, and their files."
    })
  ) {}
