import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import * as Database from "@broker/core/Database"
import { Devices } from "@broker/core/devices/Devices"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { SigningKeys } from "@broker/core/signing-keys/SigningKeys"
import { Users } from "@broker/core/users/Users"
import type { SessionToken } from "@broker/domain/ClientSession"
import type { Credential } from "@broker/domain/Credential"
import type { DeviceStatement } from "@broker/domain/Device"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { PublicKey } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { assert, describe, it, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Redacted, Result, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { deviceStatement, keyPair, personalKey, signedIn, user } = Fixtures

const signIn = Effect.fnUntraced(function* (
  key: { readonly credential: Credential<"personalKey"> },
  device: Partial<typeof DeviceStatement.Type> = {}
) {
  const sessions = yield* ClientSessions
  return yield* sessions.signIn(key.credential, { device: deviceStatement(device) })
})

/** What a sign-in is refused with. */
const refusal = (...attempt: Parameters<typeof signIn>) =>
  Effect.map(Effect.flip(signIn(...attempt)), ({ code }) => code)

/** Whether a token is taken. */
const isTaken = Effect.fnUntraced(function* (token: SessionToken) {
  const sessions = yield* ClientSessions
  return yield* Effect.match(sessions.authenticate(token), { onFailure: () => false, onSuccess: () => true })
})

const devicesOf = Effect.fnUntraced(function* (owner: Fixtures.User) {
  const devices = yield* Devices
  return yield* devices.list(owner.organizationId, owner.id)
})

const session = (text: string) => Redacted.make(text, { label: "session token" })

layer(Fixtures.layer)("ClientSessions", (it) => {
  it.effect("a token tells who has signed in, on which device, by which key", () =>
    Effect.gen(function* () {
      const sessions = yield* ClientSessions
      const owner = yield* user()
      const key = yield* personalKey(owner)
      const { device, token } = yield* signIn(key)
      const { sessionId: _, ...client } = yield* sessions.authenticate(token)
      assert.deepStrictEqual(client, {
        organizationId: defaultOrganizationId,
        userId: owner.id,
        deviceId: device.id,
        personalKeyId: key.id
      })
    })
  )

  it.effect("the answer shows the user and the device as their client may see them", () =>
    Effect.gen(function* () {
      const owner = yield* user({ note: "for admins only" })
      const { publicKey } = keyPair()
      const signed = yield* signIn(yield* personalKey(owner), { name: "phone", platform: "iOS", publicKey })
      assert.deepStrictEqual(signed.user, { id: owner.id, name: owner.name, email: null })
      assert.deepStrictEqual(
        [signed.device.name, signed.device.platform, signed.device.publicKey],
        ["phone", "ios", publicKey]
      )
    })
  )

  it.effect("a device is known again by its fingerprint, with what it says of itself now", () =>
    Effect.gen(function* () {
      const owner = yield* user()
      const key = yield* personalKey(owner)
      const { fingerprint } = deviceStatement()
      const first = yield* signIn(key, { fingerprint, name: "old" })
      yield* TestClock.adjust("1 hour")
      const again = yield* signIn(key, { fingerprint, name: "new" })
      const devices = yield* devicesOf(owner)
      assert.strictEqual(again.device.id, first.device.id)
      assert.deepStrictEqual(
        devices.map(({ lastAddress, lastSeenAt, name }) => ({ lastAddress, lastSeenAt, name })),
        [{ lastAddress: "203.0.113.7", lastSeenAt: yield* DateTime.now, name: "new" }]
      )
    })
  )

  it.effect("the same fingerprint of another user is another device", () =>
    Effect.gen(function* () {
      const { fingerprint } = deviceStatement()
      const one = yield* signIn(yield* personalKey(yield* user()), { fingerprint })
      const two = yield* signIn(yield* personalKey(yield* user()), { fingerprint })
      assert.notStrictEqual(one.device.id, two.device.id)
    })
  )

  it.effect("C2 of 20 devices that sign in at once, as many get in as a user may have", () =>
    Effect.gen(function* () {
      const owner = yield* user()
      const key = yield* personalKey(owner)
      const attempts = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.result(signIn(key)), {
        concurrency: "unbounded"
      })
      const codes = attempts.flatMap((attempt) => (Result.isFailure(attempt) ? [attempt.failure.code] : []))
      assert.deepStrictEqual(
        codes,
        Array.from({ length: 10 }, () => "device_limit")
      )
      assert.strictEqual((yield* devicesOf(owner)).length, 10)
    })
  )

  it.effect("C2 a device that signs in 20 times at once is one device", () =>
    Effect.gen(function* () {
      const owner = yield* user()
      const key = yield* personalKey(owner)
      const { fingerprint } = deviceStatement()
      yield* Effect.forEach(Array.from({ length: 20 }), () => signIn(key, { fingerprint }), {
        concurrency: "unbounded"
      })
      assert.strictEqual((yield* devicesOf(owner)).length, 1)
    })
  )

  it.effect("C2 a known device signs in though no other may", () =>
    Effect.gen(function* () {
      const key = yield* personalKey(yield* user())
      const { fingerprint } = deviceStatement()
      yield* signIn(key, { fingerprint })
      yield* Effect.forEach(Array.from({ length: 9 }), () => signIn(key))
      yield* signIn(key, { fingerprint })
      assert.strictEqual(yield* refusal(key), "device_limit")
    })
  )

  it.effect("a fingerprint does not take over a device with another key pair, and the attempt is told", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const key = yield* personalKey(yield* user({ organizationId }))
      const { fingerprint } = deviceStatement()
      yield* signIn(key, { fingerprint, publicKey: keyPair().publicKey })
      assert.strictEqual(yield* refusal(key, { fingerprint, publicKey: keyPair().publicKey }), "device_key_mismatch")
      const events = yield* sql`select kind, severity from security_events where organization_id = ${organizationId}`
      assert.deepStrictEqual(events, [{ kind: "device_key_mismatch", severity: "medium" }])
    })
  )

  it.effect("a device keeps its key when it does not name it", () =>
    Effect.gen(function* () {
      const key = yield* personalKey(yield* user())
      const { fingerprint } = deviceStatement()
      const { publicKey } = keyPair()
      yield* signIn(key, { fingerprint })
      yield* signIn(key, { fingerprint, publicKey })
      const { device } = yield* signIn(key, { fingerprint })
      assert.strictEqual(device.publicKey, publicKey)
    })
  )

  it.effect("B10 a device key of low order is refused", () =>
    Effect.gen(function* () {
      const publicKey = PublicKey.make(Buffer.alloc(32).toString("base64url"))
      assert.strictEqual(yield* refusal(yield* personalKey(yield* user()), { publicKey }), "invalid_public_key")
    })
  )

  it.effect("a blocked device does not sign in", () =>
    Effect.gen(function* () {
      const devices = yield* Devices
      const key = yield* personalKey(yield* user())
      const { fingerprint } = deviceStatement()
      const { device } = yield* signIn(key, { fingerprint })
      yield* devices.block(defaultOrganizationId, device.id, "stolen")
      assert.strictEqual(yield* refusal(key, { fingerprint }), "device_blocked")
    })
  )

  it.effect("B7 unknown, wrong, expired, revoked and a suspended user's keys are refused alike", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const users = yield* Users
      const owner = yield* user()
      const good = yield* personalKey(owner)
      const expired = yield* personalKey(owner, { expiresInSeconds: 60 })
      const revoked = yield* personalKey(owner)
      yield* keys.revoke(defaultOrganizationId, revoked.id, "lost")
      const suspendedUser = yield* user()
      const suspended = yield* personalKey(suspendedUser)
      yield* users.suspend(defaultOrganizationId, suspendedUser.id, "")
      const unknown = { credential: { ...good.credential, id: "019845e1-682f-7b02-a706-3b2422d13aec" } }
      const wrong = { credential: { ...good.credential, secret: expired.credential.secret } }
      yield* TestClock.adjust("60 seconds")
      const answers = yield* Effect.forEach([unknown, wrong, expired, revoked, suspended], (key) =>
        Effect.map(Effect.flip(signIn(key)), (problem) => JSON.stringify(problem))
      )
      assert.strictEqual(new Set(answers).size, 1)
      assert.include(answers[0], "personal_key_refused")
    })
  )

  it.effect("A6 why a key was refused stands in the audit log", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const keys = yield* PersonalKeys
      const key = yield* personalKey(yield* user())
      yield* refusal({
        credential: { ...key.credential, secret: (yield* personalKey(yield* user())).credential.secret }
      })
      yield* keys.revoke(defaultOrganizationId, key.id, "lost")
      yield* refusal(key)
      const entries = yield* sql`
        select outcome, details ->> 'reason' as reason
          from audit_entries
         where subject_id = ${key.id} and action = 'clients:sign-in' order by id`
      assert.deepStrictEqual(entries, [
        { outcome: "refused", reason: "wrong_secret" },
        { outcome: "refused", reason: "revoked" }
      ])
    })
  )

  it.effect("a sign-in is seen with the user, the key and the session", () =>
    Effect.gen(function* () {
      const users = yield* Users
      const keys = yield* PersonalKeys
      const owner = yield* user()
      const { id } = yield* personalKey(owner).pipe(Effect.tap((key) => signIn(key)))
      const now = yield* DateTime.now
      const key = yield* keys.get(defaultOrganizationId, id)
      assert.deepStrictEqual([key.lastUsedAt, key.lastAddress], [now, "203.0.113.7"])
      assert.deepStrictEqual((yield* users.get(defaultOrganizationId, owner.id)).lastSeenAt, now)
    })
  )

  it.effect("a token is good for 15 minutes", () =>
    Effect.gen(function* () {
      const { token } = yield* signedIn()
      yield* TestClock.adjust("899 seconds")
      const late = yield* isTaken(token)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([late, yield* isTaken(token)], [true, false])
    })
  )

  it.effect("a token is never good for longer than its key", () =>
    Effect.gen(function* () {
      const { expiresAt, token } = yield* signIn(yield* personalKey(yield* user(), { expiresInSeconds: 60 }))
      assert.deepStrictEqual(expiresAt, DateTime.add(yield* DateTime.now, { seconds: 60 }))
      yield* TestClock.adjust("60 seconds")
      assert.isFalse(yield* isTaken(token))
    })
  )

  it.effect("a token with a typo, of another kind or without its prefix is unknown", () =>
    Effect.gen(function* () {
      const { token } = yield* signedIn()
      const text = Redacted.value(token)
      const swapped = text.at(-3) === "A" ? "B" : "A"
      const others = [
        `${text.slice(0, -3)}${swapped}${text.slice(-2)}`,
        text.slice(8),
        `brk_srv_${text.slice(8)}`,
        "",
        "brk_ses_"
      ]
      for (const other of others) assert.isFalse(yield* isTaken(session(other)), other)
    })
  )

  it.effect("C3 a grant does not pass for a session", () =>
    Effect.gen(function* () {
      const keys = yield* SigningKeys
      const client = yield* signedIn()
      const grant = yield* keys.sign("grant+jwt", {
        sub: client.userId,
        sid: client.sessionId,
        device: client.deviceId,
        key: client.personalKeyId,
        org: client.organizationId,
        exp: Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1_000) + 60
      })
      assert.isFalse(yield* isTaken(session(`brk_ses_${grant}`)))
    })
  )

  it.effect("who signed out is unknown at once, and others are not", () =>
    Effect.gen(function* () {
      const sessions = yield* ClientSessions
      const [one, two] = [yield* signedIn(), yield* signedIn()]
      yield* sessions.signOut(one)
      assert.deepStrictEqual([yield* isTaken(one.token), yield* isTaken(two.token)], [false, true])
    })
  )

  it.effect("an end that was rolled back did not happen", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* ClientSessions
      const client = yield* signedIn()
      yield* sessions
        .end({ userId: client.userId })
        .pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction, Effect.ignore)
      assert.isTrue(yield* isTaken(client.token))
    })
  )

  const ends = [
    [
      "a revoked key",
      "key_revoked",
      (client) => PersonalKeys.use((keys) => keys.revoke(client.organizationId, client.personalKeyId, ""))
    ],
    [
      "a blocked device",
      "device_blocked",
      (client) => Devices.use((devices) => devices.block(client.organizationId, client.deviceId, ""))
    ],
    [
      "a suspended user",
      "user_suspended",
      (client) => Users.use((users) => users.suspend(client.organizationId, client.userId, ""))
    ]
  ] satisfies ReadonlyArray<
    readonly [
      what: string,
      reason: string,
      act: (client: Fixtures.SignedIn) => Effect.Effect<unknown, unknown, PersonalKeys | Devices | Users | Actor>
    ]
  >
  it.effect.each(ends)("C6 the session of %s ends at once, with the reason", ([, reason, act]) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const client = yield* signedIn()
      yield* act(client)
      assert.isFalse(yield* isTaken(client.token))
      const rows = yield* sql`select end_reason from client_sessions where id = ${client.sessionId}`
      assert.deepStrictEqual(rows, [{ endReason: reason }])
    })
  )

  const removals = [
    ["a removed device", (client) => Devices.use((devices) => devices.remove(client.organizationId, client.deviceId))],
    ["a deleted user", (client) => Users.use((users) => users.delete(client.organizationId, client.userId))]
  ] satisfies ReadonlyArray<
    readonly [
      what: string,
      act: (client: Fixtures.SignedIn) => Effect.Effect<unknown, unknown, Devices | Users | Actor>
    ]
  >
  it.effect.each(removals)("C6 the session of %s is unknown at once", ([, act]) =>
    Effect.gen(function* () {
      const client = yield* signedIn()
      yield* act(client)
      assert.isFalse(yield* isTaken(client.token))
    })
  )

  it.effect("C6 whoever signs in while the key is revoked is refused, or ended", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const key = yield* personalKey(yield* user())
      const { fingerprint } = deviceStatement()
      const signingIn = Effect.forEach(Array.from({ length: 12 }), () => Effect.result(signIn(key, { fingerprint })), {
        concurrency: "unbounded"
      })
      const [attempts] = yield* Effect.all([signingIn, keys.revoke(defaultOrganizationId, key.id, "")], {
        concurrency: "unbounded"
      })
      const taken = yield* Effect.forEach(attempts, (attempt) =>
        Result.isSuccess(attempt) ? isTaken(attempt.success.token) : Effect.succeed(false)
      )
      assert.isFalse(taken.some((one) => one))
    })
  )

  it.effect("C6 keys and devices of one user that are shut out all at once leave no session, and wait in no ring", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const devices = yield* Devices
      const owner = yield* user()
      const held = yield* Effect.forEach(Array.from({ length: 4 }), () => personalKey(owner))
      const prints = Array.from({ length: 4 }, () => deviceStatement().fingerprint)
      const tokens = yield* Effect.forEach(held, (key) =>
        Effect.forEach(prints, (fingerprint) => Effect.map(signIn(key, { fingerprint }), ({ token }) => token))
      )
      const known = yield* devicesOf(owner)
      yield* Effect.all(
        [
          ...held.map(({ id }) => keys.revoke(defaultOrganizationId, id, "")),
          ...known.map(({ id }) => devices.block(defaultOrganizationId, id, ""))
        ],
        { concurrency: "unbounded" }
      )
      const taken = yield* Effect.forEach(tokens.flat(), isTaken)
      assert.isFalse(taken.some((one) => one))
    })
  )

  it.effect("me shows the client, its limits, and no connection yet", () =>
    Effect.gen(function* () {
      const sessions = yield* ClientSessions
      const owner = yield* user()
      const client = yield* signedIn({ key: yield* personalKey(owner, { connectionLimit: 3 }) })
      const me = yield* sessions.me(client)
      assert.deepStrictEqual(me.user, { id: owner.id, name: owner.name, email: null })
      assert.deepStrictEqual(me.limits, { connectionsPerKey: 3, connectionsPerDevice: 5, devicesPerUser: 10 })
      assert.deepStrictEqual([me.device.id, me.connections], [client.deviceId, []])
    })
  )

  it.effect("sessions are forgotten after the history's time, and not before", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* ClientSessions
      const { sessionId } = yield* signedIn()
      const kept = sql`select 1 from client_sessions where id = ${sessionId}`.pipe(Effect.map((rows) => rows.length))
      yield* TestClock.adjust("90 days")
      yield* sessions.prune
      const before = yield* kept
      yield* TestClock.adjust("15 minutes")
      yield* TestClock.adjust("1 millis")
      yield* sessions.prune
      assert.deepStrictEqual([before, yield* kept], [1, 0])
    })
  )
})

