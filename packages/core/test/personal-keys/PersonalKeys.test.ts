import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import { Connections } from "@broker/core/connections/Connections"
import { Cuts } from "@broker/core/connections/Cuts"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { Users } from "@broker/core/users/Users"
import type { Credential } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { CreatedPersonalKey, PersonalKeyId } from "@broker/domain/PersonalKey"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { connect, connected, gateway } from "../connections/parties.ts"

const { credential, personalKey, signedIn, user } = Fixtures

const codeOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

const get = (id: PersonalKeyId) => PersonalKeys.use((keys) => keys.get(defaultOrganizationId, id))

const rotate = (id: PersonalKeyId, overlapSeconds = 3_600) =>
  PersonalKeys.use((keys) => keys.rotate(defaultOrganizationId, { id, overlapSeconds }))

const revoke = (id: PersonalKeyId, reason = "lost") =>
  PersonalKeys.use((keys) => keys.revoke(defaultOrganizationId, id, reason))

/** A successor as its holder has it. */
const held = ({ key }: CreatedPersonalKey) => ({ credential: credential("personalKey", key) })

/** Whether a key signs its holder in. */
const opens = (key: { readonly credential: Credential<"personalKey"> }) =>
  Effect.match(signedIn({ key, device: { fingerprint: "one" } }), { onFailure: () => false, onSuccess: () => true })

/** Audit entries about a key, the oldest first. */
const audited = Effect.fnUntraced(function* (id: PersonalKeyId) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`select action, actor_name, details from audit_entries where subject_id = ${id} order by id`
})

