/** Every statement that touches `reports`, `report_runs`, `report_files` and `report_pieces`. Nothing here decides. */
import { AdminId } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import {
  Report,
  ReportFormat,
  ReportId,
  ReportParameters,
  ReportRunId,
  ReportRunState,
  ReportSchedule
} from "@broker/domain/Report"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import * as StandingSql from "../admins/StandingSql.ts"
import { Position } from "../Cursor.ts"

const Time = Schema.DateTimeUtcFromDate
const MaybeTime = Schema.NullOr(Time)
const Texts = Schema.Array(Schema.String)

const One = Schema.Struct({ organizationId: OrganizationId, id: ReportId })

/** What is written of a report, whenever somebody saves it. */
const Saved = Schema.Struct({
  name: Schema.String,
  nameKey: Schema.String,
  parameters: Schema.fromJsonString(ReportParameters),
  formats: Schema.Array(ReportFormat),
  schedule: Schema.NullOr(Schema.fromJsonString(ReportSchedule)),
  emails: Texts,
  webhook: Schema.Boolean,
  ownerId: Schema.NullOr(AdminId),
  permissions: Schema.Array(Permission),
  updatedAt: Time,
  nextAt: MaybeTime
})

/** A report with what only the broker knows of it. */
const Stored = Schema.Struct({
  ...Report.fields,
  ownerId: Schema.NullOr(AdminId),
  /** Some of them may be those that only a later release knows. */
  permissions: Texts
})
export type Stored = typeof Stored.Type

const NewRun = Schema.Struct({
  id: ReportRunId,
  organizationId: OrganizationId,
  reportId: Schema.NullOr(ReportId),
  name: Schema.String,
  parameters: Schema.fromJsonString(ReportParameters),
  formats: Schema.Array(ReportFormat),
  emails: Texts,
  webhook: Schema.Boolean,
  ownerId: Schema.NullOr(AdminId),
  permissions: Texts,
  startsAt: Time,
  endsAt: Time,
  slotAt: MaybeTime,
  requestedBy: Schema.String,
  notBefore: MaybeTime,
  createdAt: Time
})
export type NewRun = typeof NewRun.Type

const File = Schema.Struct({ format: ReportFormat, bytes: Schema.Int, sha256: Schema.String })

const Run = Schema.Struct({
  id: ReportRunId,
  reportId: Schema.NullOr(ReportId),
  name: Schema.String,
  parameters: ReportParameters,
  startsAt: Time,
  endsAt: Time,
  slotAt: MaybeTime,
  requestedBy: Schema.String,
  state: ReportRunState,
  problem: Schema.NullOr(Schema.String),
  complete: Schema.Boolean,
  createdAt: Time,
  finishedAt: MaybeTime,
  emails: Texts,
  mailLeft: Texts,
  mailState: Schema.NullOr(Schema.Literals(["waiting", "sent", "failed"])),
  mailAttempts: Schema.Int,
  mailProblem: Schema.NullOr(Schema.String),
  mailNextAt: MaybeTime,
  files: Schema.Array(File)
})
export type Run = typeof Run.Type

/** A run that a node has to itself, for a while. */
const Held = Schema.Struct({
  id: ReportRunId,
  organizationId: OrganizationId,
  reportId: Schema.NullOr(ReportId),
  name: Schema.String,
  parameters: ReportParameters,
  formats: Schema.Array(ReportFormat),
  ownerId: Schema.NullOr(AdminId),
  permissions: Texts,
  startsAt: Time,
  endsAt: Time,
  slotAt: MaybeTime,
  createdAt: Time,
  turn: Schema.Int
})
export type Held = typeof Held.Type

const Turn = Schema.Struct({ id: ReportRunId, turn: Schema.Int })

