/** Every statement that touches `personal_keys`. Nothing here decides; it only reads and writes. */
import { OrganizationId } from "@broker/domain/Organization"
import { PersonalKey, PersonalKeyId } from "@broker/domain/PersonalKey"
import { UserId, UserState } from "@broker/domain/User"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const One = Schema.Struct({ organizationId: OrganizationId, id: PersonalKeyId })

const Now = Schema.DateTimeUtcFromDate

const OfUser = Schema.Struct({ organizationId: OrganizationId, userId: UserId })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const columns = (now: Date) => sql`
    k.id, k.organization_id, k.user_id, k.name, k.digest, k.hint, k.connection_limit, k.created_by, k.created_at,
    k.expires_at, k.last_used_at, host(k.last_address) as last_address, k.replaced_by, k.revoked_at, k.revoked_reason,
    case when k.revoked_at is not null then 'revoked'
         when k.expires_at <= ${now} then 'expired'
         else 'active'
    end as state,
    (select count(*)::int from connections c
      where c.personal_key_id = k.id and c.status in ('intent', 'active')) as live_connections`

  const insert = SqlSchema.void({
    Request: PersonalKey.insert,
    execute: (key) => sql`insert into personal_keys ${sql.insert(key)}`
  })

  const get = SqlSchema.findOne({
    Request: Schema.Struct({ ...One.fields, now: Now }),
    Result: PersonalKey,
    execute: ({ id, now, organizationId }) => sql`
      select ${columns(now)} from personal_keys k where k.organization_id = ${organizationId} and k.id = ${id}`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ ...OfUser.fields, now: Now }),
    Result: PersonalKey,
    execute: ({ now, organizationId, userId }) => sql`
        select ${columns(now)}
          from personal_keys k
         where k.organization_id = ${organizationId}
           and k.user_id = ${userId}
      order by k.id desc`
  })

  const findUser = SqlSchema.findOne({
    Request: OfUser,
    Result: Schema.Struct({ id: UserId }),
    execute: ({ organizationId, userId }) =>
      sql`select id from users where organization_id = ${organizationId} and id = ${userId}`
  })

  /** The user whom a key is for, who stays as they are until the transaction ends. */
  const holdUser = SqlSchema.findOne({
    Request: OfUser,
    Result: Schema.Struct({ name: Schema.String, state: UserState }),
    execute: ({ organizationId, userId }) => sql`
      select name, state from users where organization_id = ${organizationId} and id = ${userId} for share`
  })

  /** Of two who replace a key, the second finds it replaced. Everybody locks the user first. */
  const lock = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ id: PersonalKeyId }),
    execute: ({ id, organizationId }) => sql`
      select id from personal_keys where organization_id = ${organizationId} and id = ${id} for no key update`
  })

  /** The old key ends when the overlap is over, or by itself before. */
  const replace = SqlSchema.void({
    Request: Schema.Struct({ ...One.fields, by: PersonalKeyId, until: Now }),
    execute: ({ by, id, organizationId, until }) => sql`
      update personal_keys
         set replaced_by = ${by},
             expires_at = least(expires_at, ${until})
       where organization_id = ${organizationId}
         and id = ${id}`
  })

  /** No row comes back when it is revoked already. */
  const revoke = SqlSchema.findOneOption({
    Request: Schema.Struct({ ...One.fields, reason: Schema.NullOr(Schema.String), now: Now }),
    Result: Schema.Struct({ name: Schema.String }),
    execute: ({ id, now, organizationId, reason }) => sql`
         update personal_keys
            set revoked_at = ${now},
                revoked_reason = ${reason}
          where organization_id = ${organizationId}
            and id = ${id}
            and revoked_at is null
      returning name`
  })

  return { insert, get, list, findUser, holdUser, lock, replace, revoke }
})
