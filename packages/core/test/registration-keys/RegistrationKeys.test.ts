import { Groups } from "@broker/core/groups/Groups"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { RegistrationKeyState } from "@broker/domain/RegistrationKey"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { request } from "../groups/tree.ts"

const { join, joined, keyPair, registrationKey, unique } = Fixtures

const found = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  states: ReadonlyArray<RegistrationKeyState> = []
) {
  const keys = yield* RegistrationKeys
  const { items } = yield* keys.list(organizationId, { states, limit: 50, cursor: null })
  return items
})

/** What the database says to a statement about a key. */
const attempt = Effect.fnUntraced(function* (id: string, change: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* Effect.flip(sql`update registration_keys set ${sql.literal(change)} where id = ${id}`).pipe(
    Effect.map(({ reason }) => reason._tag)
  )
})

layer(Fixtures.layer)("RegistrationKeys", (it) => {
  it.effect("B9 the secret is shown once: no list and no page has it", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const { secret } = yield* registrationKey({ organizationId })
      const shown = JSON.stringify(yield* found(organizationId))
      assert.notInclude(shown, Redacted.value(secret).slice(30, 62))
    })
  )

  it.effect("are told apart by their hints", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      yield* registrationKey({ organizationId })
      yield* registrationKey({ organizationId })
      const [one, two] = yield* found(organizationId)
      assert.notStrictEqual(one?.hint, two?.hint)
    })
  )

  it.effect("B7 each of the four states is told to admins, and found by", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const organizationId = yield* Fixtures.organization
      const expired = yield* registrationKey({ organizationId, expiresInSeconds: 60 })
      yield* TestClock.adjust("60 seconds")
      const active = yield* registrationKey({ organizationId })
      const exhausted = yield* registrationKey({ organizationId })
      yield* join(exhausted, keyPair(), { name: unique("server") })
      const revoked = yield* registrationKey({ organizationId })
      yield* keys.revoke(organizationId, revoked.id)
      const byState = yield* Effect.forEach(RegistrationKeyState.literals, (state) =>
        Effect.map(found(organizationId, [state]), (items) => [state, items.map(({ id }) => id)] as const)
      )
      assert.deepStrictEqual(Object.fromEntries(byState), {
        active: [active.id],
        exhausted: [exhausted.id],
        expired: [expired.id],
        revoked: [revoked.id]
      })
    })
  )

  it.effect("the pages of the list hold every key once, the newest first", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const organizationId = yield* Fixtures.organization
      const ids: Array<string> = []
      for (let key = 0; key < 5; key++) ids.unshift((yield* registrationKey({ organizationId })).id)
      const one = yield* keys.list(organizationId, { states: [], limit: 2, cursor: null })
      // Whoever comes first from now on is on no later page.
      yield* registrationKey({ organizationId })
      const two = yield* keys.list(organizationId, { states: [], limit: 2, cursor: one.nextCursor })
      const three = yield* keys.list(organizationId, { states: [], limit: 2, cursor: two.nextCursor })
      assert.deepStrictEqual(
        [...one.items, ...two.items, ...three.items].map(({ id }) => id),
        ids
      )
      assert.isNull(three.nextCursor)
    })
  )

  it.effect("a cursor from elsewhere is refused as such", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const refused = yield* Effect.flip(
        keys.list(defaultOrganizationId, { states: [], limit: 2, cursor: "bm90IG91cnM" })
      )
      assert.strictEqual(refused.code, "invalid_cursor")
    })
  )

  it.effect("the servers that joined with a key are its members, the newest first", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const key = yield* registrationKey({ useLimit: 3 })
      const [one, two] = [unique("one"), unique("two")]
      yield* join(key, keyPair(), { name: one })
      yield* join(key, keyPair(), { name: two })
      const members = yield* keys.members(defaultOrganizationId, key.id)
      assert.deepStrictEqual(
        members.map(({ name }) => name),
        [two, one]
      )
    })
  )

  it.effect("B8 revoking again changes nothing, not even when", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const { id } = yield* registrationKey()
      const first = yield* keys.revoke(defaultOrganizationId, id)
      yield* TestClock.adjust("1 hour")
      const again = yield* keys.revoke(defaultOrganizationId, id)
      assert.deepStrictEqual(again.revokedAt, first.revokedAt)
    })
  )

  it.effect("B8 the database knows no un-revoke", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const { id } = yield* registrationKey()
      yield* keys.revoke(defaultOrganizationId, id)
      assert.strictEqual(yield* attempt(id, "revoked_at = null"), "ConstraintError")
    })
  )

  it.effect("B8 the database gives no use back", () =>
    Effect.gen(function* () {
      const { key } = yield* joined()
      assert.strictEqual(yield* attempt(key.id, "uses = 0"), "ConstraintError")
    })
  )

  it.effect("B8 the database lets no limit go below what is used", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 3 })
      yield* join(key, keyPair(), { name: unique("server") })
      yield* join(key, keyPair(), { name: unique("server") })
      assert.strictEqual(yield* attempt(key.id, "use_limit = 1"), "ConstraintError")
    })
  )

  it.effect("B1 the database counts no use beyond the limit", () =>
    Effect.gen(function* () {
      const { key } = yield* joined()
      assert.strictEqual(yield* attempt(key.id, "uses = uses + 1"), "ConstraintError")
    })
  )

  it.effect("B8 who revokes while servers join lets in those who came first, and nobody after", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const key = yield* registrationKey({ useLimit: 100 })
      const joining = Effect.forEach(
        Array.from({ length: 20 }, () => unique("server")),
        (name) => Effect.result(join(key, keyPair(), { name })),
        { concurrency: "unbounded" }
      )
      const [results] = yield* Effect.all([joining, keys.revoke(defaultOrganizationId, key.id)], {
        concurrency: "unbounded"
      })
      const members = yield* keys.members(defaultOrganizationId, key.id)
      assert.strictEqual(members.length, results.filter(Result.isSuccess).length)
      const [late] = (yield* found(defaultOrganizationId)).filter(({ id }) => id === key.id)
      assert.strictEqual(late?.uses, members.length)
    })
  )

  it.effect("B6 a replacement key has one use, whatever was asked", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const server = yield* joined(unique("server"), { organizationId })
      yield* registrationKey({ organizationId, replacesServerId: server.id, useLimit: 5 })
      const [key] = yield* found(organizationId)
      assert.strictEqual(key?.useLimit, 1)
    })
  )

  it.effect("B6 a replacement key gives no group and no tags, and so holds no group back", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const server = yield* joined(unique("server"), { organizationId })
      const group = yield* Groups.use((groups) => groups.create(organizationId, request("eu")))
      for (const given of [{ groupId: group.id }, { tags: ["eu"] }]) {
        const refused = registrationKey({ organizationId, replacesServerId: server.id, ...given })
        assert.strictEqual((yield* Effect.flip(refused)).code, "replacement_key_gives_nothing")
      }
      yield* registrationKey({ organizationId, replacesServerId: server.id, groupId: null })
      yield* Groups.use((groups) => groups.delete(organizationId, group.id))
    })
  )

  it.effect("a key expires when it was told to", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 2, expiresInSeconds: 60 })
      yield* TestClock.adjust("59999 millis")
      yield* join(key, keyPair(), { name: unique("server") })
      yield* TestClock.adjust("1 millis")
      const refused = yield* Effect.flip(join(key, keyPair(), { name: unique("server") }))
      assert.strictEqual(refused.code, "registration_key_refused")
    })
  )

  it.effect("A6 who created a key, and when, stands with it and in the audit log", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const { id } = yield* registrationKey({ organizationId })
      const [key] = yield* found(organizationId)
      assert.deepStrictEqual([key?.createdBy, key?.createdAt], ["ada", yield* DateTime.now])
      const entries = yield* sql`select action, actor_name from audit_entries where subject_id = ${id}`
      assert.deepStrictEqual(entries, [{ action: "registration-keys:create", actorName: "ada" }])
    })
  )
})
