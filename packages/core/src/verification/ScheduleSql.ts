/** Every statement that decides who is asked when (V3). */
import { ChallengePurpose } from "@broker/domain/Challenge"
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

/** Over how long questions are counted together. */
export const span = "10 minutes"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  /** The gravest last: where each stands is its urgency. */
  const risks = sql`array['new_version', 'new_capability', 'new_boot', 'new_network']`
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

  /** Ends what was not answered in time. It is silence only where the broker listened all along. */
  const expire = SqlSchema.findAll({
    Request: Schema.Struct({
      now: Schema.DateTimeUtcFromDate,
      listeningSince: Schema.DateTimeUtcFromDate,
      servers: Schema.Array(ServerId)
    }),
    Result: One,
    execute: ({ listeningSince, now, servers }) => sql`
         update challenges
            set state = case when issued_at < ${listeningSince} then 'superseded' else 'expired' end
          where server_id = any(${ids(servers)})
            and state = 'open'
            and expires_at <= ${now}
      returning server_id as id`
  })

  /**
   * Takes up the hints of servers that are locked. Something new ends the wait after a silence, once. Who has nothing to
   * lose begins with short waits again; of a verified server each silence goes on to count.
   */
  const takeHints = SqlSchema.void({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, servers: Schema.Array(ServerId) }),
    execute: ({ now, servers }) => sql`
      with hint as (
        delete from verification_hints where server_id = any(${ids(servers)}) returning server_id, risk
      ), gravest as (
        select server_id, max(array_position(${risks}, risk)) as urgency
          from hint
         where risk <> 'none'
      group by server_id
      )
      update server_verifications v
         set risk = (${risks})[greatest(gravest.urgency, array_position(${risks}, v.risk))],
             due_at = case when v.state = 'expired' then ${now} else v.due_at end,
             silences = case when v.state = 'expired' and not s.verified then 0 else v.silences end
        from gravest
        join servers s on s.id = gravest.server_id
       where v.server_id = gravest.server_id`
  })

  /** Works out when servers are asked next. They are locked, and doing it again changes nothing. */
  const settle = SqlSchema.void({
    Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, servers: Schema.Array(ServerId) }),
    execute: ({ now, servers }) => sql`
      with standing as (
        select s.id, s.verified, s.verified_at,
               s.admission in ('pending', 'approved') as admitted,
               s.admission in ('pending', 'approved') and p.liveness in ('online', 'degraded') as askable,
               coalesce(g.effective_verification_period_seconds, ${periodSeconds}) as period,
               k.created_at as key_offered_at
          from servers s
          join server_presence p on p.server_id = s.id
          left join groups g on g.id = s.group_id
          left join server_keys k on k.server_id = s.id and k.state = 'next'
         where s.id = any(${ids(servers)})
      )
      update server_verifications v
         set period_seconds = standing.period,
             urgency = case
               when not standing.verified then ${unverifiedUrgency}::int
               else coalesce(array_position(${risks}, v.risk), 0)
             end,
             -- An admin's wish waits for a server that is away.
             wanted = case
               when standing.askable or (standing.admitted and v.wanted = 'requested') then v.wanted
             end,
             due_at = case
               when not standing.askable or v.state = 'open' then null
               when v.state = 'expired' then least(v.due_at, v.at + make_interval(secs => least(
                 ${Duration.toSeconds(challengeBackoff)} * power(2, least(greatest(v.silences, 1), 20) - 1),
                 ${Duration.toSeconds(challengeBackoffMax)})))
               -- V4: so that a new key comes into use.
               when not standing.verified or standing.key_offered_at >= coalesce(v.asked_at, '-infinity') then least(v.due_at, ${now})
               -- Its time has come already: only a question moves it on.
               when v.due_at <= ${now} then v.due_at
               when v.risk <> 'none' then least(
                 v.due_at,
                 greatest(${now}, standing.verified_at + make_interval(secs => ${Duration.toSeconds(policy.rest)})),
                 verification_due(v.server_id, standing.verified_at, standing.period))
               else verification_due(v.server_id, standing.verified_at, standing.period)
             end
        from standing
       where v.server_id = standing.id`
  })

  /** Verified servers that took too many questions in a row with their heartbeats, and answered none. */
  const unresponsive = SqlSchema.findAll({
    Request: Schema.Array(ServerId),
    Result: Schema.Struct({ id: ServerId, organizationId: OrganizationId, silences: Schema.Int }),
    execute: (servers) => sql`
        select s.id, s.organization_id, v.silences
          from server_verifications v
          join servers s on s.id = v.server_id
         where v.server_id = any(${ids(servers)})
           and v.state = 'expired'
           and v.silences >= ${policy.silencesTolerated}
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
                  and wanted is null
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
           and v.wanted is null
      order by v.urgency desc, v.due_at, v.server_id`
  })

  /** From now on their next heartbeats take questions out. They are locked. */
  const want = SqlSchema.void({
    Request: Schema.Struct({
      now: Schema.DateTimeUtcFromDate,
      purpose: Schema.Literals(["scheduled", "requested"]),
      servers: Schema.Array(ServerId)
    }),
    execute: ({ now, purpose, servers }) => sql`
      update server_verifications
         set wanted = ${purpose},
             due_at = case when due_at > ${now} then ${now} else due_at end
       where server_id = any(${ids(servers)})`
  })

  /** For what a server that is let in is to be asked. It is locked. */
  const wanted = SqlSchema.findOneOption({
    Request: ServerId,
    Result: Schema.Struct({ wanted: ChallengePurpose }),
    execute: (id) => sql`
      select v.wanted
        from server_verifications v
        join servers s on s.id = v.server_id and s.admission in ('pending', 'approved')
       where v.server_id = ${id}
         and v.wanted is not null`
  })

  /**
   * Counts how the questions of every ten minutes ended, once all that could end in them have, so that figures need not
   * count a day of questions. It goes on from where it was left, half an hour of questions at once and a day back at most.
   */
  const tally = SqlSchema.void({
    Request: Schema.DateTimeUtcFromDate,
    execute: (now) => sql`
      with closed as (
        select date_bin(${span}::interval, least(
                 ${now}::timestamptz, (select min(expires_at) from challenges where state = 'open')), 'epoch') as until
      ), left_off as (
        select until,
               greatest(until - interval '25 hours', (select max(since) + ${span}::interval from verification_spans)) as since
          from closed
      ), part as (
        select first, least(until, first + interval '30 minutes') as until
          from left_off
    cross join lateral (
                 select date_bin(${span}::interval, coalesce(answered_at, expires_at), 'epoch') as first
                   from challenges
                  where state <> 'open'
                    and coalesce(answered_at, expires_at) >= left_off.since
                    and coalesce(answered_at, expires_at) < left_off.until
               order by coalesce(answered_at, expires_at)
                  limit 1
               ) as next
      )
      insert into verification_spans (organization_id, since, passed, failed, expired)
      select s.organization_id,
             date_bin(${span}::interval, coalesce(c.answered_at, c.expires_at), 'epoch') as since,
             count(*) filter (where c.state = 'passed'),
             count(*) filter (where c.state = 'failed'),
             count(*) filter (where c.state = 'expired')
        from challenges c
        join servers s on s.id = c.server_id
       where c.state <> 'open'
         and coalesce(c.answered_at, c.expires_at) >= (select first from part)
         and coalesce(c.answered_at, c.expires_at) < (select until from part)
    group by 1, 2
          on conflict do nothing`
  })

  /** What is no longer needed to tell who is due. */
  const prune = (endedBefore: Date, heardBefore: Date, talliedBefore: Date) =>
    Effect.gen(function* () {
      const challenges = yield* sql`
        delete from challenges
         where ctid in (
                 select ctid
                   from challenges
                  where state <> 'open'
                    and coalesce(answered_at, expires_at) < ${endedBefore}
                  limit 20000)
     returning 1`
      yield* sql`delete from former_boots where last_at < ${heardBefore}`
      yield* sql`delete from verification_spans where since < ${talliedBefore}`
      return challenges.length
    })

  return {
    hintRealigned,
    unsettled,
    lock,
    expire,
    takeHints,
    settle,
    unresponsive,
    doubt,
    pace,
    due,
    stillDue,
    want,
    wanted,
    tally,
    prune
  }
})
