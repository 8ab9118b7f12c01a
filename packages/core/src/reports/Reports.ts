/**
 * Reports: figures of a time, files of them that stay the same, and schedules that make them (W4).
 *
 * A run is a row from the start: a slot of a schedule is one row however many nodes see that it is due, and whoever makes
 * a run has it to itself for a while. Its files are written in pieces under the turn in which they were made; the
 * transaction that finishes it takes the pieces of that turn, tells `report.ready` and notes that e-mail is to be sent.
 */
import { createHash } from "node:crypto"
import { AdminId } from "@broker/domain/Admin"
import { GroupNotFound } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { Permission, PermissionMissing } from "@broker/domain/Permission"
import type { InvalidCursor } from "@broker/domain/Primitives"
import {
  ListedReport,
  leastMinutesBetweenSlots,
  MailNotSetUp,
  maxReports,
  maxWaitingRuns,
  nextSlot,
  type ReportChanges,
  type ReportData,
  ReportFileNotFound,
  type ReportFormat,
  ReportId,
  type ReportKind,
  ReportNameTaken,
  ReportNotFound,
  type ReportParameters,
  type ReportRequest,
  type ReportRun,
  ReportRunId,
  ReportRunNotFound,
  type ReportRunRequest,
  type ReportRunsQuery,
  type ReportSchedule,
  ReportScheduleRefused,
  ReportTooLarge,
  reportExtras,
  reportNeeds,
  TooManyReportRuns,
  TooManyReports
} from "@broker/domain/Report"
import { Context, Cron, DateTime, Duration, Effect, Layer, Option, Result, Semaphore, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import * as StandingSql from "../admins/StandingSql.ts"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Availability } from "../availability/Availability.ts"
import * as Cursor from "../Cursor.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as SqlFailure from "../database/SqlFailure.ts"
import { Installation } from "../Installation.ts"
import { Mail } from "../mail/Mail.ts"
import * as ReportFigures from "./ReportFigures.ts"
import * as ReportFile from "./ReportFile.ts"
import * as ReportMail from "./ReportMail.ts"
import * as ReportPeriod from "./ReportPeriod.ts"
import { ReportsPolicy } from "./ReportsPolicy.ts"
import * as ReportsSql from "./ReportsSql.ts"

/** Who looks, and what they may see. */
export interface ReportReader {
  readonly organizationId: OrganizationId
  readonly permissions: ReadonlySet<Permission>
}

/** A file as it is downloaded. */
export interface ReportDownload {
  /** What it is saved as, such as `Weekly usage 2026-11-16 to 2026-11-22.pdf`. */
  readonly name: string
  /** Its media type. */
  readonly type: string
  readonly bytes: number
  /** In hexadecimal digits: its ETag. */
  readonly sha256: string
  readonly content: Stream.Stream<Uint8Array>
}

/** How many reports are made or shown at once on a node: the figures of one keep the database busy. */
const atOnce = 2

/** No more of a file than that is held in memory, or sent to the database at once. */
const pieceBytes = 262_144

const prunedPerRun = 500

/** How long after a failure a report is tried again, and a scheduled one looked at that has to wait. */
const retryAfter = Duration.seconds(30)

/** A node has e-mail to itself for that long: longer than the sending of one may take. */
const mailHold = Duration.minutes(5)
const mailsAtOnce = 4

/** A statement took longer than any may. */
const isTooMuch = (cause: unknown): boolean => isSqlError(cause) && SqlFailure.sqlState(cause) === "57014"

const nameKey = (name: string) => name.normalize("NFKC").toLowerCase()

const reading: ReadonlySet<string> = new Set(Permission.literals)
const isPermission = (permission: string): permission is Permission => reading.has(permission)

/** What of a kind somebody may see, beside what they have to. */
const partsOf = (kind: ReportKind, held: ReadonlySet<Permission>) => [
  ...reportNeeds[kind],
  ...reportExtras[kind].filter((permission) => held.has(permission))
]

