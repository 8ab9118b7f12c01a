import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import * as Database from "@broker/core/Database"
import { brokenConstraint } from "@broker/core/database/SqlFailure"
import { Installation } from "@broker/core/Installation"
import { SigningKeys, type TokenType } from "@broker/core/signing-keys/SigningKeys"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, DateTime, Duration, Effect, Layer, Option, type Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { createLocalJWKSet, decodeProtectedHeader, generateKeyPair, jwtVerify, SignJWT } from "jose"

/** A token about nothing, for so long from now. */
const signed = Effect.fnUntraced(function* (type: TokenType = "grant+jwt", lifetime: Duration.Input = "2 minutes") {
  const keys = yield* SigningKeys
  const now = DateTime.toEpochMillis(yield* DateTime.now)
  return yield* keys.sign(type, {
    sub: "somebody",
    iat: Math.floor(now / 1_000),
    exp: Math.floor((now + Duration.toMillis(lifetime)) / 1_000)
  })
})

const isTaken = Effect.fnUntraced(function* (token: string, type: TokenType = "grant+jwt") {
  const keys = yield* SigningKeys
  return Option.isSome(yield* keys.verify(type, token))
})

const publishedIds = Effect.gen(function* () {
  const keys = yield* SigningKeys
  return (yield* keys.published).keys.map(({ kid }) => kid)
})

const renewed = SigningKeys.use(({ renew }) => renew)

/** Begins anew, with one key that has all its time before it. */
const freshKey = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`delete from signing_keys`
  yield* TestClock.adjust("10 seconds")
  const [id] = yield* publishedIds
  return id
})

/** What the API answers with, as a server that knows nothing else checks a token. */
const isTakenOffline = Effect.fnUntraced(function* (
  token: string,
  published: Parameters<typeof createLocalJWKSet>[0],
  audience: string
) {
  const currentDate = DateTime.toDateUtc(yield* DateTime.now)
  return yield* Effect.promise(() =>
    jwtVerify(token, createLocalJWKSet(published), { typ: "grant+jwt", issuer: audience, audience, currentDate }).then(
      () => true,
      () => false
    )
  )
})

const published = Effect.map(
  SigningKeys.use(({ published }) => published),
  ({ keys }) => ({ keys: [...keys] })
)

