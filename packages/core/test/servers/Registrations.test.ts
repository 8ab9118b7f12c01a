import { Idempotency } from "@broker/core/Idempotency"
import { Installation } from "@broker/core/Installation"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Registrations } from "@broker/core/servers/Registrations"
import { Servers } from "@broker/core/servers/Servers"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Registered, RegisteredAgain, type Registration } from "@broker/domain/Registration"
import { PublicKey, Signature } from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Option, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { join, joined, keyPair, registration, registrationKey, unique } = Fixtures

/** How often a key was used. */
const uses = Effect.fnUntraced(function* (key: { readonly id: string }) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ uses: number }>`select uses from registration_keys where id = ${key.id}`
  return row?.uses
})

/** How many servers stand under a name. */
const serversNamed = Effect.fnUntraced(function* (name: string) {
  const sql = yield* SqlClient.SqlClient
  return (yield* sql`select 1 from servers where name = ${name}`).length
})

/** The last entry about a key. */
const lastEntry = Effect.fnUntraced(function* (key: { readonly id: string }) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ outcome: string; details: Record<string, unknown> }>`
    select outcome, details from audit_entries where subject_id = ${key.id} order by id desc limit 1`
  return row
})

const eventsOf = Effect.fnUntraced(function* (publicKey: PublicKey) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<{ kind: string; severity: string }>`
    select kind, severity from security_events where details ->> 'publicKey' = ${publicKey}`
})

/** So many servers of their own at the same time. */
const race = (key: Fixtures.RegistrationKey, many: number) => {
  const prefix = unique("racer")
  return Effect.forEach(
    Array.from({ length: many }, (_, racer) => `${prefix}-${racer}`),
    (name) => Effect.result(join(key, keyPair(), { name })),
    { concurrency: "unbounded" }
  )
}

const wins = (results: ReadonlyArray<Result.Result<unknown, unknown>>) => results.filter(Result.isSuccess).length

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

