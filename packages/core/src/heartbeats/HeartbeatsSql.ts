/** The one statement that heartbeats end in, and the one that silence ends in. */
import { ChallengeId, Nonce } from "@broker/domain/Challenge"
import type { Metrics } from "@broker/domain/Heartbeat"
import { OrganizationId } from "@broker/domain/Organization"
import { Base64UrlFromBytes } from "@broker/domain/Primitives"
import { Admission, Liveness, ServerId } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Duration, Result, Schema } from "effect"
import { type SqlClient, SqlSchema } from "effect/sql"
import { isWindowed, windowed } from "../availability/WindowsSql.ts"
import type { ServersPolicy } from "../servers/ServersPolicy.ts"

const { OID } = PgTypes

/** A heartbeat as it is written. */
export interface Beat {
  readonly serverId: ServerId
  readonly bootId: string
  readonly seq: number
  readonly seenAt: Date
  /** Where it came from, where that is known. */
  readonly address?: string | null
  readonly skewSeconds: number
  readonly intervalSeconds: number
  readonly activeConnections: number
  readonly metrics: Metrics
}

/** What the reply needs to know after it was written. */
export const Standing = Schema.Struct({
  serverId: ServerId,
  admission: Admission,
  liveness: Liveness,
  /** What the server was told last; null if it was never heard. */
  intervalSeconds: Schema.NullOr(Schema.Finite),
  challengeId: Schema.NullOr(ChallengeId),
  nonce: Schema.NullOr(Base64UrlFromBytes.pipe(Schema.decodeTo(Nonce))),
  expiresAt: Schema.NullOr(Schema.DateTimeUtcFromDate),
  /** The heartbeat that was written; null for one that came late or again (H3). */
  heard: Schema.NullOr(Schema.Struct({ bootId: Schema.String, seq: Schema.Finite })),
  /** Whether there are orders to cut that it has not confirmed. */
  hasCuts: Schema.Boolean,
  /** Whether it is of a boot whose place another had taken: late, again, or a sign of a fork (V5). */
  isFormer: Schema.Boolean,
  /** Whether an admin wants the server to change its key (V4). */
  isToRotate: Schema.Boolean,
  /** Whether it is to be asked, and no question is open (V2). */
  isToAsk: Schema.Boolean
})
export type Standing = typeof Standing.Type

/** A column of a batch, of a type that PostgreSQL is told rather than left to guess from the first element. */
const column = <A>(beats: ReadonlyArray<Beat>, oid: number, of: (beat: Beat) => A) =>
  Result.getOrThrow(PgTypes.array(beats.map(of), oid))

/** The heartbeats in a row, this one included: a silence in between starts the count again, swept or not. */
const streak = (sql: SqlClient.SqlClient, policy: typeof ServersPolicy.Service) => sql`
  (case
     when p.last_seen_at + make_interval(secs => p.interval_seconds * ${policy.degradedAfterMissed}::int)
          < excluded.last_seen_at
     then 1
     else least(p.good_streak + 1, 32000)
   end)`

/** Whether a server that came back has yet to show that it stays (H2). One that the guard held was never given up on. */
const flapping = (sql: SqlClient.SqlClient, policy: typeof ServersPolicy.Service) => sql`
  (p.liveness not in ('online', 'unknown')
   and p.falls >= ${policy.flappingFalls}::int
   and p.fell_at > excluded.last_seen_at - make_interval(secs => ${Duration.toSeconds(policy.flappingWindow)})
   and ${streak(sql, policy)} < 3)`

