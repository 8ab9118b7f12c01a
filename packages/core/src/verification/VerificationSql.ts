/** What pages show of verification: figures and lists. Nothing here decides. */
import { ChallengePurpose, ChallengeState } from "@broker/domain/Challenge"
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId, ServerName } from "@broker/domain/Server"
import { VerificationGroup, VerificationQuery, VerificationRisk } from "@broker/domain/Verification"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema, type Statement } from "effect/sql"
import { Position } from "../Cursor.ts"
import * as ScheduleSql from "./ScheduleSql.ts"

const Instant = Schema.DateTimeUtcFromDate

const Row = Schema.Struct({
  serverId: ServerId,
  name: ServerName,
  group: Schema.NullOr(Schema.String),
  verified: Schema.Boolean,
  verifiedAt: Schema.NullOr(Instant),
  dueAt: Schema.NullOr(Instant),
  risk: VerificationRisk,
  purpose: Schema.NullOr(ChallengePurpose),
  state: Schema.NullOr(ChallengeState),
  at: Schema.NullOr(Instant),
  latencyMillis: Schema.NullOr(Schema.Finite),
  silences: Schema.Int,
  doubtReason: Schema.NullOr(Schema.String),
  admission: Schema.String,
  admissionReason: Schema.NullOr(Schema.String),
  /** What the list is sorted by, as a cursor carries it. */
  position: Schema.String
})
export type Row = typeof Row.Type