const mayRead = ({ permissions }: ReportReader, kind: ReportKind) =>
  reportNeeds[kind].every((permission) => permissions.has(permission))

const view = (run: ReportsSql.Run): ReportRun => ({
  id: run.id,
  reportId: run.reportId,
  name: run.name,
  parameters: run.parameters,
  from: run.startsAt,
  to: run.endsAt,
  slotAt: run.slotAt,
  requestedBy: run.requestedBy,
  state: run.state,
  problem: run.problem,
  complete: run.complete,
  createdAt: run.createdAt,
  finishedAt: run.finishedAt,
  files: run.files,
  mail:
    run.mailState === null
      ? null
      : {
          state: run.mailState,
          to: run.mailState === "sent" ? run.emails : run.mailLeft,
          attempts: run.mailAttempts,
          problem: run.mailProblem,
          nextAttemptAt: run.mailNextAt
        }
})

const listed = ({ ownerId: _, permissions: __, ...report }: ReportsSql.Stored, lastRun: ReportRun | null) =>
  new ListedReport({ ...report, lastRun })

/** The last slot that has come: of those that nobody saw to, one is made up for. */
const latestSlot = ({ cron, timeZone }: ReportSchedule, first: DateTime.Utc, now: DateTime.Utc) => {
  const last = Option.flatMap(
    Option.liftThrowable(() => Cron.prev(Cron.parseUnsafe(cron, timeZone), DateTime.add(now, { milliseconds: 1 })))(),
    DateTime.make
  )
  return Option.match(last, { onNone: () => first, onSome: (slot) => DateTime.max(slot, first) })
}