export const make = (sql: SqlClient.SqlClient, policy: typeof ServersPolicy.Service) => {
  const maxSkew = Duration.toSeconds(policy.maxClockSkew)

  /**
   * Writes a batch, ordered by id so that two writers never wait for each other in a ring. Late and repeated beats
   * find a newer `(boot, seq)` and change nothing (H3); `last_seen_at` never moves back (H7). A move of liveness is
   * recorded by the row's own trigger, once (H2).
   */
  const beat = SqlSchema.findAll({
    Request: Schema.Struct({
      beats: Schema.declare((u): u is ReadonlyArray<Beat> => Array.isArray(u)),
      /** What was heard before had to wait so long that its minute may be rolled up. */
      lateBefore: Schema.DateTimeUtcFromDate
    }),
    Result: Standing,
    execute: ({ beats, lateBefore }) => sql`
      with beat as (
        select *
          from unnest(
                 ${column(beats, OID.uuid, (beat) => beat.serverId)},
                 ${column(beats, OID.uuid, (beat) => beat.bootId)},
                 ${column(beats, OID.int8, (beat) => BigInt(beat.seq))},
                 ${column(beats, OID.timestamptz, (beat) => beat.seenAt)},
                 ${column(beats, OID.text, (beat) => beat.address ?? null)}::inet[],
                 ${column(beats, OID.float8, (beat) => beat.skewSeconds)},
                 ${column(beats, OID.float8, (beat) => beat.intervalSeconds)},
                 ${column(beats, OID.int4, (beat) => beat.activeConnections)},
                 ${column(beats, OID.jsonb, (beat) => beat.metrics)}
               ) as b (server_id, boot_id, seq, seen_at, address, skew, interval_seconds, connections, metrics)
      ), heard as (
        insert into server_presence as p (
               server_id, boot_id, seq, liveness, liveness_reason, liveness_since, last_seen_at,
               interval_seconds, skew_seconds, good_streak, active_connections, metrics, address)
        select b.server_id, b.boot_id, b.seq,
               case when abs(b.skew) > ${maxSkew} then 'degraded' else 'online' end,
               case when abs(b.skew) > ${maxSkew} then 'clock_skew' end,
               b.seen_at, b.seen_at, b.interval_seconds, b.skew, 1, b.connections, b.metrics, b.address
          from beat b
          join servers s on s.id = b.server_id and s.admission in ('pending', 'approved')
         order by b.server_id
            on conflict (server_id) do update
               set boot_id = excluded.boot_id,
                   former_boot_ids = case
                     when p.boot_id is null or p.boot_id = excluded.boot_id then p.former_boot_ids
                     else (p.boot_id || p.former_boot_ids)[1:8]
                   end,
                   seq = excluded.seq,
                   liveness = case when ${flapping(sql, policy)} then p.liveness else excluded.liveness end,
                   liveness_reason = case
                     when ${flapping(sql, policy)} then 'flapping'
                     else excluded.liveness_reason
                   end,
                   liveness_since = case
                     when ${flapping(sql, policy)} or p.liveness = excluded.liveness then p.liveness_since
                     -- A beat that had to wait does not reach back behind what was recorded meanwhile.
                     else greatest(p.liveness_since, excluded.liveness_since)
                   end,
                   last_seen_at = greatest(p.last_seen_at, excluded.last_seen_at),
                   interval_seconds = excluded.interval_seconds,
                   skew_seconds = excluded.skew_seconds,
                   good_streak = ${streak(sql, policy)},
                   active_connections = excluded.active_connections,
                   metrics = excluded.metrics,
                   address = coalesce(excluded.address, p.address)
             where p.boot_id is null
                or (p.boot_id = excluded.boot_id and p.seq < excluded.seq)
                or (p.boot_id <> excluded.boot_id and excluded.boot_id <> all (p.former_boot_ids))
         returning p.server_id, p.boot_id, p.seq, p.liveness, p.last_seen_at, p.interval_seconds, p.metrics
      ), sampled as (
        insert into metric_samples (server_id, at, boot_id, seq, metrics)
        select server_id, last_seen_at, boot_id, seq, metrics
          from heard
         where metrics <> '{}'
         order by server_id
      ), late as (
        insert into metric_late (at)
        select distinct date_trunc('minute', last_seen_at)
          from heard
         where metrics <> '{}'
           and last_seen_at < ${lateBefore}
      )
      select s.id as server_id, s.admission, coalesce(h.liveness, p.liveness) as liveness,
             coalesce(h.interval_seconds, p.interval_seconds) as interval_seconds,
             c.id as challenge_id, c.nonce, c.expires_at,
             case when h.server_id is not null then jsonb_build_object('bootId', h.boot_id, 'seq', h.seq) end as heard,
             exists (select
                       from connections k
                      where k.server_id = s.id
                        and k.cut_seq is not null
                        and k.cut_confirmed_at is null) as has_cuts,
             h.server_id is null and b.boot_id = any (p.former_boot_ids) as is_former,
             exists (select
                       from server_verifications v
                      where v.server_id = s.id
                        and v.rotation_requested_at is not null) as is_to_rotate,
             c.id is null
               and exists (select
                             from server_verifications v
                            where v.server_id = s.id
                              and v.wanted is not null) as is_to_ask
        from beat b
        join servers s on s.id = b.server_id
        join server_presence p on p.server_id = s.id
        left join heard h on h.server_id = s.id
        left join challenges c on c.server_id = s.id and c.state = 'open' and c.expires_at > b.seen_at`
  })

  const Moment = { now: Schema.DateTimeUtcFromDate, listeningSince: Schema.DateTimeUtcFromDate }

  /**
   * Whether so many heartbeats were missed, counted from the last one or from the end of the broker's own last outage,
   * whichever came later (H5): silence that nobody listened to is not held against a server.
   */
  const missed = (count: number, { listeningSince, now }: { readonly listeningSince: Date; readonly now: Date }) => sql`
    (greatest(p.last_seen_at, ${listeningSince}) + make_interval(secs => p.interval_seconds * ${count}::int) < ${now})`

  /**
   * Whose liveness may have to move: silent for long enough, and not known to be already; held by a guard that may have
   * ended (one that began to be held after any ended is held still, whatever the clocks of two nodes make of a minute);
   * or given up on just before a guard began.
   */
  const isDue = (moment: { readonly listeningSince: Date; readonly now: Date }) => sql`
    case p.liveness
      when 'online' then ${missed(policy.degradedAfterMissed, moment)}
      when 'degraded' then
        case
          when p.liveness_reason = 'missed_heartbeats' then ${missed(policy.offlineAfterMissed, moment)}
          else ${missed(policy.degradedAfterMissed, moment)}
        end
      when 'unknown' then
        p.liveness_since <= (select max(ended_at) + interval '1 minute' from fleet_guards)
      when 'offline' then
        p.liveness_reason = 'missed_heartbeats'
          and p.liveness_since + make_interval(secs => p.interval_seconds * ${policy.offlineAfterMissed}::int)
              >= (select min(began_at) from fleet_guards where ended_at is null)
      else false
    end`

  /** Takes the sweep until the transaction ends, unless another node is at it: nobody waits for it. */
  const claim = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Schema.Struct({ isClaimed: Schema.Boolean }),
    execute: () => sql`select pg_try_advisory_xact_lock(hashtextextended('liveness-sweep', 0)) as is_claimed`
  })(undefined)

  /**
   * Where each of them goes. While a guard holds its fleet, a server that would be given up on turns `unknown` instead
   * (H6), and so does one that was given up on within one time-out before the guard began. Who was held by a guard that
   * ended is given up on, however long it was silent: that was answered for. Nobody in maintenance is held.
   *
   * One look at the whole table of presence, which says in a quiet fleet that there is nothing to do. What few rows it
   * finds are looked up one by one, whatever the planner believes of a predicate that it cannot estimate.
   */
  const judged = (moment: { readonly listeningSince: Date; readonly now: Date }) => sql`
    due as materialized (
      select p.server_id, p.liveness as before, p.liveness_since as since, p.interval_seconds,
             ${missed(policy.offlineAfterMissed, moment)} as lost
        from server_presence p
       where ${isDue(moment)}
    ), ${windowed(sql, moment.now)}, judged as materialized (
      select due.server_id, s.organization_id, due.before, due.lost, s.guarded,
             case
               when due.before = 'unknown' and due.since >= g.began_at then 'unknown'
               when due.before = 'offline' and s.guarded and due.since < g.began_at
                    and due.since + make_interval(secs => due.interval_seconds * ${policy.offlineAfterMissed}::int)
                        >= g.began_at then 'unknown'
               when due.before in ('unknown', 'offline') then 'offline'
               when not due.lost then 'degraded'
               when g.began_at is not null and s.guarded then 'unknown'
               else 'offline'
             end as liveness
        from due
  cross join lateral (
               select s.organization_id,
                      s.admission in ('pending', 'approved')
                        and s.duty <> 'maintenance'
                        and not ${isWindowed(sql)} as guarded
                 from servers s
                where s.id = due.server_id
               offset 0
             ) as s
   left join fleet_guards g on g.organization_id = s.organization_id and g.ended_at is null
    )`

  /** Whose fleets have servers that have to move, and how many of these are live and would be given up on. */
  const due = SqlSchema.findAll({
    Request: Schema.Struct(Moment),
    Result: Schema.Struct({ organizationId: OrganizationId, lost: Schema.Int }),
    execute: (moment) => sql`
      with ${judged(moment)}
        select organization_id,
               (count(*) filter (where guarded and lost and before in ('online', 'degraded')))::int as lost
          from judged
         where liveness <> before
            or before = 'degraded'
      group by organization_id
      order by organization_id`
  })

  /** Moves them, a bounded number at once. */
  const sweep = SqlSchema.findAll({
    Request: Schema.Struct({ ...Moment, limit: Schema.Int }),
    Result: Schema.Struct({ serverId: ServerId, liveness: Liveness }),
    execute: ({ limit, ...moment }) => sql`
      with ${judged(moment)}, locked as materialized (
        select p.server_id
          from server_presence p
         where p.server_id = any (array(
                 select server_id
                   from judged
                  where liveness <> before
                     or before = 'degraded'
               order by server_id
                  limit ${limit}))
           -- It may have been heard since it was judged.
           and ${isDue(moment)}
      order by p.server_id
           for update of p skip locked
      ), silent as (
        select judged.* from judged join locked using (server_id)
      )
         update server_presence p
            set liveness = silent.liveness,
                liveness_reason = case
                  when silent.liveness = 'unknown' or silent.before = 'unknown' then 'fleet_guard'
                  else 'missed_heartbeats'
                end,
                liveness_since = case
                  when p.liveness = silent.liveness then p.liveness_since
                  else greatest(p.liveness_since, ${moment.now})
                end,
                good_streak = 0,
                falls = case
                  when p.liveness <> 'online' then p.falls
                  when p.fell_at > ${moment.now}::timestamptz - make_interval(secs => ${Duration.toSeconds(policy.flappingWindow)}) then least(p.falls + 1, 32000)
                  else 1
                end,
                fell_at = case when p.liveness = 'online' then ${moment.now} else p.fell_at end,
                active_connections = case when silent.liveness = 'offline' then 0 else p.active_connections end
           from silent
          where p.server_id = silent.server_id
            -- Nor has another node moved it.
            and p.liveness = silent.before
      returning p.server_id, p.liveness`
  })

  return { beat, claim, due, sweep }
}
