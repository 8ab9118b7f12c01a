import { AdminLinks } from "@broker/core/admin-links/AdminLinks"
import { Admins } from "@broker/core/admins/Admins"
import { everything } from "@broker/core/admins/Authority"
import { Roles } from "@broker/core/roles/Roles"
import { AdminName } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { BuiltInRole, builtInPermissions, type Permission } from "@broker/domain/Permission"
import { CustomRoleId, type RoleRequest } from "@broker/domain/Role"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import { atWork, audited, codeOf, customRole, isSignedIn, member } from "../admins/members.ts"

const request = (permissions: ReadonlyArray<Permission>, fields: Partial<RoleRequest> = {}): RoleRequest => ({
  name: Fixtures.unique("role"),
  description: "of a test",
  permissions,
  ...fields
})

layer(Fixtures.layer)("Roles", (it) => {
  it.effect("those that come with the broker come first, then the organization's own by name", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const organizationId = yield* Fixtures.organization
      const by = everything(organizationId)
      for (const name of ["night shift", "Day shift"]) yield* roles.create(by, request(["servers:read"], { name }))
      yield* member("owner", organizationId)
      const listed = yield* roles.list(organizationId)
      assert.deepStrictEqual(
        listed.map(({ admins, builtIn, name }) => [name, builtIn, admins]),
        [
          ["owner", true, 1],
          ["admin", true, 0],
          ["operator", true, 0],
          ["auditor", true, 0],
          ["viewer", true, 0],
          ["Day shift", false, 0],
          ["night shift", false, 0]
        ]
      )
    })
  )

  it.effect("one that comes with the broker holds what it is known to hold, and nobody may have its name", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      for (const id of BuiltInRole.literals) {
        const { permissions } = yield* roles.get(defaultOrganizationId, id)
        assert.deepStrictEqual(new Set(permissions), builtInPermissions[id])
      }
      const own = yield* customRole(["servers:read"])
      const by = everything(defaultOrganizationId)
      const codes = [
        yield* codeOf(roles.create(by, request(["servers:read"], { name: "Owner" }))),
        yield* codeOf(roles.update(by, own, request(["servers:read"], { name: "ADMIN" })))
      ]
      assert.deepStrictEqual(codes, ["role_name_taken", "role_name_taken"])
    })
  )

  it.effect("of ten of one name at once, one is made", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const by = everything(defaultOrganizationId)
      const name = Fixtures.unique("role")
      const results = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, at) => (at % 2 === 0 ? name : name.toUpperCase())),
        (name) => Effect.result(roles.create(by, request(["servers:read"], { name }))),
        { concurrency: "unbounded" }
      )
      const codes = results.flatMap((one) => (Result.isFailure(one) ? [one.failure.code] : []))
      assert.deepStrictEqual([codes.length, new Set(codes)], [9, new Set(["role_name_taken"])])
    })
  )

  it.effect("A5 nobody makes, changes or deletes a role that holds more than they do, and hears of what", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const by = yield* member(yield* customRole(["roles:create", "roles:update", "roles:delete", "servers:read"]))
      const more = yield* customRole(["servers:read", "users:delete"])
      const less = yield* customRole(["servers:read"])
      const refusals = [
        yield* Effect.flip(roles.create(by, request(["servers:read", "users:delete"]))),
        // Neither what it held …
        yield* Effect.flip(roles.update(by, more, request(["servers:read"]))),
        // … nor what it is to hold.
        yield* Effect.flip(roles.update(by, less, request(["users:delete"]))),
        yield* Effect.flip(roles.delete(by, more))
      ]
      for (const refused of refusals) {
        assert.deepInclude(refused, { code: "more_than_held", permissions: ["users:delete"] })
      }
      yield* roles.create(by, request(["servers:read", "roles:create"]))
      yield* roles.update(by, less, request(["roles:update"]))
      yield* roles.delete(by, less)
    })
  )

  it.effect("A5 J4 what only a later release knows, nobody here passes on, and no change loses it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const roles = yield* Roles
      const admins = yield* Admins
      const links = yield* AdminLinks
      const role = yield* customRole(["servers:read"])
      const storing = sql<{ permissions: ReadonlyArray<string> }>`select permissions from roles where id = ${role}`
      yield* sql`update roles set permissions = '{servers:read,backups:restore}' where id = ${role}`
      const owner = yield* member("owner")
      const viewer = yield* member("viewer")
      const refusals = [
        yield* Effect.flip(admins.changeRole(owner, viewer.id, role)),
        yield* Effect.flip(links.invite(owner, { name: AdminName.make(Fixtures.unique("guest")), role })),
        yield* Effect.flip(roles.update(owner, role, request(["servers:read"]))),
        yield* Effect.flip(roles.delete(owner, role))
      ]
      for (const refused of refusals) {
        assert.strictEqual(refused.code, "more_than_held")
        assert.include(refused.detail, "backups:restore")
      }
      const command = everything(defaultOrganizationId)
      const changed = yield* roles.update(command, role, request(["servers:read", "users:read"]))
      assert.deepStrictEqual(changed.permissions, ["servers:read", "users:read"])
      const [stored] = yield* storing
      assert.deepStrictEqual(stored?.permissions, ["servers:read", "users:read", "backups:restore"])
      yield* admins.changeRole(command, viewer.id, role)
    })
  )

  it.effect("a change holds from the next request on, and ends no session", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const role = yield* customRole(["servers:read", "users:read"])
      const { id } = yield* member(role)
      const { ticket } = yield* atWork({ id })
      const changed = yield* roles.update(
        everything(defaultOrganizationId),
        role,
        request(["users:update", "servers:read"], { name: "changed" })
      )
      assert.deepStrictEqual(changed.permissions, ["servers:read", "users:update"])
      assert.isTrue(yield* isSignedIn(ticket))
      const { admin } = yield* atWork({ id })
      assert.deepStrictEqual([admin.roleName, [...admin.permissions]], ["changed", ["servers:read", "users:update"]])
      assert.deepStrictEqual((yield* audited(role)).at(-1), {
        action: "roles:update",
        details: { name: "changed", gained: ["users:update"], lost: ["users:read"] }
      })
    })
  )

  it.effect("A7 one that somebody has, or is invited to, stays, and names who", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const admins = yield* Admins
      const links = yield* AdminLinks
      const by = everything(defaultOrganizationId)
      const role = yield* customRole(["servers:read"])
      const holder = yield* member(role)
      yield* admins.disable(by, holder.id)
      const name = AdminName.make(Fixtures.unique("guest"))
      const invitation = yield* links.invite(by, { name, role })
      const both = yield* Effect.flip(roles.delete(by, role))
      assert.deepInclude(both, { code: "role_in_use", admins: [holder.name], invitations: [name] })
      yield* admins.changeRole(by, holder.id, "viewer")
      const one = yield* Effect.flip(roles.delete(by, role))
      assert.deepInclude(one, { code: "role_in_use", admins: [], invitations: [name] })
      yield* links.withdraw(by, invitation.id)
      yield* roles.delete(by, role)
      assert.strictEqual(yield* codeOf(roles.get(defaultOrganizationId, role)), "role_not_found")
    })
  )

  it.effect("A7 an invitation that ran out is in nobody's way", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const roles = yield* Roles
      const links = yield* AdminLinks
      const by = everything(defaultOrganizationId)
      const role = yield* customRole(["servers:read"])
      const { id } = yield* links.invite(by, { name: AdminName.make(Fixtures.unique("guest")), role })
      yield* sql`update admin_links set expires_at = ${DateTime.toDateUtc(yield* DateTime.now)} where id = ${id}`
      yield* roles.delete(by, role)
    })
  )

  it.effect("A7 of a role that is given and deleted at once, either the one or the other", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const admins = yield* Admins
      const by = everything(defaultOrganizationId)
      for (let round = 0; round < 10; round++) {
        const role = yield* customRole(["servers:read"])
        const { id } = yield* member("viewer")
        const [given, deleted] = yield* Effect.all(
          [Effect.result(admins.changeRole(by, id, role)), Effect.result(roles.delete(by, role))],
          { concurrency: "unbounded" }
        )
        assert.notStrictEqual(Result.isSuccess(given), Result.isSuccess(deleted))
      }
    })
  )

  it.effect("J4 a permission that only a later release knows means nothing", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const roles = yield* Roles
      const role = yield* customRole(["servers:read"])
      const { id } = yield* member(role)
      yield* sql`update roles set permissions = array['servers:read', 'moons:read'] where id = ${role}`
      const { permissions } = yield* roles.get(defaultOrganizationId, role)
      const { admin } = yield* atWork({ id })
      assert.deepStrictEqual([permissions, [...admin.permissions]], [["servers:read"], ["servers:read"]])
    })
  )

  it.effect("A6 what was refused leaves no trace", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const role = yield* customRole(["servers:read", "users:delete"])
      const by = yield* member(yield* customRole(["roles:update", "servers:read"]))
      const before = yield* roles.get(defaultOrganizationId, role)
      yield* codeOf(roles.update(by, role, request(["servers:read"])))
      assert.deepStrictEqual(yield* roles.get(defaultOrganizationId, role), before)
      assert.lengthOf(yield* audited(role), 1)
    })
  )

  it.effect("A5 one of another organization is not found, whatever is done", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const foreign = yield* customRole(["servers:read"], yield* Fixtures.organization)
      const by = everything(defaultOrganizationId)
      for (const id of [foreign, CustomRoleId.make("00000000-0000-4000-8000-00000000dead")]) {
        const codes = [
          yield* codeOf(roles.get(defaultOrganizationId, id)),
          yield* codeOf(roles.permissions(defaultOrganizationId, id)),
          yield* codeOf(roles.update(by, id, request(["servers:read"]))),
          yield* codeOf(roles.delete(by, id))
        ]
        assert.deepStrictEqual(new Set(codes), new Set(["role_not_found"]))
      }
    })
  )
})
