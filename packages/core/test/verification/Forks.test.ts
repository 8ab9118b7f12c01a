/** V5 through heartbeats and the database: a server that two machines are is shut out, once. */
import { Challenges } from "@broker/core/challenges/Challenges"
import { Servers } from "@broker/core/servers/Servers"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import { Forks } from "@broker/core/verification/Forks"
import { Verification } from "@broker/core/verification/Verification"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { beat, boot, seen, verified } = Fixtures

const events = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`select kind, severity, host(address) as address, details from security_events where server_id = ${id}`
})

/** Two boots that go on beside each other, until one of them is told that it is shut out, or time is up. */
const beside = Effect.fnUntraced(function* (
  server: Fixtures.Joined,
  [first, second]: readonly [string, string],
  rounds: number
) {
  for (let round = 1; round <= rounds; round++) {
    yield* TestClock.adjust("15 seconds")
    const one = yield* Effect.result(beat({ ...server, address: "203.0.113.7" }, first, 10 + round))
    yield* TestClock.adjust("15 seconds")
    const two = yield* Effect.result(beat({ ...server, address: "198.51.100.9" }, second, round))
    const refused = [one, two].find(Result.isFailure)
    if (refused !== undefined) return { rounds: round, code: refused.failure.code }
  }
  return undefined
})

layer(Fixtures.audited)("forks", (it) => {
  it.effect("V5 two live boots: suspended, one critical event with both boots and addresses, one audit entry", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const verification = yield* Verification
      const server = yield* verified()
      const [first, second] = [boot(), boot()]
      yield* beat({ ...server, address: "203.0.113.7" }, first, 10)
      const found = yield* beside(server, [first, second], 10)
      assert.strictEqual(found?.code, "server_suspended")
      assert.isAtMost(found?.rounds ?? 99, 5)
      const { admission, statusReason, verified: stillVerified } = yield* seen(server)
      assert.deepStrictEqual([admission, statusReason, stillVerified], ["suspended", "forked", false])
      const [event, ...others] = yield* events(server.id)
      assert.strictEqual(others.length, 0)
      assert.deepInclude(event, { kind: "server_forked", severity: "critical" })
      assert.deepStrictEqual(event?.["details"], {
        reason: "forked",
        boots: [second, first],
        addresses: ["198.51.100.9", "203.0.113.7"]
      })
      const entries = yield* sql`
        select details ->> 'reason' as reason from audit_entries where subject_id = ${server.id} and action = 'servers:suspend'`
      assert.deepStrictEqual(entries, [{ reason: "forked" }])
      const { reason } = yield* verification.ofServer(defaultOrganizationId, server.id)
      assert.strictEqual(reason, "Two machines reported as this server at the same time.")
    })
  )

  it.effect("V5 two nodes that find it at once tell it once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const one = yield* Forks
      const server = yield* verified()
      const [first, second] = [boot(), boot()]
      yield* beat(server, first, 1)
      yield* beat(server, second, 1)
      const now = DateTime.toDateUtc(yield* DateTime.now)
      // One more beat is enough.
      yield* sql`
        insert into former_boots (server_id, boot_id, since, seq, continued, continued_at, last_at)
        values (${server.id}, ${first}, ${now}::timestamptz - interval '20 minutes', 5, 1, ${now}::timestamptz - interval '1 minute', ${now})`
      // Another node has services of its own.
      const other = yield* Layer.build(Layer.fresh(Forks.layer)).pipe(
        Effect.map((services) => Effect.provide(Forks, services))
      )
      const two = yield* other
      const sentAt = DateTime.formatIso(yield* DateTime.now)
      const found = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, at) => (at % 2 === 0 ? one : two)),
        (forks, at) => forks.observe(server, { bootId: first, seq: 6 + at, sentAt }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(found.filter((forked) => forked).length, 1)
      assert.strictEqual((yield* events(server.id)).length, 1)
    })
  )

  it.effect("V5 its token is looked up again on every node, and it is shut out there too", () =>
    Effect.gen(function* () {
      const tokens = yield* ServerTokens
      const server = yield* verified()
      assert.strictEqual((yield* tokens.authenticate(server.token)).admission, "approved")
      const [first, second] = [boot(), boot()]
      yield* beat(server, first, 10)
      assert.isDefined(yield* beside(server, [first, second], 10))
      assert.strictEqual((yield* tokens.authenticate(server.token)).admission, "suspended")
    })
  )

  it.effect("V5 a server that restarts again and again is none", () =>
    Effect.gen(function* () {
      const server = yield* verified()
      let former: { readonly bootId: string; readonly seq: number } | undefined
      for (let restart = 0; restart < 12; restart++) {
        const bootId = boot()
        for (let seq = 1; seq <= 2; seq++) {
          yield* beat(server, bootId, seq)
          // What the boot before sent last comes late, and again.
          if (former !== undefined) {
            const sentAt = DateTime.formatIso(DateTime.subtract(yield* DateTime.now, { minutes: 3 }))
            yield* beat(server, former.bootId, former.seq + seq, { sentAt })
            yield* beat(server, former.bootId, former.seq, { sentAt })
          }
          yield* TestClock.adjust("30 seconds")
        }
        former = { bootId, seq: 2 }
      }
      assert.strictEqual((yield* seen(server)).admission, "approved")
      assert.deepStrictEqual(yield* events(server.id), [])
    })
  )

  it.effect("V5 approved again it is watched anew, and has to prove itself", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const challenges = yield* Challenges
      const server = yield* verified()
      const [first, second] = [boot(), boot()]
      yield* beat(server, first, 10)
      assert.isDefined(yield* beside(server, [first, second], 10))
      assert.isFalse((yield* servers.approve(defaultOrganizationId, server.id)).verified)
      // One machine was switched off.
      for (let seq = 100; seq < 110; seq++) {
        yield* TestClock.adjust("30 seconds")
        yield* beat(server, second, seq)
      }
      yield* challenges.renew
      assert.isNotNull((yield* beat(server, second, 110)).challenge)
      assert.strictEqual((yield* seen(server)).admission, "approved")
      // It was not.
      assert.isDefined(yield* beside({ ...server }, [boot(), boot()], 12))
    })
  )
})
