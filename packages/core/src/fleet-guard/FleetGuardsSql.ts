/** Every statement about fleet guards, and the counts that they are opened and ended by. */
import { FleetGuard, FleetGuardId, GuardCause, GuardEnd } from "@broker/domain/FleetGuard"
import { OrganizationId } from "@broker/domain/Organization"
import { Duration, Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { isWindowed, windowed } from "../availability/WindowsSql.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import { FleetGuardPolicy } from "./FleetGuardPolicy.ts"

const Time = Schema.DateTimeUtcFromDate
const MaybeTime = Schema.NullOr(Time)

/** A guard as its row has it. */
const Row = Schema.Struct({
  ...FleetGuard.fields,
  beganAt: Time,
  endedAt: MaybeTime,
  steadySince: MaybeTime,
  endsAt: MaybeTime
})

const columns = `id, began_at, ended_at, end_kind as "end", ended_by, expected, seen, held, cause, cause_detail,
  case when ended_at is null then steady_since end as steady_since,
  case when ended_at is null then ends_at end as ends_at`

/** Who is asked about, and since when the broker listens without a gap (H5). */
const Asked = Schema.Struct({ organizationId: OrganizationId, now: Time, listeningSince: Time })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const servers = yield* ServersPolicy
  const policy = yield* FleetGuardPolicy
  const steadySeconds = Duration.toSeconds(policy.steadyFor)

  // Servers and what was heard of them are joined one by one (`lateral`): of a predicate on silence the planner expects
  // next to nothing, and would take all of one for each of the other.

  /** Whether a server is silent: as long as it takes to be `degraded` (H2). */
  const isSilent = (now: Date, listeningSince: Date) => sql`
    greatest(p.last_seen_at, ${listeningSince})
      + make_interval(secs => p.interval_seconds * ${servers.degradedAfterMissed}::int) < ${now}`

  const find = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Row,
    execute: (organizationId) => sql`
      select ${sql.literal(columns)} from fleet_guards where organization_id = ${organizationId} and ended_at is null`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, limit: Schema.Int }),
    Result: Row,
    execute: ({ limit, organizationId }) => sql`
        select ${sql.literal(columns)}
          from fleet_guards
         where organization_id = ${organizationId}
      order by began_at desc, id desc
         limit ${limit}`
  })

  const get = SqlSchema.findOne({
    Request: FleetGuardId,
    Result: Row,
    execute: (id) => sql`select ${sql.literal(columns)} from fleet_guards where id = ${id}`
  })

  /** Those that hold; whoever would end one waits until the transaction that looks at them is through. */
  const open = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ organizationId: OrganizationId }),
    execute: () => sql`
        select organization_id
          from fleet_guards
         where ended_at is null
      order by organization_id
           for no key update`
  })(undefined)

  const lock = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, id: FleetGuardId }),
    Result: Schema.Struct({ id: FleetGuardId }),
    execute: ({ id, organizationId }) => sql`
      select id
        from fleet_guards
       where organization_id = ${organizationId}
         and id = ${id}
         and ended_at is null
         for no key update`
  })

  /** Nobody expects servers in maintenance: they neither count nor are held. */
  const isExpected = sql`
    s.admission in ('pending', 'approved') and s.duty <> 'maintenance' and not ${isWindowed(sql)}`

  /**
   * How many are live, how many of them fell silent within one time-out, and the interval that half of those have or
   * less: those that are silent, and those that were given up on since. Whom an earlier guard gave up on has its own
   * reason, and does not count again. There is no need to count the live ones while too few are silent for any guard.
   */
  const weigh = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct({ live: Schema.Int, silent: Schema.Int, intervalSeconds: Schema.Finite }),
    execute: ({ listeningSince, now, organizationId }) => sql`
      with ${windowed(sql, now)}, fallen as materialized (
        select p.server_id, p.liveness, p.interval_seconds
          from server_presence p
         where case
                 when p.liveness in ('online', 'degraded') then ${isSilent(now, listeningSince)}
                 else p.liveness = 'offline'
                        and p.liveness_reason = 'missed_heartbeats'
                        and p.liveness_since
                              + make_interval(secs => p.interval_seconds * ${servers.offlineAfterMissed}::int) >= ${now}
               end
      ), silent as materialized (
        select fallen.liveness, fallen.interval_seconds
          from fallen
    cross join lateral (select * from servers where id = fallen.server_id offset 0) as s
         where s.organization_id = ${organizationId}
           and ${isExpected}
      ), counted as (
        select count(*)::int as silent, (count(*) filter (where liveness = 'offline'))::int as lately,
               coalesce(percentile_disc(0.5) within group (order by interval_seconds), 0) as interval_seconds
          from silent
      )
      select silent, interval_seconds,
             lately + case
               when silent < ${policy.least} then 0
               else (
                 select count(*)
                   from servers s
                   join server_presence p on p.server_id = s.id
                  where s.organization_id = ${organizationId}
                    and p.liveness in ('online', 'degraded')
                    and ${isExpected})::int
             end as live
        from counted`
  })

  /**
   * Of each guard that holds, how many are held, and how many are silent and not held yet. Whom an earlier guard held
   * has its turn to be given up on.
   */
  const counts = SqlSchema.findAll({
    Request: Schema.Struct({ now: Time, listeningSince: Time }),
    Result: Schema.Struct({
      id: FleetGuardId,
      organizationId: OrganizationId,
      beganAt: Time,
      expected: Schema.Int,
      steadyHeld: Schema.Int,
      steadySince: Time,
      held: Schema.Int,
      silent: Schema.Int
    }),
    execute: ({ listeningSince, now }) => sql`
      with ${windowed(sql, now)}, fallen as materialized (
        select p.server_id, p.liveness, p.liveness_since
          from server_presence p
         where p.liveness = 'unknown' or (p.liveness in ('online', 'degraded') and ${isSilent(now, listeningSince)})
      ), counted as (
        select s.organization_id,
               count(*) filter (where fallen.liveness = 'unknown'
                                  and s.admission in ('pending', 'approved')
                                  and fallen.liveness_since >= g.began_at) as held,
               count(*) filter (where fallen.liveness <> 'unknown' and ${isExpected}) as silent
          from fallen
    cross join lateral (select * from servers where id = fallen.server_id offset 0) as s
          join fleet_guards g on g.organization_id = s.organization_id and g.ended_at is null
      group by s.organization_id
      )
        select g.id, g.organization_id, g.began_at, g.expected, g.steady_held, g.steady_since,
               coalesce(c.held, 0)::int as held, coalesce(c.silent, 0)::int as silent
          from fleet_guards g
     left join counted c on c.organization_id = g.organization_id
         where g.ended_at is null
      order by g.organization_id`
  })

  /**
   * What at least nine in ten of the silent have in common, and at most one in ten of those that are heard: the nearest
   * network first, then the deepest group, then the version. Nothing is said of a fleet that is silent as a whole and
   * has one thing in common with itself only if that is its network.
   */
  const cause = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ cause: GuardCause, detail: Schema.String }),
    execute: ({ listeningSince, now, organizationId }) => sql`
      with ${windowed(sql, now)}, live as materialized (
        select s.id, s.public_address, g.path as group_path, s.version,
               ${isSilent(now, listeningSince)} as silent
          from servers s
    cross join lateral (select * from server_presence where server_id = s.id offset 0) as p
          left join groups g on g.id = s.group_id
         where s.organization_id = ${organizationId}
           and ${isExpected}
           and p.liveness in ('online', 'degraded')
      ), total as materialized (
        select count(*) filter (where silent) as silent, count(*) filter (where not silent) as heard from live
      ), traits as (
        select live.silent, trait.*
          from live
    cross join lateral (
                 select 'network' as cause, 1 as rank, 0 as near,
                        network(set_masklen(public_address, case family(public_address) when 4 then 16 else 32 end))::text as detail
                  where public_address is not null
                  union all
                 select 'group', 2, -depth, array_to_string((string_to_array(group_path, '/'))[1:depth], '/')
                   from generate_series(1, cardinality(string_to_array(group_path, '/'))) as depth
                  union all
                 select 'version', 3, 0, version
                  where version is not null
               ) as trait
      )
        select t.cause, t.detail
          from traits t, total
      group by t.cause, t.detail, t.rank, total.silent, total.heard
        having count(*) filter (where t.silent) >= 0.9 * total.silent
           and count(*) filter (where not t.silent) <= 0.1 * total.heard
           and (t.cause = 'network' or total.heard > 0)
      order by t.rank, min(t.near), t.detail
         limit 1`
  })

  /** One for an organization, however many see the same: the others get nothing back, after the first has committed. */
  const begin = SqlSchema.findAll({
    Request: Schema.Struct({
      id: FleetGuardId,
      organizationId: OrganizationId,
      now: Time,
      expected: Schema.Int,
      seen: Schema.Int,
      cause: GuardCause,
      causeDetail: Schema.NullOr(Schema.String)
    }),
    Result: Schema.Struct({ id: FleetGuardId }),
    execute: ({ cause, causeDetail, expected, id, now, organizationId, seen }) => sql`
      insert into fleet_guards (
             id, organization_id, began_at, expected, seen, held, cause, cause_detail, steady_held, steady_since, ends_at)
      values (${id}, ${organizationId}, ${now}, ${expected}, ${seen}, 0, ${cause}, ${causeDetail}, 0, ${now},
              ${now}::timestamptz + make_interval(secs => ${steadySeconds}))
          on conflict (organization_id) where ended_at is null do nothing
   returning id`
  })

  /** Writes what is counted, where anything moved. */
  const tally = SqlSchema.void({
    Request: Schema.Struct({
      id: FleetGuardId,
      held: Schema.Int,
      seen: Schema.Int,
      steadyHeld: Schema.Int,
      steadySince: Time,
      endsAt: Time
    }),
    execute: ({ endsAt, held, id, seen, steadyHeld, steadySince }) => sql`
      update fleet_guards
         set held = ${held}, seen = ${seen}, steady_held = ${steadyHeld}, steady_since = ${steadySince}, ends_at = ${endsAt}
       where id = ${id}
         and (held, seen, steady_held, steady_since, ends_at)
             is distinct from (${held}::int, ${seen}::int, ${steadyHeld}::int, ${steadySince}::timestamptz, ${endsAt}::timestamptz)`
  })

  /** With what was held and seen at the end; as it was tallied last where that is left out. */
  const end = SqlSchema.void({
    Request: Schema.Struct({
      id: FleetGuardId,
      kind: GuardEnd,
      by: Schema.NullOr(Schema.String),
      now: Time,
      held: Schema.NullOr(Schema.Int),
      seen: Schema.NullOr(Schema.Int)
    }),
    execute: ({ by, held, id, kind, now, seen }) => sql`
      update fleet_guards
         set ended_at = greatest(began_at, ${now}),
             end_kind = ${kind},
             ended_by = ${by},
             held = coalesce(${held}::int, held),
             seen = coalesce(${seen}::int, seen)
       where id = ${id}`
  })

  return { find, list, get, open, lock, weigh, counts, cause, begin, tally, end }
})