/** A broker of its own on a database that others use too. */
const node = (url: Redacted.Redacted) =>
  Layer.build(
    Layer.fresh(
      Layer.mergeAll(Core.layer, Layer.succeed(Actor, Fixtures.actor)).pipe(
        Layer.provideMerge(Database.layer({ url, maxConnections: 3 })),
        Layer.provide(TestEncryption.layer)
      )
    )
  )

/** Waits until something holds, for a second at most. */
const within1s = <E, R>(check: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(check, { schedule: Schedule.spaced("10 millis"), until: (holds) => holds }).pipe(
    Effect.timeout("1 second")
  )

describe("ClientSessions of two nodes", { concurrent: true }, () => {
  it.live("C6 whose key one node revokes the other refuses within a second", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = [yield* node(url), yield* node(url)]
      const client = yield* Effect.provide(signedIn(), one)
      const onTwo = Effect.provide(isTaken(client.token), two)
      assert.isTrue(yield* onTwo)
      yield* Effect.provide(
        PersonalKeys.use((keys) => keys.revoke(defaultOrganizationId, client.personalKeyId, "lost")),
        one
      )
      yield* within1s(Effect.map(onTwo, (taken) => !taken))
    })
  )

  it.live("C6 whom one node suspends the other refuses within a second, however many sessions they have", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = [yield* node(url), yield* node(url)]
      const client = yield* Effect.provide(signedIn(), one)
      const onTwo = Effect.provide(isTaken(client.token), two)
      assert.isTrue(yield* onTwo)
      // More than fit into one signal.
      yield* Effect.provide(
        SqlClient.SqlClient.use(
          (sql) => sql`
            insert into client_sessions
                   (id, organization_id, user_id, device_id, personal_key_id, created_at, expires_at)
            select gen_random_uuid(), organization_id, user_id, device_id, personal_key_id, created_at, expires_at
              from client_sessions, generate_series(1, 300)`
        ),
        one
      )
      yield* Effect.provide(
        Users.use((users) => users.suspend(defaultOrganizationId, client.userId, "")),
        one
      )
      yield* within1s(Effect.map(onTwo, (taken) => !taken))
    })
  )
})
