import { AdminLinks } from "@broker/core/admin-links/AdminLinks"
import { AdminSessions, type SignInStep } from "@broker/core/admin-sessions/AdminSessions"
import { Admins } from "@broker/core/admins/Admins"
import { everything } from "@broker/core/admins/Authority"
import { Roles } from "@broker/core/roles/Roles"
import { type AdminId, AdminName, type NewPassword, type Password } from "@broker/domain/Admin"
import type { CreatedLink } from "@broker/domain/AdminLink"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { CustomRoleId, type RoleId, RoleName } from "@broker/domain/Role"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Duration, Effect, Option, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { enrolTotp } from "../second-factors/members.ts"

const { admin, browser, unique } = Fixtures

const password = Redacted.make("copper walrus paints fog") satisfies NewPassword & Password

const shell = everything(defaultOrganizationId)

const tokenOf = ({ url }: CreatedLink) => Redacted.make(new URL(Redacted.value(url)).hash.slice(1))

const problemOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

/** What somebody at work may do, as procedures get it. */
const authority = (id?: AdminId) =>
  Effect.map(Fixtures.adminSession(id === undefined ? undefined : { id }), ({ admin }) => admin)

const invite = Effect.fnUntraced(function* (
  options: { readonly name?: string; readonly role?: RoleId; readonly by?: typeof shell } = {}
) {
  const links = yield* AdminLinks
  const { by = shell, name = unique("bob"), role = "operator" } = options
  const created = yield* links.invite(by, { name: AdminName.make(name), role })
  return { ...created, name: AdminName.make(name), token: tokenOf(created) }
})

const use = (token: Redacted.Redacted<string>, chosen: NewPassword = password) =>
  AdminLinks.use((links) => links.use({ token, password: chosen }, browser))

const look = (token: Redacted.Redacted<string>) => AdminLinks.use((links) => links.look(token))

const resetOf = Effect.fnUntraced(function* (id: AdminId, by = shell) {
  const links = yield* AdminLinks
  return tokenOf(yield* links.reset(by, id))
})

const whoIs = Effect.fnUntraced(function* (step: SignInStep) {
  const sessions = yield* AdminSessions
  if (step._tag !== "Open") return yield* Effect.die("a factor is asked for")
  return yield* sessions.authenticate(step.session.ticket)
})

const signIn = (name: string, password: Password) =>
  AdminSessions.use((sessions) => sessions.signIn({ name, password }, browser))

const entries = Effect.fnUntraced(function* (subjectId: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ action: string; details: Readonly<Record<string, unknown>> }>`
    select action, details from audit_entries where subject_id = ${subjectId} order by id`
  return rows.map(({ action, details }) => ({ action, ...details }))
})

