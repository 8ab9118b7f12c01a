/** What reports read beside the statements that answer the same questions elsewhere. Nothing here decides. */
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Time = Schema.DateTimeUtcFromDate
const MaybeNumber = Schema.NullOr(Schema.Finite)

/** Whose, and of when. */
const Asked = Schema.Struct({
  organizationId: OrganizationId,
  /** Only servers that were in that group or below it when the connection was made. */
  path: Schema.NullOr(Schema.String),
  /** Only servers that are in one of these groups now. */
  groups: Schema.NullOr(Schema.Array(GroupId)),
  from: Time,
  to: Time,
  step: Schema.Literals(["hour", "day"]),
  timeZone: Schema.String
})
type Asked = typeof Asked.Encoded
export type Range = typeof Asked.Type

const AskedMost = Schema.Struct({ ...Asked.fields, limit: Schema.Int })

const quality = {
  connections: Schema.Int,
  rttMedian: MaybeNumber,
  rttP95: MaybeNumber,
  lossMedian: MaybeNumber,
  lossP95: MaybeNumber
}

const verification = { passed: Schema.Int, failed: Schema.Int, expired: Schema.Int }

const Reasons = Schema.Struct({ reason: Schema.String, connections: Schema.Int, total: Schema.Int })

const Named = Schema.Struct({ name: Schema.String, servers: Schema.Int, total: Schema.Int })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const uuids = (ids: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...ids], PgTypes.OID.uuid))

  const ofPath = (path: string | null) =>
    path === null ? sql`true` : sql`starts_with(c.server_group || '/', ${`${path}/`})`

  const ofGroups = (groups: ReadonlyArray<string> | null) =>
    groups === null ? sql`true` : sql`s.group_id = any(${uuids(groups)})`

  /** Steps begin where hours and days do in the time zone; an hour that the clock repeats is two (C7). */
  const steps = ({ from, step, timeZone, to }: Asked) => sql`
    steps as materialized (
      select at, min(quarter) as since, row_number() over (order by min(quarter)) as step
        from (select quarter, date_trunc(${step}, quarter, ${timeZone}) as at
                from generate_series(
                       ${from}::timestamptz, ${to}::timestamptz - interval '1 microsecond', interval '15 minutes'
                     ) as quarter) as quarters
    group by at
    )`

  const stepOf = (column: string) =>
    sql`width_bucket(${sql.literal(column)}, (select array_agg(since order by since) from steps))`

  /** The connections that ended in the range. */
  const ended = ({ from, organizationId, path, to }: Asked) => sql`
        from connections c
       where c.organization_id = ${organizationId}
         and c.status = 'ended'
         and c.ended_at >= ${from}
         and c.ended_at < ${to}
         and ${ofPath(path)}`

  const measured = sql.literal(`
    count(*)::int as connections,
    percentile_cont(0.5) within group (order by c.rtt_ms) as rtt_median,
    percentile_cont(0.95) within group (order by c.rtt_ms) as rtt_p95,
    percentile_cont(0.5) within group (order by c.loss_ratio) as loss_median,
    percentile_cont(0.95) within group (order by c.loss_ratio) as loss_p95`)

  const durations = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct({ mean: MaybeNumber, longest: MaybeNumber }),
    execute: (asked) => sql`
      select extract(epoch from avg(c.ended_at - c.active_at))::float8 as mean,
             extract(epoch from max(c.ended_at - c.active_at))::float8 as longest
             ${ended(asked)}`
  })

  const qualityTotals = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct(quality),
    execute: (asked) => sql`select ${measured} ${ended(asked)}`
  })

  const qualitySteps = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ at: Time, rttMedian: MaybeNumber, rttP95: MaybeNumber, lossMedian: MaybeNumber }),
    execute: (asked) => sql`
        with ${steps(asked)}, measured as (
          select ${stepOf("c.ended_at")} as step, ${measured} ${ended(asked)} group by 1
        )
        select s.at, m.rtt_median, m.rtt_p95, m.loss_median
          from steps s
     left join measured m using (step)
      order by s.step`
  })

  /** The slowest first. */
  const qualityByServer = SqlSchema.findAll({
    Request: AskedMost,
    Result: Schema.Struct({ name: Schema.String, group: Schema.NullOr(Schema.String), ...quality, total: Schema.Int }),
    execute: ({ limit, ...asked }) => sql`
      with of_servers as (
        select c.server_id, ${measured}, (count(*) over ())::int as total
               ${ended(asked)}
      group by c.server_id
      )
        select s.name, g.path as "group", o.connections, o.rtt_median, o.rtt_p95, o.loss_median, o.loss_p95, o.total
          from of_servers o
          join servers s on s.id = o.server_id
     left join groups g on g.id = s.group_id
      order by o.rtt_p95 desc nulls last, s.name_key, s.id
         limit ${limit}`
  })

  const qualityByGroup = SqlSchema.findAll({
    Request: AskedMost,
    Result: Schema.Struct({ group: Schema.NullOr(Schema.String), ...quality, total: Schema.Int }),
    execute: ({ limit, ...asked }) => sql`
        select c.server_group as "group", ${measured}, (count(*) over ())::int as total
               ${ended(asked)}
      group by c.server_group
      order by rtt_p95 desc nulls last, c.server_group nulls last
         limit ${limit}`
  })

  /** Of the intents that were made in each step, how many became connections. */
  const outcomes = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ at: Time, connected: Schema.Int, expired: Schema.Int, refused: Schema.Int }),
    execute: (asked) => sql`
        with ${steps(asked)}, counted as (
          select ${stepOf("c.created_at")} as step,
                 (count(*) filter (where c.active_at is not null))::int as connected,
                 (count(*) filter (where c.status = 'expired'))::int as expired,
                 (count(*) filter (where c.status = 'refused'))::int as refused
            from connections c
           where c.organization_id = ${asked.organizationId}
             and c.created_at >= ${asked.from}
             and c.created_at < ${asked.to}
             and ${ofPath(asked.path)}
        group by 1
        )
        select s.at, coalesce(c.connected, 0) as connected, coalesce(c.expired, 0) as expired,
               coalesce(c.refused, 0) as refused
          from steps s
     left join counted c using (step)
      order by s.step`
  })

  /** Why connections ended, the most frequent first. */
  const endings = SqlSchema.findAll({
    Request: AskedMost,
    Result: Reasons,
    execute: ({ limit, ...asked }) => sql`
        select c.end_reason as reason, count(*)::int as connections, (count(*) over ())::int as total
               ${ended(asked)}
      group by c.end_reason
      order by connections desc, reason
         limit ${limit}`
  })

  /** Why servers did not take connections on, the most frequent first. */
  const refusals = SqlSchema.findAll({
    Request: AskedMost,
    Result: Reasons,
    execute: ({ limit, ...asked }) => sql`
        select c.end_reason as reason, count(*)::int as connections, (count(*) over ())::int as total
          from connections c
         where c.organization_id = ${asked.organizationId}
           and c.created_at >= ${asked.from}
           and c.created_at < ${asked.to}
           and c.status in ('refused', 'expired')
           and ${ofPath(asked.path)}
      group by c.end_reason
      order by connections desc, reason
         limit ${limit}`
  })

  /** How questions to servers ended: as they were tallied, where that is for the whole organization. */
  const verifications = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ at: Time, ...verification }),
    execute: (asked) => sql`
        with ${steps(asked)}, tallied as (
          select max(since) + interval '10 minutes' as until from verification_spans
        ), answers as (
          select ${stepOf("v.since")} as step, v.passed, v.failed, v.expired
            from verification_spans v
           where ${asked.groups === null ? sql`true` : sql`false`}
             and v.organization_id = ${asked.organizationId}
             and v.since >= ${asked.from}
             and v.since < ${asked.to}
           union all
          select ${stepOf("coalesce(c.answered_at, c.expires_at)")},
                 (c.state = 'passed')::int, (c.state = 'failed')::int, (c.state = 'expired')::int
            from challenges c
            join servers s on s.id = c.server_id
           where s.organization_id = ${asked.organizationId}
             and ${ofGroups(asked.groups)}
             and c.state <> 'open'
             and coalesce(c.answered_at, c.expires_at) >= ${asked.from}
             and coalesce(c.answered_at, c.expires_at) < ${asked.to}
             and ${asked.groups === null ? sql`coalesce(c.answered_at, c.expires_at) >= coalesce((select until from tallied), '-infinity')` : sql`true`}
        )
        select s.at, coalesce(sum(a.passed), 0)::int as passed, coalesce(sum(a.failed), 0)::int as failed,
               coalesce(sum(a.expired), 0)::int as expired
          from steps s
     left join answers a using (step)
      group by s.step, s.at
      order by s.step`
  })

  /** How long servers took to answer rightly. */
  const verificationLatency = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct({ median: MaybeNumber, p95: MaybeNumber }),
    execute: ({ from, groups, organizationId, to }) => sql`
      select percentile_cont(0.5) within group (order by extract(epoch from c.answered_at - c.issued_at)::float8 * 1000) as median,
             percentile_cont(0.95) within group (order by extract(epoch from c.answered_at - c.issued_at)::float8 * 1000) as p95
        from challenges c
        join servers s on s.id = c.server_id
       where s.organization_id = ${organizationId}
         and ${ofGroups(groups)}
         and c.state = 'passed'
         and c.answered_at is not null
         and coalesce(c.answered_at, c.expires_at) >= ${from}
         and coalesce(c.answered_at, c.expires_at) < ${to}`
  })

  /** Of the whole fleet: the guard looks at nothing less. */
  const guards = SqlSchema.findAll({
    Request: AskedMost,
    Result: Schema.Struct({
      beganAt: Time,
      endedAt: Schema.NullOr(Time),
      held: Schema.Int,
      expected: Schema.Int,
      cause: Schema.String,
      causeDetail: Schema.NullOr(Schema.String),
      endKind: Schema.NullOr(Schema.String),
      total: Schema.Int
    }),
    execute: ({ from, limit, organizationId, to }) => sql`
        select began_at, case when ended_at <= ${to} then ended_at end as ended_at, held, expected, cause, cause_detail,
               case when ended_at <= ${to} then end_kind end as end_kind, (count(*) over ())::int as total
          from fleet_guards
         where organization_id = ${organizationId}
           and began_at >= ${from}
           and began_at < ${to}
      order by began_at, id
         limit ${limit}`
  })

  const servers = ({ groups, organizationId, to }: Asked) => sql`
    s.organization_id = ${organizationId}
    and s.registered_at < ${to}
    and ${ofGroups(groups)}`

  /** Servers that had joined, and have not been retired, by status. */
  const byStatus = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ status: Schema.String, servers: Schema.Int, available: Schema.Int, limit: Schema.Finite }),
    execute: (asked) => sql`
        select s.status, count(*)::int as servers, (count(*) filter (where s.available))::int as available,
               coalesce(sum(s.connection_limit) filter (where s.admission = 'approved'), 0)::float8 as "limit"
          from fleet_servers s
         where ${servers(asked)}
      group by s.status
      order by servers desc, s.status`
  })

  /** Who came and who went within the range. */
  const moves = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct({ joined: Schema.Int, retired: Schema.Int }),
    execute: ({ from, groups, organizationId, to }) => sql`
      select (count(*) filter (where s.registered_at >= ${from} and s.registered_at < ${to}))::int as joined,
             (count(*) filter (where s.admission = 'retired' and s.admission_since >= ${from} and s.admission_since < ${to}))::int as retired
        from servers s
       where s.organization_id = ${organizationId}
         and ${ofGroups(groups)}`
  })

  const moveSteps = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ at: Time, joined: Schema.Int, retired: Schema.Int }),
    execute: (asked) => sql`
        with ${steps(asked)}, moved as (
          select s.registered_at as at, 1 as joined, 0 as retired
            from servers s
           where s.organization_id = ${asked.organizationId} and ${ofGroups(asked.groups)}
           union all
          select s.admission_since, 0, 1
            from servers s
           where s.organization_id = ${asked.organizationId} and ${ofGroups(asked.groups)} and s.admission = 'retired'
        ), counted as (
          select ${stepOf("at")} as step, sum(joined)::int as joined, sum(retired)::int as retired
            from moved
           where at >= ${asked.from} and at < ${asked.to}
        group by 1
        )
        select s.at, coalesce(c.joined, 0) as joined, coalesce(c.retired, 0) as retired
          from steps s
     left join counted c using (step)
      order by s.step`
  })

  const standing = (asked: Asked) => sql`${servers(asked)} and s.admission <> 'retired'`

  /** How many servers there are of each of what they are told apart by, the most first. */
  const counted = (of: "version" | "group" | "capability" | "tag") =>
    SqlSchema.findAll({
      Request: AskedMost,
      Result: Named,
      execute: ({ limit, ...asked }) => {
        const value = {
          version: sql`coalesce(s.version, 'not told')`,
          group: sql`coalesce(s."group", 'No group')`,
          capability: sql`of.value`,
          tag: sql`of.value`
        }[of]
        const each = {
          version: sql``,
          group: sql``,
          capability: sql`cross join lateral jsonb_object_keys(s.capabilities) as of (value)`,
          tag: sql`cross join lateral unnest(s.tags) as of (value)`
        }[of]
        return sql`
          select ${value} as name, count(*)::int as servers, (count(*) over ())::int as total
            from fleet_servers s ${each}
           where ${standing(asked)}
        group by 1
        order by servers desc, name
           limit ${limit}`
      }
    })

  const list = SqlSchema.findAll({
    Request: AskedMost,
    Result: Schema.Struct({
      name: Schema.String,
      group: Schema.NullOr(Schema.String),
      status: Schema.String,
      version: Schema.NullOr(Schema.String),
      tags: Schema.Array(Schema.String),
      connectionLimit: Schema.NullOr(Schema.Int),
      registeredAt: Time
    }),
    execute: ({ limit, ...asked }) => sql`
        select s.name, s."group", s.status, s.version, s.tags, s.connection_limit, s.registered_at
          from fleet_servers s
         where ${standing(asked)}
      order by s.group_key nulls last, s.name_key, s.id
         limit ${limit}`
  })

  const group = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, id: GroupId }),
    Result: Schema.Struct({ path: Schema.String }),
    execute: ({ id, organizationId }) =>
      sql`select path from groups where organization_id = ${organizationId} and id = ${id}`
  })

  return {
    durations,
    qualityTotals,
    qualitySteps,
    qualityByServer,
    qualityByGroup,
    outcomes,
    endings,
    refusals,
    verifications,
    verificationLatency,
    guards,
    byStatus,
    moves,
    moveSteps,
    versions: counted("version"),
    groups: counted("group"),
    capabilities: counted("capability"),
    tags: counted("tag"),
    list,
    group
  }
})
