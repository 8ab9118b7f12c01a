/** How a fleet did over a time, compared with the time before: on screen and as files that stay the same (W4). */
import { Cron, DateTime, Option, Result, Schema } from "effect"
import { Model } from "effect/schema"
import { TimeZone } from "./Analytics.ts"
import { OrganizationId } from "./Organization.ts"
import type { Permission } from "./Permission.ts"
import { Count, Instant, Jsonb, MaybeInstant, Moment, PageLimit, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { GroupId } from "./Server.ts"

export const ReportId = Uuid.pipe(Schema.brand("ReportId"))
export type ReportId = typeof ReportId.Type

export const ReportRunId = Uuid.pipe(Schema.brand("ReportRunId"))
export type ReportRunId = typeof ReportRunId.Type

export const ReportKind = Schema.Literals(["usage", "performance", "health", "inventory"])
export type ReportKind = typeof ReportKind.Type

export const ReportFormat = Schema.Literals(["pdf", "csv", "json"])
export type ReportFormat = typeof ReportFormat.Type

/** The longest time that a report is about, in days. */
export const maxReportDays = 400

/** Two instants, or whole days of the report's time zone, counted back from the day on which it is made or due. */
export const ReportRange = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("between"),
    from: Moment,
    /** The end, itself outside. */
    to: Moment
  })
    .annotate({ title: "RangeBetween" })
    .check(
      Schema.makeFilter(({ from, to }) => {
        const days = (to.epochMilliseconds - from.epochMilliseconds) / 86_400_000
        return (
          (days > 0 && days <= maxReportDays) || {
            path: ["to"],
            issue: `must be after from, by ${maxReportDays} days at most`
          }
        )
      })
    ),
  /** Weeks begin on Mondays. */
  Schema.Struct({
    kind: Schema.Literal("named"),
    name: Schema.Literals(["yesterday", "last_week", "last_month"])
  }).annotate({ title: "RangeByName" }),
  /** So many days, and not the one that is still going on. */
  Schema.Struct({
    kind: Schema.Literal("days"),
    days: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxReportDays }))
  }).annotate({ title: "RangeInDays" })
])
export type ReportRange = typeof ReportRange.Type

export const ReportParameters = Schema.Struct({
  kind: ReportKind,
  range: ReportRange,
  /** Where days begin. */
  timeZone: TimeZone,
  /** Only this group and all below it; null for the whole organization. */
  groupId: Schema.NullOr(GroupId),
  /** Whether the time before, of equal length, stands beside it. */
  compare: Schema.Boolean
}).annotate({ title: "ReportParameters" })
export type ReportParameters = typeof ReportParameters.Type

/** How a value is written: `share` is of 1, `seconds` are a length of time, `time` is an RFC 3339 time. */
export const ReportUnit = Schema.Literals([
  "count",
  "bytes",
  "bytes_per_second",
  "seconds",
  "milliseconds",
  "share",
  "text",
  "time"
])
export type ReportUnit = typeof ReportUnit.Type

const Value = Schema.NullOr(Schema.Finite)

/** A number that stands for the whole time. */
export const ReportFigure = Schema.Struct({
  id: Schema.String,
  label: Schema.String,
  unit: ReportUnit,
  /** Null where nothing was measured, which is not zero. */
  value: Value,
  /** Of the time before; null without comparison, too. */
  previous: Value,
  /** Whether more of it is good news, bad news or neither. */
  better: Schema.Literals(["more", "less", "neither"])
}).annotate({ title: "ReportFigure" })
export type ReportFigure = typeof ReportFigure.Type

/** A number as it went, by the hour or the day. */
export const ReportSeries = Schema.Struct({
  id: Schema.String,
  label: Schema.String,
  unit: ReportUnit,
  points: Schema.Array(
    Schema.Struct({
      at: Schema.DateTimeUtcFromString,
      /** Null is a gap. */
      value: Value,
      /** At the same place in the time before. */
      previous: Value
    }).annotate({ title: "ReportPoint" })
  )
}).annotate({ title: "ReportSeries" })
export type ReportSeries = typeof ReportSeries.Type

