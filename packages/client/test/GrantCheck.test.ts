/** Grants, checked by keys that a broker published, on a test's clock. */

import { generateKeyPairSync, type KeyObject } from "node:crypto"
import type { ConnectionId, Grant } from "@broker/domain/Connection"
import type { ServerId } from "@broker/domain/Server"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Redacted } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { type JWTPayload, SignJWT, UnsecuredJWT } from "jose"
import * as GrantCheck from "../src/GrantCheck.ts"
import * as GrantProof from "../src/GrantProof.ts"
import * as KeyPair from "../src/KeyPair.ts"

const audience = "https://broker.test.example"
const serverId = "01938f6e-0000-7000-8000-000000000001" as ServerId
const connection = "01938f6e-0000-7000-8000-0000000000c1" as ConnectionId
const otherId = "01938f6e-0000-7000-8000-0000000000ff"

const pair = () => generateKeyPairSync("ed25519")

/** The published side of a broker. */
class Publisher {
  readonly keys = new Map([["k1", pair()]])
  isAway = false
  cacheControl: string | undefined
  fetches = 0

  readonly client = HttpClient.make((request, url) =>
    Effect.gen({ self: this }, function* () {
      if (this.isAway) {
        return yield* new HttpClientError.HttpClientError({
          reason: new HttpClientError.TransportError({ request, cause: new Error("no way") })
        })
      }
      const isKeys = url.pathname === "/.well-known/jwks.json"
      if (isKeys) this.fetches++
      const keys = [...this.keys].map(([kid, { publicKey }]) => ({
        ...publicKey.export({ format: "jwk" }),
        kid,
        alg: "EdDSA",
        use: "sig"
      }))
      return HttpClientResponse.fromWeb(
        request,
        new Response(JSON.stringify(isKeys ? { keys } : { audience }), {
          headers: {
            "content-type": "application/json",
            ...(this.cacheControl === undefined ? {} : { "cache-control": this.cacheControl })
          }
        })
      )
    })
  )

  key(kid: string): KeyObject {
    const found = this.keys.get(kid)
    if (found === undefined) throw new Error(`there is no ${kid}`)
    return found.privateKey
  }
}

interface Make {
  readonly claims?: JWTPayload
  readonly typ?: string
  readonly kid?: string
  readonly key?: KeyObject
}

/** What a broker grants, now, unless told otherwise. */
const claimsAt = (seconds: number): JWTPayload => ({
  iss: audience,
  aud: audience,
  sub: "01938f6e-0000-7000-8000-0000000000a1",
  jti: connection,
  iat: seconds,
  exp: seconds + 120,
  connection,
  device: "01938f6e-0000-7000-8000-0000000000d1",
  server: serverId
})

const grant = Effect.fnUntraced(function* (
  broker: Publisher,
  { claims, key, kid = "k1", typ = "grant+jwt" }: Make = {}
) {
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  return yield* Effect.promise(() =>
    new SignJWT({ ...claimsAt(now), ...claims })
      .setProtectedHeader({ alg: "EdDSA", typ, kid })
      .sign(key ?? broker.key(kid))
  )
})

const checker = (broker: Publisher) =>
  Effect.map(
    Effect.provideService(
      GrantCheck.make({ url: "http://broker.test", serverId }),
      HttpClient.HttpClient,
      broker.client
    ),
    ({ check }) => check
  )

/** Why a grant is refused; it must be. */
const reasonOf = (check: Effect.Effect<unknown, GrantCheck.GrantRefused>) =>
  Effect.map(Effect.flip(check), ({ reason }) => reason)

/** Some seconds after 1970, so that the past exists. */
const start = TestClock.adjust("1000 seconds")

