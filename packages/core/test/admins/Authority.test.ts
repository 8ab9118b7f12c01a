/** Who may act on whom: A2's last owner, A4's sessions, and A5's bound on whatever anybody grants. */
import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { everything } from "@broker/core/admins/Authority"
import { Roles } from "@broker/core/roles/Roles"
import type { AdminId } from "@broker/domain/Admin"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { BuiltInRole, builtInPermissions, Permission } from "@broker/domain/Permission"
import { CustomRoleId, type RoleId } from "@broker/domain/Role"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Random, Result } from "effect"
import { SqlClient } from "effect/sql"
import { anyRole, atWork, audited, codeOf, customRole, givable, isSignedIn, member } from "./members.ts"

const ownersOf = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const admins = yield* Admins
  const all = yield* admins.list(organizationId)
  return all.filter(({ role, state }) => role === "owner" && state === "active").map(({ id }) => id)
})

/** What one role holds and another does not, in the order of the catalogue. */
const without = (one: BuiltInRole, other: BuiltInRole) =>
  Permission.literals.filter(
    (permission) => builtInPermissions[one].has(permission) && !builtInPermissions[other].has(permission)
  )

layer(Fixtures.layer)("Authority over admins", (it) => {
  it.effect("A2 the last owner is neither demoted nor disabled, not even by a command", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const organizationId = yield* Fixtures.organization
      const owner = yield* member("owner", organizationId)
      const command = everything(organizationId)
      const codes = [
        yield* codeOf(admins.changeRole(command, owner.id, "admin")),
        yield* codeOf(admins.changeRole(command, owner.id, yield* customRole(givable, organizationId))),
        yield* codeOf(admins.disable(command, owner.id))
      ]
      assert.deepStrictEqual(codes, ["last_owner", "last_owner", "last_owner"])
      assert.deepInclude(yield* admins.get(organizationId, owner.id), { role: "owner", state: "active" })
    })
  )

  it.effect("A2 a disabled owner does not count, and one who is let in again does", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const organizationId = yield* Fixtures.organization
      const [ada, bob] = [yield* member("owner", organizationId), yield* member("owner", organizationId)]
      yield* admins.disable(ada, bob.id)
      const alone = yield* codeOf(admins.disable(everything(organizationId), ada.id))
      yield* admins.enable(ada, bob.id)
      yield* admins.disable(bob, ada.id)
      assert.strictEqual(alone, "last_owner")
      assert.deepStrictEqual(yield* ownersOf(organizationId), [bob.id])
    })
  )

  it.effect("A2 of two owners who demote and disable each other 50 times at once, one stays", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const organizationId = yield* Fixtures.organization
      const [ada, bob] = [yield* member("owner", organizationId), yield* member("owner", organizationId)]
      const attempts = Array.from({ length: 50 }, (_, at) => {
        const [by, to] = at % 2 === 0 ? [ada, bob] : [bob, ada]
        return at % 4 < 2 ? admins.disable(by, to.id) : admins.changeRole(by, to.id, "viewer")
      })
      const results = yield* Effect.forEach(attempts, (attempt) => Effect.result(attempt), { concurrency: "unbounded" })
      assert.lengthOf(yield* ownersOf(organizationId), 1)
      const codes = new Set(results.flatMap((one) => (Result.isFailure(one) ? [one.failure.code] : [])))
      assert.isTrue(
        [...codes].every((code) => code === "last_owner" || code === "more_than_held"),
        [...codes].join()
      )
    })
  )

  it.effect("A2 the database itself refuses to lose the last owner", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const { id } = yield* member("owner", organizationId)
      const refused = yield* Effect.flip(sql`delete from memberships where admin_id = ${id}`)
      assert.strictEqual(refused.reason._tag, "ConstraintError")
    })
  )

  it.effect("nobody changes their own role, disables or resets themselves", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const owner = yield* member("owner")
      const codes = [
        yield* codeOf(admins.changeRole(owner, owner.id, "viewer")),
        yield* codeOf(admins.disable(owner, owner.id)),
        yield* codeOf(admins.resetFactors(owner, owner.id))
      ]
      assert.deepStrictEqual(codes, ["not_yourself", "not_yourself", "not_yourself"])
    })
  )

  it.effect("A5 nobody acts on somebody who holds more, whatever is done, and hears of what", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const owner = yield* member("owner")
      const admin = yield* member("admin")
      const refusals = [
        yield* Effect.flip(admins.changeRole(admin, owner.id, "viewer")),
        yield* Effect.flip(admins.disable(admin, owner.id)),
        yield* Effect.flip(admins.enable(admin, owner.id)),
        yield* Effect.flip(admins.resetFactors(admin, owner.id))
      ]
      for (const refused of refusals) {
        assert.deepInclude(refused, {
          code: "more_than_held",
          permissions: ["admins:reset", "security-policy:update"]
        })
      }
      assert.deepInclude(yield* admins.get(defaultOrganizationId, owner.id), { role: "owner", state: "active" })
    })
  )

  it.effect("A5 nobody makes an owner who is none", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const admin = yield* member("admin")
      const viewer = yield* member("viewer")
      assert.strictEqual(yield* codeOf(admins.changeRole(admin, viewer.id, "owner")), "more_than_held")
      yield* admins.changeRole(admin, viewer.id, "admin")
      assert.strictEqual((yield* admins.get(defaultOrganizationId, viewer.id)).role, "admin")
    })
  )

  it.effect("A5 nobody acts on what was taken from them a moment ago", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const [demoted, disabled] = [yield* member("owner"), yield* member("owner")]
      const viewer = yield* member("viewer")
      yield* admins.changeRole(everything(defaultOrganizationId), demoted.id, "viewer")
      yield* admins.disable(everything(defaultOrganizationId), disabled.id)
      const codes = [
        yield* codeOf(admins.changeRole(demoted, viewer.id, "operator")),
        yield* codeOf(admins.disable(disabled, viewer.id))
      ]
      assert.deepStrictEqual(codes, ["more_than_held", "more_than_held"])
    })
  )

  it.effect("A5 whatever random actors do to random admins, nobody ends up with more than the granter held", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const roles = yield* Roles
      const organizationId = yield* Fixtures.organization
      yield* member("owner", organizationId)
      const own = yield* Effect.forEach(Array.from({ length: 8 }), () => anyRole(organizationId))
      const all: ReadonlyArray<RoleId> = [...BuiltInRole.literals, ...own]
      const pick = <A>(from: ReadonlyArray<A>) =>
        Effect.map(Random.nextIntBetween(0, from.length - 1), (at) => from[at] ?? assert.fail("nothing to pick from"))
      const people: ReadonlyArray<AdminId> = yield* Effect.forEach(all, (role) =>
        Effect.map(member(role, organizationId), ({ id }) => id)
      )
      const held = Effect.fnUntraced(function* (id: AdminId) {
        const { role, state } = yield* admins.get(organizationId, id)
        return { role, state, permissions: yield* roles.permissions(organizationId, role) }
      })

      let granted = 0
      for (let step = 0; step < 150; step++) {
        const [actor, target, role] = [yield* pick(people), yield* pick(people), yield* pick(all)]
        const [by, before] = [yield* held(actor), yield* held(target)]
        const gets = yield* roles.permissions(organizationId, role)
        const outcome = yield* Effect.result(
          admins.changeRole({ id: actor, organizationId, permissions: by.permissions }, target, role)
        )
        const after = yield* held(target)
        const may =
          actor !== target && [...before.permissions, ...gets].every((permission) => by.permissions.has(permission))
        if (Result.isSuccess(outcome)) {
          granted += 1
          assert.isTrue(may, `${by.role} gave ${role} to ${before.role}`)
          assert.strictEqual(after.role, role)
        } else {
          if (outcome.failure.code !== "last_owner") assert.isFalse(may, outcome.failure.code)
          assert.deepStrictEqual(after, before)
        }
      }
      assert.isAbove(granted, 0)
    })
  )

  it.effect("A4 another role ends the sessions of whoever gets it, and the same role ends nothing", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const owner = yield* member("owner")
      const viewer = yield* member("viewer")
      const { ticket } = yield* atWork(viewer)
      yield* admins.changeRole(owner, viewer.id, "viewer")
      const same = yield* isSignedIn(ticket)
      yield* admins.changeRole(owner, viewer.id, "operator")
      assert.deepStrictEqual([same, yield* isSignedIn(ticket)], [true, false])
      assert.deepStrictEqual((yield* audited(viewer.id)).at(-1), {
        action: "admins:change-role",
        details: { name: viewer.name, from: "viewer", to: "operator" }
      })
      assert.lengthOf(yield* audited(viewer.id), 2)
    })
  )

  it.effect("A4 whoever is disabled is signed out, can do nothing, and keeps the role for later", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const sessions = yield* AdminSessions
      const owner = yield* member("owner")
      const operator = yield* member("operator")
      const { ticket } = yield* atWork(operator)
      const disabled = yield* admins.disable(owner, operator.id)
      assert.deepInclude(disabled, { role: "operator", state: "disabled", sessions: 0 })
      assert.isFalse(yield* isSignedIn(ticket))
      const refused = yield* codeOf(
        sessions.signIn({ name: operator.name, password: Fixtures.password }, Fixtures.browser)
      )
      yield* admins.disable(owner, operator.id)
      yield* admins.enable(owner, operator.id)
      yield* admins.enable(owner, operator.id)
      const { admin } = yield* atWork(operator)
      assert.deepStrictEqual([refused, admin.role], ["sign_in_refused", "operator"])
      assert.deepStrictEqual(
        (yield* audited(operator.id)).map(({ action }) => action),
        ["admins:create", "admins:disable", "admins:enable"]
      )
    })
  )

  it.effect("a role of the organization's own is one of a viewer to brokers of the release before", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const admins = yield* Admins
      const role = yield* customRole(["servers:retire"])
      const { id } = yield* member(role)
      const [row] = yield* sql`select role, custom_role_id from memberships where admin_id = ${id}`
      assert.deepStrictEqual(row, { role: "viewer", customRoleId: role })
      const { admin } = yield* atWork({ id })
      assert.deepStrictEqual([admin.role, [...admin.permissions]], [role, ["servers:retire"]])
      yield* admins.changeRole(everything(defaultOrganizationId), id, "auditor")
      const [after] = yield* sql`select role, custom_role_id from memberships where admin_id = ${id}`
      assert.deepStrictEqual(after, { role: "auditor", customRoleId: null })
    })
  )

  it.effect("a preview says what a change of role would give, take and end, and changes nothing", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const { id } = yield* member("operator")
      yield* atWork({ id })
      yield* atWork({ id })
      const before = yield* admins.get(defaultOrganizationId, id)
      const effect = yield* admins.previewRole(defaultOrganizationId, id, "auditor")
      assert.deepStrictEqual(effect.lost, without("operator", "auditor"))
      assert.deepStrictEqual(effect.gained, without("auditor", "operator"))
      assert.deepInclude(effect, { sessions: 2, apiTokens: 0 })
      assert.deepStrictEqual(yield* admins.previewRole(defaultOrganizationId, id, "operator"), {
        gained: [],
        lost: [],
        sessions: 0,
        apiTokens: 0
      })
      assert.deepStrictEqual(yield* admins.get(defaultOrganizationId, id), before)
    })
  )

  it.effect("A2 an owner takes every factor away from another, who is signed out", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const admins = yield* Admins
      const owner = yield* member("owner")
      const other = yield* member("owner")
      yield* sql`
        update admins set totp_secret = ${new Uint8Array(16)}, totp_confirmed_at = now() where id = ${other.id}`
      const { ticket } = yield* atWork(other)
      assert.isTrue((yield* admins.get(defaultOrganizationId, other.id)).factors.totp)
      const reset = yield* admins.resetFactors(owner, other.id)
      assert.deepStrictEqual(reset.factors, { totp: false, passkeys: 0, recoveryCodes: 0 })
      assert.isFalse(yield* isSignedIn(ticket))
      assert.strictEqual((yield* audited(other.id)).at(-1)?.action, "admins:reset-factors")
    })
  )

  it.effect("A5 admins and roles of another organization are not found, whatever is done", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const elsewhere = yield* Fixtures.organization
      const foreign = yield* member("viewer", elsewhere)
      const foreignRole = yield* customRole(["servers:read"], elsewhere)
      const owner = yield* member("owner")
      const mine = yield* member("viewer")
      const codes = [
        yield* codeOf(admins.get(defaultOrganizationId, foreign.id)),
        yield* codeOf(admins.previewRole(defaultOrganizationId, foreign.id, "viewer")),
        yield* codeOf(admins.changeRole(owner, foreign.id, "viewer")),
        yield* codeOf(admins.disable(owner, foreign.id)),
        yield* codeOf(admins.enable(owner, foreign.id)),
        yield* codeOf(admins.resetFactors(owner, foreign.id))
      ]
      assert.deepStrictEqual(new Set(codes), new Set(["admin_not_found"]))
      const roles = [
        yield* codeOf(admins.previewRole(defaultOrganizationId, mine.id, foreignRole)),
        yield* codeOf(admins.changeRole(owner, mine.id, foreignRole)),
        yield* codeOf(admins.changeRole(owner, mine.id, CustomRoleId.make(mine.id)))
      ]
      assert.deepStrictEqual(new Set(roles), new Set(["role_not_found"]))
      const listed = yield* admins.list(defaultOrganizationId)
      assert.isFalse(listed.some(({ id }) => id === foreign.id))
    })
  )
})