export const ReportCell = Schema.NullOr(Schema.Union([Schema.String, Schema.Finite]))
export type ReportCell = typeof ReportCell.Type

export const ReportTable = Schema.Struct({
  id: Schema.String,
  title: Schema.String,
  columns: Schema.Array(
    Schema.Struct({ id: Schema.String, label: Schema.String, unit: ReportUnit }).annotate({ title: "ReportColumn" })
  ),
  /** As many cells as there are columns. At most 100 on screen and in a PDF; files for programs hold all. */
  rows: Schema.Array(Schema.Array(ReportCell)),
  /** How many rows there are in all. */
  total: Count
}).annotate({ title: "ReportTable" })
export type ReportTable = typeof ReportTable.Type

/** What a screen, a PDF, a CSV and a JSON file show: the same for all kinds. */
export const ReportData = Schema.Struct({
  kind: ReportKind,
  title: Schema.String,
  /** The group's path; null for the whole organization. */
  group: Schema.NullOr(Schema.String),
  from: Schema.DateTimeUtcFromString,
  to: Schema.DateTimeUtcFromString,
  previous: Schema.NullOr(Schema.Struct({ from: Schema.DateTimeUtcFromString, to: Schema.DateTimeUtcFromString })),
  timeZone: TimeZone,
  /** Of what the points of series are sums or means. */
  step: Schema.Literals(["hour", "day"]),
  /** Whether the time is over and all of it is counted. What is not complete says "so far". */
  complete: Schema.Boolean,
  /** What is left out, and why: what is past the time for which it is kept. */
  notes: Schema.Array(Schema.String),
  figures: Schema.Array(ReportFigure),
  series: Schema.Array(ReportSeries),
  tables: Schema.Array(ReportTable)
}).annotate({ title: "ReportData" })
export type ReportData = typeof ReportData.Type

/** When a report is due, as `cron` has it: minute, hour, day of the month, month, day of the week. */
export const ReportSchedule = Schema.Struct({
  cron: Text(128).check(
    Schema.makeFilter(
      (text) =>
        (text.trim().split(/\s+/u).length === 5 && Result.isSuccess(Cron.parse(text))) ||
        "must be a cron expression of five fields, such as 0 7 * * 1"
    )
  ),
  timeZone: TimeZone
}).annotate({ title: "ReportSchedule" })
export type ReportSchedule = typeof ReportSchedule.Type

/** Of each month, the longest that it gets. */
const monthDays = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Whether there is such a day at all. To search the calendar for one that there is not takes long. */
const comes = ({ days, months, weekdays }: Cron.Cron) =>
  days.size === 0 ||
  weekdays.size > 0 ||
  monthDays.some((length, month) => (months.size === 0 || months.has(month + 1)) && Math.min(...days) <= length)

/** The first slot after an instant; none where a schedule names a day that never comes, such as 30 February. */
export const nextSlot = ({ cron, timeZone }: ReportSchedule, after: DateTime.Utc): Option.Option<DateTime.Utc> =>
  Option.liftThrowable(() => Cron.parseUnsafe(cron, timeZone))().pipe(
    Option.filter(comes),
    Option.flatMap((parsed) => Option.liftThrowable(() => Cron.next(parsed, after))()),
    Option.flatMap(DateTime.make)
  )