layer(Fixtures.layer)("SigningKeys", (it) => {
  it.effect("C3 a token holds what was claimed, and that this broker says so", () =>
    Effect.gen(function* () {
      const keys = yield* SigningKeys
      const { audience } = yield* Installation
      const claims = Option.getOrThrow(yield* keys.verify("grant+jwt", yield* signed()))
      assert.deepStrictEqual(
        { sub: claims["sub"], iss: claims["iss"], aud: claims["aud"] },
        { sub: "somebody", iss: audience, aud: audience }
      )
    })
  )

  it.effect("C3 is checked offline by the published set", () =>
    Effect.gen(function* () {
      const { audience } = yield* Installation
      assert.isTrue(yield* isTakenOffline(yield* signed(), yield* published, audience))
    })
  )

  it.effect("C3 the published set holds no private key", () =>
    Effect.gen(function* () {
      const { keys } = yield* published
      for (const key of keys)
        assert.deepStrictEqual(Object.keys(key).toSorted(), ["alg", "crv", "kid", "kty", "use", "x"])
    })
  )

  it.effect("C3 a token of one type does not pass for another", () =>
    Effect.gen(function* () {
      const token = yield* signed("session+jwt")
      assert.deepStrictEqual([yield* isTaken(token, "session+jwt"), yield* isTaken(token, "grant+jwt")], [true, false])
    })
  )

  it.effect("C3 a token ends when it says", () =>
    Effect.gen(function* () {
      const token = yield* signed("grant+jwt", "2 minutes")
      yield* TestClock.adjust("119 seconds")
      const late = yield* isTaken(token)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([late, yield* isTaken(token)], [true, false])
    })
  )

  it.effect("C3 a token without an end is not taken", () =>
    Effect.gen(function* () {
      const keys = yield* SigningKeys
      assert.isFalse(yield* isTaken(yield* keys.sign("grant+jwt", { sub: "somebody" })))
    })
  )

  const texts: ReadonlyArray<readonly [what: string, text: string]> = [
    ["is empty", ""],
    ["is no token", "brk"],
    ["has no signature", "e30.e30."],
    ["names no key", `${Buffer.from('{"alg":"EdDSA"}').toString("base64url")}.e30.AA`],
    ["wants no signature", `${Buffer.from('{"alg":"none","kid":"1","typ":"grant+jwt"}').toString("base64url")}.e30.`]
  ]
  it.effect.each(texts)("a text that %s is not taken", ([, text]) =>
    Effect.gen(function* () {
      yield* signed()
      assert.isFalse(yield* isTaken(text))
    })
  )

  it.effect("C3 a token by another's key is not taken, though it names ours", () =>
    Effect.gen(function* () {
      const { audience } = yield* Installation
      const { kid = "" } = decodeProtectedHeader(yield* signed())
      const now = Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1_000)
      const forged = yield* Effect.promise(async () => {
        const { privateKey } = await generateKeyPair("EdDSA")
        return new SignJWT({ sub: "somebody", iss: audience, aud: audience, exp: now + 60 })
          .setProtectedHeader({ alg: "EdDSA", typ: "grant+jwt", kid })
          .sign(privateKey)
      })
      assert.isFalse(yield* isTaken(forged))
    })
  )

  it.effect("C3 a token whose claims were changed is not taken", () =>
    Effect.gen(function* () {
      const [header, payload = "", signature] = (yield* signed()).split(".")
      const claims = { ...JSON.parse(Buffer.from(payload, "base64url").toString()), sub: "somebody else" }
      const changed = Buffer.from(JSON.stringify(claims)).toString("base64url")
      assert.isFalse(yield* isTaken(`${header}.${changed}.${signature}`))
    })
  )

  it.effect("C3 the next key is published a day before it signs, and signs when the time comes", () =>
    Effect.gen(function* () {
      const first = yield* freshKey
      yield* TestClock.adjust("28 days")
      const early = yield* renewed
      yield* TestClock.adjust("1 day")
      const due = yield* renewed
      yield* TestClock.adjust("10 seconds")
      const shown = yield* publishedIds
      const before = decodeProtectedHeader(yield* signed()).kid
      yield* TestClock.adjust("1 day")
      const after = decodeProtectedHeader(yield* signed()).kid
      assert.deepStrictEqual([early.made, due.made, shown.length], [0, 1, 2])
      assert.deepStrictEqual([before, after], [first, shown[1]])
    })
  )

  it.effect(
    "C3 a grant signed just before the change holds after it, also for who keeps the set of the day before",
    () =>
      Effect.gen(function* () {
        const { audience } = yield* Installation
        yield* freshKey
        yield* TestClock.adjust("29 days")
        yield* renewed
        yield* TestClock.adjust("10 seconds")
        const kept = yield* published
        yield* TestClock.adjust(Duration.subtract(Duration.days(1), Duration.seconds(11)))
        const before = yield* signed()
        yield* TestClock.adjust("1 second")
        const after = yield* signed()
        assert.notStrictEqual(decodeProtectedHeader(before).kid, decodeProtectedHeader(after).kid)
        assert.deepStrictEqual([yield* isTaken(before), yield* isTaken(after)], [true, true])
        assert.deepStrictEqual(
          [yield* isTakenOffline(before, kept, audience), yield* isTakenOffline(after, kept, audience)],
          [true, true]
        )
      })
  )

  it.effect("C3 a key is shown for a day after it signed, and then forgotten", () =>
    Effect.gen(function* () {
      const first = yield* freshKey
      yield* TestClock.adjust("29 days")
      yield* renewed
      yield* TestClock.adjust("47 hours")
      const shown = yield* publishedIds
      yield* TestClock.adjust("1 hour")
      assert.include(shown, first)
      assert.notInclude(yield* publishedIds, first)
      assert.deepStrictEqual(yield* renewed, { made: 0, forgotten: 1, sealed: 0 })
    })
  )

  it.effect("C3 renewing again makes no other key", () =>
    Effect.gen(function* () {
      yield* freshKey
      yield* TestClock.adjust("29 days")
      const both = yield* Effect.all([renewed, renewed], { concurrency: "unbounded" })
      assert.strictEqual(both[0].made + both[1].made, 1)
    })
  )

  it.effect("C3 when nobody renewed for months, a new key is made on demand", () =>
    Effect.gen(function* () {
      const first = yield* freshKey
      yield* TestClock.adjust("90 days")
      const token = yield* signed()
      assert.notStrictEqual(decodeProtectedHeader(token).kid, first)
      assert.isTrue(yield* isTaken(token))
    })
  )

  it.effect("a key that was rolled back signs nothing that stays", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`delete from signing_keys`
      yield* TestClock.adjust("10 seconds")
      yield* signed().pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction, Effect.ignore)
      const token = yield* signed()
      const { kid = "" } = decodeProtectedHeader(token)
      assert.deepStrictEqual(yield* sql`select id from signing_keys`, [{ id: kid }])
    })
  )
})

