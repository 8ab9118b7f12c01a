import { randomBytes } from "node:crypto"
import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import { ClientSessions } from "@broker/core/client-sessions/ClientSessions"
import * as Database from "@broker/core/Database"
import { PersonalKeys } from "@broker/core/personal-keys/PersonalKeys"
import { type Credential, format } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, type Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { deviceStatement, personalKey, unique, user } = Fixtures

type Key = { readonly id: string; readonly credential: Credential<"personalKey"> }

let addresses = 0
/** One that no other test uses. */
const freshAddress = () => {
  addresses += 1
  return `10.${(addresses >> 16) & 255}.${(addresses >> 8) & 255}.${addresses & 255}`
}

/** What a sign-in from an address comes to: "in", a problem's code, or for how long it has to wait. */
const attempt = Effect.fnUntraced(function* (
  credential: Credential<"personalKey">,
  address: string | null,
  fingerprint = "one"
) {
  const sessions = yield* ClientSessions
  return yield* sessions.signIn(credential, { device: deviceStatement({ fingerprint }) }).pipe(
    Effect.map(() => "in"),
    Effect.catchTag("TooManyAttempts", ({ retryAfterSeconds }) => Effect.succeed(retryAfterSeconds)),
    Effect.catch((problem) => Effect.succeed(problem.code)),
    Effect.provideService(Actor, { ...Fixtures.actor, kind: "stranger", name: "client", address })
  )
})

const refused = "personal_key_refused"

/** Spelled right, and not the secret of that key. */
const wrong = ({ credential }: Key): Credential<"personalKey"> => ({
  ...credential,
  secret: format("personalKey", credential.id, randomBytes(24))
})

/** A key that never was. */
const madeUp = (key: Key): Credential<"personalKey"> => {
  const id = `019845e1-682f-7b02-a706-${unique("").slice(-12)}`
  return { ...key.credential, id, secret: format("personalKey", id, randomBytes(24)) }
}

const aKey = Effect.fnUntraced(function* (...owner: Parameters<typeof user>) {
  return yield* personalKey(yield* user(...owner))
})

/** So many guesses at a key, each from an address of its own. */
const guess = (key: Key, times: number) =>
  Effect.forEach(Array.from({ length: times }), () => attempt(wrong(key), freshAddress()))

