import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import * as Database from "@broker/core/Database"
import { Servers } from "@broker/core/servers/Servers"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import type { Secret } from "@broker/domain/Credential"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, type Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { credential, joined } = Fixtures

/** Whether a token is taken. */
const isTaken = Effect.fnUntraced(function* (token: Fixtures.Joined["token"]) {
  const tokens = yield* ServerTokens
  return yield* Effect.match(tokens.authenticate(token), { onFailure: () => false, onSuccess: () => true })
})

const rotated = Effect.fnUntraced(function* (server: Fixtures.Joined) {
  const tokens = yield* ServerTokens
  const secret: Secret = yield* tokens.rotate(server.id)
  return credential("serverToken", secret)
})

layer(Fixtures.layer)("ServerTokens", (it) => {
  it.effect("a token tells whose it is", () =>
    Effect.gen(function* () {
      const tokens = yield* ServerTokens
      const server = yield* joined()
      const { admission, id, organizationId } = yield* tokens.authenticate(server.token)
      assert.deepStrictEqual(
        { admission, id, organizationId },
        { admission: "approved", id: server.id, organizationId: defaultOrganizationId }
      )
    })
  )

  it.effect("H8 a token that nobody has is unknown", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const nobody = "019845e1-682f-7b02-a706-3b2422d13aec"
      assert.isFalse(yield* isTaken({ ...server.token, id: nobody }))
    })
  )

  it.effect("B9 the id of one server with the secret of another is unknown", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* joined(), yield* joined()]
      assert.isFalse(yield* isTaken({ ...one.token, secret: two.token.secret }))
    })
  )

  it.effect("the old token works until the new one is first used, and not after", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* isTaken(server.token)
      const next = yield* rotated(server)
      const before = [yield* isTaken(server.token), yield* isTaken(next)]
      const after = [yield* isTaken(server.token), yield* isTaken(next)]
      assert.deepStrictEqual(
        [before, after],
        [
          [true, true],
          [false, true]
        ]
      )
    })
  )

  it.effect("the old token works for 4 hours at most", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* isTaken(server.token)
      const next = yield* rotated(server)
      yield* TestClock.adjust("14399999 millis")
      const late = yield* isTaken(server.token)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual([late, yield* isTaken(server.token), yield* isTaken(next)], [true, false, true])
    })
  )

  it.effect("asking for more tokens gives the old one no more time", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* isTaken(server.token)
      yield* rotated(server)
      yield* TestClock.adjust("3 hours")
      yield* rotated(server)
      yield* TestClock.adjust("1 hour")
      assert.isFalse(yield* isTaken(server.token))
    })
  )

  it.effect("a new token that was never used gives way to a newer one that is", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const lost = yield* rotated(server)
      const kept = yield* rotated(server)
      assert.deepStrictEqual(
        [yield* isTaken(kept), yield* isTaken(lost), yield* isTaken(server.token)],
        [true, false, false]
      )
    })
  )

  it.effect("asking again ends the token that did not arrive, and not the one in use", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* isTaken(server.token)
      const lost = yield* rotated(server)
      const next = yield* rotated(server)
      assert.deepStrictEqual(
        [yield* isTaken(lost), yield* isTaken(server.token), yield* isTaken(next)],
        [false, true, true]
      )
    })
  )

  it.effect("20 first uses at once are all taken", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const next = yield* rotated(server)
      const taken = yield* Effect.forEach(Array.from({ length: 20 }), () => isTaken(next), {
        concurrency: "unbounded"
      })
      assert.isTrue(taken.every((one) => one))
    })
  )

  it.effect("B2 a token that was issued anew ends all others at once", () =>
    Effect.gen(function* () {
      const tokens = yield* ServerTokens
      const server = yield* joined()
      yield* isTaken(server.token)
      const next = credential("serverToken", yield* tokens.reissue(server.id))
      assert.deepStrictEqual([yield* isTaken(server.token), yield* isTaken(next)], [false, true])
    })
  )

  it.effect("a revoked token is unknown", () =>
    Effect.gen(function* () {
      const tokens = yield* ServerTokens
      const server = yield* joined()
      yield* isTaken(server.token)
      yield* tokens.revoke(server.id)
      assert.isFalse(yield* isTaken(server.token))
    })
  )

  it.effect("a revocation that was rolled back did not happen", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const tokens = yield* ServerTokens
      const server = yield* joined()
      yield* tokens.revoke(server.id).pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction, Effect.ignore)
      assert.isTrue(yield* isTaken(server.token))
    })
  )

  it.effect("H8 a suspended server is known as suspended at once", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const tokens = yield* ServerTokens
      const server = yield* joined()
      yield* tokens.authenticate(server.token)
      yield* servers.suspend(defaultOrganizationId, server.id, "")
      assert.strictEqual((yield* tokens.authenticate(server.token)).admission, "suspended")
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

describe("ServerTokens of two nodes", { concurrent: true }, () => {
  it.live("F8 what one node revokes the other refuses within a second", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = [yield* node(url), yield* node(url)]
      const server = yield* Effect.provide(joined(), one)
      assert.isTrue(yield* Effect.provide(isTaken(server.token), two))
      yield* Context.get(one, ServerTokens).revoke(server.id)
      yield* within1s(Effect.map(Effect.provide(isTaken(server.token), two), (taken) => !taken))
    })
  )

  it.live("F8 whom one node suspends the other knows as suspended within a second", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = [yield* node(url), yield* node(url)]
      const server = yield* Effect.provide(joined(), one)
      const bearer = Context.get(two, ServerTokens).authenticate(server.token)
      yield* bearer
      yield* Effect.provide(
        Servers.use((servers) => servers.suspend(defaultOrganizationId, server.id, "")),
        one
      )
      yield* within1s(Effect.map(bearer, ({ admission }) => admission === "suspended"))
    })
  )

  it.live("F8 a token's first use on one node ends the old one on the other", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = [yield* node(url), yield* node(url)]
      const server = yield* Effect.provide(joined(), one)
      yield* Effect.provide(isTaken(server.token), two)
      const next = yield* Effect.provide(rotated(server), one)
      yield* Effect.provide(isTaken(next), one)
      yield* within1s(Effect.map(Effect.provide(isTaken(server.token), two), (taken) => !taken))
    })
  )
})
