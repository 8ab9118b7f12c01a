/** Admins with roles of every kind, and what they hold. */
import { AdminSessions, type SignedInAdmin } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { type Authority, everything } from "@broker/core/admins/Authority"
import { Roles } from "@broker/core/roles/Roles"
import type { AdminId } from "@broker/domain/Admin"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { builtInPermissions, type Permission } from "@broker/domain/Permission"
import { type CustomRoleId, isBuiltIn, type RoleId } from "@broker/domain/Role"
import * as Fixtures from "@broker/testing/Fixtures"
import { Effect, Random } from "effect"
import { SqlClient } from "effect/sql"

/** The problem's code. */
export const codeOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

/** All that a role of the organization's own can hold. */
export const givable = [...builtInPermissions.admin]

/** A role of the organization's own. */
export const customRole = Effect.fnUntraced(function* (
  permissions: ReadonlyArray<Permission>,
  organizationId: OrganizationId = defaultOrganizationId
) {
  const roles = yield* Roles
  const { id } = yield* roles.create(everything(organizationId), {
    name: Fixtures.unique("role"),
    description: "",
    permissions
  })
  return id as CustomRoleId
})

/** A role of the organization's own that holds some of all that such a role can hold. */
export const anyRole = Effect.fnUntraced(function* (organizationId: OrganizationId = defaultOrganizationId) {
  const size = yield* Random.nextIntBetween(1, givable.length)
  return yield* customRole([...(yield* Random.shuffle(givable))].slice(0, size), organizationId)
})

/** Somebody with a role, and what it lets them do. */
export const member = Effect.fnUntraced(function* (
  role: RoleId = "owner",
  organizationId: OrganizationId = defaultOrganizationId
) {
  const admins = yield* Admins
  const roles = yield* Roles
  const { id, name } = yield* Fixtures.admin({ organizationId, role: isBuiltIn(role) ? role : "viewer" })
  if (!isBuiltIn(role)) yield* admins.changeRole(everything(organizationId), id, role)
  const permissions = yield* roles.permissions(organizationId, role)
  return { id, name, organizationId, permissions, role } satisfies Authority & { name: string; role: RoleId }
})

/** The same, at work in the dashboard. */
export const atWork = Effect.fnUntraced(function* (who: { readonly id: AdminId }) {
  const sessions = yield* AdminSessions
  const { ticket } = yield* sessions.open(who.id, { method: "password", factor: true }, Fixtures.browser)
  const admin: SignedInAdmin = yield* sessions.authenticate(ticket)
  return { ticket, admin }
})

export const isSignedIn = Effect.fnUntraced(function* (ticket: Effect.Success<ReturnType<typeof atWork>>["ticket"]) {
  const sessions = yield* AdminSessions
  return yield* Effect.match(sessions.authenticate(ticket), { onFailure: () => false, onSuccess: () => true })
})

/** Entries about something, the oldest first. */
export const audited = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<{ readonly action: string; readonly details: unknown }>`
    select action, details from audit_entries where subject_id = ${id} and action <> 'admins:sign-in' order by id`
})
