/** Every statement that touches `single_sign_on_identities`. Nothing here decides; it only reads and writes. */
import { AdminId, AdminName } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

const Identity = { issuer: Schema.String, subject: Schema.String } as const

/** An admin; without an organization, they are disabled in all. */
const Found = Schema.Struct({ id: AdminId, name: AdminName, organizationId: Schema.NullOr(OrganizationId) })
export type Found = typeof Found.Type

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const home = sql`
    left join lateral (
           select organization_id from memberships
            where admin_id = a.id and disabled_at is null order by created_at limit 1) m on true`

  const find = SqlSchema.findOneOption({
    Request: Schema.Struct(Identity),
    Result: Found,
    execute: ({ issuer, subject }) => sql`
      select a.id, a.name, m.organization_id
        from single_sign_on_identities i
        join admins a on a.id = i.admin_id
        ${home}
       where i.issuer = ${issuer}
         and i.subject = ${subject}`
  })

  /** An admin whom the provider has not named yet: whoever is known by another subject stays who they are. */
  const findUnnamed = SqlSchema.findOneOption({
    Request: Schema.Struct({ issuer: Schema.String, nameKey: Schema.String }),
    Result: Found,
    execute: ({ issuer, nameKey }) => sql`
      select a.id, a.name, m.organization_id
        from admins a
        ${home}
       where a.name_key = ${nameKey}
         and not exists (select from single_sign_on_identities where admin_id = a.id and issuer = ${issuer})`
  })

  const get = SqlSchema.findOne({
    Request: AdminId,
    Result: Found,
    execute: (id) => sql`select a.id, a.name, m.organization_id from admins a ${home} where a.id = ${id}`
  })

  const insert = SqlSchema.void({
    Request: Schema.Struct({ ...Identity, adminId: AdminId, now: Schema.DateTimeUtcFromDate }),
    execute: ({ adminId, issuer, now, subject }) => sql`
      insert into single_sign_on_identities (issuer, subject, admin_id, created_at, last_used_at)
      values (${issuer}, ${subject}, ${adminId}, ${now}, ${now})`
  })

  const touch = SqlSchema.void({
    Request: Schema.Struct({ ...Identity, now: Schema.DateTimeUtcFromDate }),
    execute: ({ issuer, now, subject }) => sql`
      update single_sign_on_identities
         set last_used_at = greatest(last_used_at, ${now})
       where issuer = ${issuer}
         and subject = ${subject}`
  })

  return { find, findUnnamed, get, insert, touch }
})
