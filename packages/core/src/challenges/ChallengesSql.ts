/** Every statement that touches `challenges`. */
import { Challenge, ChallengeId } from "@broker/domain/Challenge"
import { OrganizationId } from "@broker/domain/Organization"
import { PublicKeyFromBytes, ServerId } from "@broker/domain/Server"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** The one open challenge of a server gives way: its answer would come too late (V1). */
  const supersede = (id: typeof ServerId.Type) =>
    sql`update challenges set state = 'superseded' where server_id = ${id} and state = 'open'`

  const insert = SqlSchema.findOne({
    Request: Challenge.insert,
    Result: Challenge,
    execute: (challenge) => sql`insert into challenges ${sql.insert(challenge)} returning *`
  })

  /** Takes the challenge out of play, whatever the answer turns out to be: it is asked once (V1). */
  const consume = SqlSchema.findOne({
    Request: Schema.Struct({ id: ChallengeId, serverId: ServerId, now: Schema.DateTimeUtcFromDate }),
    Result: Challenge,
    execute: ({ id, now, serverId }) => sql`
         update challenges
            set state = 'failed',
                answered_at = ${now}
          where id = ${id}
            and server_id = ${serverId}
            and state = 'open'
            and expires_at > ${now}
      returning *`
  })

  const pass = SqlSchema.void({
    Request: ChallengeId,
    execute: (id) => sql`update challenges set state = 'passed' where id = ${id}`
  })

  /** The keys that may sign for a server: the current one, and the one it is changing to (V4). */
  const keys = SqlSchema.findAll({
    Request: ServerId,
    Result: Schema.Struct({ publicKey: PublicKeyFromBytes, state: Schema.Literals(["current", "next"]) }),
    execute: (id) => sql`
      select public_key, state from server_keys where server_id = ${id} and state in ('current', 'next') order by state`
  })

  const verify = SqlSchema.void({
    Request: Schema.Struct({ serverId: ServerId, now: Schema.DateTimeUtcFromDate }),
    execute: ({ now, serverId }) => sql`update servers set verified_at = ${now} where id = ${serverId}`
  })

  /** What was proven once is in doubt: it is to be proven anew. */
  const doubt = (id: typeof ServerId.Type) => sql`update servers set verified_at = null where id = ${id}`

  /** V4: the first use of the new key ends the old one. */
  const promoteNextKey = (id: typeof ServerId.Type) =>
    Effect.andThen(
      sql`update server_keys set state = 'former' where server_id = ${id} and state = 'current'`,
      sql`
        with promoted as (
          update server_keys set state = 'current' where server_id = ${id} and state = 'next' returning public_key
        )
        update servers set public_key = promoted.public_key from promoted where servers.id = ${id}`
    )

  const expire = SqlSchema.findAll({
    Request: Schema.DateTimeUtcFromDate,
    Result: Schema.Struct({ id: ChallengeId }),
    execute: (now) => sql`
      update challenges set state = 'expired' where state = 'open' and expires_at <= ${now} returning id`
  })

  /**
   * Servers that are heard of, have not proven themselves, and have no open challenge, once the back-off after as many
   * silences in a row is over (V2).
   */
  const due = SqlSchema.findAll({
    Request: Schema.Struct({
      now: Schema.DateTimeUtcFromDate,
      backoffSeconds: Schema.Finite,
      maxSeconds: Schema.Finite,
      limit: Schema.Int
    }),
    Result: Schema.Struct({ id: ServerId }),
    execute: ({ backoffSeconds, limit, maxSeconds, now }) => sql`
        select s.id
          from servers s
          join server_presence p on p.server_id = s.id
          join lateral (
                 select max(c.expires_at) as expired_at,
                        count(*) filter (where c.state = 'expired' and c.issued_at >= coalesce(answered.at, '-infinity')) as silences
                   from challenges c
                   left join lateral (
                          select max(answered_at) as at from challenges where server_id = s.id
                        ) as answered on true
                  where c.server_id = s.id
               ) as asked on true
         where s.admission in ('pending', 'approved')
           and not s.verified
           and p.liveness in ('online', 'degraded')
           and not exists (select from challenges c where c.server_id = s.id and c.state = 'open')
           and (asked.expired_at is null
                or asked.expired_at + make_interval(secs => least(
                     ${backoffSeconds} * power(2, least(asked.silences, 20) - 1), ${maxSeconds})) <= ${now})
      order by asked.expired_at nulls first, s.id
         limit ${limit}`
  })

  const history = SqlSchema.findAll({
    Request: Schema.Struct({ organizationId: OrganizationId, serverId: ServerId, limit: Schema.Int }),
    Result: Challenge,
    execute: ({ limit, organizationId, serverId }) => sql`
        select c.*
          from challenges c
          join servers s on s.id = c.server_id
         where s.organization_id = ${organizationId}
           and c.server_id = ${serverId}
      order by c.id desc
         limit ${limit}`
  })

  return { supersede, insert, consume, pass, keys, verify, doubt, promoteNextKey, expire, due, history }
})
