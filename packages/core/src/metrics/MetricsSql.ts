/** Every statement that touches `metric_*`: samples, their roll-ups, how far these have come, and partitions. */
import { counterPattern } from "@broker/domain/Metric"
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId } from "@broker/domain/Server"
import { Duration, Effect, Schema } from "effect"
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

/** The servers after one and up to another. */
export const Slice = Schema.Struct({ after: Schema.String, upTo: Schema.String })

/** Before all servers, and after them. */
export const ends = {
  first: "00000000-0000-0000-0000-000000000000",
  last: "ffffffff-ffff-ffff-ffff-ffffffffffff"
} as const

/** A minute that is to be rolled up, or rolled up further. */
const Due = Schema.Struct({ at: Instant, samples: Schema.Int, after: Schema.NullOr(Schema.String) })
export type Due = typeof Due.Type

/** A server as it is exposed. */
const Exposed = Schema.Struct({
  id: ServerId,
  name: Schema.String,
  group: Schema.NullOr(Schema.String),
  status: Schema.String,
  up: Schema.Boolean,
  lastSeenAge: Schema.NullOr(Schema.Finite),
  connections: Schema.Finite,
  connectionLimit: Schema.Finite,
  load: Schema.NullOr(Schema.Finite),
  /** What it measured last; null of one that is gone, which is no news. */
  metrics: Schema.NullOr(Schema.Record(Schema.String, Schema.Finite))
})
export type Exposed = typeof Exposed.Type

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Arrays side by side, one row for each name. */
  const unnested = sql`
    unnest(names) as name, unnest(weights) as weight, unnest(totals) as total, unnest(least) as least,
    unnest(most) as most`

  const groupUnnested = sql`
    unnest(names) as name, unnest(minutes) as minutes, unnest(servers) as servers, unnest(totals) as total,
    unnest(least_totals) as least_total, unnest(most_totals) as most_total, unnest(least) as least,
    unnest(most) as most`

  /** For sums over much. */
  const prepareRollUp = sql`set local work_mem = '64MB'`

  const Unit = Schema.Literals(["minute", "hour"])

  /** How far a unit has come, for the rest of a transaction; nothing while somebody else takes it further. */
  const claim = SqlSchema.findAll({
    Request: Unit,
    // Infinity has no date.
    Result: Schema.Struct({ until: Schema.NullOr(Instant), after: Schema.NullOr(Schema.String) }),
    execute: (unit) => sql`
      select nullif(until, '-infinity') as until, after
        from metric_progress
       where unit = ${unit}
         for update skip locked`
  })

  const minutesUntil = Effect.map(
    SqlSchema.findOne({
      Request: Schema.Void,
      Result: Schema.Struct({ until: Schema.NullOr(Instant) }),
      execute: () => sql`select nullif(until, '-infinity') as until from metric_progress where unit = 'minute'`
    })(undefined),
    ({ until }) => until
  )

  /** Where both units begin that have not begun. */
  const begin = (from: Date) => sql`
    update metric_progress
       set until = date_trunc(unit, ${from}::timestamptz, 'UTC')
     where until = '-infinity'`

  /** What is not rolled up for good yet, and so what nothing may be dropped of. */
  const held = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Schema.Struct({ minute: Schema.NullOr(Instant), hour: Schema.NullOr(Instant) }),
    execute: () => sql`
      select nullif(least((select until from metric_progress where unit = 'minute'),
                          (select min(at) from metric_minutes_done),
                          (select min(at) from metric_late)), '-infinity') as minute,
             nullif(least((select until from metric_progress where unit = 'hour'),
                          (select min(at) from metric_late_hours),
                          -- Its hour is rolled up again after it.
                          (select date_trunc('hour', min(at), 'UTC') from metric_minutes_done),
                          (select date_trunc('hour', min(at), 'UTC') from metric_late)), '-infinity') as hour`
  })(undefined)

  /** From when on there may be samples at or after a time. */
  const nextSample = SqlSchema.findOne({
    Request: Schema.NullOr(Instant),
    Result: Schema.Struct({ at: Schema.NullOr(Instant) }),
    execute: (since) => sql`select next_metric_sample(coalesce(${since}::timestamptz, '-infinity')) as at`
  })

  /** Minutes that are closed and got samples are to be rolled up again, from the first server on. */
  const takeLate = (until: Date) => sql`
    with taken as (
      delete from metric_late where at < ${until} returning at
    )
    insert into metric_minutes_done (at, samples)
    select distinct at, 0 from taken
        on conflict (at) do update set samples = 0, after = null`

  const lateMinutes = SqlSchema.findAll({
    Request: Schema.Struct({ until: Instant, limit: Schema.Int }),
    Result: Due,
    execute: ({ limit, until }) => sql`
      select d.at, count(m.*)::int as samples, d.after
        from (select at, after from metric_minutes_done where at < ${until} order by at limit ${limit}) as d
   left join metric_samples m on m.at >= d.at and m.at < d.at + interval '1 minute'
    group by d.at, d.after
    order by d.at`
  })

  /** Minutes with more samples than they were rolled up from. */
  const dueMinutes = SqlSchema.findAll({
    Request: Schema.Struct({ from: Instant, to: Instant }),
    Result: Due,
    execute: ({ from, to }) => sql`
        with counted as (
          select date_trunc('minute', at) as at, count(*)::int as samples
            from metric_samples
           where at >= ${from} and at < ${to}
        group by 1
        )
        select c.at, case when d.after is null then c.samples else d.samples end as samples, d.after
          from counted c
     left join metric_minutes_done d on d.at = c.at
         where d.samples is distinct from c.samples or d.after is not null
      order by c.at`
  })

  const servers = Effect.map(
    SqlSchema.findOne({
      Request: Schema.Void,
      Result: Schema.Struct({ servers: Schema.Int }),
      execute: () => sql`select count(*)::int as servers from servers`
    })(undefined),
    ({ servers }) => servers
  )

  /** The server that is so many after another; none when there are fewer. */
  const serverAfter = SqlSchema.findAll({
    Request: Schema.Struct({ after: Schema.String, count: Schema.Int }),
    Result: Schema.Struct({ id: Schema.String }),
    execute: ({ after, count }) => sql`
      select id from servers where id > ${after}::uuid order by id offset ${count - 1} limit 1`
  })

  /**
   * What samples of a time came to, by server, span and name. A counter's growth is what it has more than in the
   * server's sample before, unless a boot, a smaller value or a long silence lies in between: then it is counted from
   * here on (H11), and never is anything taken back.
   *
   * Numbers are read from JSON once (the two `offset 0`), and names are looked at once all samples are summed up, as
   * whatever is done for each number is what it costs.
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
               order by at desc
                  fetch first row with ties
             ) as b
    ), paired as (
      select server_id, at, metrics,
             date_part('epoch', at - lag(at) over earlier) as elapsed,
             case
               when boot_id is not distinct from lag(boot_id) over earlier
                and at - lag(at) over earlier <= make_interval(secs => ${Duration.toSeconds(longestSilence)})
               then lag(metrics) over earlier
             end as before
        from known
      window earlier as (partition by server_id order by at, boot_id, seq)
    ), named as (
      select server_id, ${span} as span, metrics, before, elapsed, jsonb_object_keys(metrics) collate "C" as name
        from paired p
       where at >= ${from}
    ), valued as (
      select server_id, span, name, elapsed, metric_number(metrics -> name) as value,
             metric_number(before -> name) as former
        from named
       where ${named}
      offset 0
    ), grown as (
      select server_id, span, name, elapsed, value, value - former as growth,
             (value - former) / nullif(elapsed, 0) as rate
        from valued
      offset 0
    ), summed as materialized (
      select server_id, span, name,
             count(*)::float8 as weight, sum(value) as total, min(value) as least, max(value) as most,
             sum(elapsed) filter (where growth >= 0) as seconds, sum(growth) filter (where growth >= 0) as growth,
             min(rate) filter (where growth >= 0) as slowest, max(rate) filter (where growth >= 0) as fastest
        from grown
    group by server_id, span, name
    ), kind as materialized (
      select name, name ~ ${counterPattern} as counts from (select distinct name from summed) as names
    )
    select server_id, span, name,
           case when counts then coalesce(seconds, 0) else weight end as weight,
           case when counts then coalesce(growth, 0) else total end as total,
           case when counts then coalesce(slowest, 0) else least end as least,
           case when counts then coalesce(fastest, 0) else most end as most
      from summed
      join kind using (name)`

  const sliced = ({ after, upTo }: { readonly after: string; readonly upTo: string }) =>
    sql`server_id > ${after}::uuid and server_id <= ${upTo}::uuid`

  /** Writes a minute of some servers anew; neighbours lie together, as their hour reads them together. */
  const writeMinute = SqlSchema.void({
    Request: Schema.Struct({ at: Instant, ...Slice.fields }),
    execute: ({ at, ...slice }) => sql`
      insert into metric_minutes (server_id, at, names, weights, totals, least, most)
      select server_id, ${at}, array_agg(name), array_agg(weight), array_agg(total), array_agg(least), array_agg(most)
        from (${measured(
          sliced(slice),
          { from: at, to: new Date(at.getTime() + 60_000), span: sql`${at}::timestamptz` },
          sql`true`
        )}) as measured
    group by server_id
    order by server_id
          on conflict (server_id, at)
          do update set names = excluded.names, weights = excluded.weights, totals = excluded.totals,
                        least = excluded.least, most = excluded.most`
  })

  const forgetGroupMinute = SqlSchema.void({
    Request: Instant,
    execute: (at) => sql`delete from metric_group_minutes where at = ${at}`
  })

  const groupColumns = sql`
    scope_id, at, organization_id, names, minutes, servers, totals, least_totals, most_totals, least, most`

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
          select s.organization_id, s.group_id, e.name, count(*)::float8 as servers, sum(e.total / e.weight) as total,
                 sum(e.least) as least_total, sum(e.most) as most_total, min(e.least) as least, max(e.most) as most
            from (select server_id, ${unnested}
                    from metric_minutes
                   where at = ${at}
                  offset 0) as e
            join servers s on s.id = e.server_id
           where e.weight > 0
        group by s.organization_id, s.group_id, e.name
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
      insert into metric_group_minutes (${groupColumns})
      select scope_id, ${at}, organization_id, array_agg(name), array_agg(1::float8), array_agg(servers), array_agg(total),
             array_agg(least_total), array_agg(most_total), array_agg(least), array_agg(most)
        from ranked
       where rank <= ${namesPerGroup}
    group by scope_id, organization_id`
  })

  const minuteDone = SqlSchema.void({
    Request: Due,
    execute: ({ after, at, samples }) => sql`
      insert into metric_minutes_done (at, samples, after) values (${at}, ${samples}, ${after}::uuid)
          on conflict (at) do update set samples = excluded.samples, after = excluded.after`
  })

  /** From here on minutes before get no more samples, or are rolled up again. */
  const closeMinutes = (until: Date) =>
    Effect.andThen(
      sql`update metric_progress set until = greatest(until, ${until}) where unit = 'minute'`,
      sql`delete from metric_minutes_done where at < ${until}`
    )

  /** A closed minute is rolled up again, and its hour is to be. */
  const lateMinuteDone = (at: Date) =>
    Effect.andThen(
      sql`delete from metric_minutes_done where at = ${at}`,
      sql`
        insert into metric_late_hours (at) values (date_trunc('hour', ${at}::timestamptz, 'UTC'))
            on conflict (at) do update set after = null`
    )

  const lateHours = SqlSchema.findAll({
    Request: Schema.Struct({ until: Instant }),
    Result: Schema.Struct({ at: Instant, after: Schema.NullOr(Schema.String) }),
    execute: ({ until }) => sql`
      select at, after from metric_late_hours where at < ${until} order by at limit 1 for update`
  })

  const hasMinutes = SqlSchema.findOne({
    Request: Schema.Struct({ from: Instant, to: Instant }),
    Result: Schema.Struct({ some: Schema.Boolean }),
    execute: ({ from, to }) =>
      sql`select exists (select from metric_minutes where at >= ${from} and at < ${to}) as some`
  })

  /** Writes an hour of some servers anew. */
  const writeHour = SqlSchema.void({
    Request: Schema.Struct({ from: Instant, to: Instant, ...Slice.fields }),
    execute: ({ from, to, ...slice }) => sql`
      insert into metric_hours (server_id, at, names, weights, totals, least, most)
      select server_id, ${from}, array_agg(name), array_agg(weight), array_agg(total), array_agg(least), array_agg(most)
        from (  select server_id, name, sum(weight) as weight, sum(total) as total,
                       coalesce(min(least) filter (where weight > 0), 0) as least,
                       coalesce(max(most) filter (where weight > 0), 0) as most
                  from (select server_id, ${unnested}
                          from metric_minutes
                         where at >= ${from} and at < ${to} and ${sliced(slice)}
                        offset 0) as e
              group by server_id, name) as hour
    group by server_id
          on conflict (server_id, at)
          do update set names = excluded.names, weights = excluded.weights, totals = excluded.totals,
                        least = excluded.least, most = excluded.most`
  })

  const writeGroupHour = SqlSchema.void({
    Request: Schema.Struct({ from: Instant, to: Instant }),
    execute: ({ from, to }) => sql`
      insert into metric_group_hours (${groupColumns})
      select scope_id, ${from}, organization_id, array_agg(name), array_agg(minutes), array_agg(servers),
             array_agg(total), array_agg(least_total), array_agg(most_total), array_agg(least), array_agg(most)
        from (  select scope_id, organization_id, name, sum(minutes) as minutes, sum(servers) as servers,
                       sum(total) as total, min(least_total) as least_total, max(most_total) as most_total,
                       min(least) as least, max(most) as most
                  from (select scope_id, organization_id, ${groupUnnested}
                          from metric_group_minutes
                         where at >= ${from} and at < ${to}
                        offset 0) as e
              group by scope_id, organization_id, name) as hour
    group by scope_id, organization_id
          on conflict (scope_id, at)
          do update set names = excluded.names, minutes = excluded.minutes, servers = excluded.servers,
                        totals = excluded.totals, least_totals = excluded.least_totals,
                        most_totals = excluded.most_totals, least = excluded.least, most = excluded.most`
  })

  const hourProgress = SqlSchema.void({
    Request: Schema.Struct({ until: Instant, after: Schema.NullOr(Schema.String) }),
    execute: ({ after, until }) =>
      sql`update metric_progress set until = ${until}, after = ${after}::uuid where unit = 'hour'`
  })

  const lateHourProgress = SqlSchema.void({
    Request: Schema.Struct({ at: Instant, after: Schema.String }),
    execute: ({ after, at }) => sql`update metric_late_hours set after = ${after}::uuid where at = ${at}`
  })

  const lateHourDone = SqlSchema.void({
    Request: Instant,
    execute: (at) => sql`delete from metric_late_hours where at = ${at}`
  })

  const named = (names: ReadonlyArray<string>) => (names.length === 0 ? sql`true` : sql`name = any(${names}::text[])`)

  const binned = (step: number, column: string) =>
    sql`date_bin(make_interval(secs => ${step}::int), ${sql(column)}, '1970-01-01T00:00:00Z'::timestamptz)`

  const rawPoints = SqlSchema.findAll({
    Request: Of,
    Result: Point,
    execute: ({ from, id, names, step, to }) => sql`
        select name, span as at, weight, total, least, most
          from (${measured(sql`server_id = ${id}`, { from, to, span: binned(step, "at") }, named(names))}) as m
         where weight > 0
      order by name, span`
  })

  /** Rows of hours, and where these do not reach yet, of minutes. */
  const hourly = (
    key: "server_id" | "scope_id",
    columns: Fragment,
    minutes: Table,
    hours: Table,
    { from, id, to }: typeof Of.Encoded
  ) => sql`
    (select at, ${columns}
       from ${sql(hours)}
      where ${sql(key)} = ${id} and at >= ${from} and at < ${to}
        and at < (select until from metric_progress where unit = 'hour')
      union all
     select at, ${columns}
       from ${sql(minutes)}
      where ${sql(key)} = ${id} and at >= ${from} and at < ${to}
        and at >= (select until from metric_progress where unit = 'hour')
     offset 0)`

  const plain = (key: "server_id" | "scope_id", columns: Fragment, table: Table, { from, id, to }: typeof Of.Encoded) =>
    sql`
    (select at, ${columns} from ${sql(table)} where ${sql(key)} = ${id} and at >= ${from} and at < ${to} offset 0)`

  const serverPoints = (of: (asked: typeof Of.Encoded) => Fragment) =>
    SqlSchema.findAll({
      Request: Of,
      Result: Point,
      execute: (asked) => sql`
          select name, ${binned(asked.step, "at")} as at, sum(weight) as weight, sum(total) as total,
                 min(least) filter (where weight > 0) as least, max(most) filter (where weight > 0) as most
            from ${of(asked)} as rows
           where ${named(asked.names)}
        group by 1, 2
          -- What was counted within no time at all counts beside what took some.
          having sum(weight) > 0
        order by 1, 2`
    })

  const groupPoints = (of: (asked: typeof Of.Encoded) => Fragment) =>
    SqlSchema.findAll({
      Request: Of,
      Result: GroupPoint,
      execute: (asked) => sql`
          select name, ${binned(asked.step, "at")} as at, sum(minutes) as minutes, sum(servers) as servers,
                 sum(total) as total, min(least_total) as least_total, max(most_total) as most_total,
                 min(least) as least, max(most) as most
            from ${of(asked)} as rows
           where ${named(asked.names)}
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

  /** Servers in the order of their ids, with all that is exposed of them. */
  const exposed = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      after: Schema.String,
      limit: Schema.Int,
      now: Instant
    }),
    Result: Exposed,
    execute: ({ after, limit, now, organizationId }) => sql`
      select id, name, "group", status, liveness in ('online', 'degraded') as up,
             greatest(date_part('epoch', ${now}::timestamptz - last_seen_at), 0) as last_seen_age,
             active_connections as connections, connection_limit, load::float8 as load,
             case when liveness in ('online', 'degraded', 'unknown') then metrics end as metrics
        from fleet_servers
       where organization_id = ${organizationId}
         and admission <> 'retired'
         and id > ${after}::uuid
    order by id
       limit ${limit}`
  })

  /** Whether the fleet guard holds servers (H6). */
  const isGuarded = SqlSchema.findOne({
    Request: OrganizationId,
    Result: Schema.Struct({ open: Schema.Boolean }),
    execute: (organizationId) => sql`
      select exists (
               select from fleet_guards where organization_id = ${organizationId} and ended_at is null) as open`
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
    prepareRollUp,
    claim,
    minutesUntil,
    begin,
    held,
    nextSample,
    takeLate,
    lateMinutes,
    dueMinutes,
    servers,
    serverAfter,
    writeMinute,
    forgetGroupMinute,
    writeGroupMinute,
    minuteDone,
    closeMinutes,
    lateMinuteDone,
    lateHours,
    hasMinutes,
    writeHour,
    writeGroupHour,
    hourProgress,
    lateHourProgress,
    lateHourDone,
    rawPoints,
    serverMinutes: serverPoints((asked) => plain("server_id", unnested, "metric_minutes", asked)),
    serverHours: serverPoints((asked) => hourly("server_id", unnested, "metric_minutes", "metric_hours", asked)),
    groupMinutes: groupPoints((asked) => plain("scope_id", groupUnnested, "metric_group_minutes", asked)),
    groupHours: groupPoints((asked) =>
      hourly("scope_id", groupUnnested, "metric_group_minutes", "metric_group_hours", asked)
    ),
    isServer,
    isGroup,
    exposedNames,
    exposed,
    isGuarded,
    partitions,
    makePartition,
    dropPartition,
    forgetLoose,
    forgetFormer
  }
})
