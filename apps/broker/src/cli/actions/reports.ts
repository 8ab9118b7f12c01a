import { type ReportReader, Reports } from "@broker/core/reports/Reports"
import { spanWords } from "@broker/core/reports/ReportWords"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { Page } from "@broker/domain/Primitives"
import {
  ListedReport,
  type ReportFormat,
  ReportNotFound,
  ReportRun,
  ReportRunId,
  ReportRunNotFound
} from "@broker/domain/Report"
import { DateTime, Effect, Option, Schedule, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"
import * as Output from "../Output.ts"
import { print, writeNew } from "./files.ts"
import { idOf } from "./idOf.ts"

interface Common {
  readonly dataDir: Option.Option<string>
}

/** Whoever may type commands may see everything. */
const reader: ReportReader = { organizationId: defaultOrganizationId, permissions: new Set(Permission.literals) }

/** How long a command waits for a broker that makes it at the same time. */
const patience = Schedule.upTo(Schedule.spaced("500 millis"), { duration: "2 minutes" })

const encodeReports = Schema.encodeSync(Page(ListedReport.json))
const encodeRun = Schema.encodeSync(ReportRun)
const encodeRuns = Schema.encodeSync(Page(ReportRun))

const scheduleOf = ({ schedule }: ListedReport) =>
  schedule === null ? "when asked" : `${schedule.cron} ${schedule.timeZone}`

const runRow = (now: DateTime.Utc) => (run: ReportRun) => [
  run.id,
  run.name,
  spanWords(run, run.parameters.timeZone),
  `${run.state}${run.state === "done" && !run.complete ? ", so far" : ""}`,
  Output.list(run.files.map(({ format }) => format)),
  run.requestedBy,
  Output.relative(run.createdAt, now)
]

const runColumns = ["ID", "REPORT", "OF", "STATE", "FILES", "BY", "ASKED"]

export const list = (
  flags: Common & {
    readonly runs: boolean
    readonly json: boolean
    readonly limit: number
    readonly cursor: Option.Option<string>
  }
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const now = yield* DateTime.now
      if (flags.runs) {
        const page = yield* reports.runs(reader, {
          reportId: null,
          limit: flags.limit,
          cursor: Option.getOrNull(flags.cursor)
        })
        return yield* Output.page(
          flags.json,
          encodeRuns(page),
          Output.table(runColumns, page.items.map(runRow(now))),
          "No report was made yet."
        )
      }
      const items = yield* reports.list(reader)
      yield* Output.page(
        flags.json,
        encodeReports({ items, nextCursor: null }),
        Output.table(
          ["ID", "NAME", "KIND", "SCHEDULE", "NEXT", "TO"],
          items.map((report) => [
            report.id,
            report.name,
            report.parameters.kind,
            scheduleOf(report),
            Output.relative(report.nextAt, now),
            Output.or(report.emails.join(", "), "nobody")
          ])
        ),
        "There is no saved report. Admins save them in the dashboard."
      )
    })
  )

/** By its id, or by its name in any case. */
const found = Effect.fnUntraced(function* (text: string) {
  const all = yield* Reports.use((reports) => reports.list(reader))
  const wanted = text.trim().toLowerCase()
  const report = all.find(({ id, name }) => id === wanted || name.toLowerCase() === wanted)
  return report ?? (yield* new ReportNotFound())
})

export const run = (flags: Common & { readonly report: string; readonly send: boolean; readonly json: boolean }) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const { id: reportId, name } = yield* found(flags.report)
      const { id } = yield* reports.runSaved(reader, reportId, { send: flags.send })
      yield* Output.note(`Making ${name} …`)
      // A broker that runs may have been quicker; either way it is made once.
      const made = yield* reports.makeDue.pipe(
        Effect.andThen(reports.getRun(reader, id)),
        Effect.repeat({ until: ({ state }) => state === "done" || state === "failed", schedule: patience })
      )
      if (made.state !== "done") {
        return yield* new CommandFailed({
          code: ExitCode.refused,
          what: made.problem ?? "It was not made in time.",
          remedy: "`broker report list --runs` shows what becomes of it."
        })
      }
      yield* Output.either(flags.json, encodeRun(made), [
        `${made.name}, ${spanWords(made, made.parameters.timeZone)}${made.complete ? "" : ", so far"}: ${made.id}`,
        ...Output.table(
          ["FILE", "BYTES", "SHA-256"],
          made.files.map(({ bytes, format, sha256 }) => [format, String(bytes), sha256])
        )
      ])
    })
  )

export const download = (
  flags: Common & { readonly id: string; readonly format: ReportFormat; readonly output: Option.Option<string> }
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* idOf(ReportRunId, flags.id, () => new ReportRunNotFound())
      const { content } = yield* Reports.use((reports) => reports.file(reader, id, flags.format))
      yield* Option.isNone(flags.output) ? print(content) : writeNew(flags.output.value, content)
    })
  )
