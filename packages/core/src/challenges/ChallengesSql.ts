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

  /**
   * Keys that were offered and never used (V4), of servers that still proved the old one when the time of the new one was
   * over. Who was away by then may have taken up the new one, and is not shut out by time.
   */
  const unusedKeys = SqlSchema.findAll({
    Request: Schema.Struct({ lifetimeSeconds: Schema.Finite, limit: Schema.Int }),
    Result: Schema.Struct({ id: ServerId, organizationId: OrganizationId, publicKey: PublicKeyFromBytes }),
    execute: ({ lifetimeSeconds, limit }) => sql`
        select s.id, s.organization_id, k.public_key
          from server_keys k
          join servers s on s.id = k.server_id
         where k.state = 'next'
           and s.verified_at > k.created_at + make_interval(secs => ${lifetimeSeconds})
      order by s.id
         limit ${limit}`
  })

  const dropNextKey = SqlSchema.findAll({
    Request: Schema.Struct({ id: ServerId, publicKey: PublicKeyFromBytes }),
    Result: Schema.Struct({ publicKey: PublicKeyFromBytes }),
    execute: ({ id, publicKey }) => sql`
         update server_keys
            set state = 'former'
          where server_id = ${id}
            and public_key = ${publicKey}
            and state = 'next'
      returning public_key`
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

  return { supersede, insert, consume, pass, keys, verify, promoteNextKey, unusedKeys, dropNextKey, history }
})