/** One address, and no list or name that a mail server might read as several. */
export const ReportEmail = Text(254).check(
  Schema.isPattern(/^[^\s@,;:<>()[\]\\"]+@[^\s@.,;:<>()[\]\\"]+(\.[^\s@.,;:<>()[\]\\"]+)*$/u, {
    message: "must be an e-mail address"
  })
)

const choice = {
  name: Text(128).check(Schema.isTrimmed(), Schema.isMinLength(1)),
  parameters: ReportParameters,
  formats: Schema.Array(ReportFormat).check(Schema.isMinLength(1), Schema.isUnique()),
  /** Null for one that is only made when somebody asks. */
  schedule: Schema.NullOr(ReportSchedule),
  /** Whom its files are sent to. */
  emails: Schema.Array(ReportEmail).check(Schema.isMaxLength(20), Schema.isUnique()),
  /** Whether `report.ready` is told when it was made. */
  webhook: Schema.Boolean
}

/** One row of `reports`: one that is saved. */
export class Report extends Model.Class<Report>("Report")({
  id: Model.UuidV7Insert(ReportId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  name: choice.name,
  parameters: Jsonb(ReportParameters),
  formats: choice.formats,
  schedule: Jsonb(choice.schedule),
  emails: choice.emails,
  webhook: choice.webhook,
  createdBy: Schema.String,
  createdAt: Instant,
  updatedAt: Instant,
  /** When it is due next; null without a schedule. */
  nextAt: MaybeInstant
}) {}

export const ReportRequest = Schema.Struct(choice).annotate({ title: "ReportRequest" })
export type ReportRequest = typeof ReportRequest.Type

/** Only what is given changes. */
export const ReportChanges = Schema.Struct({
  name: Schema.optionalKey(choice.name),
  parameters: Schema.optionalKey(choice.parameters),
  formats: Schema.optionalKey(choice.formats),
  schedule: Schema.optionalKey(choice.schedule),
  emails: Schema.optionalKey(choice.emails),
  webhook: Schema.optionalKey(choice.webhook)
}).annotate({ title: "ReportChanges" })
export type ReportChanges = typeof ReportChanges.Type

export const ReportRunState = Schema.Literals(["waiting", "running", "done", "failed"])
export type ReportRunState = typeof ReportRunState.Type

export const ReportFile = Schema.Struct({
  format: ReportFormat,
  bytes: Count,
  /** Of its bytes, in hexadecimal digits. */
  sha256: Schema.String
}).annotate({ title: "ReportFile" })
export type ReportFile = typeof ReportFile.Type

/** What became of its e-mail. */
export const ReportMail = Schema.Struct({
  state: Schema.Literals(["waiting", "sent", "failed"]),
  to: Schema.Array(Schema.String),
  attempts: Count,
  /** Why the last attempt failed. */
  problem: Schema.NullOr(Schema.String),
  nextAttemptAt: Schema.NullOr(Schema.DateTimeUtcFromString)
}).annotate({ title: "ReportMail" })

/** A report that was made, or is to be: of one that is saved, or of parameters that somebody gave. */
export const ReportRun = Schema.Struct({
  id: ReportRunId,
  reportId: Schema.NullOr(ReportId),
  /** As the report was called then; the kind of one that was never saved. */
  name: Schema.String,
  parameters: ReportParameters,
  from: Schema.DateTimeUtcFromString,
  to: Schema.DateTimeUtcFromString,
  /** Which slot of the schedule it was made for; null when somebody asked. */
  slotAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  requestedBy: Schema.String,
  state: ReportRunState,
  /** Why it failed. */
  problem: Schema.NullOr(Schema.String),
  /** Whether the time was over and counted when it was made: then the same bytes come of it again. */
  complete: Schema.Boolean,
  createdAt: Schema.DateTimeUtcFromString,
  finishedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  files: Schema.Array(ReportFile),
  /** Null where nobody is to get one. */
  mail: Schema.NullOr(ReportMail)
}).annotate({ title: "ReportRun" })
export type ReportRun = typeof ReportRun.Type

/** A saved report as a list shows it, with the newest of what was made of it. */
export class ListedReport extends Model.Class<ListedReport>("ListedReport")({
  ...Model.fields(Report),
  lastRun: Schema.NullOr(ReportRun)
}) {}

/** Asks for files of a report that is not saved. */
export const ReportRunRequest = Schema.Struct({ parameters: ReportParameters, formats: choice.formats }).annotate({
  title: "ReportRunRequest"
})
export type ReportRunRequest = typeof ReportRunRequest.Type

/** The newest first; of one report, or of all. */
export const ReportRunsQuery = Schema.Struct({
  reportId: Schema.NullOr(ReportId),
  limit: PageLimit,
  cursor: Schema.NullOr(Schema.String)
})
export type ReportRunsQuery = typeof ReportRunsQuery.Type

/** What one has to be allowed to see for each kind of report, beside reports themselves. */
export const reportNeeds: Record<ReportKind, ReadonlyArray<Permission>> = {
  usage: ["connections:read", "analytics:read"],
  performance: ["connections:read", "analytics:read", "metrics:read", "verification:read"],
  health: ["servers:read", "groups:read", "maintenance:read", "fleet-guard:read"],
  inventory: ["servers:read", "groups:read"]
}

/** What else is in it for those who may see it: without, those parts are left out. */
export const reportExtras: Record<ReportKind, ReadonlyArray<Permission>> = {
  usage: ["users:read"],
  performance: [],
  health: [],
  inventory: []
}

export class ReportNotFound extends Problem<ReportNotFound>()("ReportNotFound", {
  code: "report_not_found",
  status: 404,
  title: "Report not found",
  detail: "There is no such report.",
  remedy: "Load the list again: somebody may have deleted it."
}) {}

export class ReportTooLarge extends Problem<ReportTooLarge>()("ReportTooLarge", {
  code: "report_too_large",
  status: 422,
  title: "Report too large",
  detail: "The report is about more than the database can look through at once.",
  remedy: "Choose a shorter time, or a group."
}) {}

export class ReportNameTaken extends Problem<ReportNameTaken>()("ReportNameTaken", {
  code: "report_name_taken",
  status: 409,
  title: "Report name taken",
  detail: "There is another report of that name.",
  remedy: "Choose another name."
}) {}

/** So many reports an organization saves at most. */
export const maxReports = 200

export class TooManyReports extends Problem<TooManyReports>()("TooManyReports", {
  code: "too_many_reports",
  status: 409,
  title: "Too many reports",
  detail: `There are ${maxReports} saved reports, and cannot be more.`,
  remedy: "Delete one, or change one."
}) {}

export class ReportRunNotFound extends Problem<ReportRunNotFound>()("ReportRunNotFound", {
  code: "report_run_not_found",
  status: 404,
  title: "Report not found",
  detail: "No such report was made, or it is past the time for which it is kept.",
  remedy: "Load the list again, or have it made once more."
}) {}

export class ReportFileNotFound extends Problem<ReportFileNotFound>()("ReportFileNotFound", {
  code: "report_file_not_found",
  status: 404,
  title: "File not found",
  detail: "The report has no file of that format, or it is not finished.",
  remedy: "Look at the report's files, and wait until it is done."
}) {}

/** So many runs of an organization wait or are at work at most. */
export const maxWaitingRuns = 20

export class TooManyReportRuns extends Problem<TooManyReportRuns>()("TooManyReportRuns", {
  code: "too_many_report_runs",
  status: 429,
  title: "Too many reports at once",
  detail: `There are ${maxWaitingRuns} reports to be made already.`,
  remedy: "Wait until some of them are done."
}) {}

/** Slots of a schedule lie at least so many minutes apart. */
export const leastMinutesBetweenSlots = 15

export class ReportScheduleRefused extends Problem<ReportScheduleRefused>()("ReportScheduleRefused", {
  code: "report_schedule_refused",
  status: 400,
  title: "Schedule refused",
  detail: `The schedule never comes due, or more often than every ${leastMinutesBetweenSlots} minutes.`,
  remedy: "Choose days that exist, and fewer times a day."
}) {}

export class MailNotSetUp extends Problem<MailNotSetUp>()("MailNotSetUp", {
  code: "mail_not_set_up",
  status: 409,
  title: "E-mail is not set up",
  detail: "This broker has no mail server to send reports by.",
  remedy: "Leave the addresses out, or have SMTP_URL and SMTP_FROM set, as docs/reports.md tells."
}) {}