describe("GrantCheck", () => {
  it.effect("C3 takes a grant of the broker's for this server, and says what is in it", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      const claims = yield* check(Redacted.make(yield* grant(broker)) as Grant)
      assert.deepInclude(claims, { connection, server: serverId, aud: audience })
    })
  )

  it.effect.each([
    ["over", { claims: { exp: 990, iat: 870 } }, "expired"],
    ["of the future", { claims: { iat: 1_010, exp: 1_130 } }, "early"],
    ["for another server", { claims: { server: otherId } }, "server"],
    ["of another audience", { claims: { aud: "https://other.example" } }, "audience"],
    ["of another issuer", { claims: { iss: "https://other.example" } }, "issuer"],
    ["of another type", { typ: "session+jwt" }, "type"],
    ["without a device", { claims: { device: undefined } }, "malformed"],
    ["of two connections", { claims: { jti: otherId } }, "malformed"],
    ["signed by a stranger", { key: pair().privateKey }, "signature"]
  ] as const)("C3 refuses a grant that is %s", ([, make, reason]) =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      assert.strictEqual(yield* reasonOf(check(yield* grant(broker, make))), reason)
    })
  )

  it.effect("C3 refuses what is not signed, signed by a shared secret, or no token at all", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      const none = new UnsecuredJWT(claimsAt(1_000)).encode()
      const shared = yield* Effect.promise(() =>
        new SignJWT(claimsAt(1_000))
          .setProtectedHeader({ alg: "HS256", typ: "grant+jwt", kid: "k1" })
          .sign(broker.keys.get("k1")?.publicKey.export({ type: "spki", format: "der" }) ?? new Uint8Array(32))
      )
      assert.deepStrictEqual(
        yield* Effect.forEach([none, shared, "", "a.b.c", "x".repeat(5_000)], (text) => reasonOf(check(text))),
        ["algorithm", "algorithm", "malformed", "malformed", "malformed"]
      )
      assert.strictEqual(broker.fetches, 0, "nobody makes it ask the broker by that")
    })
  )

  it.effect("C3 refuses a grant that was changed in any part", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      const [header, , signature] = (yield* grant(broker)).split(".")
      const forged = Buffer.from(JSON.stringify({ ...claimsAt(1_000), sub: otherId })).toString("base64url")
      assert.strictEqual(yield* reasonOf(check([header, forged, signature].join("."))), "signature")
    })
  )

  it.effect("C3 takes a grant once, for as long as it is good", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      const text = yield* grant(broker)
      yield* check(text)
      assert.strictEqual(yield* reasonOf(check(text)), "used")
      yield* TestClock.adjust("119 seconds")
      assert.strictEqual(yield* reasonOf(check(text)), "used")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* reasonOf(check(text)), "expired")
    })
  )

  it.effect("C3 of two who bring the same grant at once, takes one", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      const text = yield* grant(broker)
      const exits = yield* Effect.all([check(text), check(text)].map(Effect.exit), { concurrency: "unbounded" })
      assert.lengthOf(
        exits.filter(({ _tag }) => _tag === "Success"),
        1
      )
    })
  )

  it.effect("C3 lets clocks be a little apart", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      yield* check(yield* grant(broker, { claims: { iat: 1_004 } }))
      const late = yield* grant(broker, {
        claims: { exp: 997, iat: 870, jti: otherId, connection: otherId }
      })
      yield* check(late)
    })
  )

  it.effect("C3 fetches keys once and keeps them for 5 minutes, or for as long as the broker says", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      const one = (id: number) =>
        Effect.flatMap(
          grant(broker, {
            claims: {
              jti: `01938f6e-0000-7000-8000-0000000001${String(id).padStart(2, "0")}`,
              connection: `01938f6e-0000-7000-8000-0000000001${String(id).padStart(2, "0")}`
            }
          }),
          check
        )
      yield* one(1)
      yield* one(2)
      assert.strictEqual(broker.fetches, 1)
      yield* TestClock.adjust("299 seconds")
      yield* one(3)
      assert.strictEqual(broker.fetches, 1)
      broker.cacheControl = "public, max-age=60"
      yield* TestClock.adjust("1 seconds")
      yield* one(4)
      assert.strictEqual(broker.fetches, 2)
      yield* TestClock.adjust("60 seconds")
      yield* one(5)
      assert.strictEqual(broker.fetches, 3)
    })
  )

  it.effect("C3 fetches again for a key that it does not know, but not more often than every 30 s", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      yield* check(yield* grant(broker))
      broker.keys.set("k2", pair())
      const rotated = { kid: "k2", claims: { jti: otherId, connection: otherId } }
      assert.strictEqual(yield* reasonOf(check(yield* grant(broker, rotated))), "unknown_key")
      yield* TestClock.adjust("30 seconds")
      yield* check(yield* grant(broker, rotated))
      assert.strictEqual(broker.fetches, 2)
      const stranger = yield* grant(broker, { kid: "nobody", key: pair().privateKey })
      for (let asked = 0; asked < 5; asked++) assert.strictEqual(yield* reasonOf(check(stranger)), "unknown_key")
      assert.strictEqual(broker.fetches, 2)
    })
  )

  it.effect("C3 goes on by the keys that it has while the broker is away", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      yield* check(yield* grant(broker))
      broker.isAway = true
      yield* TestClock.adjust("1 hour")
      yield* check(yield* grant(broker, { claims: { jti: otherId, connection: otherId } }))
    })
  )

  it.effect("C3 says that it cannot check where it never had a key, and can as soon as the broker is back", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      broker.isAway = true
      const check = yield* checker(broker)
      assert.strictEqual(yield* reasonOf(check(yield* grant(broker))), "keys_unavailable")
      broker.isAway = false
      yield* TestClock.adjust("1 second")
      yield* check(yield* grant(broker))
    })
  )
})

describe("GrantProof", () => {
  it.effect("C3 tells the device that a grant is bound to from anybody else who holds it", () =>
    Effect.gen(function* () {
      yield* start
      const broker = new Publisher()
      const check = yield* checker(broker)
      const device = KeyPair.fromPrivateKey(pair().privateKey)
      const cnf = { jwk: { kty: "OKP", crv: "Ed25519", x: device.publicKey } }
      const claims = yield* check(yield* grant(broker, { claims: { cnf } }))
      const challenge = { audience, serverId, connectionId: connection, nonce: "n-1" }
      const proof = GrantProof.prove(device, challenge)
      const thief = GrantProof.prove(KeyPair.fromPrivateKey(pair().privateKey), challenge)

      assert.isTrue(GrantProof.isProven(claims, "n-1", proof))
      assert.isFalse(GrantProof.isProven(claims, "n-1", thief))
      assert.isFalse(GrantProof.isProven(claims, "n-2", proof), "an answer to another nonce")
      const { cnf: _, ...unbound } = claims
      assert.isFalse(GrantProof.isProven(unbound, "n-1", proof))
    })
  )
})