layer(Fixtures.layer)("SignInDefence", (it) => {
  it.effect("A3 after five failures of an address it waits a second, and twice as long after each more", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      const address = freshAddress()
      for (let failure = 0; failure < 5; failure++) {
        assert.strictEqual(yield* attempt(madeUp(key), address), refused)
      }
      const waits: Array<string | number> = []
      for (let failure = 0; failure < 11; failure++) {
        const wait = yield* attempt(madeUp(key), address)
        waits.push(wait)
        yield* TestClock.adjust(Number(wait) * 1_000)
        assert.strictEqual(yield* attempt(madeUp(key), address), refused)
      }
      assert.deepStrictEqual(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])
    })
  )

  it.effect(
    "A3 an address that has to wait is refused every wrong key, and no right one: next door nobody is kept out",
    () =>
      Effect.gen(function* () {
        const key = yield* aKey()
        const address = freshAddress()
        for (let failure = 0; failure < 5; failure++) yield* attempt(madeUp(key), address)
        assert.deepStrictEqual(
          [
            yield* attempt(madeUp(key), address),
            yield* attempt(wrong(key), address),
            yield* attempt(key.credential, address),
            yield* attempt(madeUp(key), freshAddress())
          ],
          [1, 1, "in", refused]
        )
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* attempt(key.credential, address), "in")
      })
  )

  it.effect("A3 waiting attempts make the wait no longer", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      const address = freshAddress()
      for (let failure = 0; failure < 50; failure++) yield* attempt(madeUp(key), address)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* attempt(madeUp(key), address), refused)
    })
  )

  it.effect("A3 guesses at a key from many addresses wait ever longer, for half a minute at most", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      assert.deepStrictEqual(
        yield* guess(key, 5),
        Array.from({ length: 5 }, () => refused)
      )
      const waits: Array<string | number | undefined> = []
      for (let failure = 0; failure < 7; failure++) {
        const [wait] = yield* guess(key, 1)
        waits.push(wait)
        yield* TestClock.adjust(Number(wait) * 1_000)
        yield* guess(key, 1)
      }
      assert.deepStrictEqual(waits, [1, 2, 4, 8, 16, 30, 30])
    })
  )

  it.effect("A3 the right secret gets in while guesses at its key wait: nobody is locked out", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      yield* guess(key, 20)
      assert.strictEqual(yield* attempt(key.credential, freshAddress()), "in")
    })
  )

  it.effect("A3 who signs in clears what was counted for the key", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      yield* guess(key, 5)
      yield* attempt(key.credential, freshAddress())
      assert.deepStrictEqual(
        yield* guess(key, 5),
        Array.from({ length: 5 }, () => refused)
      )
    })
  )

  it.effect("A3 a quarter of an hour without failure and all is forgotten", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      const address = freshAddress()
      for (let failure = 0; failure < 5; failure++) yield* attempt(madeUp(key), address)
      yield* TestClock.adjust("15 minutes")
      const later: Array<string | number> = []
      for (let failure = 0; failure < 6; failure++) later.push(yield* attempt(madeUp(key), address))
      assert.deepStrictEqual(later, [refused, refused, refused, refused, refused, 1])
    })
  )

  it.effect("A3 failures at once all count", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const key = yield* aKey()
      const address = freshAddress()
      yield* Effect.forEach(Array.from({ length: 5 }), () => attempt(wrong(key), address), { concurrency: "unbounded" })
      const rows = yield* sql`
        select failures from sign_in_failures where subject in (${`key:${key.id}`}, ${`address:${address}`})`
      assert.deepStrictEqual(rows, [{ failures: 5 }, { failures: 5 }])
    })
  )

  it.effect("A3 an address of a 64-bit network is no new one", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      for (let host = 1; host <= 5; host++) yield* attempt(madeUp(key), `2001:db8:0:7::${host}`)
      assert.deepStrictEqual(
        [yield* attempt(madeUp(key), "2001:db8:0:7::ffff"), yield* attempt(madeUp(key), "2001:db8:0:8::1")],
        [1, refused]
      )
    })
  )

  it.effect("A3 without an address only the key counts", () =>
    Effect.gen(function* () {
      const key = yield* aKey()
      for (let failure = 0; failure < 8; failure++) yield* attempt(madeUp(key), null)
      assert.strictEqual(yield* attempt(key.credential, null), "in")
    })
  )

  it.effect("A3 keys that do not exist leave one row for their address, and no other", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const key = yield* aKey()
      const subjects = sql`select count(*)::int as subjects from sign_in_failures`
      const [before] = yield* subjects
      const address = freshAddress()
      for (let failure = 0; failure < 4; failure++) yield* attempt(madeUp(key), address)
      const [after] = yield* subjects
      assert.strictEqual(Number(after?.["subjects"]), Number(before?.["subjects"]) + 1)
    })
  )

  it.effect("a client that goes on with a revoked key waits, and its address does not", () =>
    Effect.gen(function* () {
      const keys = yield* PersonalKeys
      const [revoked, good] = [yield* aKey(), yield* aKey()]
      yield* keys.revoke(defaultOrganizationId, revoked.id, "lost")
      const address = freshAddress()
      const answers: Array<string | number> = []
      for (let failure = 0; failure < 6; failure++) answers.push(yield* attempt(revoked.credential, address))
      assert.deepStrictEqual(answers, [refused, refused, refused, refused, refused, 1])
      assert.strictEqual(yield* attempt(good.credential, address), "in")
    })
  )

  it.effect("the begin of a slow-down is told once, for the key and for the address", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const key = yield* aKey({ organizationId })
      const address = freshAddress()
      for (let failure = 0; failure < 5; failure++) yield* attempt(wrong(key), address)
      yield* TestClock.adjust("1 second")
      yield* attempt(wrong(key), address)
      const events = yield* sql`
          select kind, severity, host(address) as address, details ->> 'subject' as subject
            from security_events
           where organization_id = ${organizationId}
        order by id`
      const told = { kind: "sign_in_slowed", severity: "low", address }
      assert.deepStrictEqual(events, [
        { ...told, subject: "address" },
        { ...told, subject: "personal-key" }
      ])
    })
  )

  it.effect("what is forgotten is deleted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const sessions = yield* ClientSessions
      const key = yield* aKey()
      const address = freshAddress()
      yield* attempt(madeUp(key), address)
      const kept = Effect.map(
        sql`select 1 from sign_in_failures where subject = ${`address:${address}`}`,
        (rows) => rows.length
      )
      yield* TestClock.adjust("899 seconds")
      yield* sessions.prune
      const before = yield* kept
      yield* TestClock.adjust("1 second")
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

describe("SignInDefence of two nodes", () => {
  it.live("A3 what fails on one node slows down the other", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = [yield* node(url), yield* node(url)]
      const key = yield* Effect.provide(aKey(), one)
      const address = freshAddress()
      for (let failure = 0; failure < 5; failure++) yield* Effect.provide(attempt(madeUp(key), address), one)
      assert.strictEqual(yield* Effect.provide(attempt(madeUp(key), address), two), 1)
    })
  )
})