/** Latencies are of so many answers at most, the latest ones. */
const mostAnswers = 10_000

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Which rows a list has, by which column, and whether that goes down. */
  const lists = {
    due: { of: sql`v.due_at is not null`, column: sql`v.due_at`, descending: false },
    failed: { of: sql`v.state = 'failed'`, column: sql`v.at`, descending: true },
    silent: { of: sql`v.silences > 0`, column: sql`v.at`, descending: true },
    passed: { of: sql`v.state = 'passed'`, column: sql`v.at`, descending: true }
  } satisfies Record<VerificationQuery["list"], unknown>

  const columns = (position: Statement.Fragment) => sql`
    v.server_id, s.name, g.path as "group", s.verified, s.verified_at, v.due_at, v.risk, v.purpose, v.state, v.at,
    v.latency_millis, v.silences, v.doubt_reason, s.admission, s.admission_reason,
    coalesce(to_char(${position} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '') as position`

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      query: Schema.toType(VerificationQuery),
      groups: Schema.NullOr(Schema.Array(GroupId)),
      after: Schema.NullOr(Position)
    }),
    Result: Row,
    execute: ({ after, groups, organizationId, query }) => {
      const { column, descending, of } = lists[query.list]
      const [compare, order] = [sql.literal(descending ? "<" : ">"), sql.literal(descending ? "desc" : "asc")]
      return sql`
        select ${columns(column)}
          from server_verifications v
          join servers s on s.id = v.server_id
          left join groups g on g.id = s.group_id
         where ${sql.and([
           sql`v.organization_id = ${organizationId}`,
           of,
           sql`s.admission <> 'retired'`,
           ...(groups === null ? [] : [groups.length === 0 ? sql`false` : sql.in("s.group_id", groups)]),
           ...(after === null
             ? []
             : [sql`(${column}, v.server_id) ${compare} (${after[0]}::text::timestamptz, ${after[1]}::uuid)`])
         ])}
      order by ${column} ${order}, v.server_id ${order}
         limit ${query.limit + 1}`
    }
  })

  const get = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, id: ServerId }),
    Result: Row,
    execute: ({ id, organizationId }) => sql`
      select ${columns(sql`v.at`)}
        from server_verifications v
        join servers s on s.id = v.server_id
        left join groups g on g.id = s.group_id
       where v.organization_id = ${organizationId}
         and v.server_id = ${id}`
  })

  const groupsBelow = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, id: GroupId }),
    Result: Schema.Struct({ id: GroupId }),
    execute: ({ id, organizationId }) => sql`
      with top as (
        select path_key from groups where organization_id = ${organizationId} and id = ${id}
      )
      select g.id
        from groups g, top
       where g.organization_id = ${organizationId}
         and (g.path_key = top.path_key or g.path_key ^@ (top.path_key || '/'))`
  })

  const Since = Schema.Struct({ organizationId: OrganizationId, since: Instant, now: Instant })

  /** Until when questions were counted. */
  const talliedUntil = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Schema.Struct({ until: Schema.NullOr(Instant) }),
    execute: () => sql`select max(since) + ${ScheduleSql.span}::interval as until from verification_spans`
  })(undefined)

  /** How questions ended in each hour: as counted, and those after that one by one, where they are not hours behind. */
  const hours = SqlSchema.findAll({
    Request: Schema.Struct({ ...Since.fields, after: Instant }),
    Result: Schema.Struct({ hour: Instant, passed: Schema.Int, failed: Schema.Int, expired: Schema.Int }),
    execute: ({ after, now, organizationId, since }) => sql`
      with ended as (
        select date_trunc('hour', since) as hour, passed, failed, expired
          from verification_spans
         where organization_id = ${organizationId}
           and since >= date_trunc('hour', ${since}::timestamptz)
         union all
        select date_trunc('hour', coalesce(c.answered_at, c.expires_at)),
               count(*) filter (where c.state = 'passed'),
               count(*) filter (where c.state = 'failed'),
               count(*) filter (where c.state = 'expired')
          from challenges c
          join servers s on s.id = c.server_id and s.organization_id = ${organizationId}
         where c.state <> 'open'
           and coalesce(c.answered_at, c.expires_at) >= greatest(${now}::timestamptz - interval '2 hours', ${after})
           and coalesce(c.answered_at, c.expires_at) <= ${now}
      group by 1
      )
        select h.hour,
               coalesce(sum(passed), 0)::int as passed,
               coalesce(sum(failed), 0)::int as failed,
               coalesce(sum(expired), 0)::int as expired
          from generate_series(date_trunc('hour', ${since}::timestamptz),
                               date_trunc('hour', ${now}::timestamptz), interval '1 hour') as h (hour)
     left join ended on ended.hour = h.hour
      group by h.hour
      order by h.hour`
  })

  /** How long servers took to answer rightly last. */
  const latency = SqlSchema.findOne({
    Request: Since,
    Result: Schema.Struct({
      latencyP50Millis: Schema.NullOr(Schema.Finite),
      latencyP95Millis: Schema.NullOr(Schema.Finite)
    }),
    execute: ({ now, organizationId, since }) => sql`
      select percentile_cont(0.5) within group (order by latency_millis) as latency_p50_millis,
             percentile_cont(0.95) within group (order by latency_millis) as latency_p95_millis
        from (select latency_millis
                from server_verifications
               where organization_id = ${organizationId}
                 and state = 'passed'
                 and at > ${since}
                 and at <= ${now}
            order by at desc, server_id desc
               limit ${mostAnswers}) as answered`
  })

  const due = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Instant, soon: Instant }),
    Result: Schema.Struct({ due: Schema.Int, dueWithinHour: Schema.Int }),
    execute: ({ now, organizationId, soon }) => sql`
      select (count(*) filter (where due_at <= ${now}))::int as due, count(*)::int as due_within_hour
        from server_verifications
       where organization_id = ${organizationId}
         and due_at <= ${soon}`
  })

  const groups = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Instant }),
    Result: VerificationGroup,
    execute: ({ now, organizationId }) => sql`
      with counted as (
        select s.group_id,
               (count(*) filter (where s.admission <> 'suspended' and s.verified))::int as verified,
               (count(*) filter (where s.admission <> 'suspended' and not s.verified))::int as unverified,
               (count(*) filter (where v.state = 'failed'))::int as failed,
               (count(*) filter (where v.silences > 0))::int as silent,
               (count(*) filter (where v.due_at <= ${now}))::int as due
          from servers s
          join server_verifications v on v.server_id = s.id
         where s.organization_id = ${organizationId}
           and s.admission <> 'retired'
      group by s.group_id
      )
        select c.group_id, g.path as "group", c.verified, c.unverified, c.failed, c.silent, c.due
          from counted c
     left join groups g on g.id = c.group_id
      order by g.path_key nulls last`
  })

  return { list, get, groupsBelow, talliedUntil, hours, latency, due, groups }
})
