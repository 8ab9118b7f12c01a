/** Every statement that touches `metric_*`: samples, their roll-ups, how far these have come, and partitions. */
import { counterPattern } from "@broker/domain/Metric"
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId } from "@broker/domain/Server"
import { Duration, Effect, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"

const Instant = Schema.DateTimeUtcFromDate

/** A counter that was silent for longer has begun anew. */
export const longestSilence = Duration.hours(2)

/** How many metrics of a group are kept: those that most of its servers have. */
const namesPerGroup = 256

export const tables = [
  "metric_minutes",
  "metric_group_minutes",
  "metric_hours",
  "metric_group_hours",
  // Last, as dropping its partitions is in the way of heartbeats until all is done.
  "metric_samples"
] as const
export type Table = (typeof tables)[number]

const Range = Schema.Struct({
  names: Schema.Array(Schema.String),
  from: Instant,
  to: Instant,
  step: Schema.Int
})

const Of = Schema.Struct({ ...Range.fields, id: Schema.String })

/** What one server's metric came to in a span. */
const Point = Schema.Struct({
  name: Schema.String,
  at: Instant,
  weight: Schema.Finite,
  total: Schema.Finite,
  least: Schema.Finite,
  most: Schema.Finite
})
export type Point = typeof Point.Type

/** What the metric of several servers came to in a span. */
const GroupPoint = Schema.Struct({
  name: Schema.String,
  at: Instant,
  minutes: Schema.Finite,
  servers: Schema.Finite,
  total: Schema.Finite,
  leastTotal: Schema.Finite,
  mostTotal: Schema.Finite,
  least: Schema.Finite,
  most: Schema.Finite
})
export type GroupPoint = typeof GroupPoint.Type

const Slice = { slice: Schema.Int, slices: Schema.Int }

/** A server as it is exposed. */
const Exposed = Schema.Struct({
  id: ServerId,
  name: Schema.String,
  group: Schema.NullOr(Schema.String),
  status: Schema.String,
  value: Schema.NullOr(Schema.Finite)
})
export type Exposed = typeof Exposed.Type

/** What is exposed of every server, beside what it measures itself. */
export const facts = ["up", "status", "lastSeenAge", "connections", "connectionLimit", "load"] as const
export type Fact = (typeof facts)[number]

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Taken first: of two roll-ups the second waits, and then reads what the first one left. */
  const lockProgress = sql`select 1 from metric_progress for update`

  /** For sums over much. */
  const prepareRollUp = sql`set local work_mem = '64MB'`

  const progress = SqlSchema.findOne({
    Request: Schema.Void,
    // Infinity has no date.
    Result: Schema.Struct({
      minutesUntil: Schema.NullOr(Instant),
      hoursUntil: Schema.NullOr(Instant),
      hourSlices: Schema.Int,
      hourSlice: Schema.Int
    }),
    execute: () => sql`
      select nullif(minutes_until, '-infinity') as minutes_until, nullif(hours_until, '-infinity') as hours_until,
             hour_slices, hour_slice
        from metric_progress`
  })(undefined)

  const firstSample = Effect.map(
    SqlSchema.findOne({
      Request: Schema.Void,
      Result: Schema.Struct({ at: Schema.NullOr(Instant) }),
      execute: () => sql`select first_metric_sample() as at`
    })(undefined),
    ({ at }) => Option.fromNullOr(at)
  )

  /** Minutes with more samples than they were rolled up from. */
  const dueMinutes = SqlSchema.findAll({
    Request: Schema.Struct({ from: Instant, to: Instant, limit: Schema.Int }),
    Result: Schema.Struct({ at: Instant, samples: Schema.Int }),
    execute: ({ from, limit, to }) => sql`
        with counted as (
          select date_trunc('minute', at) as at, count(*)::int as samples
            from metric_samples
           where at >= ${from} and at < ${to}
        group by 1
        )
        select c.at, c.samples
          from counted c
     left join metric_minutes_done d on d.at = c.at
         where d.samples is distinct from c.samples
      order by c.at
         limit ${limit}`
  })

  /**
   * What samples of a time came to, by server, span and name. A counter's growth is what it has more than in the
   * server's sample before, unless a boot, a smaller value or a long silence lies in between: then it is counted from
   * here on (H11), and never is anything taken back.
   */
  const measured = (
    chosen: Fragment,
    { from, span, to }: { readonly from: Date; readonly to: Date; readonly span: Fragment },
    named: Fragment
  ) => sql`
    with fresh as materialized (
      select server_id, at, boot_id, seq, metrics
        from metric_samples
       where at >= ${from} and at < ${to} and ${chosen}
    ), known as (
      select * from fresh
       union all
      select b.*
        from (select distinct server_id from fresh) as f
  cross join lateral (
                 select server_id, at, boot_id, seq, metrics
                   from metric_samples
                  where server_id = f.server_id
                    and at < ${from}
                    and at >= ${from}::timestamptz - make_interval(secs => ${Duration.toSeconds(longestSilence)})
               order by at desc, boot_id desc, seq desc
                  limit 1
             ) as b
    ), paired as (
      select server_id, at, boot_id, seq, metrics,
             date_part('epoch', at - lag(at) over earlier) as elapsed,
             case
               when boot_id is not distinct from lag(boot_id) over earlier
                and at - lag(at) over earlier <= make_interval(secs => ${Duration.toSeconds(longestSilence)})
               then lag(metrics) over earlier
             end as before
        from known
      window earlier as (partition by server_id order by at, boot_id, seq)
    ), kind as materialized (
      select name collate "C" as name, name ~ ${counterPattern} as counts
        from (select distinct jsonb_object_keys(metrics) as name from fresh) as names
       where ${named}
    ), valued as materialized (
      select p.server_id, ${span} as span, p.at, p.boot_id, p.seq, k.name, k.counts, p.elapsed,
             metric_number(p.metrics -> k.name) as value,
             case when k.counts then metric_number(p.metrics -> k.name) - metric_number(p.before -> k.name) end as growth
        from paired p
  cross join lateral jsonb_object_keys(p.metrics) as own
        join kind k on k.name = own
       where p.at >= ${from}
    )
    select server_id, span, name,
           case
             when counts then coalesce(sum(elapsed) filter (where growth >= 0), 0)
             else count(*)
           end as weight,
           case when counts then coalesce(sum(growth) filter (where growth >= 0), 0) else sum(value) end as total,
           case
             when counts then coalesce(min(growth / nullif(elapsed, 0)) filter (where growth >= 0), 0)
             else min(value)
           end as least,
           case
             when counts then coalesce(max(growth / nullif(elapsed, 0)) filter (where growth >= 0), 0)
             else max(value)
           end as most,
           (array_agg(value order by at, boot_id, seq))[count(*)] as last
      from valued
  group by server_id, span, name, counts`

  const sliced = ({ slice, slices }: { readonly slice: number; readonly slices: number }) =>
    slices === 1 ? sql`true` : sql`(uuid_hash(server_id) & 2147483647) % ${slices}::int = ${slice}::int`

  /** Writes a minute of a slice of the servers anew. */
  const writeMinute = SqlSchema.void({
    Request: Schema.Struct({ at: Instant, ...Slice }),
    execute: ({ at, ...slice }) => sql`
      insert into metric_minutes (server_id, at, metrics)
      select server_id, ${at}, jsonb_object_agg(name, jsonb_build_array(weight, total, least, most, last))
        from (${measured(
          sliced(slice),
          { from: at, to: new Date(at.getTime() + 60_000), span: sql`${at}::timestamptz` },
          sql`true`
        )}) as measured
    group by server_id
          on conflict (server_id, at) do update set metrics = excluded.metrics`
  })

  const forgetGroupMinute = SqlSchema.void({
    Request: Instant,
    execute: (at) => sql`delete from metric_group_minutes where at = ${at}`
  })

  /** Writes a minute of all groups and fleets: of each group by itself, and then of all that stand above it, too. */
  const writeGroupMinute = SqlSchema.void({
    Request: Instant,
    execute: (at) => sql`
      with recursive above (group_id, scope_id) as (
        select id, id from groups
         union all
        select a.group_id, g.parent_id
          from above a
          join groups g on g.id = a.scope_id
         where g.parent_id is not null
      ), own as materialized (
          select s.organization_id, s.group_id, e.key as name, count(*)::float8 as servers,
                 sum((e.value -> 1)::float8 / (e.value -> 0)::float8) as total,
                 sum((e.value -> 2)::float8) as least_total, sum((e.value -> 3)::float8) as most_total,
                 min((e.value -> 2)::float8) as least, max((e.value -> 3)::float8) as most
            from metric_minutes m
            join servers s on s.id = m.server_id
      cross join lateral jsonb_each(m.metrics) as e
           where m.at = ${at}
             and (e.value -> 0)::float8 > 0
        group by s.organization_id, s.group_id, e.key
      ), scoped as (
          select scope_id, organization_id, name, sum(servers) as servers, sum(total) as total,
                 sum(least_total) as least_total, sum(most_total) as most_total, min(least) as least, max(most) as most
            from (select own.organization_id as scope_id, own.* from own
                   union all
                  select a.scope_id, own.* from own join above a on a.group_id = own.group_id) as parts
        group by scope_id, organization_id, name
      ), ranked as (
        select *, row_number() over (partition by scope_id order by servers desc, name) as rank from scoped
      )
      insert into metric_group_minutes (scope_id, at, organization_id, metrics)
      select scope_id, ${at}, organization_id,
             jsonb_object_agg(name, jsonb_build_array(1, servers, total, least_total, most_total, least, most))
        from ranked
       where rank <= ${namesPerGroup}
    group by scope_id, organization_id`
  })

  const minuteDone = SqlSchema.void({
    Request: Schema.Struct({ at: Instant, samples: Schema.Int }),
    execute: ({ at, samples }) => sql`
      insert into metric_minutes_done (at, samples) values (${at}, ${samples})
          on conflict (at) do update set samples = excluded.samples`
  })

  /** From here on minutes before stay as they are. */
  const closeMinutes = (until: Date) =>
    Effect.andThen(
      sql`update metric_progress set minutes_until = greatest(minutes_until, ${until})`,
      sql`delete from metric_minutes_done where at < ${until}`
    )

  const minutesOf = SqlSchema.findOne({
    Request: Schema.Struct({ from: Instant, to: Instant }),
    Result: Schema.Struct({ rows: Schema.Int }),
    execute: ({ from, to }) => sql`select count(*)::int as rows from metric_minutes where at >= ${from} and at < ${to}`
  })

  /** Writes an hour of a slice of the servers anew. */
  const writeHour = SqlSchema.void({
    Request: Schema.Struct({ from: Instant, to: Instant, ...Slice }),
    execute: ({ from, to, ...slice }) => sql`
      insert into metric_hours (server_id, at, metrics)
      select server_id, ${from}, jsonb_object_agg(name, jsonb_build_array(weight, total, least, most, last))
        from (  select m.server_id, e.key as name, sum((e.value -> 0)::float8) as weight,
                       sum((e.value -> 1)::float8) as total,
                       coalesce(min((e.value -> 2)::float8) filter (where (e.value -> 0)::float8 > 0), 0) as least,
                       coalesce(max((e.value -> 3)::float8) filter (where (e.value -> 0)::float8 > 0), 0) as most,
                       (array_agg(e.value -> 4 order by m.at))[count(*)] as last
                  from metric_minutes m
            cross join lateral jsonb_each(m.metrics) as e
                 where m.at >= ${from} and m.at < ${to} and ${sliced(slice)}
              group by m.server_id, e.key) as hour
    group by server_id
          on conflict (server_id, at) do update set metrics = excluded.metrics`
  })

  const writeGroupHour = SqlSchema.void({
    Request: Schema.Struct({ from: Instant, to: Instant }),
    execute: ({ from, to }) => sql`
      insert into metric_group_hours (scope_id, at, organization_id, metrics)
      select scope_id, ${from}, organization_id,
             jsonb_object_agg(name, jsonb_build_array(minutes, servers, total, least_total, most_total, least, most))
        from (  select m.scope_id, m.organization_id, e.key as name, sum((e.value -> 0)::float8) as minutes,
                       sum((e.value -> 1)::float8) as servers, sum((e.value -> 2)::float8) as total,
                       min((e.value -> 3)::float8) as least_total, max((e.value -> 4)::float8) as most_total,
                       min((e.value -> 5)::float8) as least, max((e.value -> 6)::float8) as most
                  from metric_group_minutes m
            cross join lateral jsonb_each(m.metrics) as e
                 where m.at >= ${from} and m.at < ${to}
              group by m.scope_id, m.organization_id, e.key) as hour
    group by scope_id, organization_id
          on conflict (scope_id, at) do update set metrics = excluded.metrics`
  })

  const hoursDone = SqlSchema.void({
    Request: Schema.Struct({ until: Instant, ...Slice }),
    execute: ({ slice, slices, until }) =>
      sql`update metric_progress set hours_until = ${until}, hour_slices = ${slices}, hour_slice = ${slice}`
  })

  const named = (names: ReadonlyArray<string>, column: string) =>
    names.length === 0 ? sql`true` : sql`${sql(column)} = any(${names}::text[])`

  const binned = (step: number, column: string) =>
    sql`date_bin(make_interval(secs => ${step}::int), ${sql(column)}, '1970-01-01T00:00:00Z'::timestamptz)`

  const rawPoints = SqlSchema.findAll({
    Request: Of,
    Result: Point,
    execute: ({ from, id, names, step, to }) => sql`
        select name, span as at, weight, total, least, most
          from (${measured(sql`server_id = ${id}`, { from, to, span: binned(step, "p.at") }, named(names, "name"))}) as m
         where weight > 0
      order by name, span`
  })

  /** Rows of hours, and where these do not reach yet, of minutes. */
  const hourly = (
    key: "server_id" | "scope_id",
    minutes: Table,
    hours: Table,
    { from, id, to }: typeof Of.Encoded
  ) => sql`
    (select at, metrics
       from ${sql(hours)}
      where ${sql(key)} = ${id} and at >= ${from} and at < ${to}
        and at < (select hours_until from metric_progress)
      union all
     select at, metrics
       from ${sql(minutes)}
      where ${sql(key)} = ${id} and at >= ${from} and at < ${to}
        and at >= (select hours_until from metric_progress))`

  const plain = (key: "server_id" | "scope_id", table: Table, { from, id, to }: typeof Of.Encoded) => sql`
    (select at, metrics from ${sql(table)} where ${sql(key)} = ${id} and at >= ${from} and at < ${to})`

  const serverPoints = (of: (asked: typeof Of.Encoded) => Fragment) =>
    SqlSchema.findAll({
      Request: Of,
      Result: Point,
      execute: (asked) => sql`
          select e.key as name, ${binned(asked.step, "at")} as at, sum((e.value -> 0)::float8) as weight,
                 sum((e.value -> 1)::float8) as total, min((e.value -> 2)::float8) as least,
                 max((e.value -> 3)::float8) as most
            from ${of(asked)} as rows
      cross join lateral jsonb_each(metrics) as e
           where (e.value -> 0)::float8 > 0 and ${named(asked.names, "e.key")}
        group by 1, 2
        order by 1, 2`
    })

  const groupPoints = (of: (asked: typeof Of.Encoded) => Fragment) =>
    SqlSchema.findAll({
      Request: Of,
      Result: GroupPoint,
      execute: (asked) => sql`
          select e.key as name, ${binned(asked.step, "at")} as at, sum((e.value -> 0)::float8) as minutes,
                 sum((e.value -> 1)::float8) as servers, sum((e.value -> 2)::float8) as total,
                 min((e.value -> 3)::float8) as least_total, max((e.value -> 4)::float8) as most_total,
                 min((e.value -> 5)::float8) as least, max((e.value -> 6)::float8) as most
            from ${of(asked)} as rows
      cross join lateral jsonb_each(metrics) as e
           where ${named(asked.names, "e.key")}
        group by 1, 2
        order by 1, 2`
    })

  const isServer = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, id: ServerId }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ id, organizationId }) =>
      sql`select id from servers where id = ${id} and organization_id = ${organizationId}`
  })

  const isGroup = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, id: GroupId }),
    Result: Schema.Struct({ id: GroupId }),
    execute: ({ id, organizationId }) =>
      sql`select id from groups where id = ${id} and organization_id = ${organizationId}`
  })

  /** What servers measure, by what most of them measure. */
  const exposedNames = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, limit: Schema.Int }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ limit, organizationId }) => sql`
        select key as name
          from server_presence p
          join servers s on s.id = p.server_id
    cross join lateral jsonb_object_keys(p.metrics) as key
         where s.organization_id = ${organizationId}
           and s.admission <> 'retired'
      group by key
      order by count(*) desc, key
         limit ${limit}`
  })

  const factOf = (fact: Fact, now: Date) =>
    ({
      up: sql`(liveness in ('online', 'degraded'))::int::float8`,
      status: sql`1::float8`,
      lastSeenAge: sql`greatest(date_part('epoch', ${now}::timestamptz - last_seen_at), 0)`,
      connections: sql`active_connections::float8`,
      connectionLimit: sql`connection_limit::float8`,
      load: sql`load::float8`
    })[fact]

  const Page = Schema.Struct({
    organizationId: OrganizationId,
    after: Schema.NullOr(ServerId),
    limit: Schema.Int
  })

  const page = (value: Fragment, { after, limit, organizationId }: typeof Page.Encoded) => sql`
      select id, name, "group", status, ${value} as value
        from fleet_servers
       where organization_id = ${organizationId}
         and admission <> 'retired'
         and ${after === null ? sql`true` : sql`id > ${after}`}
    order by id
       limit ${limit}`

  const exposedFact = SqlSchema.findAll({
    Request: Schema.Struct({ ...Page.fields, fact: Schema.Literals(facts), now: Instant }),
    Result: Exposed,
    execute: ({ fact, now, ...asked }) => page(factOf(fact, now), asked)
  })

  /** What a server that is gone told last is no news. */
  const exposedMetric = SqlSchema.findAll({
    Request: Schema.Struct({ ...Page.fields, metric: Schema.String }),
    Result: Exposed,
    execute: ({ metric, ...asked }) =>
      page(
        sql`case when liveness in ('online', 'degraded', 'unknown') then (metrics ->> ${metric}::text)::float8 end`,
        asked
      )
  })

  const partitions = SqlSchema.findAll({
    Request: Schema.Literals(tables),
    Result: Schema.Struct({ name: Schema.String, since: Instant, until: Instant }),
    execute: (table) => sql`select name, since, until from metric_partitions(${table}::text::regclass)`
  })

  const makePartition = SqlSchema.findOne({
    Request: Schema.Struct({ table: Schema.Literals(tables), since: Instant, until: Instant }),
    Result: Schema.Struct({ done: Schema.Boolean }),
    execute: ({ since, table, until }) =>
      sql`select make_metric_partition(${table}::text::regclass, ${since}, ${until}) as done`
  })

  const dropPartition = SqlSchema.findOne({
    Request: Schema.String,
    Result: Schema.Struct({ done: Schema.Boolean }),
    execute: (name) => sql`select drop_metric_partition(${name}) as done`
  })

  /** What has no partition that could be dropped. */
  const forgetLoose = (table: Table, before: Date) => sql`
    delete from ${sql(`${table}_default`)}
     where ctid in (select ctid from ${sql(`${table}_default`)} where at < ${before} limit 20000)`

  /** What brokers of the release before wrote, which is copied. */
  const forgetFormer = (before: Date) => sql`
    delete from server_samples
     where ctid in (select ctid from server_samples where minute < ${before} limit 20000)`

  return {
    lockProgress,
    prepareRollUp,
    progress,
    firstSample,
    dueMinutes,
    writeMinute,
    forgetGroupMinute,
    writeGroupMinute,
    minuteDone,
    closeMinutes,
    minutesOf,
    writeHour,
    writeGroupHour,
    hoursDone,
    rawPoints,
    serverMinutes: serverPoints((asked) => plain("server_id", "metric_minutes", asked)),
    serverHours: serverPoints((asked) => hourly("server_id", "metric_minutes", "metric_hours", asked)),
    groupMinutes: groupPoints((asked) => plain("scope_id", "metric_group_minutes", asked)),
    groupHours: groupPoints((asked) => hourly("scope_id", "metric_group_minutes", "metric_group_hours", asked)),
    isServer,
    isGroup,
    exposedNames,
    exposedFact,
    exposedMetric,
    partitions,
    makePartition,
    dropPartition,
    forgetLoose,
    forgetFormer
  }
})