const Letter = Schema.Struct({
  id: ReportRunId,
  name: Schema.String,
  parameters: ReportParameters,
  startsAt: Time,
  endsAt: Time,
  complete: Schema.Boolean,
  finishedAt: Time,
  /** Who has not got it yet. */
  mailLeft: Texts,
  mailAttempts: Schema.Int
})
export type Letter = typeof Letter.Type

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const standing = yield* StandingSql.make

  const texts = (items: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...items], PgTypes.OID.text))

  const columns = sql.literal(`
    r.id, r.organization_id, r.name, r.parameters, r.formats, r.schedule, r.emails, r.webhook, r.created_by, r.created_at,
    r.updated_at, r.next_at, r.owner_id, r.permissions`)

  const list = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Stored,
    execute: (organizationId) => sql`
        select ${columns} from reports r where r.organization_id = ${organizationId} order by r.name_key, r.id`
  })

  const get = SqlSchema.findOne({
    Request: One,
    Result: Stored,
    execute: ({ id, organizationId }) =>
      sql`select ${columns} from reports r where r.organization_id = ${organizationId} and r.id = ${id}`
  })

  const hold = SqlSchema.findOne({
    Request: One,
    Result: Stored,
    execute: ({ id, organizationId }) => sql`
      select ${columns} from reports r where r.organization_id = ${organizationId} and r.id = ${id} for no key update`
  })

  /** Whoever saves reports of an organization takes turns, so that the bound on them holds. */
  const takeTurns = SqlSchema.void({
    Request: OrganizationId,
    execute: (id) => sql`select 1 from organizations where id = ${id} for no key update`
  })

  const count = SqlSchema.findOne({
    Request: OrganizationId,
    Result: Schema.Struct({ reports: Schema.Int }),
    execute: (organizationId) =>
      sql`select count(*)::int as reports from reports where organization_id = ${organizationId}`
  })

  const insert = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, ...Saved.fields, createdBy: Schema.String, createdAt: Time }),
    execute: (report) => sql`
      insert into reports (id, organization_id, name, name_key, parameters, formats, schedule, emails, webhook, owner_id,
                           permissions, created_by, created_at, updated_at, next_at)
      values (${report.id}, ${report.organizationId}, ${report.name}, ${report.nameKey}, ${report.parameters}::jsonb,
              ${texts(report.formats)}, ${report.schedule}::jsonb, ${texts(report.emails)}, ${report.webhook},
              ${report.ownerId}::uuid, ${texts(report.permissions)}, ${report.createdBy}, ${report.createdAt},
              ${report.updatedAt}, ${report.nextAt}::timestamptz)`
  })

  const update = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, ...Saved.fields }),
    execute: (report) => sql`
      update reports
         set name = ${report.name}, name_key = ${report.nameKey}, parameters = ${report.parameters}::jsonb,
             formats = ${texts(report.formats)}, schedule = ${report.schedule}::jsonb, emails = ${texts(report.emails)},
             webhook = ${report.webhook}, owner_id = ${report.ownerId}::uuid, permissions = ${texts(report.permissions)},
             updated_at = ${report.updatedAt}, next_at = ${report.nextAt}::timestamptz
       where organization_id = ${report.organizationId}
         and id = ${report.id}`
  })

  const remove = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, organizationId }) =>
      sql`delete from reports where organization_id = ${organizationId} and id = ${id} returning name`
  })

  /** Those whose time has come, each for one transaction. */
  const due = SqlSchema.findAll({
    Request: Schema.Struct({ now: Time, limit: Schema.Int }),
    Result: Stored,
    execute: ({ limit, now }) => sql`
        select ${columns}
          from reports r
         where r.next_at <= ${now}
      order by r.next_at, r.id
         limit ${limit}
           for no key update skip locked`
  })

  const reschedule = SqlSchema.void({
    Request: Schema.Struct({ id: ReportId, nextAt: MaybeTime }),
    execute: ({ id, nextAt }) => sql`update reports set next_at = ${nextAt}::timestamptz where id = ${id}`
  })

  /** One of a slot, whoever comes first. */
  const insertRun = SqlSchema.findAll({
    Request: NewRun,
    Result: Schema.Struct({ id: ReportRunId }),
    execute: (run) => sql`
      insert into report_runs (id, organization_id, report_id, name, parameters, formats, emails, webhook, owner_id,
                               permissions, starts_at, ends_at, slot_at, requested_by, not_before, created_at)
      values (${run.id}, ${run.organizationId}, ${run.reportId}::uuid, ${run.name}, ${run.parameters}::jsonb,
              ${texts(run.formats)}, ${texts(run.emails)}, ${run.webhook}, ${run.ownerId}::uuid,
              ${texts(run.permissions)}, ${run.startsAt}, ${run.endsAt}, ${run.slotAt}::timestamptz, ${run.requestedBy},
              ${run.notBefore}::timestamptz, ${run.createdAt})
      on conflict on constraint report_runs_slot_uq do nothing
      returning id`
  })

  const open = SqlSchema.findOne({
    Request: OrganizationId,
    Result: Schema.Struct({ runs: Schema.Int }),
    execute: (organizationId) => sql`
      select count(*)::int as runs
        from report_runs
       where organization_id = ${organizationId}
         and state in ('waiting', 'running')
         and slot_at is null`
  })

  const runColumns = sql`
    r.id, r.report_id, r.name, r.parameters, r.starts_at, r.ends_at, r.slot_at, r.requested_by, r.state, r.problem,
    r.complete, r.created_at, r.finished_at, r.emails, r.mail_left, r.mail_state, r.mail_attempts, r.mail_problem, r.mail_next_at,
    (select coalesce(jsonb_agg(jsonb_build_object('format', f.format, 'bytes', f.bytes, 'sha256', encode(f.sha256, 'hex'))
                               order by f.format desc), '[]')
       from report_files f
      where f.run_id = r.id) as files`

  /** What shows nothing beyond what somebody holds. */
  const seen = (organizationId: string, held: ReadonlyArray<string>) => sql`
    r.organization_id = ${organizationId} and r.permissions <@ ${texts(held)}`

  const runs = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      held: Texts,
      reportId: Schema.NullOr(ReportId),
      after: Schema.NullOr(Position),
      limit: Schema.Int
    }),
    Result: Run,
    execute: ({ after, held, limit, organizationId, reportId }) => sql`
        select ${runColumns}
          from report_runs r
         where ${sql.and([
           seen(organizationId, held),
           ...(reportId === null ? [] : [sql`r.report_id = ${reportId}`]),
           ...(after === null ? [] : [sql`r.id < ${after[1]}::uuid`])
         ])}
      order by r.id desc
         limit ${limit}`
  })

  const run = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, held: Texts, id: ReportRunId }),
    Result: Run,
    execute: ({ held, id, organizationId }) =>
      sql`select ${runColumns} from report_runs r where ${seen(organizationId, held)} and r.id = ${id}`
  })

  /** The newest of each report that somebody may see. */
  const lastRuns = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, held: Texts, reportId: Schema.NullOr(ReportId) }),
    Result: Run,
    execute: ({ held, organizationId, reportId }) => sql`
      select ${runColumns}
        from reports p
  cross join lateral (
               select *
                 from report_runs r
                where r.report_id = p.id and ${seen(organizationId, held)}
             order by r.id desc
                limit 1
             ) as r
       where p.organization_id = ${organizationId}
         and ${reportId === null ? sql`true` : sql`p.id = ${reportId}`}`
  })

  /** Takes on the one that waits longest, or that a node took on which was heard of no more. */
  const take = SqlSchema.findAll({
    Request: Schema.Struct({ now: Time, until: Time, except: Schema.Array(ReportRunId) }),
    Result: Held,
    execute: ({ except, now, until }) => sql`
         update report_runs
            set state = 'running', turn = turn + 1, held_until = ${until}
          where id = (
                  select id
                    from report_runs
                   where state in ('waiting', 'running')
                     and (state = 'waiting' or held_until <= ${now})
                     and (not_before is null or not_before <= ${now})
                     and id <> all (${Result.getOrThrow(PgTypes.array([...except], PgTypes.OID.uuid))})
                order by id
                   limit 1
                     for no key update skip locked)
      returning id, organization_id, report_id, name, parameters, formats, owner_id, permissions, starts_at, ends_at,
                slot_at, created_at, turn`
  })

  /** Those that whoever took them on never finished, so often that the next one would not either. */
  const giveUp = SqlSchema.findAll({
    Request: Schema.Struct({ now: Time, attempts: Schema.Int, problem: Schema.String }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ attempts, now, problem }) => sql`
         update report_runs
            set state = 'failed', held_until = null, finished_at = ${now}, problem = ${problem}
          where id in (
                  select id
                    from report_runs
                   where state = 'running' and held_until <= ${now} and turn >= ${attempts}
                     for no key update skip locked)
      returning name`
  })

  /** Whether a node still has it to itself, for the rest of the transaction. */
  const holds = SqlSchema.findAll({
    Request: Turn,
    Result: Schema.Struct({ emails: Texts }),
    execute: ({ id, turn }) => sql`
      select emails from report_runs where id = ${id} and turn = ${turn} and state = 'running' for no key update`
  })

  /** Gives it back, to be taken on again at once or later. */
  const release = SqlSchema.void({
    Request: Schema.Struct({ ...Turn.fields, notBefore: MaybeTime }),
    execute: ({ id, notBefore, turn }) => sql`
      update report_runs
         set state = 'waiting', held_until = null, not_before = ${notBefore}::timestamptz
       where id = ${id} and turn = ${turn} and state = 'running'`
  })

  const postpone = SqlSchema.void({
    Request: Schema.Struct({ ...Turn.fields, notBefore: Time }),
    execute: ({ id, notBefore, turn }) => sql`
      update report_runs
         set state = 'waiting', held_until = null, not_before = ${notBefore}, turn = turn - 1
       where id = ${id} and turn = ${turn} and state = 'running'`
  })

  const fail = SqlSchema.void({
    Request: Schema.Struct({ ...Turn.fields, now: Time, problem: Schema.String }),
    execute: ({ id, now, problem, turn }) => sql`
      update report_runs
         set state = 'failed', held_until = null, finished_at = ${now}, problem = ${problem}
       where id = ${id} and turn = ${turn} and state = 'running'`
  })

  const insertPiece = SqlSchema.void({
    Request: Schema.Struct({
      ...Turn.fields,
      format: ReportFormat,
      number: Schema.Int,
      content: Schema.Uint8Array
    }),
    execute: ({ content, format, id, number, turn }) => sql`
      insert into report_pieces (run_id, format, turn, number, content)
      values (${id}, ${format}, ${turn}, ${number}, ${content})`
  })

  const insertFile = SqlSchema.void({
    Request: Schema.Struct({ ...Turn.fields, format: ReportFormat, bytes: Schema.Int, sha256: Schema.Uint8Array }),
    execute: ({ bytes, format, id, sha256, turn }) => sql`
      insert into report_files (run_id, format, turn, bytes, sha256)
      values (${id}, ${format}, ${turn}, ${bytes}, ${sha256})`
  })

  /** What nodes left that were overtaken. */
  const dropOtherTurns = SqlSchema.void({
    Request: Turn,
    execute: ({ id, turn }) => sql`delete from report_pieces where run_id = ${id} and turn <> ${turn}`
  })

  const finish = SqlSchema.void({
    Request: Schema.Struct({ ...Turn.fields, now: Time, complete: Schema.Boolean, permissions: Texts }),
    execute: ({ complete, id, now, permissions, turn }) => sql`
      update report_runs
         set state = 'done', held_until = null, finished_at = ${now}, complete = ${complete},
             permissions = ${texts(permissions)},
             mail_left = emails, mail_state = case when cardinality(emails) > 0 then 'waiting' end,
             mail_next_at = case when cardinality(emails) > 0 then ${now}::timestamptz end
       where id = ${id} and turn = ${turn} and state = 'running'`
  })

  const OneFile = Schema.Struct({ id: ReportRunId, format: ReportFormat })

  const file = SqlSchema.findOne({
    Request: OneFile,
    Result: Schema.Struct({ bytes: Schema.Int, sha256: Schema.String, turn: Schema.Int, pieces: Schema.Int }),
    execute: ({ format, id }) => sql`
      select f.bytes, encode(f.sha256, 'hex') as sha256, f.turn,
             (select count(*) from report_pieces p where p.run_id = f.run_id and p.format = f.format and p.turn = f.turn)::int as pieces
        from report_files f
       where f.run_id = ${id}
         and f.format = ${format}`
  })

  const piece = SqlSchema.findOne({
    Request: Schema.Struct({ ...OneFile.fields, turn: Schema.Int, number: Schema.Int }),
    Result: Schema.Struct({ content: Schema.Uint8Array }),
    execute: ({ format, id, number, turn }) => sql`
      select content
        from report_pieces
       where run_id = ${id} and format = ${format} and turn = ${turn} and number = ${number}`
  })

  /** What is not sent yet of a report is sent to nobody. */
  const callOff = SqlSchema.void({
    Request: Schema.Struct({ reportId: ReportId, problem: Schema.String }),
    execute: ({ problem, reportId }) => sql`
      update report_runs
         set emails = case when state in ('waiting', 'running') then '{}' else emails end,
             webhook = webhook and state not in ('waiting', 'running'),
             mail_state = case when mail_state = 'waiting' then 'failed' else mail_state end,
             mail_problem = case when mail_state = 'waiting' then ${problem} else mail_problem end,
             mail_next_at = null
       where report_id = ${reportId}
         and (state in ('waiting', 'running') or mail_state = 'waiting')`
  })

  /** E-mail that is due, which this node has to itself until a time. */
  const takeLetters = SqlSchema.findAll({
    Request: Schema.Struct({ now: Time, until: Time, limit: Schema.Int }),
    Result: Letter,
    execute: ({ limit, now, until }) => sql`
         update report_runs
            set mail_next_at = ${until}, mail_attempts = mail_attempts + 1
          where id in (
                  select id
                    from report_runs
                   where mail_next_at <= ${now}
                order by mail_next_at, id
                   limit ${limit}
                     for no key update skip locked)
      returning id, name, parameters, starts_at, ends_at, complete, finished_at, mail_left, mail_attempts`
  })

  const settleLetter = SqlSchema.void({
    Request: Schema.Struct({
      id: ReportRunId,
      state: Schema.Literals(["waiting", "sent", "failed"]),
      left: Texts,
      problem: Schema.NullOr(Schema.String),
      nextAt: MaybeTime
    }),
    execute: ({ id, left, nextAt, problem, state }) => sql`
      update report_runs
         set mail_left = ${texts(left)}, mail_state = ${state}, mail_problem = ${problem}::text, mail_next_at = ${nextAt}::timestamptz
       where id = ${id} and mail_state = 'waiting'`
  })

  const prune = (before: Date, limit: number) =>
    Effect.map(
      sql`
        delete from report_runs
         where id in (select id from report_runs where created_at < ${before} order by created_at limit ${limit})
     returning 1`,
      (rows) => rows.length
    )

  /** The admin whose credential somebody acts by. */
  const ownerOfToken = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, id: Schema.String }),
    Result: Schema.Struct({ ownerId: AdminId }),
    execute: ({ id, organizationId }) =>
      sql`select owner_id from api_tokens where organization_id = ${organizationId} and id = ${id}::uuid`
  })

  return {
    standing: standing.find,
    list,
    get,
    hold,
    takeTurns,
    count,
    insert,
    update,
    remove,
    due,
    reschedule,
    insertRun,
    open,
    runs,
    run,
    lastRuns,
    take,
    giveUp,
    callOff,
    holds,
    release,
    postpone,
    fail,
    insertPiece,
    insertFile,
    dropOtherTurns,
    finish,
    file,
    piece,
    takeLetters,
    settleLetter,
    prune,
    ownerOfToken
  }
})
