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

  /**
   * For each of the chosen servers, what it was when, as sets of ranges within the range. How it stood at the beginning is
   * what it moved to last before; or from first after; or, if it never moved, what it is.
   */
  const timelines = (
    range: { readonly organizationId: string; readonly from: Date; readonly to: Date },
    ids?: ReadonlyArray<string>
  ) => sql`
    chosen as materialized (
      select s.id, s.group_id, g.path_key as group_key, s.duty, p.liveness
        from servers s
        join server_presence p on p.server_id = s.id
        left join groups g on g.id = s.group_id
       where s.organization_id = ${range.organizationId}
         and ${ids === undefined ? sql`true` : sql`s.id = any(${Result.getOrThrow(PgTypes.array([...ids], PgTypes.OID.uuid))})`}
    ), moves as (
      select c.id as server_id, t.axis, t.at, t.id as number, t.after as state
        from chosen c
        join server_transitions t on t.server_id = c.id
       where t.axis in ('liveness', 'admission', 'duty')
         and t.at > ${range.from}
         and t.at < ${range.to}
       union all
      select c.id, a.axis, ${range.from}::timestamptz, 0,
             case
               when earlier.after is not null then earlier.after
               when a.axis = 'admission' then null
               when later.at is not null then later.before
               when a.axis = 'duty' then c.duty
               else c.liveness
             end
        from chosen c
  cross join (values ('liveness'), ('admission'), ('duty')) as a (axis)
   left join lateral (
               select t.after
                 from server_transitions t
                where t.server_id = c.id and t.axis = a.axis and t.at <= ${range.from}
             order by t.at desc, t.id desc
                limit 1
             ) as earlier on true
   left join lateral (
               select t.at, t.before
                 from server_transitions t
                where earlier.after is null and t.server_id = c.id and t.axis = a.axis and t.at > ${range.from}
             order by t.at, t.id
                limit 1
             ) as later on true
    ), stays as (
      select server_id, axis, state,
             tstzrange(at, lead(at, 1, ${range.to}::timestamptz) over (partition by server_id, axis order by at, number)) as during
        from moves
    ), outage as materialized (
      select coalesce(range_agg(tstzrange(began_at, ended_at)), '{}') as times
        from broker_outages
       where ended_at > ${range.from}
         and began_at < ${range.to}
    ), announced as materialized (
      select w.server_id, w.group_id, g.path_key, tstzrange(w.starts_at, w.ends_at) as during
        from maintenance_windows w
        left join groups g on g.id = w.group_id
       where w.organization_id = ${range.organizationId}
         and w.ends_at > ${range.from}
         and w.starts_at < ${range.to}
    ), was as (
      select server_id,
             coalesce(range_agg(during) filter (where axis = 'liveness' and state = 'online'), '{}') as online,
             coalesce(range_agg(during) filter (where axis = 'liveness' and state = 'degraded'), '{}') as degraded,
             coalesce(range_agg(during) filter (where axis = 'liveness' and state = 'offline'), '{}') as offline,
             coalesce(range_agg(during) filter (where axis = 'liveness' and state = 'unknown'), '{}') as unknown,
             coalesce(range_agg(during) filter (where axis = 'admission' and state is distinct from 'approved'), '{}') as shut_out,
             coalesce(range_agg(during) filter (where axis = 'duty' and state = 'maintenance'), '{}') as resting
        from stays
    group by server_id
    ), timelines as (
      select c.id as server_id, c.group_id, w.online, w.degraded, w.offline, w.unknown, w.shut_out,
             outage.times * asked.times as outage,
             (w.resting + coalesce(own.times, '{}')) * asked.times as maintenance,
             w.shut_out + outage.times + w.resting + coalesce(own.times, '{}') as excluded
        from chosen c
        join was w on w.server_id = c.id
  cross join outage
  cross join (select tstzmultirange(tstzrange(${range.from}, ${range.to})) as times) as asked
   left join lateral (
               select range_agg(a.during) as times
                 from announced a
                where a.server_id = c.id
                   or (a.server_id is null and a.group_id is null)
                   or starts_with(c.group_key || '/', a.path_key || '/')
             ) as own on true
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

  /** The servers of each group, those above and below left alone; and of none. */
  const byGroup = SqlSchema.findAll({
    Request: Range,
    Result: Schema.Struct({ groupId: Schema.NullOr(GroupId), servers: Schema.Int, ...Seconds.fields }),
    execute: (range) => sql`
      with ${timelines(range)}
        select group_id,
               count(*)::int as servers,
               coalesce(sum(seconds_of((online + degraded) - excluded)), 0)::float8 as up,
               coalesce(sum(seconds_of(offline - excluded)), 0)::float8 as down,
               coalesce(sum(seconds_of(unknown - excluded)), 0)::float8 as unknown,
               (count(*) * extract(epoch from ${range.to}::timestamptz - ${range.from}::timestamptz))::float8 as total
          from timelines
      group by group_id`
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
    w.created_by, w.created_at, coalesce(s.name, g.path) as about`)
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
    execute: ({ from, id, organizationId, to }) => sql`
        select ${listed}
          from maintenance_windows w
               ${parties}
         where w.organization_id = ${organizationId}
           and w.ends_at > ${from}
           and w.starts_at < ${to}
           and (w.server_id = ${id}
                or (w.server_id is null and w.group_id is null)
                or starts_with(
                     (select of.path_key || '/' from servers me join groups of on of.id = me.group_id where me.id = ${id}),
                     g.path_key || '/'))
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
