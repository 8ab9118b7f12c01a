/** Every statement that decides who is asked when (V3). */
import { OrganizationId } from "@broker/domain/Organization"
import { ServerId } from "@broker/domain/Server"
import { PgTypes } from "@effect/sql-pg"
import { Duration, Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import { VerificationPolicy } from "./VerificationPolicy.ts"

const { OID } = PgTypes

const ids = (servers: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array([...servers], OID.uuid))

const One = Schema.Struct({ id: ServerId })

/** Of which urgency servers are that have not proven themselves; risks come below it. */
export const unverifiedUrgency = 5

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const policy = yield* VerificationPolicy
  const { challengeBackoff, challengeBackoffMax } = yield* ServersPolicy
  const periodSeconds = Duration.toSeconds(policy.period)

  /** Hints for servers whose due times were worked out by another period than the one that holds: the setting changed. */
  const hintRealigned = SqlSchema.findAll({
    Request: Schema.Int,
    Result: One,
    execute: (limit) => sql`
      with other as (
        select v.server_id
          from server_verifications v
          join servers s on s.id = v.server_id
          left join groups g on g.id = s.group_id
         where v.due_at is not null
           and v.period_seconds <> coalesce(g.effective_verification_period_seconds, ${periodSeconds})
         limit ${limit}
      ), hinted as (
        insert into verification_hints (server_id) select server_id from other
      )
      select server_id as id from other`
  })

  /** Servers with questions that are over, and with hints. */
  const unsettled = SqlSchema.findAll({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, limit: Schema.Int }),
    Result: One,
    execute: ({ limit, now }) => sql`
      select server_id as id
        from (select server_id from challenges where state = 'open' and expires_at <= ${now} order by expires_at limit ${limit}) as over
       union
      select server_id
        from (select server_id from verification_hints order by id limit ${limit}) as hinted`
  })

  /** In the order of their ids; whoever is being judged or moved just now waits for the next run. */
  const lock = SqlSchema.findAll({
    Request: Schema.Array(ServerId),
    Result: One,
    execute: (servers) => sql`
        select id
          from servers
         where id = any(${ids(servers)})
      order by id
           for no key update skip locked`
  })

  const expire = SqlSchema.findAll({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, servers: Schema.Array(ServerId) }),
    Result: One,
    execute: ({ now, servers }) => sql`
         update challenges
            set state = 'expired'
          where server_id = any(${ids(servers)})
            and state = 'open'
            and expires_at <= ${now}
      returning server_id as id`
  })

  /** Takes up the hints of servers that are locked. */
  const takeHints = SqlSchema.void({
    Request: Schema.Array(ServerId),
    execute: (servers) => sql`
      with hint as (
        delete from verification_hints where server_id = any(${ids(servers)}) returning server_id, risk
      ), gravest as (
        select server_id,
               max(array_position(array['new_version', 'new_capability', 'new_boot', 'new_network'], risk)) as urgency
          from hint
         where risk <> 'none'
      group by server_id
      )
      update server_verifications v
         set urgency = gravest.urgency,
             risk = (array['new_version', 'new_capability', 'new_boot', 'new_network'])[gravest.urgency]
        from gravest
       where v.server_id = gravest.server_id
         and gravest.urgency > case v.risk when 'none' then 0 else v.urgency % ${unverifiedUrgency}::int end`
  })

  /** Works out when servers are asked next. They are locked, and doing it again changes nothing. */
  const settle = SqlSchema.void({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, servers: Schema.Array(ServerId) }),
    execute: ({ now, servers }) => sql`
      with standing as (
        select s.id, s.verified, s.verified_at,
               s.admission in ('pending', 'approved') and p.liveness in ('online', 'degraded') as askable,
               coalesce(g.effective_verification_period_seconds, ${periodSeconds}) as period
          from servers s
          join server_presence p on p.server_id = s.id
          left join groups g on g.id = s.group_id
         where s.id = any(${ids(servers)})
      )
      update server_verifications v
         set period_seconds = standing.period,
             urgency = case
               when not standing.verified then ${unverifiedUrgency}::int
               else coalesce(array_position(array['new_version', 'new_capability', 'new_boot', 'new_network'], v.risk), 0)
             end,
             due_at = case
               when not standing.askable or v.state = 'open' then null
               when v.state = 'expired' then v.at + make_interval(secs => least(
                 ${Duration.toSeconds(challengeBackoff)} * power(2, least(v.silences, 20) - 1),
                 ${Duration.toSeconds(challengeBackoffMax)}))
               when not standing.verified or v.risk <> 'none' then least(v.due_at, ${now})
               -- Its time has come already: only a question moves it on.
               when v.due_at <= ${now} then v.due_at
               else verification_due(v.server_id, standing.verified_at, standing.period)
             end
        from standing
       where v.server_id = standing.id`
  })

  /**
   * Verified servers that were heard after each of too many questions, and answered none. Questions that the broker
   * asked before it was away itself count for nothing.
   */
  const unresponsive = SqlSchema.findAll({
    Request: Schema.Struct({
      servers: Schema.Array(ServerId),
      listeningSince: Schema.DateTimeUtcFromDate
    }),
    Result: Schema.Struct({ id: ServerId, organizationId: OrganizationId, silences: Schema.Int }),
    execute: ({ listeningSince, servers }) => sql`
        select s.id, s.organization_id, v.silences
          from server_verifications v
          join servers s on s.id = v.server_id
          join server_presence p on p.server_id = s.id
         where v.server_id = any(${ids(servers)})
           and v.state = 'expired'
           and v.silences >= ${policy.silencesTolerated}
           and v.asked_at >= ${listeningSince}
           and p.last_seen_at > v.asked_at
           and s.verified
           and s.admission in ('pending', 'approved')
      order by s.id`
  })

  const doubt = SqlSchema.void({
    Request: Schema.Struct({ id: ServerId, now: Schema.DateTimeUtcFromDate, reason: Schema.String }),
    execute: ({ id, now, reason }) =>
      Effect.andThen(
        sql`update server_verifications set doubted_at = ${now}, doubt_reason = ${reason} where server_id = ${id}`,
        sql`update servers set verified_at = null where id = ${id}`
      )
  })

  /** How many servers come round within a second, and how many there are to ask. */
  const pace = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Schema.Struct({ perSecond: Schema.Finite, servers: Schema.Finite }),
    execute: () => sql`
      select coalesce(sum(1 / period_seconds), 0) as per_second, count(*)::float8 as servers
        from server_verifications
       where due_at is not null or state = 'open'`
  })

  /** The most urgent of those whose time has come, of each urgency the longest due. */
  const due = SqlSchema.findAll({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, limit: Schema.Int }),
    Result: One,
    execute: ({ limit, now }) => sql`
      select v.server_id as id
        from generate_series(0, ${unverifiedUrgency}::int) as urgent (urgency)
       cross join lateral (
               select server_id
                 from server_verifications
                where urgency = urgent.urgency::smallint
                  and due_at <= ${now}
             order by due_at, server_id
                limit ${limit}
             ) as v`
  })

  /** Of servers that are locked, those that are still due, and whether they can be asked. */
  const stillDue = SqlSchema.findAll({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, servers: Schema.Array(ServerId) }),
    Result: Schema.Struct({ id: ServerId, urgency: Schema.Int, askable: Schema.Boolean }),
    execute: ({ now, servers }) => sql`
        select v.server_id as id, v.urgency,
               s.admission in ('pending', 'approved') and p.liveness in ('online', 'degraded')
                 and v.state is distinct from 'open' as askable
          from server_verifications v
          join servers s on s.id = v.server_id
          join server_presence p on p.server_id = v.server_id
         where v.server_id = any(${ids(servers)})
           and v.due_at <= ${now}
      order by v.urgency desc, v.due_at, v.server_id`
  })

  /** What is no longer needed to tell who is due. */
  const prune = (endedBefore: Date, heardBefore: Date) =>
    Effect.gen(function* () {
      const challenges = yield* sql`
        delete from challenges
         where ctid in (
                 select ctid
                   from challenges
                  where state in ('passed', 'failed', 'expired')
                    and coalesce(answered_at, expires_at) < ${endedBefore}
                  limit 20000)
     returning 1`
      yield* sql`delete from former_boots where last_at < ${heardBefore}`
      return challenges.length
    })

  return { hintRealigned, unsettled, lock, expire, takeHints, settle, unresponsive, doubt, pace, due, stillDue, prune }
})
