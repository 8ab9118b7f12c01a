/** Every statement that touches `passkeys`, but for what takes away all factors at once. Nothing here decides. */
import { AdminId, AdminName } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { Passkey, PasskeyId } from "@broker/domain/SecondFactor"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Now = Schema.DateTimeUtcFromDate

const One = Schema.Struct({ adminId: AdminId, id: PasskeyId })

const Name = Schema.Struct({ name: Schema.String })

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Whoever changes an admin's factors does so one after the other. */
  const holdAdmin = SqlSchema.void({
    Request: AdminId,
    execute: (id) => sql`select 1 from admins where id = ${id} for no key update`
  })

  const list = SqlSchema.findAll({
    Request: AdminId,
    Result: Passkey,
    execute: (adminId) => sql`select * from passkeys where admin_id = ${adminId} order by id`
  })

  const find = SqlSchema.findOneOption({
    Request: Schema.Uint8Array,
    Result: Passkey,
    execute: (credentialId) => sql`select * from passkeys where credential_id = ${credentialId}`
  })

  /** No row comes back when somebody has it already. */
  const insert = SqlSchema.findOneOption({
    Request: Passkey.insert,
    Result: Schema.Struct({ id: PasskeyId }),
    execute: (passkey) => sql`
      insert into passkeys ${sql.insert(passkey)} on conflict (credential_id) do nothing returning id`
  })

  const rename = SqlSchema.findOneOption({
    Request: Schema.Struct({ ...One.fields, name: Schema.String }),
    Result: Passkey,
    execute: ({ adminId, id, name }) => sql`
      update passkeys set name = ${name} where admin_id = ${adminId} and id = ${id} returning *`
  })

  const remove = SqlSchema.findOneOption({
    Request: One,
    Result: Name,
    execute: ({ adminId, id }) => sql`delete from passkeys where admin_id = ${adminId} and id = ${id} returning name`
  })

  /** Of two that counted the same, one is let through. No row comes back when it counts, and not on from where it was. */
  const use = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: PasskeyId, counter: Schema.BigInt, backedUp: Schema.Boolean, now: Now }),
    Result: Name,
    execute: ({ backedUp, counter, id, now }) => sql`
         update passkeys
            set counter = ${counter},
                backed_up = ${backedUp},
                last_used_at = ${now}
          where id = ${id}
            and (counter < ${counter} or (counter = 0 and ${counter} = 0::bigint))
      returning name`
  })

  const homes = SqlSchema.findAll({
    Request: AdminId,
    Result: Schema.Struct({ name: AdminName, organizationId: OrganizationId }),
    execute: (adminId) => sql`
        select a.name, m.organization_id
          from admins a
          join memberships m on m.admin_id = a.id
         where a.id = ${adminId}
      order by m.organization_id`
  })

  return { holdAdmin, list, find, insert, rename, remove, use, homes }
})