layer(Fixtures.layer)("PersonalKeys", (it) => {
  it.effect("B9 the secret is shown once: no list, no page and no audit entry has it", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const owner = yield* user()
      const key = yield* personalKey(owner)
      const shown = JSON.stringify([
        yield* keys.list(defaultOrganizationId, owner.id),
        yield* get(key.id),
        yield* audited(key.id)
      ])
      assert.notInclude(shown, Redacted.value(key.credential.secret).slice(30, 62))
    })
  )

  it.effect("B9 the database holds the digest of the secret only", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const key = yield* personalKey(yield* user())
      const [row] = yield* sql`select to_jsonb(personal_keys)::text as row from personal_keys where id = ${key.id}`
      assert.notInclude(`${row?.["row"]}`, Redacted.value(key.credential.secret).slice(30, 62))
    })
  )

  it.effect("B9 the secret of one key does not open another", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* personalKey(yield* user()), yield* personalKey(yield* user())]
      assert.isFalse(yield* opens({ credential: { ...one.credential, secret: two.credential.secret } }))
    })
  )

  it.effect("a key has the usual limit unless another was asked for", () =>
    Effect.gen(function* () {
      const owner = yield* user()
      const [usual, other] = [yield* personalKey(owner), yield* personalKey(owner, { connectionLimit: 3 })]
      assert.deepStrictEqual([(yield* get(usual.id)).connectionLimit, (yield* get(other.id)).connectionLimit], [10, 3])
    })
  )

  it.effect("A6 who created a key, and when, stands with it and in the audit log", () =>
    Effect.gen(function* () {
      const owner = yield* user()
      const { id } = yield* personalKey(owner, { expiresInSeconds: 60 })
      const key = yield* get(id)
      const now = yield* DateTime.now
      assert.deepStrictEqual([key.createdBy, key.createdAt], ["ada", now])
      assert.deepStrictEqual(yield* audited(id), [
        {
          action: "personal-keys:create",
          actorName: "ada",
          details: {
            name: "laptop",
            user: owner.name,
            connectionLimit: 10,
            expiresAt: DateTime.formatIso(DateTime.add(now, { seconds: 60 }))
          }
        }
      ])
    })
  )

  it.effect("a suspended user gets no key, and nobody who is not there", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const owner = yield* user()
      yield* users.suspend(defaultOrganizationId, owner.id, "")
      const suspended = yield* codeOf(personalKey(owner))
      yield* users.delete(defaultOrganizationId, owner.id)
      assert.deepStrictEqual([suspended, yield* codeOf(personalKey(owner))], ["user_suspended", "user_not_found"])
    })
  )

  it.effect("a user's keys are listed with their states, the newest first", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const owner = yield* user()
      const expired = yield* personalKey(owner, { expiresInSeconds: 60 })
      yield* TestClock.adjust("60 seconds")
      const revoked = yield* personalKey(owner)
      yield* revoke(revoked.id)
      const active = yield* personalKey(owner)
      const listed = yield* keys.list(defaultOrganizationId, owner.id)
      assert.deepStrictEqual(
        listed.map(({ id, state }) => [id, state]),
        [
          [active.id, "active"],
          [revoked.id, "revoked"],
          [expired.id, "expired"]
        ]
      )
    })
  )

  it.effect("a key expires when it was told to", () =>
    Effect.gen(function* () {
      const key = yield* personalKey(yield* user(), { expiresInSeconds: 60 })
      yield* TestClock.adjust("59999 millis")
      const late = yield* opens(key)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([late, yield* opens(key)], [true, false])
    })
  )

  it.effect("a successor has name, limit and lifetime of the key it replaces", () =>
    Effect.gen(function* () {
      const old = yield* personalKey(yield* user(), { name: "phone", connectionLimit: 3, expiresInSeconds: 86_400 })
      yield* TestClock.adjust("10 hours")
      const { id } = yield* rotate(old.id)
      const { connectionLimit, expiresAt, name, userId } = yield* get(id)
      assert.deepStrictEqual(
        { connectionLimit, expiresAt, name, userId },
        {
          connectionLimit: 3,
          expiresAt: DateTime.add(yield* DateTime.now, { hours: 24 }),
          name: "phone",
          userId: old.userId
        }
      )
    })
  )

  it.effect("both keys work for the overlap, and then the successor only", () =>
    Effect.gen(function* () {
      const old = yield* personalKey(yield* user())
      const successor = yield* rotate(old.id, 3_600)
      const during = [yield* opens(old), yield* opens(held(successor))]
      yield* TestClock.adjust("1 hour")
      const after = [yield* opens(old), yield* opens(held(successor))]
      assert.deepStrictEqual(
        [during, after],
        [
          [true, true],
          [false, true]
        ]
      )
      assert.strictEqual((yield* get(old.id)).replacedBy, successor.id)
    })
  )

  it.effect("an overlap gives a key no more time than it had", () =>
    Effect.gen(function* () {
      const old = yield* personalKey(yield* user(), { expiresInSeconds: 60 })
      const { expiresAt } = yield* get(old.id)
      yield* rotate(old.id, 3_600)
      assert.deepStrictEqual((yield* get(old.id)).expiresAt, expiresAt)
    })
  )

  it.effect("C6 without overlap the old key is revoked, and its connections are cut", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const old = yield* personalKey(yield* user())
      const client = yield* signedIn({ key: old })
      const { id } = yield* connected(client, yield* gateway())
      yield* rotate(old.id, 0)
      assert.deepInclude(yield* get(old.id), { state: "revoked", revokedReason: "rotated", liveConnections: 0 })
      assert.strictEqual((yield* connections.find(defaultOrganizationId, id)).endReason, "key_revoked")
    })
  )

  it.effect("of ten rotations of a key at once, one wins", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const owner = yield* user()
      const { id } = yield* personalKey(owner)
      const rotations = yield* Effect.forEach(Array.from({ length: 10 }), () => Effect.result(rotate(id)), {
        concurrency: "unbounded"
      })
      const codes = rotations.flatMap((one) => (Result.isFailure(one) ? [one.failure.code] : []))
      assert.deepStrictEqual(
        codes,
        Array.from({ length: 9 }, () => "personal_key_over")
      )
      assert.strictEqual((yield* keys.list(defaultOrganizationId, owner.id)).length, 2)
    })
  )

  it.effect("a key that is revoked, expired or replaced cannot be rotated", () =>
    Effect.gen(function* () {
      const owner = yield* user()
      const [revoked, expired, replaced] = [
        yield* personalKey(owner),
        yield* personalKey(owner, { expiresInSeconds: 60 }),
        yield* personalKey(owner)
      ]
      yield* revoke(revoked.id)
      yield* rotate(replaced.id)
      yield* TestClock.adjust("60 seconds")
      const codes = yield* Effect.forEach([revoked, expired, replaced], ({ id }) => codeOf(rotate(id)))
      assert.deepStrictEqual(new Set(codes), new Set(["personal_key_over"]))
    })
  )

  it.effect("C6 revoking a key cuts what it opened, and nothing of the user's other keys", () =>
    Effect.gen(function* () {
      const cuts = yield* Cuts
      const connections = yield* Connections
      const server = yield* gateway()
      const owner = yield* user()
      const [lost, kept] = [yield* personalKey(owner), yield* personalKey(owner)]
      const [one, two] = [yield* signedIn({ key: lost }), yield* signedIn({ key: kept })]
      const [a, b] = [yield* connected(one, server), yield* connected(two, server)]
      assert.strictEqual((yield* get(lost.id)).liveConnections, 1)
      yield* revoke(lost.id)
      const reasons = yield* Effect.forEach([a, b], ({ id }) => connections.find(defaultOrganizationId, id))
      assert.deepStrictEqual(
        reasons.map(({ endReason }) => endReason),
        ["key_revoked", null]
      )
      const [act] = yield* cuts.list(defaultOrganizationId, { subjectId: lost.id, limit: 1 })
      assert.deepInclude(act, { subjectKind: "personal-key", subjectName: "laptop", orderedBy: "ada", connections: 1 })
    })
  )

  it.effect("C6 whoever connects while the key is revoked is refused, or cut", () =>
    Effect.gen(function* () {
      const server = yield* gateway()
      const key = yield* personalKey(yield* user())
      const client = yield* signedIn({ key })
      const connecting = Effect.forEach(
        Array.from({ length: 5 }),
        () => Effect.result(connect(client, { serverId: server.id })),
        { concurrency: "unbounded" }
      )
      yield* Effect.all([connecting, revoke(key.id)], { concurrency: "unbounded" })
      assert.strictEqual((yield* get(key.id)).liveConnections, 0)
    })
  )

  it.effect("C6 revoking again changes nothing, not even the reason, and is not recorded again", () =>
    Effect.gen(function* () {
      const { id } = yield* personalKey(yield* user())
      const first = yield* revoke(id, "lost")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* revoke(id, "found"), first)
      assert.deepStrictEqual(
        (yield* audited(id)).map(({ action }) => action),
        ["personal-keys:create", "personal-keys:revoke"]
      )
    })
  )

  it.effect("B8 the database knows no un-revoke", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { id } = yield* personalKey(yield* user())
      yield* revoke(id)
      const refused = yield* Effect.flip(sql`update personal_keys set revoked_at = null where id = ${id}`)
      assert.strictEqual(refused.reason._tag, "ConstraintError")
    })
  )

  it.effect("A6 a revocation that fails leaves no trace", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* ClientSessions
      const { id, credential } = yield* personalKey(yield* user())
      const { token } = yield* signedIn({ key: { credential } })
      yield* revoke(id).pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction, Effect.ignore)
      yield* sessions.authenticate(token)
      assert.strictEqual((yield* get(id)).state, "active")
      assert.strictEqual((yield* audited(id)).length, 1)
    })
  )

  it.effect("A5 a key of another organization is not found, whatever is done", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const owner = yield* user()
      const { id } = yield* personalKey(owner)
      const elsewhere = yield* Fixtures.organization
      const codes = [
        yield* codeOf(keys.get(elsewhere, id)),
        yield* codeOf(keys.rotate(elsewhere, { id, overlapSeconds: 0 })),
        yield* codeOf(keys.revoke(elsewhere, id, "")),
        yield* codeOf(keys.list(elsewhere, owner.id)),
        yield* codeOf(personalKey({ ...owner, organizationId: elsewhere }))
      ]
      assert.deepStrictEqual(codes, [
        "personal_key_not_found",
        "personal_key_not_found",
        "personal_key_not_found",
        "user_not_found",
        "user_not_found"
      ])
      assert.strictEqual((yield* get(id)).state, "active")
    })
  )

  it.effect("a key that was never used says so", () =>
    Effect.gen(function* () {
      const { lastAddress, lastUsedAt } = yield* get((yield* personalKey(yield* user())).id)
      assert.deepStrictEqual([lastAddress, lastUsedAt], [null, null])
    })
  )
})
