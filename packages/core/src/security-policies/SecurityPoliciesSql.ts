/** Every statement that touches `security_policies`. */
import { AdminId } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { SecurityPolicy } from "@broker/domain/SecurityPolicy"
import { Effect, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const find = SqlSchema.findOneOption({
    Request: OrganizationId,
    Result: SecurityPolicy,
    execute: (organizationId) => sql`
      select require_factor, session_idle_seconds, session_lifetime_seconds, audit_retention_days
        from security_policies
       where organization_id = ${organizationId}`
  })

  const put = SqlSchema.void({
    Request: Schema.Struct({
      organizationId: OrganizationId,
      ...SecurityPolicy.fields,
      updatedAt: Schema.DateTimeUtcFromDate
    }),
    execute: (policy) => sql`
      insert into security_policies ${sql.insert(policy)}
      on conflict (organization_id) do update
         set require_factor = excluded.require_factor,
             session_idle_seconds = excluded.session_idle_seconds,
             session_lifetime_seconds = excluded.session_lifetime_seconds,
             audit_retention_days = excluded.audit_retention_days,
             updated_at = excluded.updated_at`
  })

  /** Held first, in a statement of its own: the next one sees what others committed meanwhile. */
  const holdAdmin = SqlSchema.void({
    Request: AdminId,
    execute: (id) => sql`select from admins where id = ${id} for no key update`
  })

  const hasFactor = SqlSchema.findOne({
    Request: AdminId,
    Result: Schema.Struct({ has: Schema.Boolean }),
    execute: (id) => sql`
      select a.totp_confirmed_at is not null or exists (select from passkeys k where k.admin_id = a.id) as has
        from admins a
       where a.id = ${id}`
  })

  return { find, put, holdAdmin, hasFactor }
})
