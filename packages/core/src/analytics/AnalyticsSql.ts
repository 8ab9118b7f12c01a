/** Every statement that touches `connection_usage`, and what else analytics read of connections. */
import { AnalyticsQuery } from "@broker/domain/Analytics"
import { Verdict } from "@broker/domain/Connection"
import { OrganizationId } from "@broker/domain/Organization"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Now = Schema.DateTimeUtcFromDate

/** A quarter of an hour of an organization. */
const Quarter = Schema.Struct({ organizationId: OrganizationId, quarter: Now })

/** A report that is asked for, of whole quarters. */
const Asked = Schema.Struct({
  organizationId: OrganizationId,
  query: Schema.toType(AnalyticsQuery),
  /** Only of servers that were in that group or below it then. */
  path: Schema.NullOr(Schema.String),
  from: Now,
  to: Now
})
type Asked = typeof Asked.Encoded

const sums = {
  connections: Schema.Int,
  users: Schema.Int,
  devices: Schema.Int,
  seconds: Schema.Finite,
  rxBytes: Schema.Finite,
  txBytes: Schema.Finite
}

/** What figures are told apart by. */
const keys = { server: "server_id", group: "server_group", user: "user_id", platform: "platform" } as const

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /**
   * Taken first: of two roll-ups the second waits. From here on quarters before the horizon stay as they are, because
   * connections that ended before it may be deleted.
   */
  const begin = SqlSchema.void({
    Request: Now,
    execute: (horizon) => sql`
      update connection_usage_progress
         set frozen_until = greatest(frozen_until, date_bin('15 minutes', ${horizon}::timestamptz, 'epoch'))`
  })

  /**
   * Takes the quarters that are due, the oldest first: at most `limit` of those in which something changed, and what is
   * left of them is put back; and all since the last time of organizations with live connections, which change while
   * nothing happens. What is noted meanwhile is not seen here, and so not taken.
   */
  const take = SqlSchema.findAll({
    Request: Schema.Struct({ now: Now, spans: Schema.Int, limit: Schema.Int }),
    Result: Quarter,
    execute: ({ limit, now, spans }) => sql`
      with progress as (
        select frozen_until, complete_until,
               greatest(frozen_until, counted_until, case
                 -- After a while without a leader, not every quarter of it needs a look.
                 when counted_until < ${now}::timestamptz - interval '1 hour'
                 then coalesce((select min(active_at) from connections where status = 'active'), ${now})
               end) as since
          from connection_usage_progress
      ), counted as (
        select date_bin('15 minutes', since, 'epoch') as since, least(${now}, since + interval '1 day') as until
          from progress
      ), taken as (
           delete from connection_usage_due
            where id in (select id from connection_usage_due order by id limit ${spans})
        returning organization_id, span
      ), owed as (
          select organization_id, range_agg(span) * tstzmultirange(tstzrange(max(frozen_until), null)) as spans
            from taken, progress
        group by organization_id
      ), changed as (
          select owed.organization_id, quarter
            from owed, unnest(owed.spans) as span,
                 generate_series(lower(span), upper(span) - interval '15 minutes', interval '15 minutes') as quarter
        order by quarter, organization_id
           limit ${limit}
      ), done as (
          select organization_id, range_agg(tstzrange(quarter, quarter + interval '15 minutes')) as spans
            from changed
        group by organization_id
      ), kept as (
        insert into connection_usage_due (organization_id, span)
             select owed.organization_id, unnest(owed.spans - coalesce(done.spans, '{}'))
               from owed
          left join done using (organization_id)
          returning span
      ), live as (
        select o.id as organization_id, quarter
          from organizations o, counted,
               -- An end may be told as of a moment ago.
               generate_series(counted.since - interval '15 minutes', counted.until, interval '15 minutes') as quarter
         where quarter >= (select frozen_until from progress)
           and (o.id in (select organization_id from taken)
                or exists (select from connections c where c.organization_id = o.id and c.status = 'active'))
      ), moved as (
        update connection_usage_progress
           set counted_until = greatest(counted_until, counted.until),
               complete_until = case
                 when (select count(*) from taken) < ${spans}
                 then least(counted.until, (select min(lower(span)) from kept))
                 else complete_until
               end
          from counted
      )
      select organization_id, quarter from changed
       union
      select organization_id, quarter from live
       order by 2, 1`
  })

  /**
   * Writes quarters anew from the connections that touch them. A connection counts where it began. Its bytes are spread
   * evenly over its time, in whole ones: what was moved until a quarter's end, less what was until its beginning.
   */
  const write = SqlSchema.void({
    Request: Schema.Struct({ now: Now, quarters: Schema.Array(Quarter) }),
    execute: ({ now, quarters }) => sql`
      with due as (
        select organization_id, quarter, quarter + interval '15 minutes' as until
          from unnest(
                 ${quarters.map(({ organizationId }) => organizationId)}::uuid[],
                 ${quarters.map(({ quarter }) => quarter)}::timestamptz[]
               ) as d (organization_id, quarter)
      ), fresh as materialized (
          select d.organization_id, d.quarter, c.server_id, c.user_id, c.device_id, lower(c.platform) as platform,
                 c.server_group, max(c.user_name) as user_name,
                 (count(*) filter (where c.active_at >= d.quarter))::integer as opened,
                 sum(part.until - part.since) / 1000000 as seconds,
                 sum(floor(rx * part.ended) - floor(rx * part.began)) as rx_bytes,
                 sum(floor(tx * part.ended) - floor(tx * part.began)) as tx_bytes
            from due d
      cross join lateral (
                   select *, coalesce(ended_at, greatest(active_at, ${now})) as over_at,
                          -- As the client sees it: what it received is what the server sent.
                          coalesce(server_tx_bytes, client_rx_bytes, 0)::float8 as rx,
                          coalesce(server_rx_bytes, client_tx_bytes, 0)::float8 as tx
                     from connections
                    where tstzrange(active_at, ended_at, '[]') && tstzrange(d.quarter, d.until)
                      and active_at is not null
                      and organization_id = d.organization_id
                 ) as c
      cross join lateral (
                   -- In whole microseconds since the connection began, so that nothing is lost in between.
                   select round(date_part('epoch', c.over_at - c.active_at) * 1000000) as total,
                          round(date_part('epoch', greatest(d.quarter - c.active_at, interval '0')) * 1000000) as since,
                          round(date_part('epoch', least(d.until, c.over_at) - c.active_at) * 1000000) as until
                 ) as span
      cross join lateral (
                   select span.since, span.until,
                          case when span.total > 0 then span.since / span.total else 0 end as began,
                          case when span.total > 0 then span.until / span.total else 1 end as ended
                 ) as part
           where c.active_at >= d.quarter or part.until > part.since
        group by 1, 2, 3, 4, 5, 6, 7
      ), vanished as (
        -- What both have comes in two rows, so that neither has to be searched for the other's.
        delete from connection_usage
              where ctid = any (array(
                      select max(written)
                        from (select organization_id, quarter, server_id, user_id, device_id, platform, server_group,
                                     null::tid as written
                                from fresh
                           union all
                              select u.organization_id, u.quarter, u.server_id, u.user_id, u.device_id, u.platform,
                                     u.server_group, u.ctid
                                from due d
                                join connection_usage u on u.organization_id = d.organization_id and u.quarter = d.quarter
                             ) as both_sides
                    group by organization_id, quarter, server_id, user_id, device_id, platform, server_group
                      having count(*) = 1 and max(written) is not null))
      )
      insert into connection_usage as u (
             organization_id, quarter, server_id, user_id, device_id, platform, server_group, user_name, opened, seconds,
             rx_bytes, tx_bytes)
      select *
        from fresh
          on conflict on constraint connection_usage_uq do update
             set user_name = excluded.user_name,
                 opened = excluded.opened,
                 seconds = excluded.seconds,
                 rx_bytes = excluded.rx_bytes,
                 tx_bytes = excluded.tx_bytes
           where (u.user_name, u.opened, u.seconds, u.rx_bytes, u.tx_bytes)
                 is distinct from
                 (excluded.user_name, excluded.opened, excluded.seconds, excluded.rx_bytes, excluded.tx_bytes)`
  })

  /** The criteria that usage and connections have in common. */
  const chosen = ({ organizationId, path, query }: Asked) => [
    sql`organization_id = ${organizationId}`,
    ...(path === null ? [] : [sql`starts_with(server_group || '/', ${`${path}/`})`]),
    ...(query.serverId === null ? [] : [sql`server_id = ${query.serverId}`]),
    ...(query.userId === null ? [] : [sql`user_id = ${query.userId}`]),
    ...(query.deviceId === null ? [] : [sql`device_id = ${query.deviceId}`]),
    ...(query.platform === null ? [] : [sql`lower(platform) = ${query.platform.toLowerCase()}`])
  ]

  /** The usage of the range. */
  const used = (asked: Asked) => sql.and([...chosen(asked), sql`quarter >= ${asked.from}`, sql`quarter < ${asked.to}`])

  /** For statements that have to agree with each other, and that sum up much. */
  const prepareReport = sql`set transaction isolation level repeatable read`.pipe(
    Effect.andThen(sql`set local work_mem = '64MB'`)
  )

  /** Sums over a device each, by whatever else, and then over a user: whom there is only one of is counted so. */
  const summed = {
    ofDevice: sql.literal(`
      user_id, device_id, sum(opened) as opened, sum(seconds) as seconds, sum(rx_bytes) as rx_bytes,
      sum(tx_bytes) as tx_bytes`),
    ofUser: sql.literal(`
      user_id, count(distinct device_id) as devices, sum(opened) as opened, sum(seconds) as seconds,
      sum(rx_bytes) as rx_bytes, sum(tx_bytes) as tx_bytes`),
    ofAll: sql.literal(`
      coalesce(sum(opened), 0)::int as connections, count(user_id)::int as users,
      coalesce(sum(devices), 0)::int as devices, round(coalesce(sum(seconds), 0) * 1000000) / 1000000 as seconds,
      coalesce(sum(rx_bytes), 0) as rx_bytes, coalesce(sum(tx_bytes), 0) as tx_bytes`)
  }

  /**
   * Every step of a range, and at last all of it. Steps begin where hours and days do in the time zone; an hour that
   * the clock repeats is two (C7).
   */
  const steps = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ at: Schema.NullOr(Now), ...sums }),
    execute: (asked) => sql`
      with steps as materialized (
          select at, min(quarter) as since, row_number() over (order by min(quarter)) as step
            from (select quarter, date_trunc(${asked.query.step}, quarter, ${asked.query.timeZone}) as at
                    from generate_series(
                           ${asked.from}, ${asked.to}::timestamptz - interval '15 minutes', interval '15 minutes'
                         ) as quarter) as quarters
        group by at
      ), of_devices as materialized (
          select width_bucket(quarter, (select array_agg(since order by since) from steps)) as step, ${summed.ofDevice}
            from connection_usage
           where ${used(asked)}
        group by step, user_id, device_id
      ), of_users as (
          select step, ${summed.ofUser} from of_devices group by step, user_id
      ), of_all_users as (
          select ${summed.ofUser} from of_devices group by user_id
      )
         select at, ${summed.ofAll}
           from steps
      left join of_users using (step)
       group by at
      union all
         select null, ${summed.ofAll} from of_all_users
       order by at`
  })

  /** What was moved in each step of a range, both ways. */
  const moved = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ at: Now, bytes: Schema.Finite }),
    execute: (asked) => sql`
      with steps as materialized (
          select at, min(quarter) as since
            from (select quarter, date_trunc(${asked.query.step}, quarter, ${asked.query.timeZone}) as at
                    from generate_series(
                           ${asked.from}, ${asked.to}::timestamptz - interval '15 minutes', interval '15 minutes'
                         ) as quarter) as quarters
        group by at
      ), used as (
          select width_bucket(quarter, (select array_agg(since order by since) from steps)) as step,
                 sum(rx_bytes + tx_bytes) as bytes
            from connection_usage
           where ${used(asked)}
        group by step
      )
         select s.at, coalesce(u.bytes, 0) as bytes
           from (select at, row_number() over (order by since) as step from steps) as s
      left join used u using (step)
       order by s.step`
  })

  /** What a group is called: as it is called now, or else as it was called last. */
  const named = ({ organizationId, query, to }: Asked) => {
    switch (query.by) {
      case "server":
        return sql`(select name from servers where id = key)`
      case "user":
        return sql`coalesce(
          (select name from users where id = key),
          (select user_name from connections where user_id = key order by id desc limit 1),
          (select user_name
             from connection_usage
            where organization_id = ${organizationId} and quarter < ${to} and user_id = key
            order by quarter desc
            limit 1))`
      case "group":
        return sql`coalesce(key, 'No group')`
      case "platform":
        return sql`key`
    }
  }

  /** Those with the most time first, and how many there are in all. */
  const groups = SqlSchema.findAll({
    Request: Schema.Struct({ ...Asked.fields, limit: Schema.Int }),
    Result: Schema.Struct({ key: Schema.String, name: Schema.String, ...sums, groups: Schema.Int }),
    execute: ({ limit, ...asked }) => sql`
      with of_devices as materialized (
          select ${sql.literal(keys[asked.query.by])} as key, ${summed.ofDevice}
            from connection_usage
           where ${used(asked)}
        group by key, user_id, device_id
      ), of_users as (
          select key, ${summed.ofUser} from of_devices group by key, user_id
      ), of_groups as (
          select key, ${summed.ofAll}, (count(*) over ())::int as groups
            from of_users
        group by key
        order by seconds desc, key
           limit ${limit}
      )
        select coalesce(key::text, '') as key, ${named(asked)} as name, connections, users, devices, seconds, rx_bytes,
               tx_bytes, groups
          from of_groups
      order by seconds desc, key`
  })

  /** The connections that ended in the range. */
  const ended = (asked: Asked) =>
    sql.and([...chosen(asked), sql`status = 'ended'`, sql`ended_at >= ${asked.from}`, sql`ended_at < ${asked.to}`])

  /** What the accounts came to of connections that ended within the range. */
  const verdicts = SqlSchema.findAll({
    Request: Asked,
    Result: Schema.Struct({ verdict: Verdict, connections: Schema.Int }),
    execute: (asked) => sql`
        select verdict, count(*)::int as connections
          from connections
         where ${ended(asked)}
           and verdict is not null
      group by verdict`
  })

  /** The most frequent first. */
  const reasons = SqlSchema.findAll({
    Request: Schema.Struct({ ...Asked.fields, limit: Schema.Int }),
    Result: Schema.Struct({ reason: Schema.String, connections: Schema.Int }),
    execute: ({ limit, ...asked }) => sql`
        select end_reason as reason, count(*)::int as connections
          from connections
         where ${ended(asked)}
      group by end_reason
      order by connections desc, reason
         limit ${limit}`
  })

  /** What became of the intents that were made within the range. */
  const outcomes = SqlSchema.findOne({
    Request: Asked,
    Result: Schema.Struct({ connected: Schema.Int, expired: Schema.Int, refused: Schema.Int }),
    execute: (asked) => sql`
      select (count(*) filter (where active_at is not null))::int as connected,
             (count(*) filter (where status = 'expired'))::int as expired,
             (count(*) filter (where status = 'refused'))::int as refused
        from connections
       where ${sql.and(chosen(asked))}
         and created_at >= ${asked.from}
         and created_at < ${asked.to}`
  })

  /** Before the first roll-up, nothing is complete. */
  const completeUntil = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Schema.Struct({ at: Now }),
    execute: () => sql`select greatest(complete_until, 'epoch') as at from connection_usage_progress`
  })

  const prune = (before: Date, limit: number) =>
    Effect.map(
      sql`
        delete from connection_usage
         where ctid = any (array(
                 select past.ctid
                   from organizations o
             cross join lateral (
                          select ctid from connection_usage u where u.organization_id = o.id and u.quarter < ${before} limit ${limit}
                        ) as past
                  limit ${limit}))
     returning 1`,
      (rows) => rows.length
    )

  return { begin, take, write, prepareReport, steps, moved, groups, verdicts, reasons, outcomes, completeUntil, prune }
})
