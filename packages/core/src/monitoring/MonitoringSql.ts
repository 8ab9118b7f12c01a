/** Every statement by which the broker looks at itself, and at how its fleets did. */
import { JobState, NodeState } from "@broker/domain/Monitoring"
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerStatus } from "@broker/domain/Server"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { JobOutcome } from "../nodes/JobRuns.ts"

const Now = Schema.DateTimeUtcFromDate

/** A node that told nothing for that long is taken for gone. */
const aliveSeconds = 5

/** A job is overdue when it should have begun that long ago, or that share of its period, whichever is longer. */
const overdueSeconds = 60
const overduePeriods = 2

const biggestTables = 8
const mostStatements = 10

/** Statements that run for longer than that are slow. */
const slowSeconds = 1

/** One line of the fleet's account: of a group and a status, or of a version. */
const Line = Schema.Struct({
  isGroup: Schema.Boolean,
  groupId: Schema.NullOr(GroupId),
  path: Schema.NullOr(Schema.String),
  status: Schema.NullOr(ServerStatus),
  version: Schema.NullOr(Schema.String),
  outdated: Schema.Boolean,
  servers: Schema.Int,
  connections: Schema.Int
})

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** The leader first, then the living, then by name. */
  const nodes = SqlSchema.findAll({
    Request: Now,
    Result: Schema.Struct({ ...NodeState.fields, startedAt: Now, lastSeenAt: Now }),
    execute: (now) => sql`
         select n.id, n.name, n.version, n.started_at, n.last_seen_at,
                case when l.holder is null then 'follower' else 'leader' end as role,
                n.last_seen_at > ${now}::timestamptz - make_interval(secs => ${aliveSeconds}) as alive,
                n.cpu_share as cpu, n.memory_bytes, n.lag_ms as lag_millis, n.heartbeats_per_second,
                n.requests_per_second
           from nodes n
      left join leases l on l.name = 'jobs' and l.holder = n.id and l.expires_at > clock_timestamp()
       order by l.holder is null, alive desc, n.name, n.id
          limit 200`
  })

  /** Those that fail or rest first. */
  const jobs = SqlSchema.findAll({
    Request: Now,
    Result: Schema.Struct({
      ...JobState.fields,
      lastOutcome: JobOutcome,
      lastStartedAt: Now,
      lastFailedAt: Schema.NullOr(Now),
      nextRunAt: Now
    }),
    execute: (now) => sql`
        select job as name, every_seconds, runs::float8 as runs, failures::float8 as failures, last_started_at,
               last_took_ms as last_took_millis, last_outcome, last_problem, last_failed_at, next_run_at,
               next_run_at < ${now}::timestamptz
                 - make_interval(secs => greatest(${overdueSeconds}::float8, every_seconds * ${overduePeriods})) as overdue
          from job_runs
      order by last_outcome = 'failed' desc, overdue desc, job`
  })

  const database = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Schema.Struct({
      version: Schema.String,
      sizeBytes: Schema.Finite,
      connections: Schema.Int,
      maxConnections: Schema.Int,
      accountSchema: Schema.NullOr(Schema.String)
    }),
    execute: () => sql`
      select current_setting('server_version') as version,
             pg_database_size(current_database())::float8 as size_bytes,
             (select count(*)
                from pg_stat_activity
               where datname = current_database() and backend_type = 'client backend')::int as connections,
             current_setting('max_connections')::int as max_connections,
             (select n.nspname::text
                from pg_extension e
                join pg_namespace n on n.oid = e.extnamespace
               where e.extname = 'pg_stat_statements') as account_schema`
  })

  /** A table in partitions is one table. */
  const tables = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({ name: Schema.String, bytes: Schema.Finite, rows: Schema.Finite }),
    execute: () => sql`
        select coalesce(pg_partition_root(c.oid)::regclass::text, c.relname) as name,
               sum(pg_total_relation_size(c.oid))::float8 as bytes,
               sum(greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)) filter (where c.relkind = 'r')::float8 as rows
          from pg_class c
         where c.relkind in ('r', 'p')
           and c.relnamespace = 'public'::regnamespace
      group by 1
      order by bytes desc, name
         limit ${biggestTables}`
  })

  const slow = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.Struct({
      statement: Schema.String,
      seconds: Schema.Finite,
      waitsFor: Schema.NullOr(Schema.String)
    }),
    execute: () => sql`
        select query as statement,
               extract(epoch from clock_timestamp() - query_start)::float8 as seconds,
               wait_event_type || ': ' || wait_event as waits_for
          from pg_stat_activity
         where datname = current_database()
           and backend_type = 'client backend'
           and pid <> pg_backend_pid()
           and state <> 'idle'
           and state <> 'idle in transaction'
           and clock_timestamp() - query_start > make_interval(secs => ${slowSeconds})
      order by query_start
         limit ${mostStatements}`
  })

  /** Fails where the extension is there and its library is not loaded. */
  const heaviest = SqlSchema.findAll({
    Request: Schema.String,
    Result: Schema.Struct({
      statement: Schema.String,
      calls: Schema.Finite,
      meanMillis: Schema.Finite,
      totalMillis: Schema.Finite
    }),
    execute: (schema) => sql`
        select query as statement, calls::float8 as calls, mean_exec_time as mean_millis,
               total_exec_time as total_millis
          from ${sql(schema)}.pg_stat_statements
         where dbid = (select oid from pg_database where datname = current_database())
      order by total_exec_time desc
         limit ${mostStatements}`
  })

  /**
   * What a server moved away from first after an instant is where it stood then; what has stood as it does since
   * before needs no look at the history.
   */
  const stood = (axis: "admission" | "duty" | "liveness", now: string, since: string) => sql`
    case
      when ${sql.literal(since)} <= asked.at then ${sql.literal(now)}
      else coalesce((select t.before
                       from server_transitions t
                      where t.server_id = s.id and t.axis = ${axis} and t.at > asked.at
                   order by t.at, t.id
                      limit 1), ${sql.literal(now)})
    end`

  /** The fleet by group and status, and by version. Now is an instant that nothing came after. */
  const lines = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, at: Schema.NullOr(Now) }),
    Result: Line,
    execute: ({ at, organizationId }) => sql`
      with asked as (
        select coalesce(${at}::timestamptz, 'infinity') as at
      ), standing as (
           select s.id,
                  ${stood("admission", "s.admission", "s.admission_since")} as admission,
                  ${stood("duty", "s.duty", "s.duty_since")} as duty,
                  ${stood("liveness", "p.liveness", "p.liveness_since")} as liveness,
                  case when f.id is null then s.group_id else f.group_id end as group_id,
                  f.group_path,
                  case when f.id is null then s.version else f.version end as version
             from asked
             join servers s on s.organization_id = ${organizationId} and s.registered_at <= asked.at
             join server_presence p on p.server_id = s.id
        left join lateral (
                  select id, group_id, group_path, version
                    from server_former_facts f
                   where f.server_id = s.id and f.until > asked.at
                order by f.until, f.id
                   limit 1) f on true
      ), live as (
          select server_id, count(*) as connections
            from connections
           where organization_id = ${organizationId}
             and ${
               at === null
                 ? sql`status = 'active'`
                 : // The range is that of the index, which takes in the end.
                   sql`active_at is not null and tstzrange(active_at, ended_at, '[]') @> ${at}::timestamptz
                        and (ended_at is null or ended_at > ${at}::timestamptz)`
             }
        group by server_id
      ), accounted as (
            select case
                     when admission in ('retired', 'suspended', 'pending') then admission
                     when duty = 'maintenance' then 'maintenance'
                     when liveness in ('offline', 'unknown', 'never_seen', 'degraded') then liveness
                     when duty = 'draining' then 'draining'
                     else liveness
                   end as status,
                   group_id, group_path, version, coalesce(connections, 0) as connections
              from standing
         left join live on live.server_id = standing.id
      ), summed as (
          select grouping(status) = 0 as is_group, group_id, max(group_path) as group_path, status, version,
                 count(*)::int as servers, sum(connections)::int as connections
            from accounted
        group by grouping sets ((group_id, status), (version, status = 'retired'))
          having grouping(status) = 0 or not coalesce((array_agg(status))[1] = 'retired', false)
      )
         select l.is_group, l.group_id, coalesce(g.path, l.group_path) as path, l.status, l.version, l.servers,
                l.connections,
                coalesce(version_key(l.version) < max(version_key(l.version)) over (), false) as outdated
           from summed l
      left join groups g on g.id = l.group_id`
  })

  /** The last moment of each step, the oldest first. */
  const moments = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, from: Now, to: Now, stepMinutes: Schema.Int }),
    Result: Schema.Struct({
      at: Now,
      total: Schema.Int,
      up: Schema.Int,
      down: Schema.Int,
      unknown: Schema.Int,
      connections: Schema.Int,
      heartbeats: Schema.Finite
    }),
    execute: ({ from, organizationId, stepMinutes, to }) => sql`
      select at, total, up, down, unknown, connections, heartbeats
        from (select distinct on (step) *
                from (select *, date_bin(make_interval(mins => ${stepMinutes}), at, 'epoch') as step
                        from fleet_moments
                       where organization_id = ${organizationId} and at >= ${from} and at <= ${to}) as all_moments
            order by step, at desc) as thinned
    order by at`
  })

  /** Only the first in a minute writes. Servers that are heard in time beat as often as their interval says. */
  const note = SqlSchema.findAll({
    Request: Now,
    Result: Schema.Struct({ organizationId: OrganizationId }),
    execute: (now) => sql`
      with counted as (
          select organization_id,
                 count(*)::int as total,
                 (count(*) filter (where status in ('online', 'degraded', 'draining')))::int as up,
                 (count(*) filter (where status = 'offline'))::int as down,
                 (count(*) filter (where status = 'unknown'))::int as unknown,
                 coalesce(sum(1 / heartbeat_interval_seconds) filter (
                   where heartbeat_interval_seconds > 0
                     and last_seen_at + make_interval(secs => heartbeat_interval_seconds * 1.5) >= ${now}), 0) as heartbeats
            from fleet_servers
           where status <> 'retired'
        group by organization_id
      ), live as (
          select organization_id, count(*)::int as connections
            from connections
           where status = 'active'
        group by organization_id
      )
      insert into fleet_moments (organization_id, at, total, up, down, unknown, connections, heartbeats)
          select organization_id, date_trunc('minute', ${now}::timestamptz, 'UTC'), total, up, down, unknown,
                 coalesce(connections, 0), heartbeats
            from counted
       left join live using (organization_id)
              on conflict (organization_id, at) do nothing
       returning organization_id`
  })

  /** A bounded number of each at once. */
  const prune = (before: Date, limit: number) =>
    Effect.all([
      sql`delete from fleet_moments
           where ctid in (select ctid from fleet_moments where at < ${before} order by at limit ${limit})
       returning 1`,
      sql`delete from server_former_facts
           where id in (select id from server_former_facts where until < ${before} order by until limit ${limit})
       returning 1`,
      // Jobs that no version runs any more. One that should run is overdue long before.
      sql`delete from job_runs where next_run_at < ${before} returning 1`
    ]).pipe(Effect.map((deleted) => deleted.reduce((sum, rows) => sum + rows.length, 0)))

  return { nodes, jobs, database, tables, slow, heaviest, lines, moments, note, prune }
})
