import { Reports } from "@broker/core/reports/Reports"
import { Page } from "@broker/domain/Primitives"
import {
  ListedReport,
  ReportChanges,
  ReportData,
  ReportId,
  ReportParameters,
  ReportRequest,
  ReportRun,
  ReportRunId,
  ReportRunRequest,
  ReportRunsQuery
} from "@broker/domain/Report"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: ReportId }))
const One = Wire.output(ListedReport.json)
const Run = Wire.output(ReportRun)

/** What is in a report also asks for what its kind is about. Where its files go to is said provenly (A4). */
export const reports = router({
  preview: procedure("reports:read")
    .input(Wire.input(ReportParameters))
    .output(Wire.output(ReportData))
    .query(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.preview(ctx.admin, input)))),

  list: procedure("reports:read")
    .output(Wire.output(Schema.Array(ListedReport.json)))
    .query(({ ctx }) => ctx.run(Reports.use((reports) => reports.list(ctx.admin)))),

  get: procedure("reports:read")
    .input(Id)
    .output(One)
    .query(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.get(ctx.admin, input.id)))),

  /** Whether there is a mail server, so that addresses may be given. */
  canMail: procedure("reports:read")
    .output(Wire.output(Schema.Boolean))
    .query(({ ctx }) => ctx.run(Reports.useSync((reports) => reports.canMail))),

  create: procedure("reports:create", { provenly: true })
    .input(Wire.input(ReportRequest))
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.create(ctx.admin, input)))),

  update: procedure("reports:update", { provenly: true })
    .input(Wire.input(Schema.Struct({ id: ReportId, changes: ReportChanges })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Reports.use((reports) => reports.update(ctx.admin, input.id, input.changes)))
    ),

  run: procedure("reports:create")
    .input(Wire.input(ReportRunRequest))
    .output(Run)
    .mutation(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.run(ctx.admin, input)))),

  runSaved: procedure("reports:create")
    .input(Id)
    .output(Run)
    .mutation(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.runSaved(ctx.admin, input.id)))),

  runs: procedure("reports:read")
    .input(Wire.input(ReportRunsQuery))
    .output(Wire.output(Page(ReportRun)))
    .query(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.runs(ctx.admin, input)))),

  getRun: procedure("reports:read")
    .input(Wire.input(Schema.Struct({ id: ReportRunId })))
    .output(Run)
    .query(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.getRun(ctx.admin, input.id)))),

  delete: procedure("reports:delete", { provenly: true })
    .input(Id)
    .mutation(({ ctx, input }) => ctx.run(Reports.use((reports) => reports.delete(ctx.admin, input.id))))
})