layer(Fixtures.layer)("Registrations", (it) => {
  it.effect.each([1, 3])("B1 of 50 who race for the last %i uses, so many join", (useLimit) =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit })
      const results = yield* race(key, 50)
      assert.strictEqual(wins(results), useLimit)
      assert.strictEqual(yield* uses(key), useLimit)
    })
  )

  it.effect("B1 the others of the race hear that the key is refused", () =>
    Effect.gen(function* () {
      const results = yield* race(yield* registrationKey(), 10)
      const codes = results.flatMap((result) => (Result.isFailure(result) ? [result.failure.code] : []))
      assert.deepStrictEqual([...new Set(codes)], ["registration_key_refused"])
    })
  )

  it.effect("B2 a retry gets the same identity and takes no second use", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 5 })
      const pair = keyPair()
      const name = unique("server")
      const lost = yield* join(key, pair, { name })
      const again = yield* join(key, pair, { name })
      assert.instanceOf(again, RegisteredAgain)
      assert.strictEqual(again.server.id, lost.server.id)
      assert.strictEqual(yield* uses(key), 1)
    })
  )

  it.effect("B2 a retry works though the key is exhausted or expired by now", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ expiresInSeconds: 60 })
      const pair = keyPair()
      const name = unique("server")
      const lost = yield* join(key, pair, { name })
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* join(key, pair, { name })).server.id, lost.server.id)
    })
  )

  it.effect("B2 a retry works when its clock or its description has moved on", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey()
      const pair = keyPair()
      const name = unique("server")
      const lost = yield* join(key, pair, { name })
      yield* TestClock.adjust("9 minutes")
      const again = yield* join(key, pair, { name: ` ${name.toUpperCase()} `, version: "2" })
      assert.strictEqual(again.server.id, lost.server.id)
    })
  )

  it.effect("B2 a retry gets a fresh token, and the lost one is dead", () =>
    Effect.gen(function* () {
      const tokens = yield* ServerTokens
      const key = yield* registrationKey()
      const pair = keyPair()
      const name = unique("server")
      const lost = yield* join(key, pair, { name })
      const again = yield* join(key, pair, { name })
      const bearer = yield* tokens.authenticate(Fixtures.credential("serverToken", again.token))
      assert.strictEqual(bearer.id, lost.server.id)
      const refused = yield* Effect.flip(tokens.authenticate(Fixtures.credential("serverToken", lost.token)))
      assert.strictEqual(refused._tag, "UnknownCredential")
    })
  )

  it.effect("B2 a retry gets a challenge that it can answer", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey()
      const pair = keyPair()
      const name = unique("server")
      const lost = yield* join(key, pair, { name })
      const again = yield* join(key, pair, { name })
      assert.isNotNull(again.challenge)
      assert.notStrictEqual(again.challenge?.id, lost.challenge?.id)
    })
  )

  it.effect("B2 after 10 minutes a retry costs a use", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 2 })
      const pair = keyPair()
      const name = unique("server")
      const lost = yield* join(key, pair, { name })
      yield* TestClock.adjust("10 minutes")
      yield* join(key, pair, { name })
      assert.strictEqual(yield* uses(key), 1)

      yield* TestClock.adjust("1 second")
      const late = yield* join(key, pair, { name })
      assert.strictEqual(late.server.id, lost.server.id)
      assert.strictEqual(yield* uses(key), 2)

      assert.strictEqual(yield* codeOf(join(key, pair, { name })), "registration_key_refused")
    })
  )

  it.effect("B2 a retry by a key that was revoked meanwhile is refused", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const key = yield* registrationKey({ useLimit: 5 })
      const pair = keyPair()
      const name = unique("server")
      yield* join(key, pair, { name })
      yield* keys.revoke(defaultOrganizationId, key.id)
      assert.strictEqual(yield* codeOf(join(key, pair, { name })), "registration_key_refused")
    })
  )

  it.effect.each([1, 20])("B2 identical requests at once get one identity by one use of %i", (useLimit) =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit })
      const pair = keyPair()
      const name = unique("server")
      const all = yield* Effect.forEach(Array.from({ length: 20 }), () => join(key, pair, { name }), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(all.map(({ server }) => server.id)).size, 1)
      assert.strictEqual(all.filter((one) => one instanceof Registered).length, 1)
      assert.strictEqual(yield* uses(key), 1)
    })
  )

  const spellings: ReadonlyArray<readonly [what: string, name: string, other: string]> = [
    ["case", "Straße-%", "STRASSE-%"],
    ["width", "ＦＲＡ-%", "fra-%"],
    ["ligatures", "ﬁn-%", "FIN-%"],
    ["accents", "Café-%", "CAFE\u0301-%"],
    ["spaces around it", "ams-%", "  ams-% \u00a0"],
    ["final sigma", "ΟΔΟΣ-%", "οδος-%"]
  ]
  it.effect.each(spellings)("B3 a name is taken whatever its %s", ([, name, other]) =>
    Effect.gen(function* () {
      const suffix = unique("x")
      yield* joined(name.replace("%", suffix))
      const key = yield* registrationKey()
      const attempt = join(key, keyPair(), { name: other.replace("%", suffix) })
      assert.strictEqual(yield* codeOf(attempt), "name_taken")
    })
  )

  it.effect("B3 whose name is taken keeps the use of the key", () =>
    Effect.gen(function* () {
      const { name } = yield* joined()
      const key = yield* registrationKey()
      yield* Effect.flip(join(key, keyPair(), { name }))
      assert.strictEqual(yield* uses(key), 0)
      yield* join(key, keyPair(), { name: unique("other") })
    })
  )

  it.effect("B3 of 20 who race for a name, one gets it, and one use is taken", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 100 })
      const name = unique("server")
      const results = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => Effect.result(join(key, keyPair(), { name })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(wins(results), 1)
      assert.strictEqual(yield* uses(key), 1)
      assert.strictEqual(yield* serversNamed(name), 1)
    })
  )

  it.effect("B3 another organization may use the name", () =>
    Effect.gen(function* () {
      const { name } = yield* joined()
      const organizationId = yield* Fixtures.organization
      const other = yield* joined(name, { organizationId })
      assert.strictEqual(other.name, name)
    })
  )

  it.effect("B3 a retired server gives its name back", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id, name } = yield* joined()
      yield* servers.retire(defaultOrganizationId, id, "")
      const heir = yield* joined(name)
      assert.notStrictEqual(heir.id, id)
    })
  )

  const stranger = keyPair()
  const tampered: ReadonlyArray<readonly [what: string, (sent: Registration) => Registration]> = [
    ["name", (sent) => ({ ...sent, name: `${sent.name}x` })],
    ["public key", (sent) => ({ ...sent, publicKey: stranger.publicKey })],
    ["timestamp", (sent) => ({ ...sent, timestamp: sent.timestamp.replace(/\.\d+Z$/, "Z").replace(/Z$/, ".001Z") })],
    ["spelling of the timestamp", (sent) => ({ ...sent, timestamp: sent.timestamp.replace(/Z$/, "+00:00") })],
    ["signature", (sent) => ({ ...sent, signature: stranger.sign(sent.name) })],
    ["signature, which is all zeros", (sent) => ({ ...sent, signature: Signature.make("A".repeat(86)) })]
  ]
  it.effect.each(tampered)("B4 another %s than was signed is refused", ([, tamper]) =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const key = yield* registrationKey()
      const sent = yield* registration(key, keyPair(), { name: unique("server") })
      const attempt = registrations.register(key.credential, tamper(sent), Option.none())
      assert.strictEqual(yield* codeOf(attempt), "invalid_signature")
    })
  )

  it.effect("B4 what was signed for another key is refused", () =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const [one, two] = [yield* registrationKey(), yield* registrationKey()]
      const sent = yield* registration(one, keyPair(), { name: unique("server") })
      assert.strictEqual(
        yield* codeOf(registrations.register(two.credential, sent, Option.none())),
        "invalid_signature"
      )
    })
  )

  it.effect("B4 what was signed for another broker is refused", () =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const key = yield* registrationKey()
      const elsewhere = { audience: "https://broker.example", version: "1" }
      const sent = yield* Effect.provideService(
        registration(key, keyPair(), { name: unique("server") }),
        Installation,
        elsewhere
      )
      assert.strictEqual(
        yield* codeOf(registrations.register(key.credential, sent, Option.none())),
        "invalid_signature"
      )
    })
  )

  it.effect("B4 a signature for another purpose is refused", () =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const { audience } = yield* Installation
      const key = yield* registrationKey()
      const pair = keyPair()
      const sent = yield* registration(key, pair, { name: unique("server") })
      const text = SignedString.rotation({
        audience,
        serverId: key.id,
        publicKey: pair.publicKey,
        timestamp: sent.timestamp
      })
      const attempt = registrations.register(key.credential, { ...sent, signature: pair.sign(text) }, Option.none())
      assert.strictEqual(yield* codeOf(attempt), "invalid_signature")
    })
  )

  it.effect.each([-300_001, 300_001])("B4 a timestamp that is %i ms off is refused", (off) =>
    Effect.gen(function* () {
      const key = yield* registrationKey()
      const timestamp = yield* Effect.clockWith((clock) =>
        Effect.map(clock.currentTimeMillis, (now) => new Date(now + off).toISOString())
      )
      assert.strictEqual(
        yield* codeOf(join(key, keyPair(), { name: unique("server"), timestamp })),
        "timestamp_out_of_range"
      )
    })
  )

  it.effect.each([-300_000, 300_000])("B4 a timestamp that is %i ms off is taken", (off) =>
    Effect.gen(function* () {
      const key = yield* registrationKey()
      const timestamp = yield* Effect.clockWith((clock) =>
        Effect.map(clock.currentTimeMillis, (now) => new Date(now + off).toISOString())
      )
      assert.instanceOf(yield* join(key, keyPair(), { name: unique("server"), timestamp }), Registered)
    })
  )

  it.effect("B4 a request that was overheard is worth nothing 5 minutes later", () =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const key = yield* registrationKey({ useLimit: 2 })
      const sent = yield* registration(key, keyPair(), { name: unique("server") })
      yield* registrations.register(key.credential, sent, Option.none())
      yield* TestClock.adjust(300_001)
      assert.strictEqual(
        yield* codeOf(registrations.register(key.credential, sent, Option.none())),
        "timestamp_out_of_range"
      )
    })
  )

  it.effect("B4 a refused signature leaves the key as it was", () =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const key = yield* registrationKey()
      const sent = yield* registration(key, keyPair(), { name: unique("server") })
      yield* Effect.flip(registrations.register(key.credential, { ...sent, name: "other" }, Option.none()))
      assert.strictEqual(yield* uses(key), 0)
    })
  )

  it.effect("B5 a public key under another name is refused, with a security event", () =>
    Effect.gen(function* () {
      const { pair } = yield* joined()
      const key = yield* registrationKey()
      assert.strictEqual(yield* codeOf(join(key, pair, { name: unique("other") })), "public_key_in_use")
      assert.deepStrictEqual(yield* eventsOf(pair.publicKey), [{ kind: "public_key_reused", severity: "high" }])
      assert.strictEqual(yield* uses(key), 0)
    })
  )

  it.effect("B5 a public key of another organization is refused, with a security event", () =>
    Effect.gen(function* () {
      const { name, pair } = yield* joined()
      const key = yield* registrationKey({ organizationId: yield* Fixtures.organization })
      assert.strictEqual(yield* codeOf(join(key, pair, { name })), "public_key_in_use")
      assert.lengthOf(yield* eventsOf(pair.publicKey), 1)
    })
  )

  it.effect.each(["suspend", "retire"] as const)(
    "B5 after %s the public key is refused, with a security event",
    (shutOut) =>
      Effect.gen(function* () {
        const servers = yield* Servers
        const { id, name, pair } = yield* joined()
        yield* servers[shutOut](defaultOrganizationId, id, "")
        const key = yield* registrationKey()
        assert.strictEqual(yield* codeOf(join(key, pair, { name })), "public_key_in_use")
        assert.lengthOf(yield* eventsOf(pair.publicKey), 1)
      })
  )

  it.effect("B5 of two names that race for a public key, one gets it", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 10 })
      const pair = keyPair()
      const results = yield* Effect.forEach(
        [unique("one"), unique("two")],
        (name) => Effect.result(join(key, pair, { name })),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(wins(results), 1)
      assert.strictEqual(yield* uses(key), 1)
    })
  )

  it.effect("B6 the name with a new public key is refused", () =>
    Effect.gen(function* () {
      const { name } = yield* joined()
      assert.strictEqual(yield* codeOf(join(yield* registrationKey(), keyPair(), { name })), "name_taken")
    })
  )

  it.effect("B6 a replacement key gives the same server a new key pair, to be proven anew", () =>
    Effect.gen(function* () {
      const server = yield* Fixtures.verified()
      const key = yield* registrationKey({ replacesServerId: server.id })
      const pair = keyPair()
      const again = yield* join(key, pair, { name: server.name })
      assert.deepStrictEqual(
        [again.server.id, again.server.publicKey, again.server.verified],
        [server.id, pair.publicKey, false]
      )
    })
  )

  it.effect("B6 a replaced key pair and its token are worth nothing any more", () =>
    Effect.gen(function* () {
      const tokens = yield* ServerTokens
      const server = yield* joined()
      yield* join(yield* registrationKey({ replacesServerId: server.id }), keyPair(), { name: server.name })
      assert.strictEqual((yield* Effect.flip(tokens.authenticate(server.token)))._tag, "UnknownCredential")
      const key = yield* registrationKey()
      assert.strictEqual(yield* codeOf(join(key, server.pair, { name: server.name })), "public_key_in_use")
    })
  )

  it.effect("B6 a replacement whose reply was lost may be repeated (B2)", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* TestClock.adjust("1 hour")
      const key = yield* registrationKey({ replacesServerId: server.id })
      const pair = keyPair()
      yield* join(key, pair, { name: server.name })
      const again = yield* join(key, pair, { name: server.name })
      assert.strictEqual(again.server.id, server.id)
      assert.strictEqual(yield* uses(key), 1)
    })
  )

  it.effect("B6 a replacement key does not let a new name in", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const key = yield* registrationKey({ replacesServerId: server.id })
      const attempt = join(key, keyPair(), { name: unique("other") })
      assert.strictEqual(yield* codeOf(attempt), "name_taken")
      assert.strictEqual(yield* uses(key), 0)
    })
  )

  it.effect("B6 a replacement key does not let another server back in", () =>
    Effect.gen(function* () {
      const [bound, other] = [yield* joined(), yield* joined()]
      const key = yield* registrationKey({ replacesServerId: bound.id })
      yield* TestClock.adjust("11 minutes")
      yield* Effect.flip(join(key, other.pair, { name: other.name }))
      assert.strictEqual(yield* uses(key), 0)
    })
  )

  it.effect.each(["suspend", "retire"] as const)("B6 a replacement key does not undo %s", (shutOut) =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* joined()
      const key = yield* registrationKey({ replacesServerId: server.id })
      yield* servers[shutOut](defaultOrganizationId, server.id, "")
      yield* Effect.flip(join(key, keyPair(), { name: server.name }))
      assert.strictEqual(yield* uses(key), 0)
    })
  )

  const dead = {
    unknown: Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const key = yield* registrationKey()
      yield* sql`delete from registration_keys where id = ${key.id}`
      return key
    }),
    expired: Effect.tap(registrationKey({ expiresInSeconds: 60 }), TestClock.adjust("1 minute")),
    revoked: Effect.tap(registrationKey(), (key) =>
      RegistrationKeys.use((keys) => keys.revoke(defaultOrganizationId, key.id))
    ),
    exhausted: Effect.tap(registrationKey(), (key) => join(key, keyPair(), { name: unique("server") }))
  }
  const states = ["unknown", "expired", "revoked", "exhausted"] as const

  it.effect("B7 outsiders can't tell unknown, expired, revoked and exhausted keys apart", () =>
    Effect.gen(function* () {
      const answers = yield* Effect.forEach(states, (state) =>
        Effect.gen(function* () {
          const refused = yield* Effect.flip(join(yield* dead[state], keyPair(), { name: unique("server") }))
          return JSON.stringify({ ...refused })
        })
      )
      assert.strictEqual(new Set(answers).size, 1)
      assert.include(answers[0], "registration_key_refused")
    })
  )

  it.effect.each(states)("B7 the audit log knows that the key was %s", (state) =>
    Effect.gen(function* () {
      const key = yield* dead[state]
      yield* Effect.flip(join(key, keyPair(), { name: "late" }))
      const entry = yield* lastEntry(key)
      assert.strictEqual(entry?.outcome, "refused")
      assert.deepInclude(entry?.details, { code: "registration_key_refused", key: state, name: "late" })
    })
  )

  it.effect("B7 a key of the right id and another secret is unknown", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* registrationKey(), yield* registrationKey()]
      const forged = { ...one, credential: { ...one.credential, secret: two.secret } }
      assert.strictEqual(yield* codeOf(join(forged, keyPair(), { name: unique("server") })), "registration_key_refused")
      assert.strictEqual(yield* uses(one), 0)
    })
  )

  it.effect("B8 retiring a server gives no use back", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id, key } = yield* joined()
      yield* servers.retire(defaultOrganizationId, id, "")
      assert.strictEqual(yield* uses(key), 1)
    })
  )

  it.effect("B8 revoking a key cuts no member", () =>
    Effect.gen(function* () {
      const keys = yield* RegistrationKeys
      const tokens = yield* ServerTokens
      const server = yield* joined()
      yield* keys.revoke(defaultOrganizationId, server.key.id)
      assert.strictEqual((yield* tokens.authenticate(server.token)).admission, "approved")
    })
  )

  const lowOrder = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
  ]
  // The 19 numbers of 255 bits that are not below the field's prime: each spells a point a second time.
  const nonCanonical = Array.from({ length: 19 }, (_, over) => `${(0xed + over).toString(16)}${"ff".repeat(30)}7f`)
  const withSign = (hex: string) => `${hex.slice(0, 62)}${(parseInt(hex.slice(62), 16) | 0x80).toString(16)}`
  const unsound = [...lowOrder, ...nonCanonical].flatMap((hex) => [hex, withSign(hex)])

  it.effect.each(unsound)("B10 the public key %s is refused", (hex) =>
    Effect.gen(function* () {
      const key = yield* registrationKey()
      const pair = { ...keyPair(), publicKey: PublicKey.make(Buffer.from(hex, "hex").toString("base64url")) }
      assert.strictEqual(yield* codeOf(join(key, pair, { name: unique("server") })), "invalid_public_key")
    })
  )

  it.effect("B10 a public key that is no point of the curve proves nothing", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey()
      const publicKey = PublicKey.make(Buffer.from(`02${"00".repeat(31)}`, "hex").toString("base64url"))
      const code = yield* codeOf(join(key, { ...keyPair(), publicKey }, { name: unique("server") }))
      assert.oneOf(code, ["invalid_public_key", "invalid_signature"])
    })
  )

  it.effect("B11 by a key that requires approval a server waits, is heard, and can't be discovered", () =>
    Effect.gen(function* () {
      const server = yield* Fixtures.verified(unique("server"), { approval: true })
      const reply = yield* Fixtures.beat(server, Fixtures.boot(), 1)
      assert.deepStrictEqual([reply.admission, reply.liveness], ["pending", "online"])
      const { available, status } = yield* Fixtures.seen(server)
      assert.deepStrictEqual({ available, status }, { available: false, status: "pending" })
    })
  )

  it.effect("B11 once approved it is available", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* Fixtures.verified(unique("server"), { approval: true })
      yield* Fixtures.beat(server, Fixtures.boot(), 1)
      const { available, status } = yield* servers.approve(server.organizationId, server.id)
      assert.deepStrictEqual({ available, status }, { available: true, status: "online" })
    })
  )

  it.effect("a server gets the tags of its key beside its own", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ tags: ["eu", "lab"] })
      const { server } = yield* join(key, keyPair(), { name: unique("server"), tags: ["lab", "gpu"] })
      assert.deepStrictEqual(server.tags, ["eu", "lab", "gpu"])
    })
  )

  it.effect("F6 an Idempotency-Key gives the same identity again", () =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const key = yield* registrationKey({ useLimit: 5 })
      const sent = yield* registration(key, keyPair(), { name: unique("server"), labels: { rack: "b2" } })
      const attempt = registrations.register(key.credential, sent, Option.some("once"))
      const [one, two] = [yield* attempt, yield* attempt]
      assert.strictEqual(one.server.id, two.server.id)
      assert.strictEqual(yield* uses(key), 1)
    })
  )

  it.effect("F6 an Idempotency-Key repeats for 24 hours, though the timestamp is long out of range", () =>
    Effect.gen(function* () {
      const registrations = yield* Registrations
      const key = yield* registrationKey({ expiresInSeconds: 200_000 })
      const sent = yield* registration(key, keyPair(), { name: unique("server") })
      const attempt = registrations.register(key.credential, sent, Option.some("later"))
      const first = yield* attempt
      yield* TestClock.adjust("23 hours")
      const again = yield* attempt
      assert.instanceOf(again, Registered)
      assert.strictEqual(again.server.id, first.server.id)
      assert.strictEqual(
        yield* codeOf(registrations.register(key.credential, sent, Option.none())),
        "timestamp_out_of_range"
      )
    })
  )

  it.effect("F6 an attempt that was refused leaves its Idempotency-Key free", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 5 })
      const taken = yield* join(key, keyPair(), { name: unique("server") }, "first")
      assert.strictEqual(yield* codeOf(join(key, keyPair(), { name: taken.server.name }, "second")), "name_taken")
      assert.instanceOf(yield* join(key, keyPair(), { name: unique("server") }, "second"), Registered)
    })
  )

  it.effect("F6 an Idempotency-Key with another body is refused", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 5 })
      yield* join(key, keyPair(), { name: unique("server") }, "twice")
      const attempt = join(key, keyPair(), { name: unique("server") }, "twice")
      assert.strictEqual(yield* codeOf(attempt), "idempotency_key_reused")
      assert.strictEqual(yield* uses(key), 1)
    })
  )

  it.effect("F6 of two bodies that race for an Idempotency-Key, one is taken", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 5 })
      const results = yield* Effect.forEach(
        [unique("one"), unique("two")],
        (name) => Effect.result(join(key, keyPair(), { name }, "raced")),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(wins(results), 1)
    })
  )

  it.effect("F6 an Idempotency-Key means nothing to another registration key", () =>
    Effect.gen(function* () {
      yield* join(yield* registrationKey(), keyPair(), { name: unique("server") }, "shared")
      const other = yield* join(yield* registrationKey(), keyPair(), { name: unique("server") }, "shared")
      assert.instanceOf(other, Registered)
    })
  )

  it.effect("F6 after 24 hours an Idempotency-Key may stand for something else", () =>
    Effect.gen(function* () {
      const key = yield* registrationKey({ useLimit: 5, expiresInSeconds: 200_000 })
      yield* join(key, keyPair(), { name: unique("server") }, "daily")
      yield* TestClock.adjust("24 hours")
      const early = join(key, keyPair(), { name: unique("server") }, "daily")
      assert.strictEqual(yield* codeOf(early), "idempotency_key_reused")
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* join(key, keyPair(), { name: unique("server") }, "daily"), Registered)
    })
  )

  it.effect("F6 Idempotency-Keys are forgotten after 24 hours, and not before", () =>
    Effect.gen(function* () {
      const idempotency = yield* Idempotency
      yield* TestClock.adjust("2 days")
      yield* idempotency.prune
      yield* idempotency.claim("test", "kept", { a: 1 })
      yield* TestClock.adjust("24 hours")
      assert.strictEqual(yield* idempotency.prune, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* idempotency.prune, 1)
    })
  )
})