/** A node of the release before, which reads private keys as they are and tells of no encryption keys. */
const olderNodeBeats = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const now = DateTime.toDateUtc(yield* DateTime.now)
  yield* sql`
    insert into nodes (id, name, version, audience, started_at, last_seen_at)
    values ('00000000-0000-4000-8000-000000000002', 'older', '0', 'http://localhost:3000', ${now}, ${now})
    on conflict (id) do update set last_seen_at = excluded.last_seen_at`
})

/** How many keys are in plain text, and how many are sealed. */
const kept = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql`select count(private_key)::int as plain, count(sealed_key)::int as sealed from signing_keys`
  return row
})

layer(Fixtures.layer)("SigningKeys at rest", (it) => {
  it.effect("J6 private keys are sealed, and another node signs and verifies by them", () =>
    Effect.gen(function* () {
      yield* freshKey
      const other = Context.get(yield* Layer.build(Layer.fresh(SigningKeys.layer)), SigningKeys)
      const now = Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1_000)
      assert.isTrue(Option.isSome(yield* other.verify("grant+jwt", yield* signed())))
      assert.isTrue(yield* isTaken(yield* other.sign("grant+jwt", { sub: "somebody", exp: now + 60 })))
      assert.deepStrictEqual(yield* kept, { plain: 0, sealed: 1 })
    })
  )

  it.effect("as long as a node of the release before is there, or may be back, keys are as it reads them", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* olderNodeBeats
      const id = yield* freshKey
      assert.deepStrictEqual(yield* kept, { plain: 1, sealed: 0 })
      assert.strictEqual((yield* renewed).sealed, 0)
      // Its own statement, and what it expects of it.
      const [row] = yield* sql<{ privateKey: Uint8Array; publicKey: Uint8Array }>`
        select * from signing_keys where id = ${id ?? ""}`
      assert.deepStrictEqual([row?.privateKey.byteLength, row?.publicKey.byteLength], [32, 32])
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* renewed).sealed, 0)
    })
  )

  it.effect(
    "J6 once none is, the next run of the job leaves no private key in plain text, and what they signed holds",
    () =>
      Effect.gen(function* () {
        yield* olderNodeBeats
        yield* freshKey
        const before = yield* signed("grant+jwt", "1 hour")
        yield* TestClock.adjust("6 minutes")
        assert.strictEqual((yield* renewed).sealed, 1)
        assert.deepStrictEqual(yield* kept, { plain: 0, sealed: 1 })
        const other = Context.get(yield* Layer.build(Layer.fresh(SigningKeys.layer)), SigningKeys)
        assert.isTrue(Option.isSome(yield* other.verify("grant+jwt", before)))
        assert.isTrue(yield* isTaken(yield* signed()))
        assert.deepStrictEqual(yield* renewed, { made: 0, forgotten: 0, sealed: 0 })
      })
  )

  it.effect("the database takes no key that is both, or neither", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* freshKey
      const both = yield* Effect.flip(sql`update signing_keys set private_key = sealed_key`)
      const neither = yield* Effect.flip(sql`update signing_keys set sealed_key = null`)
      assert.deepStrictEqual([both, neither].map(brokenConstraint), [
        "signing_keys_one_private_key",
        "signing_keys_one_private_key"
      ])
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

describe("SigningKeys of two nodes", { concurrent: true }, () => {
  it.live("C3 of two nodes that begin at once, one makes the key, and both sign by it", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const nodes = [yield* node(url), yield* node(url)]
      const tokens = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, at) => nodes[at % 2]),
        (on) => (on === undefined ? Effect.die("no node") : Effect.provide(signed(), on)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(tokens.map((token) => decodeProtectedHeader(token).kid)).size, 1)
    })
  )

  it.live("C3 what one node signed the other takes at once", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = [yield* node(url), yield* node(url)]
      const token = yield* Effect.provide(signed(), one)
      assert.isTrue(Option.isSome(yield* Context.get(two, SigningKeys).verify("grant+jwt", token)))
    })
  )
})