/** Makes a link so much older: days of the whole broker's work would pass with the clock. */
const age = Effect.fnUntraced(function* ({ id }: { readonly id: string }, by: Duration.Duration) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    update admin_links set expires_at = expires_at - make_interval(secs => ${Duration.toSeconds(by)}) where id = ${id}`
})

layer(Fixtures.layer)("AdminLinks", (it) => {
  it.effect("an invitation makes an admin of that name and role, who is signed in", () =>
    Effect.gen(function* () {
      const { id, name, token, url } = yield* invite()
      assert.match(Redacted.value(url), /^http:\/\/localhost:3000\/link#[\w-]{43}$/)
      assert.deepInclude(yield* look(token), { kind: "invitation", name, roleName: "operator" })
      const made = yield* whoIs(yield* use(token))
      assert.deepInclude(made, { name, role: "operator", method: "link" })
      assert.strictEqual((yield* signIn(name, password))._tag, "Open")
      assert.deepStrictEqual(
        (yield* entries(id)).map(({ action }) => action),
        ["admins:invite"]
      )
      const [accepted = {}] = yield* entries(made.id)
      assert.deepInclude(accepted, { action: "admins:accept", name, role: "operator" })
    })
  )

  it.effect("of 50 who use an invitation at once, one does; later ones find it gone", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { name, token } = yield* invite()
      const results = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.result(use(token)), {
        concurrency: "unbounded"
      })
      const codes = results.flatMap((result) => (Result.isFailure(result) ? [result.failure.code] : []))
      assert.deepStrictEqual([codes.length, new Set(codes)], [49, new Set(["link_gone"])])
      assert.lengthOf(yield* sql`select 1 from admins where name = ${name}`, 1)
      assert.deepStrictEqual([yield* problemOf(use(token)), yield* problemOf(look(token))], ["link_gone", "link_gone"])
    })
  )

  it.effect("an invitation is good for seven days, a reset for an hour", () =>
    Effect.gen(function* () {
      const { id } = yield* admin()
      const invitation = yield* invite()
      assert.deepStrictEqual(DateTime.distance(yield* DateTime.now, invitation.expiresAt), Duration.days(7))
      const reset = yield* resetOf(id)
      yield* TestClock.adjust(Duration.minutes(59))
      yield* look(reset)
      yield* TestClock.adjust(Duration.minutes(1))
      assert.strictEqual(yield* problemOf(use(reset)), "link_gone")
      yield* age(invitation, Duration.hours(6 * 24 + 22))
      yield* look(invitation.token)
      yield* age(invitation, Duration.hours(1))
      assert.strictEqual(yield* problemOf(use(invitation.token)), "link_gone")
    })
  )

  it.effect("what is no link, or only looks like one, tells nothing", () =>
    Effect.gen(function* () {
      const { token } = yield* invite()
      const almost = Redacted.make(`${Redacted.value(token).slice(0, -1)}_`)
      for (const wrong of ["", "x", "A".repeat(43), Redacted.value(almost)]) {
        assert.strictEqual(yield* problemOf(look(Redacted.make(wrong))), "link_gone")
        assert.strictEqual(yield* problemOf(use(Redacted.make(wrong))), "link_gone")
      }
    })
  )

  it.effect("the secret of a link is nowhere in the database, only its digest", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id, token } = yield* invite()
      const rows = yield* sql<{ row: string }>`
        select to_jsonb(l)::text as row from admin_links l where id = ${id}
         union all select to_jsonb(e)::text from audit_entries e where subject_id = ${id}`
      assert.isAtLeast(rows.length, 2)
      for (const { row } of rows) assert.notInclude(row, Redacted.value(token))
    })
  )

  it.effect("a weak password leaves the link as it was", () =>
    Effect.gen(function* () {
      const { name, token } = yield* invite()
      const weak = yield* Effect.flip(use(token, Redacted.make(`${name}123`)))
      assert.strictEqual(weak.code, "weak_password")
      assert.strictEqual((yield* use(token))._tag, "Open")
    })
  )

  it.effect("a withdrawn invitation is gone, is listed no more, and is not withdrawn twice", () =>
    Effect.gen(function* () {
      const links = yield* AdminLinks
      const { id, token } = yield* invite()
      const listed = Effect.map(links.list(defaultOrganizationId), (all) => all.some((each) => each.id === id))
      assert.isTrue(yield* listed)
      yield* links.withdraw(shell, id)
      assert.isFalse(yield* listed)
      assert.strictEqual(yield* problemOf(use(token)), "link_gone")
      assert.strictEqual(yield* problemOf(links.withdraw(shell, id)), "invitation_not_found")
      assert.strictEqual((yield* entries(id)).at(-1)?.action, "invitations:withdraw")
    })
  )

  it.effect("a second invitation of a name ends the first", () =>
    Effect.gen(function* () {
      const name = unique("bob")
      const first = yield* invite({ name, role: "owner" })
      const second = yield* invite({ name: name.toUpperCase(), role: "viewer" })
      assert.strictEqual(yield* problemOf(use(first.token)), "link_gone")
      assert.deepInclude(yield* whoIs(yield* use(second.token)), { role: "viewer" })
    })
  )

  it.effect("names are taken when an admin has them: at the invitation, and again at its use", () =>
    Effect.gen(function* () {
      const { name, token } = yield* invite()
      yield* admin({ name: name.toUpperCase() })
      assert.strictEqual(yield* problemOf(invite({ name })), "admin_name_taken")
      assert.strictEqual(yield* problemOf(use(token)), "admin_name_taken")
      assert.deepInclude(yield* look(token), { name })
    })
  )

  it.effect("A5 nobody invites to more than they hold, nor takes back what they could not give", () =>
    Effect.gen(function* () {
      const links = yield* AdminLinks
      const by = yield* authority((yield* admin({ role: "admin" })).id)
      assert.strictEqual(yield* problemOf(invite({ by, role: "owner" })), "more_than_held")
      const { id, name } = yield* invite({ role: "owner" })
      assert.strictEqual(yield* problemOf(links.withdraw(by, id)), "more_than_held")
      assert.strictEqual(yield* problemOf(invite({ by, name, role: "viewer" })), "more_than_held")
      yield* invite({ by, role: "admin" })
    })
  )

  it.effect("A5 an invitation is gone once whoever made it may not invite to that any more", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const maker = yield* admin()
      const by = yield* authority(maker.id)
      const [asOwner, asViewer] = [yield* invite({ by, role: "owner" }), yield* invite({ by, role: "viewer" })]
      yield* admins.changeRole(shell, maker.id, "admin")
      assert.deepStrictEqual(
        [yield* problemOf(look(asOwner.token)), yield* problemOf(use(asOwner.token))],
        ["link_gone", "link_gone"]
      )
      yield* look(asViewer.token)
      yield* admins.disable(shell, maker.id)
      assert.strictEqual(yield* problemOf(use(asViewer.token)), "link_gone")
      yield* admins.enable(shell, maker.id)
      assert.deepInclude(yield* whoIs(yield* use(asViewer.token)), { role: "viewer" })
    })
  )

  it.effect("A7 a role of the organization's own is given by invitation, and is in use until that is over", () =>
    Effect.gen(function* () {
      const roles = yield* Roles
      const links = yield* AdminLinks
      const request = {
        name: RoleName.make(unique("night shift")),
        description: "",
        permissions: ["servers:read" as const]
      }
      const role = yield* roles.create(shell, request)
      const roleId = CustomRoleId.make(role.id)
      const { id, name, token } = yield* invite({ role: roleId })
      const inUse = yield* Effect.flip(roles.delete(shell, roleId))
      assert.deepInclude(inUse, { code: "role_in_use", invitations: [name] })
      const made = yield* whoIs(yield* use(token))
      assert.deepStrictEqual([made.role, [...made.permissions]], [roleId, ["servers:read"]])
      const other = yield* roles.create(shell, { ...request, name: RoleName.make(unique("day shift")) })
      const open = yield* invite({ role: other.id })
      yield* links.withdraw(shell, open.id)
      yield* roles.delete(shell, CustomRoleId.make(other.id))
      assert.strictEqual(yield* problemOf(links.withdraw(shell, id)), "invitation_not_found")
    })
  )

  it.effect(
    "no invitation to what is no role, or is another organization's; theirs are neither seen nor withdrawn",
    () =>
      Effect.gen(function* () {
        const links = yield* AdminLinks
        const roles = yield* Roles
        const elsewhere = everything(yield* Fixtures.organization)
        const theirs = yield* roles.create(elsewhere, {
          name: RoleName.make("theirs"),
          description: "",
          permissions: ["servers:read"]
        })
        assert.strictEqual(yield* problemOf(invite({ role: theirs.id })), "role_not_found")
        const { id } = yield* invite({ by: elsewhere })
        assert.notInclude(
          (yield* links.list(defaultOrganizationId)).map((each) => each.id),
          id
        )
        assert.strictEqual(yield* problemOf(links.withdraw(shell, id)), "invitation_not_found")
        const stranger = yield* admin({ organizationId: elsewhere.organizationId })
        assert.strictEqual(yield* problemOf(resetOf(stranger.id)), "admin_not_found")
      })
  )

  it.effect("A4 a reset sets the password and ends every session, and what was begun with the old one", () =>
    Effect.gen(function* () {
      const sessions = yield* AdminSessions
      const { id, name } = yield* admin()
      const { ticket } = yield* Fixtures.adminSession({ id })
      const token = yield* resetOf(id)
      assert.deepInclude(yield* look(token), { kind: "reset", name, roleName: "owner" })
      assert.deepInclude(yield* whoIs(yield* use(token)), { id, method: "link" })
      assert.strictEqual(yield* problemOf(sessions.authenticate(ticket)), "not_signed_in")
      assert.strictEqual(yield* problemOf(signIn(name, Fixtures.password as Password)), "sign_in_refused")
      assert.strictEqual((yield* signIn(name, password))._tag, "Open")
      const actions = (yield* entries(id)).map(({ action }) => action)
      assert.includeMembers(actions, ["admins:reset-password", "admins:set-password"])
    })
  )

  it.effect("A2 a reset gets nobody past the second factor", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id, name } = yield* admin()
      yield* enrolTotp({ id, name, organizationId: defaultOrganizationId })
      const begun = yield* signIn(name, Fixtures.password as Password)
      assert.strictEqual(begun._tag, "FactorAsked")
      const step = yield* use(yield* resetOf(id))
      assert.strictEqual(step._tag, "FactorAsked")
      // The one that is new: what began with the old password is not to be finished.
      assert.lengthOf(yield* sql`select 1 from admin_ceremonies where admin_id = ${id}`, 1)
      assert.lengthOf(yield* sql`select 1 from admin_sessions where admin_id = ${id}`, 0)
    })
  )

  it.effect("a newer reset ends the earlier one, and a used one all others; of 50 at once one is used", () =>
    Effect.gen(function* () {
      const { id } = yield* admin()
      const [first, second] = [yield* resetOf(id), yield* resetOf(id)]
      assert.strictEqual(yield* problemOf(use(first)), "link_gone")
      const results = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.result(use(second)), {
        concurrency: "unbounded"
      })
      assert.lengthOf(results.filter(Result.isSuccess), 1)
    })
  )

  it.effect("A5 nobody resets themselves, nor somebody who holds more; nor is it good once they may not any more", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const maker = yield* admin()
      const by = yield* authority(maker.id)
      const { id } = yield* admin()
      assert.strictEqual(yield* problemOf(resetOf(maker.id, by)), "not_yourself")
      const less = yield* authority((yield* admin({ role: "admin" })).id)
      assert.strictEqual(yield* problemOf(resetOf(id, less)), "more_than_held")
      const token = yield* resetOf(id, by)
      yield* admins.changeRole(shell, maker.id, "viewer")
      assert.strictEqual(yield* problemOf(use(token)), "link_gone")
    })
  )

  it.effect("a reset lets nobody in who was disabled since", () =>
    Effect.gen(function* () {
      const admins = yield* Admins
      const { id } = yield* admin()
      const token = yield* resetOf(id)
      yield* admins.disable(shell, id)
      assert.deepStrictEqual([yield* problemOf(look(token)), yield* problemOf(use(token))], ["link_gone", "link_gone"])
    })
  )

  it.effect("an identity provider's word accepts an invitation without a password, once", () =>
    Effect.gen(function* () {
      const links = yield* AdminLinks
      const sessions = yield* AdminSessions
      const { name, token } = yield* invite({ name: `${unique("bob")}@example.com` })
      const answers = yield* Effect.forEach(Array.from({ length: 10 }), () => links.acceptAs(name.toUpperCase()), {
        concurrency: "unbounded"
      })
      const ids = answers.flatMap(Option.toArray)
      assert.lengthOf(ids, 1)
      assert.strictEqual(yield* problemOf(use(token)), "link_gone")
      assert.strictEqual(
        yield* problemOf(sessions.signIn({ name, password: Redacted.make("") }, browser)),
        "sign_in_refused"
      )
      assert.isTrue(Option.isNone(yield* links.acceptAs("nobody@example.com")))
    })
  )

  it.effect("links past their time are deleted, and no others", () =>
    Effect.gen(function* () {
      const links = yield* AdminLinks
      const sql = yield* SqlClient.SqlClient
      const link = yield* invite()
      const left = Effect.map(sql`select 1 from admin_links where id = ${link.id}`, (rows) => rows.length)
      yield* age(link, Duration.days(6))
      yield* links.prune
      assert.strictEqual(yield* left, 1)
      yield* age(link, Duration.days(1))
      assert.isAtLeast(yield* links.prune, 1)
      assert.strictEqual(yield* left, 0)
    })
  )
})