export class Reports extends Context.Service<
  Reports,
  {
    /** Its figures, on screen; a time that is still going on is shown so far. */
    preview(
      reader: ReportReader,
      parameters: ReportParameters
    ): Effect.Effect<ReportData, PermissionMissing | GroupNotFound | ReportTooLarge>

    /** Saved ones, by name: those whose kind one may see. */
    list(reader: ReportReader): Effect.Effect<ReadonlyArray<ListedReport>>
    get(reader: ReportReader, id: ReportId): Effect.Effect<ListedReport, ReportNotFound>
    /** Its runs show what whoever saved it last may see, and never more. */
    create(
      reader: ReportReader,
      request: ReportRequest
    ): Effect.Effect<
      ListedReport,
      PermissionMissing | GroupNotFound | ReportNameTaken | TooManyReports | ReportScheduleRefused | MailNotSetUp,
      Actor
    >
    update(
      reader: ReportReader,
      id: ReportId,
      changes: ReportChanges
    ): Effect.Effect<
      ListedReport,
      ReportNotFound | PermissionMissing | GroupNotFound | ReportNameTaken | ReportScheduleRefused | MailNotSetUp,
      Actor
    >
    /** What was made of it stays. What is not sent yet is sent to nobody. */
    delete(reader: ReportReader, id: ReportId): Effect.Effect<void, ReportNotFound, Actor>

    /** Has files made of parameters that are not saved. */
    run(
      reader: ReportReader,
      request: ReportRunRequest
    ): Effect.Effect<ReportRun, PermissionMissing | GroupNotFound | TooManyReportRuns, Actor>
    /** Has a saved report made at once, of what both see who saved it and who asks; sent to nobody unless told to. */
    runSaved(
      reader: ReportReader,
      id: ReportId,
      options?: { readonly send: boolean }
    ): Effect.Effect<ReportRun, ReportNotFound | PermissionMissing | GroupNotFound | TooManyReportRuns, Actor>

    /** The newest first: those that show nothing one may not see. */
    runs(
      reader: ReportReader,
      query: ReportRunsQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<ReportRun>; readonly nextCursor: string | null },
      InvalidCursor | ReportNotFound
    >
    getRun(reader: ReportReader, id: ReportRunId): Effect.Effect<ReportRun, ReportRunNotFound>
    file(
      reader: ReportReader,
      id: ReportRunId,
      format: ReportFormat
    ): Effect.Effect<ReportDownload, ReportRunNotFound | ReportFileNotFound>

    /** Whether there is a mail server, so that addresses may be given. */
    readonly canMail: boolean

    /** Notes a run for the latest slot of each report that is due, a bounded number at once; tells how many. */
    readonly schedule: Effect.Effect<number>
    /** Makes what waits to be made, a bounded number at once; tells how many. Any node may, at any time. */
    readonly makeDue: Effect.Effect<number>
    /** Sends e-mail that is due, a bounded number at once; tells how many were sent. Any node may. */
    readonly sendDue: Effect.Effect<number>
    /** Deletes what was made past its time, a bounded number at once; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/reports/Reports") {
  static readonly layerNoDeps = Layer.effect(
    Reports,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit
      const secrets = yield* Secrets
      const mail = yield* Mail
      const installation = yield* Installation
      const policy = yield* ReportsPolicy
      const statements = yield* ReportsSql.make
      const figures = yield* ReportFigures.make
      const turns = yield* Semaphore.make(atOnce)

      const mustRead = Effect.fnUntraced(function* (reader: ReportReader, kind: ReportKind) {
        const missing = reportNeeds[kind].find((permission) => !reader.permissions.has(permission))
        if (missing !== undefined) return yield* new PermissionMissing({ permission: missing })
      })

      const groupOf = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        { groupId }: Pick<ReportParameters, "groupId">
      ) {
        if (groupId === null) return null
        return yield* figures
          .groupOf(organizationId, groupId)
          .pipe(Effect.catchTag("NoSuchElementError", () => new GroupNotFound()))
      })

      /** All of it as of one moment. */
      const dataOf = Effect.fnUntraced(
        function* (reader: ReportReader, parameters: ReportParameters, period: ReportPeriod.Period, rows: number) {
          yield* figures.prepare
          const group = yield* groupOf(reader.organizationId, parameters)
          return yield* figures.data({
            organizationId: reader.organizationId,
            parameters,
            period,
            group,
            namesUsers: reader.permissions.has("users:read"),
            rows
          })
        },
        (effect) => turns.withPermit(sql.withTransaction(effect))
      )

      const preview = Effect.fn("Reports.preview")(
        function* (reader: ReportReader, parameters: ReportParameters) {
          yield* mustRead(reader, parameters.kind)
          const period = ReportPeriod.resolve(parameters, yield* DateTime.now)
          return yield* dataOf(reader, parameters, period, policy.shownRows)
        },
        Effect.catchIf(isTooMuch, () => new ReportTooLarge()),
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const lastRuns = Effect.fnUntraced(function* (reader: ReportReader, reportId: ReportId | null) {
        const { organizationId, permissions } = reader
        const runs = yield* statements.lastRuns({ organizationId, held: [...permissions], reportId })
        return new Map(runs.map((run) => [run.reportId, view(run)]))
      })

      const list = Effect.fn("Reports.list")(function* (reader: ReportReader) {
        const reports = yield* statements.list(reader.organizationId)
        const last = yield* lastRuns(reader, null)
        return reports
          .filter(({ parameters }) => mayRead(reader, parameters.kind))
          .map((report) => listed(report, last.get(report.id) ?? null))
      }, Effect.orDie)

      const get = Effect.fn("Reports.get")(
        function* (reader: ReportReader, id: ReportId) {
          const { organizationId } = reader
          const report = yield* statements.get({ organizationId, id }).pipe(
            Effect.catchTag("NoSuchElementError", () => new ReportNotFound()),
            Effect.filterOrFail(
              ({ parameters }) => mayRead(reader, parameters.kind),
              () => new ReportNotFound()
            )
          )
          return listed(report, (yield* lastRuns(reader, id)).get(id) ?? null)
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** Whose permissions count when a report is made later: the admin's who acts, or whose token does. */
      const ownerOf = Effect.fnUntraced(function* (organizationId: OrganizationId) {
        const { id, kind } = yield* Actor
        if (id === null) return null
        if (kind === "admin") return AdminId.make(id)
        if (kind !== "api-token") return null
        const owner = yield* statements.ownerOfToken({ organizationId, id })
        return Option.match(owner, { onNone: () => null, onSome: ({ ownerId }) => ownerId })
      })

      /** When a schedule is due next; refused where that is never, or all the time. */
      const dueNext = Effect.fnUntraced(function* (schedule: ReportSchedule | null) {
        if (schedule === null) return null
        const now = yield* DateTime.now
        const slots: Array<DateTime.Utc> = []
        for (let after = now; slots.length < 10; ) {
          const slot = nextSlot(schedule, after)
          if (Option.isNone(slot)) break
          slots.push(slot.value)
          after = slot.value
        }
        const gaps = slots.slice(1).map((slot, index) => DateTime.distance(slots[index] ?? now, slot))
        const first = slots[0]
        const least = Duration.minutes(leastMinutesBetweenSlots)
        if (first === undefined || gaps.some((gap) => Duration.isLessThan(gap, least))) {
          return yield* new ReportScheduleRefused()
        }
        return first
      })

      /** What is written of a report that somebody saves. */
      const toSave = Effect.fnUntraced(function* (reader: ReportReader, request: ReportRequest) {
        const { organizationId, permissions } = reader
        yield* mustRead(reader, request.parameters.kind)
        yield* groupOf(organizationId, request.parameters)
        if (request.emails.length > 0 && !mail.isSetUp) return yield* new MailNotSetUp()
        return {
          ...request,
          nameKey: nameKey(request.name),
          ownerId: yield* ownerOf(organizationId),
          permissions: partsOf(request.parameters.kind, permissions),
          updatedAt: yield* DateTime.now,
          nextAt: yield* dueNext(request.schedule)
        }
      })

      const record = (
        action: `reports:${string}`,
        organizationId: OrganizationId,
        id: string,
        details: Record<string, string | number | boolean | null | ReadonlyArray<string>>
      ) => audit.record({ organizationId, action, subjectKind: "report", subjectId: id, details })

      const detailsOf = ({ emails, formats, name, parameters, schedule }: ReportRequest) => ({
        name,
        kind: parameters.kind,
        formats,
        ...(schedule === null ? {} : { schedule: `${schedule.cron} ${schedule.timeZone}` }),
        ...(emails.length === 0 ? {} : { emails })
      })

      const create = Effect.fn("Reports.create")(
        function* (reader: ReportReader, request: ReportRequest) {
          const { organizationId } = reader
          yield* statements.takeTurns(organizationId)
          const { reports } = yield* statements.count(organizationId)
          if (reports >= maxReports) return yield* new TooManyReports()
          const id = ReportId.make(yield* secrets.id)
          const saved = yield* toSave(reader, request)
          yield* statements
            .insert({ ...saved, id, organizationId, createdBy: (yield* Actor).name, createdAt: saved.updatedAt })
            .pipe(Effect.catchReason("SqlError", "UniqueViolation", () => new ReportNameTaken()))
          yield* record("reports:create", organizationId, id, detailsOf(request))
          return listed(yield* statements.get({ organizationId, id }), null)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const held = Effect.fnUntraced(function* (reader: ReportReader, id: ReportId) {
        const { organizationId } = reader
        return yield* statements.hold({ organizationId, id }).pipe(
          Effect.catchTag("NoSuchElementError", () => new ReportNotFound()),
          Effect.filterOrFail(
            ({ parameters }) => mayRead(reader, parameters.kind),
            () => new ReportNotFound()
          )
        )
      })

      const update = Effect.fn("Reports.update")(
        function* (reader: ReportReader, id: ReportId, changes: ReportChanges) {
          const { organizationId } = reader
          const { emails, formats, name, nextAt, parameters, schedule, webhook } = yield* held(reader, id)
          const request = { name, parameters, formats, schedule, emails, webhook, ...changes }
          const saved = yield* toSave(reader, request)
          const isSameSchedule =
            changes.schedule === undefined || JSON.stringify(changes.schedule) === JSON.stringify(schedule)
          yield* statements
            .update({ ...saved, id, organizationId, nextAt: isSameSchedule ? nextAt : saved.nextAt })
            .pipe(Effect.catchReason("SqlError", "UniqueViolation", () => new ReportNameTaken()))
          yield* record("reports:update", organizationId, id, detailsOf(request))
          const report = yield* statements.get({ organizationId, id })
          return listed(report, (yield* lastRuns(reader, id)).get(id) ?? null)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const remove = Effect.fn("Reports.delete")(
        function* (reader: ReportReader, id: ReportId) {
          const { organizationId } = reader
          yield* held(reader, id)
          yield* statements.callOff({ reportId: id, problem: "The report was deleted." })
          const { name } = yield* statements.remove({ organizationId, id })
          yield* record("reports:delete", organizationId, id, { name })
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const runsSeen = ({ organizationId, permissions }: ReportReader) => ({ organizationId, held: [...permissions] })

      /** Notes what somebody asked for. */
      const request = Effect.fnUntraced(function* (
        reader: ReportReader,
        wanted: Pick<
          ReportsSql.NewRun,
          "reportId" | "name" | "parameters" | "formats" | "emails" | "webhook" | "permissions"
        >
      ) {
        const { organizationId } = reader
        yield* statements.takeTurns(organizationId)
        const { runs } = yield* statements.open(organizationId)
        if (runs >= maxWaitingRuns) return yield* new TooManyReportRuns()
        const now = yield* DateTime.now
        const { from, to } = ReportPeriod.resolve(wanted.parameters, now)
        const id = ReportRunId.make(yield* secrets.id)
        yield* statements.insertRun({
          ...wanted,
          id,
          organizationId,
          ownerId: yield* ownerOf(organizationId),
          startsAt: from,
          endsAt: to,
          slotAt: null,
          requestedBy: (yield* Actor).name,
          notBefore: null,
          createdAt: now
        })
        yield* record("reports:run", organizationId, wanted.reportId ?? id, {
          name: wanted.name,
          kind: wanted.parameters.kind,
          from: DateTime.formatIso(from),
          to: DateTime.formatIso(to),
          formats: wanted.formats
        })
        return view(yield* statements.run({ ...runsSeen(reader), id }))
      })

      const run = Effect.fn("Reports.run")(
        function* (reader: ReportReader, { formats, parameters }: ReportRunRequest) {
          yield* mustRead(reader, parameters.kind)
          yield* groupOf(reader.organizationId, parameters)
          return yield* request(reader, {
            reportId: null,
            name: ReportFigures.titles[parameters.kind],
            parameters,
            formats,
            emails: [],
            webhook: false,
            permissions: partsOf(parameters.kind, reader.permissions)
          })
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const runSaved = Effect.fn("Reports.runSaved")(
        function* (reader: ReportReader, id: ReportId, options: { readonly send: boolean } = { send: false }) {
          const report = yield* held(reader, id)
          yield* groupOf(reader.organizationId, report.parameters)
          const both = new Set(report.permissions.filter(isPermission).filter((one) => reader.permissions.has(one)))
          return yield* request(reader, {
            reportId: id,
            name: report.name,
            parameters: report.parameters,
            formats: report.formats,
            emails: options.send ? report.emails : [],
            webhook: options.send && report.webhook,
            permissions: partsOf(report.parameters.kind, both)
          })
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError", "NoSuchElementError"], Effect.die)
      )

      const runs = Effect.fn("Reports.runs")(
        function* (reader: ReportReader, { cursor, limit, reportId }: ReportRunsQuery) {
          const after = yield* Cursor.decode(cursor)
          if (reportId !== null) yield* get(reader, reportId)
          const rows = yield* statements.runs({ ...runsSeen(reader), reportId, after, limit: limit + 1 })
          const { items, nextCursor } = Cursor.page(rows, limit, ({ id }) => ["", id])
          return { items: items.map(view), nextCursor }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const seenRun = (reader: ReportReader, id: ReportRunId) =>
        statements
          .run({ ...runsSeen(reader), id })
          .pipe(Effect.catchTag("NoSuchElementError", () => new ReportRunNotFound()))

      const getRun = Effect.fn("Reports.getRun")(
        (reader: ReportReader, id: ReportRunId) => Effect.map(seenRun(reader, id), view),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** A file piece by piece. */
      const contentOf = (id: ReportRunId, format: ReportFormat, { pieces, turn }: { pieces: number; turn: number }) =>
        Stream.range(0, pieces - 1).pipe(
          Stream.mapEffect((number) => statements.piece({ id, format, turn, number })),
          Stream.map(({ content }) => content),
          Stream.orDie
        )

      const download = Effect.fnUntraced(function* (
        run: Pick<ReportsSql.Run, "id" | "name" | "startsAt" | "endsAt" | "parameters">,
        format: ReportFormat
      ) {
        const { bytes, sha256, ...kept } = yield* statements.file({ id: run.id, format })
        const span = { from: run.startsAt, to: run.endsAt, timeZone: run.parameters.timeZone }
        return {
          name: ReportFile.nameOf(run.name, span, format),
          type: ReportFile.mediaTypes[format],
          bytes,
          sha256,
          content: contentOf(run.id, format, kept)
        } satisfies ReportDownload
      })

      const file = Effect.fn("Reports.file")(
        function* (reader: ReportReader, id: ReportRunId, format: ReportFormat) {
          const run = yield* seenRun(reader, id)
          return yield* Effect.catchTag(download(run, format), "NoSuchElementError", () => new ReportFileNotFound())
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** One transaction: a slot is either noted and passed on, or due again. */
      const schedule = Effect.gen(function* () {
        const now = yield* DateTime.now
        const reports = yield* statements.due({ now, limit: policy.slotsPerRun })
        for (const report of reports) {
          if (report.schedule === null || report.nextAt === null) continue
          const slot = latestSlot(report.schedule, report.nextAt, now)
          const { from, to } = ReportPeriod.resolve(report.parameters, slot)
          yield* statements.insertRun({
            id: ReportRunId.make(yield* secrets.id),
            organizationId: report.organizationId,
            reportId: report.id,
            name: report.name,
            parameters: report.parameters,
            formats: report.formats,
            emails: report.emails,
            webhook: report.webhook,
            ownerId: report.ownerId,
            permissions: report.permissions,
            startsAt: from,
            endsAt: to,
            slotAt: slot,
            requestedBy: "schedule",
            notBefore: null,
            createdAt: now
          })
          yield* statements.reschedule({
            id: report.id,
            nextAt: Option.getOrNull(nextSlot(report.schedule, now))
          })
        }
        return reports.length
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("Reports.schedule"))

      /** What of a run its owner may still see: nobody's permissions outlive them (A5). */
      const stillHeld = Effect.fnUntraced(function* ({ organizationId, ownerId, permissions }: ReportsSql.Held) {
        const known = permissions.filter(isPermission)
        if (ownerId === null) return new Set(known)
        const standing = yield* statements.standing({ organizationId, id: ownerId })
        const now = Option.match(standing, { onNone: () => new Set<Permission>(), onSome: StandingSql.allowed })
        return new Set(known.filter((permission) => now.has(permission)))
      })

      /** Writes a file in pieces. What is written counts once the run is finished under the same turn. */
      const write = Effect.fnUntraced(function* (
        { id, name, turn }: ReportsSql.Held,
        format: ReportFormat,
        data: ReportData
      ) {
        const hash = createHash("sha256")
        let bytes = 0
        let number = 0
        let rest: Array<Uint8Array> = []
        let waiting = 0
        const flush = Effect.suspend(() => {
          const content = Uint8Array.from(Buffer.concat(rest))
          rest = []
          waiting = 0
          return statements.insertPiece({ id, turn, format, number: number++, content })
        })
        yield* ReportFile.render(format, data, name, policy.shownRows).pipe(
          Stream.runForEach((part) => {
            hash.update(part)
            bytes += part.byteLength
            waiting += part.byteLength
            rest.push(part)
            return waiting >= pieceBytes ? flush : Effect.void
          })
        )
        if (waiting > 0) yield* flush
        return { format, bytes, sha256: Uint8Array.from(hash.digest()) }
      })

      type Outcome = "made" | "failed" | "waits" | "overtaken"

      const makeRun = Effect.fn("Reports.make")(function* (run: ReportsSql.Held) {
        const { id, turn } = run
        const now = yield* DateTime.now
        const isDue = yield* figures.isComplete(run.endsAt)
        const patient = DateTime.isLessThan(now, DateTime.addDuration(run.endsAt, policy.patience))
        if (run.slotAt !== null && !isDue && patient) {
          yield* statements.postpone({ id, turn, notBefore: DateTime.addDuration(now, retryAfter) })
          return "waits" satisfies Outcome
        }
        const refuse = Effect.fnUntraced(function* (problem: string) {
          yield* statements.fail({ id, turn, now: yield* DateTime.now, problem })
          yield* Effect.logWarning("A report could not be made", { report: run.name, problem })
          return "failed" satisfies Outcome
        })
        const permissions = yield* stillHeld(run)
        const reader = { organizationId: run.organizationId, permissions }
        if (!mayRead(reader, run.parameters.kind)) {
          return yield* refuse("Whoever saved it, or asked for it, may no longer see what it shows. Save it anew.")
        }
        const period = ReportPeriod.resolve(run.parameters, run.slotAt ?? run.createdAt)
        const needsAll = run.formats.some((format) => format !== "pdf")
        const data = yield* dataOf(reader, run.parameters, period, needsAll ? policy.fileRows : policy.shownRows).pipe(
          Effect.map(Option.some),
          Effect.catchTag("GroupNotFound", () => Effect.succeedNone)
        )
        if (Option.isNone(data)) return yield* refuse("The group that it is about is gone.")
        const files = yield* Effect.forEach(run.formats, (format) => write(run, format, data.value))
        return yield* Effect.gen(function* () {
          const mine = yield* statements.holds({ id, turn })
          if (mine.length === 0) return "overtaken" satisfies Outcome
          for (const file of files) yield* statements.insertFile({ id, turn, ...file })
          yield* statements.dropOtherTurns({ id, turn })
          yield* statements.finish({
            id,
            turn,
            now: yield* DateTime.now,
            complete: data.value.complete,
            permissions: partsOf(run.parameters.kind, permissions)
          })
          return "made" satisfies Outcome
        }).pipe(sql.withTransaction)
      })

      /** A run that this node has to itself: made, given back, or given up after some attempts. */
      const attempt = Effect.fnUntraced(function* (run: ReportsSql.Held) {
        const { id, turn } = run
        const later = Effect.fnUntraced(function* (cause: unknown) {
          const now = yield* DateTime.now
          yield* Effect.logError("A report could not be made", { report: run.name, attempt: turn }, cause)
          yield* turn >= policy.attempts
            ? statements.fail({
                id,
                turn,
                now,
                problem: isTooMuch(cause)
                  ? "It is about more than the database can look through at once. Choose a shorter time, or a group."
                  : "The broker could not make it. Its log tells why."
              })
            : statements.release({ id, turn, notBefore: DateTime.addDuration(now, retryAfter) })
          return "failed" satisfies Outcome
        })
        return yield* makeRun(run).pipe(
          Effect.timeout(Duration.subtract(policy.hold, Duration.seconds(10))),
          Effect.catch(later),
          Effect.catchDefect(later),
          Effect.onInterrupt(() => Effect.ignore(statements.release({ id, turn, notBefore: null })))
        )
      })

      const makeDue = Effect.gen(function* () {
        let made = 0
        const seen: Array<ReportRunId> = []
        // What takes its node down with it comes back here without ever having failed.
        const givenUp = yield* statements.giveUp({
          now: yield* DateTime.now,
          attempts: policy.attempts,
          problem: `It was begun ${policy.attempts} times, and whoever made it stopped in the middle of it.`
        })
        for (const { name } of givenUp) yield* Effect.logError("A report could not be made", { report: name })
        while (seen.length < policy.reportsPerRun) {
          const now = yield* DateTime.now
          const [run] = yield* statements.take({ now, until: DateTime.addDuration(now, policy.hold), except: seen })
          if (run === undefined) break
          seen.push(run.id)
          if ((yield* attempt(run)) === "made") made += 1
        }
        return made
      }).pipe(Effect.orDie, Effect.withSpan("Reports.makeDue"))

      /** Sends one, and notes what came of it. */
      const sendOne = Effect.fnUntraced(function* (letter: ReportsSql.Letter) {
        const { id, mailAttempts } = letter
        const formats: ReadonlyArray<ReportFormat> = ["pdf", "csv", "json"]
        const files = yield* Effect.forEach(formats, (format) =>
          Effect.option(Effect.catchTag(download(letter, format), ["SchemaError", "SqlError"], Effect.die))
        )
        const message = ReportMail.message(letter, files.flatMap(Option.toArray), {
          attachedBytes: policy.attachedBytes,
          audience: installation.audience
        })
        const outcome = yield* Effect.result(mail.send(message))
        const refused = Result.getOrElse(outcome, () => letter.mailLeft.map((address) => ({ address, why: "" })))
        if (refused.length === 0) {
          yield* statements.settleLetter({ id, state: "sent", left: [], problem: null, nextAt: null })
          return 1
        }
        const problem = Result.isFailure(outcome)
          ? outcome.failure.detail
          : refused.map(({ address, why }) => `${address}: ${why}`).join("; ")
        const delay = policy.mailDelays[mailAttempts - 1]
        const now = yield* DateTime.now
        yield* Effect.logWarning("A report could not be sent", { report: letter.name, attempt: mailAttempts, problem })
        yield* statements.settleLetter({
          id,
          state: delay === undefined ? "failed" : "waiting",
          left: refused.map(({ address }) => address),
          problem,
          nextAt: delay === undefined ? null : DateTime.addDuration(now, delay)
        })
        return 0
      })

      const sendDue = Effect.gen(function* () {
        let sent = 0
        // No more are taken than are sent at once: one that waited for its turn might be taken by another meanwhile.
        for (let tried = 0; tried < policy.mailsPerRun; tried += mailsAtOnce) {
          const now = yield* DateTime.now
          const letters = yield* statements.takeLetters({
            now,
            until: DateTime.addDuration(now, mailHold),
            limit: mailsAtOnce
          })
          const each = yield* Effect.forEach(letters, sendOne, { concurrency: mailsAtOnce })
          sent += each.reduce<number>((total, one) => total + one, 0)
          if (letters.length < mailsAtOnce) break
        }
        return sent
      }).pipe(Effect.orDie, Effect.withSpan("Reports.sendDue"))

      const prune = Effect.gen(function* () {
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.history)
        return yield* statements.prune(DateTime.toDateUtc(before), prunedPerRun)
      }).pipe(Effect.orDie, Effect.withSpan("Reports.prune"))

      return Reports.of({
        preview,
        list,
        get,
        create,
        update,
        delete: remove,
        run,
        runSaved,
        runs,
        getRun,
        file,
        canMail: mail.isSetUp,
        schedule,
        makeDue,
        sendDue,
        prune
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(
    Layer.provide([Audit.layer, Availability.layer, Mail.layer, Secrets.layer])
  )
}
