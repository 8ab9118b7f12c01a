/**
 * Every statement about availability and maintenance windows. Times are sets of ranges (multiranges): what a server was
 * is taken from the moves that it made, and what nobody could know, or wanted, is cut out of it, to the microsecond.
 */
import {
  type AvailabilityFigures,
  AvailabilitySpan,
  type BrokerOutage,
  ListedWindow,
  MaintenanceWindow,
  MaintenanceWindowId
} from "@broker/domain/Availability"
import { OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Time = Schema.DateTimeUtcFromDate

/** From and to in time; what lies after now has not happened. */
const Range = Schema.Struct({ organizationId: OrganizationId, from: Time, to: Time })

const One = Schema.Struct({ organizationId: OrganizationId, id: ServerId })

/** What is left is either or neither, so that all of the time is somewhere. */
const Seconds = Schema.Struct({
  up: Schema.Finite,
  down: Schema.Finite,
  unknown: Schema.Finite,
  total: Schema.Finite
})

/** The figures of some seconds. */
export const figures = ({ down, total, unknown, up }: typeof Seconds.Type): typeof AvailabilityFigures.Type => ({
  up,
  down,
  unknown,
  // Sums of fractions may be off by less than a nanosecond.
  excluded: Math.max(0, Math.round((total - up - down - unknown) * 1e6) / 1e6),
  share: up + down === 0 ? null : up / (up + down)
})

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  type Asked = {
    readonly organizationId: string
    readonly from: Date
    readonly to: Date
    readonly after?: string | null
    readonly upTo?: string | null
  }

  /** The servers that are asked about, as they are now: those named, those between two ids, or all. */
  const chosen = ({ after, organizationId, upTo }: Asked, ids?: ReadonlyArray<string>) => sql`
    chosen as materialized (
      select s.id, s.group_id, s.admission, s.admission_since, s.duty, s.duty_since, p.liveness
        from servers s
        join server_presence p on p.server_id = s.id
       where s.organization_id = ${organizationId}
         and ${ids === undefined ? sql`true` : sql`s.id = any(${Result.getOrThrow(PgTypes.array([...ids], PgTypes.OID.uuid))})`}
         and ${after == null ? sql`true` : sql`s.id > ${after}::uuid`}
         and ${upTo == null ? sql`true` : sql`s.id <= ${upTo}::uuid`}
    )`

  /**
   * In which group the chosen were when: what was noted whenever one moved, and since then, where it is. A group is where
   * it is in the tree now, or where it was last when it is gone.
   */
  const groupStays = ({ from }: Asked) => sql`
    group_stays as (
      select stay.server_id, stay.group_id, coalesce(g.path, stay.path) as path, stay.during
        from (
          select f.server_id, f.group_id, f.group_path as path,
                 tstzrange(lag(f.until) over (partition by f.server_id order by f.until, f.id), f.until) as during
            from chosen c
            join server_former_facts f on f.server_id = c.id
           where f.until > ${from}
           union all
          select c.id, c.group_id, null,
                 tstzrange((select max(f.until) from server_former_facts f where f.server_id = c.id), null)
            from chosen c
        ) as stay
        left join groups g on g.id = stay.group_id
       where stay.group_id is not null
    )`

  /** When nobody could know of any server, and the windows: all servers', and each one's own, by itself or its groups. */
  const excuses = (range: Asked) => sql`
    outage as materialized (
      select coalesce(range_agg(tstzrange(began_at, ended_at)), '{}') as times
        from broker_outages
       where ended_at > ${range.from}
         and began_at < ${range.to}
    ), announced as materialized (
      select w.server_id, w.group_id, coalesce(g.path, w.group_path) as path, tstzrange(w.starts_at, w.ends_at) as during
        from maintenance_windows w
        left join groups g on g.id = w.group_id
       where w.organization_id = ${range.organizationId}
         and w.ends_at > ${range.from}
         and w.starts_at < ${range.to}
    ), everywhere as materialized (
      select coalesce(range_agg(during) filter (where server_id is null and group_id is null), '{}') as times from announced
    ), ${groupStays(range)}, grouped as materialized (
      select * from group_stays where exists (select from announced where group_id is not null)
    ), covered as (
      select place.group_id, range_agg(a.during) as times
        from (select group_id, max(path) as path from grouped group by group_id) as place
        join announced a on a.group_id = place.group_id or starts_with(place.path || '/', a.path || '/')
    group by place.group_id
    ), own as materialized (
      select server_id, range_agg(during) as times
        from (
          select a.server_id, a.during from announced a join chosen c on c.id = a.server_id
           union all
          select st.server_id, part
            from grouped st
            join covered on covered.group_id = st.group_id
      cross join unnest(covered.times * tstzmultirange(st.during)) as part
        ) as each
    group by server_id
    )`

  /**
   * What of the servers in a table stood where on some axes when. Up to its first move within the range, and all the time
   * without one, each stood where that move, or what it is now, says.
   */
  const stays = ({ from, to }: Asked, whose: string, axes: ReadonlyArray<"liveness" | "admission" | "duty">) => sql`
    moved as (
      select w.id as server_id, t.axis, t.at, t.before, t.after,
             lead(t.at) over by_time as next,
             row_number() over by_time = 1 as is_first
        from ${sql.literal(whose)} w
        join server_transitions t on t.server_id = w.id
       where ${sql.in("t.axis", axes)}
         and t.at > ${from}
      window by_time as (partition by t.server_id, t.axis order by t.at, t.id)
    ), stays as (
      select server_id, axis, after as state, tstzrange(at, next) as during from moved where at < ${to}
       union all
      select server_id, axis, before, tstzrange(null, at) from moved where is_first
       union all
      select w.id, now.axis, now.state, tstzrange(null, null)
        from ${sql.literal(whose)} w
  cross join lateral (values ('liveness', w.liveness), ('admission', w.admission), ('duty', w.duty)) as now (axis, state)
       where not exists (select from moved m where m.server_id = w.id and m.axis = now.axis)
    )`

  /** For each of the chosen servers, what it was when, as sets of ranges within the range. */
  const timelines = (range: Asked, ids: ReadonlyArray<string>) => sql`
    ${chosen(range, ids)}, ${stays(range, "chosen", ["liveness", "admission", "duty"])}, ${excuses(range)}, was as (
      select server_id,
             coalesce(range_agg(part) filter (where axis = 'liveness' and state = 'online'), '{}') as online,
             coalesce(range_agg(part) filter (where axis = 'liveness' and state = 'degraded'), '{}') as degraded,
             coalesce(range_agg(part) filter (where axis = 'liveness' and state = 'offline'), '{}') as offline,
             coalesce(range_agg(part) filter (where axis = 'liveness' and state = 'unknown'), '{}') as unknown,
             coalesce(range_agg(part) filter (where axis = 'admission' and state is distinct from 'approved'), '{}') as shut_out,
             coalesce(range_agg(part) filter (where axis = 'duty' and state = 'maintenance'), '{}') as resting
        from stays
  cross join lateral (select stays.during * tstzrange(${range.from}, ${range.to}) as part) as clipped
    group by server_id
    ), timelines as (
      select w.server_id, w.online, w.degraded, w.offline, w.unknown, w.shut_out,
             outage.times * asked.times as outage,
             (w.resting + everywhere.times + coalesce(own.times, '{}')) * asked.times as maintenance,
             w.shut_out + outage.times + w.resting + everywhere.times + coalesce(own.times, '{}') as excluded
        from was w
  cross join outage
  cross join everywhere
  cross join (select tstzmultirange(tstzrange(${range.from}, ${range.to})) as times) as asked
   left join own on own.server_id = w.server_id
    )`

  /** A server's time as a strip shows it: what is told of a moment is the first of out, outage, maintenance, liveness. */
  const spans = SqlSchema.findAll({
    Request: Schema.Struct({ ...Range.fields, id: ServerId }),
    Result: Schema.Struct({ ...AvailabilitySpan.fields, from: Time, to: Time }),
    execute: ({ id, ...range }) => sql`
      with ${timelines(range, [id])},
      all_time as (
        select tstzmultirange(tstzrange(${range.from}, ${range.to})) as times
      ), told as (
        select 'online' as state, online - excluded as times from timelines
         union all select 'degraded', degraded - excluded from timelines
         union all select 'offline', offline - excluded from timelines
         union all select 'unknown', unknown - excluded from timelines
         union all select 'never_seen', all_time.times - online - degraded - offline - unknown - excluded from timelines, all_time
         union all select 'out', shut_out from timelines
         union all select 'outage', outage - shut_out from timelines
         union all select 'maintenance', maintenance - outage - shut_out from timelines
      )
        select state, lower(part) as "from", upper(part) as "to"
          from told
    cross join unnest(told.times) as part
      order by lower(part)`
  })

  /** How often it was given up on when somebody counted on it. */
  const falls = SqlSchema.findOne({
    Request: Schema.Struct({ ...Range.fields, id: ServerId }),
    Result: Schema.Struct({ falls: Schema.Int }),
    execute: ({ id, ...range }) => sql`
      with ${timelines(range, [id])}
      select count(*)::int as falls
        from timelines l
        join server_transitions t on t.server_id = l.server_id
       where t.axis = 'liveness'
         and t.after = 'offline'
         and t.at >= ${range.from}
         and t.at < ${range.to}
         and not l.excluded @> t.at`
  })

  /** Of each server, each day; days begin at midnight UTC. */
  const days = SqlSchema.findAll({
    Request: Schema.Struct({ ...Range.fields, ids: Schema.Array(ServerId) }),
    Result: Schema.Struct({ serverId: ServerId, day: Schema.String, ...Seconds.fields }),
    execute: ({ ids, ...range }) => sql`
      with ${timelines(range, ids)},
      net as materialized (
        select server_id,
               (online + degraded) - excluded as up,
               offline - excluded as down,
               unknown - excluded as unknown
          from timelines
      ), days as materialized (
        select to_char(day, 'YYYY-MM-DD') as day,
               tstzmultirange(tstzrange(greatest(day at time zone 'UTC', ${range.from}), least((day + interval '1 day') at time zone 'UTC', ${range.to}))) as times
          from generate_series(
                 date_trunc('day', ${range.from}::timestamptz at time zone 'UTC'),
                 ${range.to}::timestamptz at time zone 'UTC' - interval '1 microsecond',
                 interval '1 day') as day
         where ${range.from}::timestamptz < ${range.to}
      )
        select n.server_id, d.day,
               seconds_of(n.up * d.times) as up,
               seconds_of(n.down * d.times) as down,
               seconds_of(n.unknown * d.times) as unknown,
               seconds_of(d.times) as total
          from net n
    cross join days d
      order by n.server_id, d.day`
  })

  /** The seconds in some states. */
  const of = (states: string) => sql`
    greatest(0, coalesce(sum(counted) filter (where gains in (${sql.literal(states)})), 0)
                - coalesce(sum(counted) filter (where loses in (${sql.literal(states)})), 0))::float8 / 1e6`

  /** The ids that part a fleet into so many servers at a time. */
  const bounds = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, size: Schema.Int }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ organizationId, size }) => sql`
        select id
          from (
            select id, row_number() over (order by id) as place
              from servers
             where organization_id = ${organizationId}
          ) as placed
         where place % ${size} = 0
      order by id`
  })

  /**
   * Of the servers after one id and up to another, those of each group, those above and below left alone; and of none.
   *
   * Of a whole fleet no sets of ranges are made but of what is excluded, and those only of servers that have something of
   * their own there. How long servers were in a state is added up from moves alone, in any order: each gives all time from
   * the beginning up to it to the state that it leaves, and takes it from the one that it enters; what a server is now has
   * all of the time. Time is counted without what is excluded, in whole microseconds.
   */
  const byGroup = SqlSchema.findAll({
    Request: Schema.Struct({ ...Range.fields, after: Schema.NullOr(ServerId), upTo: Schema.NullOr(ServerId) }),
    Result: Schema.Struct({ groupId: Schema.NullOr(GroupId), servers: Schema.Int, ...Seconds.fields }),
    execute: (range) => sql`
      with ${chosen(range)}, ${excuses(range)}, odd as materialized (
        select c.*
          from chosen c
     left join own on own.server_id = c.id
         where (c.admission_since > ${range.from}
                or (c.admission = 'approved'
                    and (c.duty = 'maintenance' or c.duty_since > ${range.from} or own.server_id is not null)))
      ), ${stays(range, "odd", ["admission", "duty"])}, kept_out as (
        select server_id, range_agg(during) as times
          from stays
         where (axis = 'admission' and state is distinct from 'approved')
            or (axis = 'duty' and state = 'maintenance')
      group by server_id
      ), excluded as (
        select null::uuid as server_id, outage.times + everywhere.times as times from outage, everywhere
         union all
        select odd.id, outage.times + everywhere.times + coalesce(own.times, '{}') + coalesce(kept_out.times, '{}')
          from odd
    cross join outage
    cross join everywhere
     left join own on own.server_id = odd.id
     left join kept_out on kept_out.server_id = odd.id
      ), edges as materialized (
        select e.server_id, edge.*
          from excluded e
    cross join lateral (
                 select coalesce(array_agg(bound.at order by bound.at), '{}') as at,
                        coalesce(array_agg(bound.passed order by bound.at), '{}') as passed
                   from (
                     select lower(part) as from, upper(part) as to,
                            (sum(micros(upper(part) - lower(part))) over (order by lower(part)))::bigint as passed
                       from unnest(e.times * tstzmultirange(tstzrange(${range.from}, ${range.to}))) as part
                   ) as parts
             cross join lateral (values (parts.from, parts.passed - micros(parts.to - parts.from)), (parts.to, parts.passed))
                          as bound (at, passed)
               ) as edge
      ), expected as materialized (
        select c.id, c.group_id, c.liveness,
               coalesce(own.at, everyone.at) as edges, coalesce(own.passed, everyone.passed) as passed
          from chosen c
          join edges everyone on everyone.server_id is null
     left join edges own on own.server_id = c.id
         where c.admission = 'approved' or c.admission_since > ${range.from}
      ), points as (
        select e.group_id, counted_until(least(t.at, ${range.to}), ${range.from}, e.edges, e.passed) as counted,
               t.before as gains, t.after as loses
          from expected e
          join server_transitions t on t.server_id = e.id
         where t.axis = 'liveness'
           and t.at > ${range.from}
         union all
        select e.group_id, counted_until(${range.to}, ${range.from}, e.edges, e.passed), e.liveness, null
          from expected e
      ), summed as (
        select group_id,
               ${of("'online', 'degraded'")} as up,
               ${of("'offline'")} as down,
               ${of("'unknown'")} as unknown
          from points
      group by group_id
      ), sizes as (
        select group_id, count(*)::int as servers from chosen group by group_id
      )
        select sizes.group_id, sizes.servers, coalesce(summed.up, 0) as up, coalesce(summed.down, 0) as down,
               coalesce(summed.unknown, 0) as unknown,
               sizes.servers * micros(${range.to}::timestamptz - ${range.from}::timestamptz) / 1e6::float8 as total
          from sizes
     left join summed on summed.group_id is not distinct from sizes.group_id`
  })

  const groups = SqlSchema.findAll({
    Request: OrganizationId,
    Result: Schema.Struct({ id: GroupId, parentId: Schema.NullOr(GroupId), path: Schema.String }),
    execute: (organizationId) =>
      sql`select id, parent_id, path from groups where organization_id = ${organizationId} order by path_key`
  })

  const outages = SqlSchema.findAll({
    Request: Schema.Struct({ from: Time, to: Time }),
    Result: Schema.Struct({ beganAt: Time, endedAt: Time } satisfies Record<keyof typeof BrokerOutage.fields, unknown>),
    execute: ({ from, to }) => sql`
        select began_at, ended_at
          from broker_outages
         where ended_at > ${from}
           and began_at < ${to}
      order by began_at desc`
  })

  const listed = sql.literal(`w.id, w.organization_id, w.server_id, w.group_id, w.reason, w.starts_at, w.ends_at,
    w.created_by, w.created_at, coalesce(s.name, g.path, w.group_path) as about`)
  const parties = sql.literal(`left join servers s on s.id = w.server_id left join groups g on g.id = w.group_id`)

  const windows = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, since: Time }),
    Result: ListedWindow,
    execute: ({ organizationId, since }) => sql`
        select ${listed}
          from maintenance_windows w
               ${parties}
         where w.organization_id = ${organizationId}
           and w.ends_at > ${since}
      order by w.starts_at desc, w.id desc`
  })

  /** Those that a server was, or is to be, under in a range. */
  const windowsOf = SqlSchema.findAll({
    Request: Schema.Struct({ ...Range.fields, id: ServerId }),
    Result: ListedWindow,
    execute: ({ id, ...range }) => sql`
        with ${chosen(range, [id])}, ${groupStays(range)}
        select ${listed}
          from maintenance_windows w
               ${parties}
         where w.organization_id = ${range.organizationId}
           and w.ends_at > ${range.from}
           and w.starts_at < ${range.to}
           and (w.server_id = ${id}
                or (w.server_id is null and w.group_id is null)
                or exists (
                     select
                       from group_stays st
                      where st.during && tstzrange(w.starts_at, w.ends_at)
                        and (st.group_id = w.group_id
                             or starts_with(st.path || '/', coalesce(g.path, w.group_path) || '/'))))
      order by w.starts_at desc, w.id desc`
  })

  const window = SqlSchema.findOne({
    Request: MaintenanceWindowId,
    Result: ListedWindow,
    execute: (id) => sql`select ${listed} from maintenance_windows w ${parties} where w.id = ${id}`
  })

  const insert = SqlSchema.void({
    Request: MaintenanceWindow.insert,
    execute: (window) => sql`insert into maintenance_windows ${sql.insert(window)}`
  })

  const OneWindow = Schema.Struct({ organizationId: OrganizationId, id: MaintenanceWindowId, now: Time })

  /** What has been stays; one that has not begun was never there. */
  const endWindow = SqlSchema.findAll({
    Request: OneWindow,
    Result: Schema.Struct({ endsAt: Time }),
    execute: ({ id, now, organizationId }) => sql`
         update maintenance_windows
            set ends_at = least(ends_at, ${now})
          where organization_id = ${organizationId}
            and id = ${id}
            and starts_at < ${now}
      returning ends_at`
  })

  const deleteWindow = SqlSchema.findAll({
    Request: OneWindow,
    Result: Schema.Struct({ id: MaintenanceWindowId }),
    execute: ({ id, now, organizationId }) => sql`
      delete from maintenance_windows
       where organization_id = ${organizationId}
         and id = ${id}
         and starts_at >= ${now}
   returning id`
  })

  const hasServer = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ id, organizationId }) =>
      sql`select id from servers where organization_id = ${organizationId} and id = ${id} for key share`
  })

  const hasGroup = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, id: GroupId }),
    Result: Schema.Struct({ id: GroupId }),
    execute: ({ id, organizationId }) =>
      sql`select id from groups where organization_id = ${organizationId} and id = ${id} for key share`
  })

  return {
    spans,
    falls,
    days,
    bounds,
    byGroup,
    groups,
    outages,
    windows,
    windowsOf,
    window,
    insert,
    endWindow,
    deleteWindow,
    hasServer,
    hasGroup
  }
})
