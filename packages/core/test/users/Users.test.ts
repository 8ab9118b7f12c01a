import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import { Connections } from "@broker/core/connections/Connections"
import { Devices } from "@broker/core/devices/Devices"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { Users } from "@broker/core/users/Users"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { UserName } from "@broker/domain/User"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { connect, connected, gateway } from "../connections/parties.ts"

const { deviceStatement, personalKey, signedIn, unique, user } = Fixtures

const codeOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

const email = () => `${unique("ada")}@example.com`

/** What the audit log says about somebody, the oldest first. */
const audited = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`select action, actor_name, details from audit_entries where subject_id = ${id} order by id`
})

layer(Fixtures.layer)("Users", (it) => {
  it.effect("a new user is active, has nothing yet and was never seen", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const request = { name: UserName.make("Ada"), email: email(), note: "of the London office" }
      const { id } = yield* users.create(defaultOrganizationId, request)
      const { keys, devices, liveConnections, lastSeenAt, state, ...created } = yield* users.get(
        defaultOrganizationId,
        id
      )
      assert.deepInclude(created, { ...request, createdAt: yield* DateTime.now })
      assert.deepStrictEqual(
        { keys, devices, liveConnections, lastSeenAt, state },
        { keys: 0, devices: 0, liveConnections: 0, lastSeenAt: null, state: "active" }
      )
    })
  )

  it.effect("two users may share a name, and not an e-mail address, whatever its case", () =>
    Effect.gen(function* () {
      const address = email()
      const name = UserName.make("Ada")
      const [one, two] = [yield* user({ name, email: address }), yield* user({ name })]
      assert.notStrictEqual(two.id, one.id)
      assert.strictEqual(yield* codeOf(user({ email: address.toUpperCase() })), "email_taken")
    })
  )

  it.effect("of ten users with one e-mail address at once, one is made", () =>
    Effect.gen(function* () {
      const address = email()
      const made = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.result(user({ email: address })), {
        concurrency: "unbounded"
      })
      assert.strictEqual(made.filter(Result.isSuccess).length, 1)
    })
  )

  it.effect("another organization may have the same e-mail address", () =>
    Effect.gen(function* () {
      const address = email()
      yield* user({ email: address })
      const other = yield* user({ email: address, organizationId: yield* Fixtures.organization })
      assert.strictEqual(other.email, address)
    })
  )

  it.effect("A6 a change is recorded with what was before and after, and what stays is not", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { id, name } = yield* user()
      const address = email()
      const changed = yield* users.update(defaultOrganizationId, id, { name, email: address, note: "moved" })
      const entries = yield* audited(id)
      assert.deepStrictEqual([changed.name, changed.email, changed.note], [name, address, "moved"])
      assert.deepStrictEqual(entries.at(-1), {
        action: "users:update",
        actorName: "ada",
        details: { name, fields: ["email", "note"], before: ["", ""], after: [address, "moved"] }
      })
    })
  )

  it.effect("A6 a change of nothing is not recorded", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { id, name } = yield* user()
      yield* users.update(defaultOrganizationId, id, { name })
      yield* users.update(defaultOrganizationId, id, {})
      assert.strictEqual((yield* audited(id)).length, 1)
    })
  )

  it.effect("an e-mail address can be taken away, and is refused when another has it", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const taken = email()
      yield* user({ email: taken })
      const { id } = yield* user({ email: email() })
      assert.strictEqual(yield* codeOf(users.update(defaultOrganizationId, id, { email: taken })), "email_taken")
      assert.isNull((yield* users.update(defaultOrganizationId, id, { email: null })).email)
    })
  )

  it.effect("C6 suspending cuts the user's connections on every device, and nobody else's", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const connections = yield* Connections
      const server = yield* gateway()
      const owner = yield* user()
      const [one, two, other] = [yield* signedIn({ user: owner }), yield* signedIn({ user: owner }), yield* signedIn()]
      const opened = yield* Effect.forEach([one, two, other], (client) => connected(client, server))
      const suspended = yield* users.suspend(defaultOrganizationId, owner.id, "left")
      assert.deepInclude(suspended, { state: "suspended", stateReason: "left", liveConnections: 0 })
      const found = yield* Effect.forEach(opened, ({ id }) => connections.find(defaultOrganizationId, id))
      assert.deepStrictEqual(
        found.map(({ endReason }) => endReason),
        ["user_suspended", "user_suspended", null]
      )
    })
  )

  it.effect("C6 a suspended user opens no connection by a session that was open", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const server = yield* gateway()
      const client = yield* signedIn()
      yield* users.suspend(defaultOrganizationId, client.userId, "")
      assert.strictEqual(yield* codeOf(connect(client, { serverId: server.id })), "unknown_credential")
    })
  )

  it.effect("suspending again changes nothing, and is not recorded again", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { id } = yield* user()
      const first = yield* users.suspend(defaultOrganizationId, id, "left")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* users.suspend(defaultOrganizationId, id, "stole"), first)
      assert.strictEqual((yield* audited(id)).length, 2)
    })
  )

  it.effect("a user who may connect again signs in by the key they had", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const owner = yield* user()
      const key = yield* personalKey(owner)
      yield* users.suspend(defaultOrganizationId, owner.id, "left")
      const resumed = yield* users.resume(defaultOrganizationId, owner.id)
      assert.deepInclude(resumed, { state: "active", stateReason: null })
      assert.strictEqual((yield* signedIn({ key })).userId, owner.id)
    })
  )

  it.effect("C7 a deleted user's connections are cut, and stay with the names they had", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const connections = yield* Connections
      const server = yield* gateway()
      const owner = yield* user()
      const client = yield* signedIn({ user: owner, device: { name: "phone" } })
      const { id } = yield* connected(client, server)
      yield* users.delete(defaultOrganizationId, owner.id)
      assert.deepInclude(yield* connections.find(defaultOrganizationId, id), {
        status: "ended",
        endReason: "user_deleted",
        userId: owner.id,
        userName: owner.name,
        deviceName: "phone",
        personalKeyName: "laptop"
      })
      assert.strictEqual(yield* codeOf(users.get(defaultOrganizationId, owner.id)), "user_not_found")
    })
  )

  it.effect("C7 nothing of a deleted user's is left but history", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const users = yield* Users
      const { userId } = yield* signedIn()
      yield* users.delete(defaultOrganizationId, userId)
      const left = yield* sql`
        select (select count(*)::int from personal_keys where user_id = ${userId}) as keys,
               (select count(*)::int from devices where user_id = ${userId}) as devices,
               (select count(*)::int from client_sessions where user_id = ${userId}) as sessions`
      assert.deepStrictEqual(left, [{ keys: 0, devices: 0, sessions: 0 }])
      const entries = yield* audited(userId)
      assert.strictEqual(entries.at(-1)?.["action"], "users:delete")
    })
  )

  it.effect("C7 whoever connects while the user is deleted is refused, or cut", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const users = yield* Users
      const server = yield* gateway()
      const client = yield* signedIn()
      const connecting = Effect.forEach(
        Array.from({ length: 5 }),
        () => Effect.result(connect(client, { serverId: server.id })),
        { concurrency: "unbounded" }
      )
      yield* Effect.all([connecting, users.delete(defaultOrganizationId, client.userId)], { concurrency: "unbounded" })
      const live = yield* sql`
        select id from connections where user_id = ${client.userId} and status in ('intent', 'active')`
      assert.deepStrictEqual(live, [])
    })
  )

  it.effect("activity tells what admins did with the user, keys and devices, and the sign-ins, the newest first", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const keys = yield* PersonalKeys
      const devices = yield* Devices
      const sessions = yield* ClientSessions
      const owner = yield* user()
      yield* TestClock.adjust("1 second")
      const key = yield* personalKey(owner, { name: "phone key" })
      yield* TestClock.adjust("1 second")
      const { deviceId } = yield* signedIn({ key, device: { name: "phone" } })
      yield* TestClock.adjust("1 second")
      yield* devices.block(defaultOrganizationId, deviceId, "lost")
      yield* TestClock.adjust("1 second")
      yield* keys.revoke(defaultOrganizationId, key.id, "lost")
      yield* TestClock.adjust("1 second")
      yield* Effect.flip(sessions.signIn(key.credential, { device: deviceStatement() }))
      // Somebody else's.
      yield* signedIn()
      const activity = yield* users.activity(defaultOrganizationId, owner.id, { audited: true })
      assert.deepStrictEqual(
        activity.map(({ action, by, outcome, subject }) => [action, outcome, by, subject]),
        [
          ["clients:sign-in", "refused", "ada", "phone key"],
          ["personal-keys:revoke", "done", "ada", "phone key"],
          ["devices:block", "done", "ada", "phone"],
          ["devices:register", "done", "phone", "phone"],
          ["clients:sign-in", "done", "phone", "phone key"],
          ["personal-keys:create", "done", "ada", "phone key"],
          ["users:create", "done", "ada", owner.name]
        ]
      )
      const signIns = yield* users.activity(defaultOrganizationId, owner.id, { audited: false })
      assert.deepStrictEqual(
        signIns.map(({ action, by, outcome }) => [action, outcome, by]),
        [["clients:sign-in", "done", "phone"]]
      )
    })
  )

  it.effect("A5 a user of another organization is not found, whatever is done", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const { id } = yield* user()
      const elsewhere = yield* Fixtures.organization
      const codes = [
        yield* codeOf(users.get(elsewhere, id)),
        yield* codeOf(users.update(elsewhere, id, { note: "mine" })),
        yield* codeOf(users.suspend(elsewhere, id, "")),
        yield* codeOf(users.resume(elsewhere, id)),
        yield* codeOf(users.delete(elsewhere, id)),
        yield* codeOf(users.activity(elsewhere, id, { audited: true }))
      ]
      assert.deepStrictEqual(new Set(codes), new Set(["user_not_found"]))
      assert.deepInclude(yield* users.get(defaultOrganizationId, id), { state: "active", note: "" })
    })
  )
})
