/** What pages show of verification: figures and lists. Nothing here decides. */
import { ChallengePurpose, ChallengeState } from "@broker/domain/Challenge"
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId, ServerName } from "@broker/domain/Server"
import { VerificationQuery, VerificationRisk } from "@broker/domain/Verification"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema, type Statement } from "effect/sql"
import { Position } from "../Cursor.ts"

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

const Figures = Schema.Struct({
  passed: Schema.Int,
  failed: Schema.Int,
  expired: Schema.Int,
  latencyP50Millis: Schema.NullOr(Schema.Finite),
  latencyP95Millis: Schema.NullOr(Schema.Finite)
})

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

  /** Of the questions that ended lately. */
  const ended = ({ now, organizationId, since }: { organizationId: string; since: Date; now: Date }) => sql`
    select c.state, c.issued_at, c.answered_at, coalesce(c.answered_at, c.expires_at) as ended_at
      from challenges c
      join servers s on s.id = c.server_id and s.organization_id = ${organizationId}
     where c.state in ('passed', 'failed', 'expired')
       and coalesce(c.answered_at, c.expires_at) > ${since}
       and coalesce(c.answered_at, c.expires_at) <= ${now}`

  const figures = SqlSchema.findOne({
    Request: Since,
    Result: Figures,
    execute: (request) => sql`
      with ended as (${ended(request)})
      select (count(*) filter (where state = 'passed'))::int as passed,
             (count(*) filter (where state = 'failed'))::int as failed,
             (count(*) filter (where state = 'expired'))::int as expired,
             (percentile_cont(0.5) within group (order by extract(epoch from answered_at - issued_at) * 1000)
               filter (where state = 'passed'))::float8 as latency_p50_millis,
             (percentile_cont(0.95) within group (order by extract(epoch from answered_at - issued_at) * 1000)
               filter (where state = 'passed'))::float8 as latency_p95_millis
        from ended`
  })

  const hours = SqlSchema.findAll({
    Request: Since,
    Result: Schema.Struct({ hour: Instant, passed: Schema.Int, failed: Schema.Int, expired: Schema.Int }),
    execute: (request) => sql`
      with ended as (${ended(request)})
        select h.hour,
               (count(*) filter (where e.state = 'passed'))::int as passed,
               (count(*) filter (where e.state = 'failed'))::int as failed,
               (count(*) filter (where e.state = 'expired'))::int as expired
          from generate_series(date_trunc('hour', ${request.since}::timestamptz),
                               date_trunc('hour', ${request.now}::timestamptz), interval '1 hour') as h (hour)
          left join ended e on date_trunc('hour', e.ended_at) = h.hour
      group by h.hour
      order by h.hour`
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

  const standing = SqlSchema.findOne({
    Request: OrganizationId,
    Result: Schema.Struct({ verified: Schema.Int, unverified: Schema.Int }),
    execute: (organizationId) => sql`
      select (count(*) filter (where verified))::int as verified,
             (count(*) filter (where not verified))::int as unverified
        from servers
       where organization_id = ${organizationId}
         and admission in ('pending', 'approved')`
  })

  return { list, get, groupsBelow, figures, hours, due, standing }
})
