/** The one statement that heartbeats end in, and the one that silence ends in. */
import { ChallengeId, Nonce } from "@broker/domain/Challenge"
import type { Metrics } from "@broker/domain/Heartbeat"
import { Base64UrlFromBytes } from "@broker/domain/Primitives"
import { Admission, Liveness, ServerId } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Duration, Effect, Result, Schema } from "effect"
import { type SqlClient, SqlSchema } from "effect/sql"
import type { ServersPolicy } from "../servers/ServersPolicy.ts"

const { OID } = PgTypes

/** A heartbeat as it is written. */
export interface Beat {
  readonly serverId: ServerId
  readonly bootId: string
  readonly seq: number
  readonly seenAt: Date
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
  hasCuts: Schema.Boolean
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

/** Whether a server that came back has yet to show that it stays (H2). */
const flapping = (sql: SqlClient.SqlClient, policy: typeof ServersPolicy.Service) => sql`
  (p.liveness <> 'online'
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
    Request: Schema.declare((u): u is ReadonlyArray<Beat> => Array.isArray(u)),
    Result: Standing,
    execute: (beats) => sql`
      with beat as (
        select *
          from unnest(
                 ${column(beats, OID.uuid, (beat) => beat.serverId)},
                 ${column(beats, OID.uuid, (beat) => beat.bootId)},
                 ${column(beats, OID.int8, (beat) => BigInt(beat.seq))},
                 ${column(beats, OID.timestamptz, (beat) => beat.seenAt)},
                 ${column(beats, OID.float8, (beat) => beat.skewSeconds)},
                 ${column(beats, OID.float8, (beat) => beat.intervalSeconds)},
                 ${column(beats, OID.int4, (beat) => beat.activeConnections)},
                 ${column(beats, OID.jsonb, (beat) => beat.metrics)}
               ) as b (server_id, boot_id, seq, seen_at, skew, interval_seconds, connections, metrics)
      ), heard as (
        insert into server_presence as p (
               server_id, boot_id, seq, liveness, liveness_reason, liveness_since, last_seen_at,
               interval_seconds, skew_seconds, good_streak, active_connections, metrics)
        select b.server_id, b.boot_id, b.seq,
               case when abs(b.skew) > ${maxSkew} then 'degraded' else 'online' end,
               case when abs(b.skew) > ${maxSkew} then 'clock_skew' end,
               b.seen_at, b.seen_at, b.interval_seconds, b.skew, 1, b.connections, b.metrics
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
                   metrics = excluded.metrics
             where p.boot_id is null
                or (p.boot_id = excluded.boot_id and p.seq < excluded.seq)
                or (p.boot_id <> excluded.boot_id and excluded.boot_id <> all (p.former_boot_ids))
         returning p.server_id, p.boot_id, p.seq, p.liveness, p.last_seen_at, p.interval_seconds, p.metrics
      ), sampled as (
        insert into server_samples (server_id, minute, metrics)
        select server_id, date_trunc('minute', last_seen_at), metrics
          from heard
         where metrics <> '{}'
         order by server_id
            on conflict (server_id, minute) do update set metrics = excluded.metrics
      )
      select s.id as server_id, s.admission, coalesce(h.liveness, p.liveness) as liveness,
             coalesce(h.interval_seconds, p.interval_seconds) as interval_seconds,
             c.id as challenge_id, c.nonce, c.expires_at,
             case when h.server_id is not null then jsonb_build_object('bootId', h.boot_id, 'seq', h.seq) end as heard,
             exists (select
                       from connections k
                      where k.server_id = s.id
                        and k.cut_seq is not null
                        and k.cut_confirmed_at is null) as has_cuts
        from beat b
        join servers s on s.id = b.server_id
        join server_presence p on p.server_id = s.id
        left join heard h on h.server_id = s.id
        left join challenges c on c.server_id = s.id and c.state = 'open' and c.expires_at > b.seen_at`
  })

  /**
   * Moves whoever was silent for too long, counted from the last heartbeat or from the end of the broker's own last
   * outage, whichever came later (H5): silence that nobody listened to is not held against a server.
   */
  const sweep = SqlSchema.findAll({
    Request: Schema.Struct({
      now: Schema.DateTimeUtcFromDate,
      listeningSince: Schema.DateTimeUtcFromDate,
      limit: Schema.Int
    }),
    Result: Schema.Struct({ serverId: ServerId, liveness: Liveness }),
    execute: ({ limit, listeningSince, now }) => sql`
      with silent as (
          select server_id,
                 case when greatest(last_seen_at, ${listeningSince})
                           + make_interval(secs => interval_seconds * ${policy.offlineAfterMissed}::int) < ${now}
                      then 'offline' else 'degraded'
                 end as liveness
            from server_presence
           where liveness in ('online', 'degraded')
             and greatest(last_seen_at, ${listeningSince})
                 + make_interval(secs => interval_seconds * ${policy.degradedAfterMissed}::int) < ${now}
             and (liveness = 'online'
                  or liveness_reason is distinct from 'missed_heartbeats'
                  or greatest(last_seen_at, ${listeningSince})
                     + make_interval(secs => interval_seconds * ${policy.offlineAfterMissed}::int) < ${now})
        order by server_id
           limit ${limit}
             for update skip locked
      )
         update server_presence p
            set liveness = silent.liveness,
                liveness_reason = 'missed_heartbeats',
                liveness_since = case when p.liveness = silent.liveness then p.liveness_since else ${now} end,
                good_streak = 0,
                falls = case
                  when p.liveness <> 'online' then p.falls
                  when p.fell_at > ${now}::timestamptz - make_interval(secs => ${Duration.toSeconds(policy.flappingWindow)}) then least(p.falls + 1, 32000)
                  else 1
                end,
                fell_at = case when p.liveness = 'online' then ${now} else p.fell_at end,
                active_connections = case when silent.liveness = 'offline' then 0 else p.active_connections end
           from silent
          where p.server_id = silent.server_id
      returning p.server_id, p.liveness`
  })

  const pruneSamples = (before: Date) =>
    Effect.map(
      sql`
        delete from server_samples
         where ctid in (select ctid from server_samples where minute < ${before} limit 20000)
     returning 1`,
      (rows) => rows.length
    )

  return { beat, sweep, pruneSamples }
}
