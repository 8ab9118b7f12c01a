/** Every statement about authenticator apps and recovery codes. Nothing here decides; it only reads and writes. */
import { AdminId } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const { OID } = PgTypes

const Now = Schema.DateTimeUtcFromDate

const One = Schema.Struct({ adminId: AdminId })

/** Of a digest: whose code it is. */
const Code = Schema.Struct({ adminId: AdminId, digest: Schema.Uint8Array })

const Totp = Schema.Struct({
  secret: Schema.NullOr(Schema.Uint8Array),
  confirmedAt: Schema.NullOr(Now)
})

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const totp = SqlSchema.findOneOption({
    Request: One,
    Result: Totp,
    execute: ({ adminId }) =>
      sql`select totp_secret as secret, totp_confirmed_at as confirmed_at from admins where id = ${adminId}`
  })

  /** Whoever changes an admin's factors does so one after the other. */
  const lock = SqlSchema.findOne({
    Request: One,
    Result: Totp,
    execute: ({ adminId }) => sql`
         select totp_secret as secret, totp_confirmed_at as confirmed_at
           from admins
          where id = ${adminId}
            for no key update`
  })

  const begin = SqlSchema.void({
    Request: Schema.Struct({ adminId: AdminId, secret: Schema.Uint8Array }),
    execute: ({ adminId, secret }) =>
      sql`update admins set totp_secret = ${secret}, totp_step = null where id = ${adminId}`
  })

  const confirm = SqlSchema.void({
    Request: Schema.Struct({ adminId: AdminId, step: Schema.BigInt, now: Now }),
    execute: ({ adminId, now, step }) =>
      sql`update admins set totp_confirmed_at = ${now}, totp_step = ${step} where id = ${adminId}`
  })

  /** A2: of two who use a step, the second finds it used. No row comes back either when the secret changed meanwhile. */
  const burn = SqlSchema.findOneOption({
    Request: Schema.Struct({ adminId: AdminId, confirmedAt: Now, step: Schema.BigInt }),
    Result: Schema.Struct({ id: AdminId }),
    execute: ({ adminId, confirmedAt, step }) => sql`
         update admins
            set totp_step = ${step}
          where id = ${adminId}
            and totp_confirmed_at = ${confirmedAt}
            and (totp_step is null or totp_step < ${step})
      returning id`
  })

  const removeTotp = SqlSchema.void({
    Request: One,
    execute: ({ adminId }) =>
      sql`update admins set totp_secret = null, totp_confirmed_at = null, totp_step = null where id = ${adminId}`
  })

  /** What is left to an admin, and whether one of their organizations demands that something is. */
  const standing = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ enrolled: Schema.Boolean, demanded: Schema.Boolean }),
    execute: ({ adminId }) => sql`
      select totp_confirmed_at is not null or exists (select from passkeys p where p.admin_id = a.id) as enrolled,
             exists (
               select
                 from memberships m
                 join security_policies p using (organization_id)
                where m.admin_id = a.id
                  and p.require_factor
             ) as demanded
        from admins a
       where id = ${adminId}`
  })

  const organizations = SqlSchema.findAll({
    Request: One,
    Result: Schema.Struct({ organizationId: OrganizationId }),
    execute: ({ adminId }) =>
      sql`select organization_id from memberships where admin_id = ${adminId} order by organization_id`
  })

  const codesLeft = SqlSchema.findOne({
    Request: One,
    Result: Schema.Struct({ left: Schema.Int }),
    execute: ({ adminId }) =>
      sql`select count(*)::int as left from recovery_codes where admin_id = ${adminId} and used_at is null`
  })

  const insertCodes = SqlSchema.void({
    Request: Schema.Struct({ adminId: AdminId, digests: Schema.Array(Schema.Uint8Array), now: Now }),
    execute: ({ adminId, digests, now }) => sql`
      insert into recovery_codes (admin_id, digest, created_at)
      select ${adminId}, digest, ${now} from unnest(${Result.getOrThrow(PgTypes.array([...digests], OID.bytea))}) as digest`
  })

  /** A2: of two who use a code, the second finds it used. */
  const useCode = SqlSchema.findOneOption({
    Request: Schema.Struct({ ...Code.fields, now: Now }),
    Result: Schema.Struct({ adminId: AdminId }),
    execute: ({ adminId, digest, now }) => sql`
         update recovery_codes
            set used_at = ${now}
          where admin_id = ${adminId}
            and digest = ${digest}
            and used_at is null
      returning admin_id`
  })

  const deleteCodes = SqlSchema.void({
    Request: One,
    execute: ({ adminId }) => sql`delete from recovery_codes where admin_id = ${adminId}`
  })

  const deletePasskeys = SqlSchema.void({
    Request: One,
    execute: ({ adminId }) => sql`delete from passkeys where admin_id = ${adminId}`
  })

  return {
    totp,
    lock,
    begin,
    confirm,
    burn,
    removeTotp,
    standing,
    organizations,
    codesLeft,
    insertCodes,
    useCode,
    deleteCodes,
    deletePasskeys
  }
})
