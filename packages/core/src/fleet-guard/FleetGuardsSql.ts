/** Every statement about fleet guards, and the counts that they are opened and ended by. */
import { FleetGuard, FleetGuardId, GuardCause, GuardEnd } from "@broker/domain/FleetGuard"
import { OrganizationId } from "@broker/domain/Organization"
import { Duration, Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
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

  /** Those that hold, locked in one order against whoever ends them meanwhile. */
  const open = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ id: FleetGuardId, organizationId: OrganizationId, endsAt: Time, expected: Schema.Int }),
    execute: () => sql`
        select id, organization_id, ends_at, expected
          from fleet_guards
         where ended_at is null
      order by organization_id
           for no key update`
  })(undefined)

  const lockOpen = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Schema.Struct({ id: FleetGuardId }),
    execute: (organizationId) => sql`
      select id from fleet_guards where organization_id = ${organizationId} and ended_at is null for no key update`
  })

  /**
   * How many are live, and how many of them fell silent within one time-out: those that are silent, and those that were
   * given up on since. What an earlier guard was ended over does not count again.
   */
  const weigh = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct({ live: Schema.Int, silent: Schema.Int }),
    execute: ({ listeningSince, now, organizationId }) => sql`
      with answered as (
        select coalesce(max(ended_at), '-infinity') as at
          from fleet_guards
         where organization_id = ${organizationId}
           and end_kind in ('steady', 'confirmed')
      )
      select count(*)::int as live,
             (count(*) filter (
               where p.last_seen_at > answered.at
                 and (p.liveness = 'offline' or ${isSilent(now, listeningSince)})))::int as silent
        from answered,
             servers s
  cross join lateral (select * from server_presence where server_id = s.id offset 0) as p
       where s.organization_id = ${organizationId}
         and s.admission in ('pending', 'approved')
         and (p.liveness in ('online', 'degraded')
              or (p.liveness = 'offline'
                  and p.last_seen_at > answered.at
                  and p.liveness_reason = 'missed_heartbeats'
                  and p.liveness_since + make_interval(secs => p.interval_seconds * ${servers.offlineAfterMissed}::int)
                      >= ${now}))`
  })

  /** How many are held, and how many are silent and not held yet. */
  const count = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct({ held: Schema.Int, silent: Schema.Int }),
    execute: ({ listeningSince, now, organizationId }) => sql`
      select (count(*) filter (where p.liveness = 'unknown'))::int as held,
             (count(*) filter (where p.liveness <> 'unknown'))::int as silent
        from servers s
  cross join lateral (select * from server_presence where server_id = s.id offset 0) as p
       where s.organization_id = ${organizationId}
         and s.admission in ('pending', 'approved')
         and (p.liveness = 'unknown' or (p.liveness in ('online', 'degraded') and ${isSilent(now, listeningSince)}))`
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
      with live as materialized (
        select s.id, s.public_address, g.path as group_path, s.version,
               ${isSilent(now, listeningSince)} as silent
          from servers s
    cross join lateral (select * from server_presence where server_id = s.id offset 0) as p
          left join groups g on g.id = s.group_id
         where s.organization_id = ${organizationId}
           and s.admission in ('pending', 'approved')
           and p.liveness in ('online', 'degraded')
      ), total as (
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

  /** Writes what is counted. A number held that moved by more than somebody always does is not steady. */
  const tally = SqlSchema.void({
    Request: Schema.Struct({
      id: FleetGuardId,
      now: Time,
      listeningSince: Time,
      held: Schema.Int,
      seen: Schema.Int
    }),
    execute: ({ held, id, listeningSince, now, seen }) => sql`
      with steady as (
        select id,
               abs(${held}::int - steady_held) <= floor(expected * ${policy.steadyWithin}::float8) as holds
          from fleet_guards
         where id = ${id}
      ), settled as (
        select steady.id,
               case when steady.holds then g.steady_held else ${held} end as steady_held,
               case when steady.holds then g.steady_since else ${now} end as steady_since
          from steady
          join fleet_guards g on g.id = steady.id
      )
      update fleet_guards g
         set held = ${held},
             seen = ${seen},
             steady_held = settled.steady_held,
             steady_since = settled.steady_since,
             -- Only while the broker listens does time count (H5).
             ends_at = greatest(settled.steady_since, ${listeningSince}) + make_interval(secs => ${steadySeconds})
        from settled
       where g.id = settled.id
         and g.ended_at is null
         and (g.held, g.seen, g.steady_since, g.ends_at)
             is distinct from
             (${held}::int, ${seen}::int, settled.steady_since,
              greatest(settled.steady_since, ${listeningSince}) + make_interval(secs => ${steadySeconds}))`
  })

  /** With what was held and seen at the end; as it was tallied last where that is left out. */
  const end = SqlSchema.void({
    Request: Schema.Struct({
      id: FleetGuardId,
      kind: GuardEnd,
      by: Schema.NullOr(Schema.String),
      now: Time,
      held: Schema.NullOr(Schema.Int),
      silent: Schema.NullOr(Schema.Int)
    }),
    execute: ({ by, held, id, kind, now, silent }) => sql`
      update fleet_guards
         set ended_at = greatest(began_at, ${now}),
             end_kind = ${kind},
             ended_by = ${by},
             held = coalesce(${held}::int, held),
             seen = case when ${held}::int is null then seen else greatest(0, expected - ${held}::int - ${silent}::int) end
       where id = ${id}
         and ended_at is null`
  })

  /** Gives up on all that are held; one that is heard at this moment is not among them. */
  const letGo = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Time }),
    Result: Schema.Struct({ serverId: Schema.String }),
    execute: ({ now, organizationId }) => sql`
      with held as (
          select p.server_id
            from server_presence p
            join servers s on s.id = p.server_id
           where s.organization_id = ${organizationId}
             and p.liveness = 'unknown'
        order by p.server_id
             for update of p skip locked
      )
         update server_presence p
            set liveness = 'offline',
                liveness_reason = 'missed_heartbeats',
                liveness_since = greatest(p.liveness_since, ${now}),
                active_connections = 0
           from held
          where p.server_id = held.server_id
      returning p.server_id`
  })

  return { find, list, get, open, lockOpen, weigh, count, cause, begin, tally, end, letGo }
})
