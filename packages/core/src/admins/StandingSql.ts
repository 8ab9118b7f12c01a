/** What members of an organization may do at this very moment: whatever the session or the token of one said before. */
import { AdminId } from "@broker/domain/Admin"
import { OrganizationId } from "@broker/domain/Organization"
import { BuiltInRole, type Permission } from "@broker/domain/Permission"
import { Effect, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { permissionsOf } from "../roles/permissionsOf.ts"
import type { Authority } from "./Authority.ts"

/** What says what a member may do, as columns of a row. */
export const fields = {
  role: BuiltInRole,
  ownPermissions: Schema.NullOr(Schema.Array(Schema.String)),
  isDisabled: Schema.Boolean,
  mustEnrol: Schema.Boolean
} as const
const Standing = Schema.Struct(fields)
export type Standing = typeof Standing.Type

/** Those of a membership `m` of an admin `a`, left joined with its role `r` and its organization's policy `p`. */
export const columns = (sql: SqlClient.SqlClient) => sql`
  m.role, r.permissions as own_permissions, m.disabled_at is not null as is_disabled,
  coalesce(p.require_factor, false)
    and a.totp_confirmed_at is null
    and not exists (select from passkeys k where k.admin_id = a.id) as must_enrol`

/** What a member may do: nothing while they are disabled, or have yet to enrol a second factor (A2). */
export const allowed = (standing: Standing): ReadonlySet<Permission> =>
  standing.isDisabled || standing.mustEnrol ? new Set() : permissionsOf(standing.role, standing.ownPermissions)

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  /** Whoever changes what anybody may do takes turns, before anything else is locked. */
  const hold = SqlSchema.void({
    Request: OrganizationId,
    execute: (id) => sql`select 1 from organizations where id = ${id} for no key update`
  })

  const find = SqlSchema.findOneOption({
    Request: Schema.Struct({ organizationId: OrganizationId, id: AdminId }),
    Result: Standing,
    execute: ({ id, organizationId }) => sql`
         select ${columns(sql)}
           from memberships m
           join admins a on a.id = m.admin_id
      left join roles r on r.id = m.custom_role_id
      left join security_policies p on p.organization_id = m.organization_id
          where m.organization_id = ${organizationId}
            and m.admin_id = ${id}`
  })

  /** An authority, cut to what its holder still may: nobody acts on what was taken from them a moment ago (A5). */
  const remaining = Effect.fnUntraced(function* (by: Authority) {
    if (by.id === null) return by
    const standing = yield* find({ organizationId: by.organizationId, id: by.id })
    const now = Option.match(standing, { onNone: () => new Set<Permission>(), onSome: allowed })
    const permissions: ReadonlySet<Permission> = new Set([...by.permissions].filter((held) => now.has(held)))
    return { ...by, permissions }
  })

  return { hold, find, remaining }
})
