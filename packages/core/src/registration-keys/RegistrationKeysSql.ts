/** Every statement that touches `registration_keys`. Nothing here decides; it only reads and writes. */
import { OrganizationId } from "@broker/domain/Organization"
import { RegistrationKey, RegistrationKeyId, RegistrationKeyState } from "@broker/domain/RegistrationKey"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Position } from "../Cursor.ts"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const state = (now: Date) => sql`
    case when revoked_at is not null then 'revoked'
         when uses >= use_limit then 'exhausted'
         when expires_at <= ${now} then 'expired'
         else 'active'
    end`

  const insert = SqlSchema.findOne({
    Request: RegistrationKey.insert,
    Result: RegistrationKey,
    execute: (key) => sql`insert into registration_keys ${sql.insert(key)} returning *, 'active' as state`
  })

  const find = SqlSchema.findOne({
    Request: Schema.Struct({ id: RegistrationKeyId, now: Schema.DateTimeUtcFromDate }),
    Result: RegistrationKey,
    execute: ({ id, now }) => sql`select *, ${state(now)} as state from registration_keys where id = ${id}`
  })

  /** B1: no row comes back unless the key has a use left; whoever updates it first, wins. */
  const spend = SqlSchema.findOne({
    Request: Schema.Struct({ id: RegistrationKeyId, now: Schema.DateTimeUtcFromDate }),
    Result: RegistrationKey,
    execute: ({ id, now }) => sql`
         update registration_keys
            set uses = uses + 1
          where id = ${id}
            and revoked_at is null
            and expires_at > ${now}
            and uses < use_limit
      returning *, ${state(now)} as state`
  })

  /** B8: there is no way back, and doing it again changes nothing. */
  const revoke = SqlSchema.findOne({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      id: RegistrationKeyId,
      now: Schema.DateTimeUtcFromDate
    }),
    Result: RegistrationKey,
    execute: ({ id, now, organizationId }) => sql`
         update registration_keys
            set revoked_at = coalesce(revoked_at, ${now})
          where organization_id = ${organizationId}
            and id = ${id}
      returning *, 'revoked' as state`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      states: Schema.Array(RegistrationKeyState),
      now: Schema.DateTimeUtcFromDate,
      after: Schema.NullOr(Position),
      limit: Schema.Int
    }),
    Result: RegistrationKey,
    execute: ({ after, limit, now, organizationId, states }) => sql`
        select *
          from (select *, ${state(now)} as state from registration_keys) as keys
         where ${sql.and([
           sql`organization_id = ${organizationId}`,
           ...(states.length === 0 ? [] : [sql.in("state", states)]),
           ...(after === null ? [] : [sql`id < ${after[1]}`])
         ])}
      order by id desc
         limit ${limit}`
  })

  const countActive = SqlSchema.findOne({
    Request: Schema.Struct({ organizationId: OrganizationId, now: Schema.DateTimeUtcFromDate }),
    Result: Schema.Struct({ keys: Schema.Int }),
    execute: ({ now, organizationId }) => sql`
      select count(*)::int as keys
        from registration_keys
       where organization_id = ${organizationId}
         and revoked_at is null
         and expires_at > ${now}
         and uses < use_limit`
  })

  return { insert, find, spend, revoke, list, countActive }
})
