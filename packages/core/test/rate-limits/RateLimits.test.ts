/** H10: budgets apart, per credential and per address, for all nodes together, in bounded memory. */
import { networkOf, RateLimits } from "@broker/core/rate-limits/RateLimits"
import { RateLimitsPolicy } from "@broker/core/rate-limits/RateLimitsPolicy"
import { SharedCounts } from "@broker/core/rate-limits/SharedCounts"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Logger, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Redis from "./redis.ts"

type Policy = typeof RateLimitsPolicy.Service

const defaults = RateLimitsPolicy.defaultValue()

const policy = (values: Partial<Policy> = {}) =>
  Layer.succeed(RateLimitsPolicy, {
    ...defaults,
    quotas: { ...defaults.quotas, api: 5, heartbeats: 5, "sign-in": 5 },
    perAddress: { ...defaults.perAddress, api: 2, heartbeats: 2, "sign-in": 2 },
    // Tests tell when.
    exchangeEvery: Duration.days(1),
    ...values
  })

const alone = (values: Partial<Policy> = {}) =>
  Layer.fresh(RateLimits.layerNoDeps).pipe(
    Layer.provide(Layer.succeed(SharedCounts, Option.none())),
    Layer.provide(policy({ store: "memory", ...values }))
  )

/** One of several nodes on the same store. */
const node = (values: Partial<Policy> = {}) =>
  Effect.map(
    Layer.build(
      Layer.fresh(RateLimits.layerNoDeps).pipe(
        Layer.provide(Layer.fresh(SharedCounts.layer)),
        Layer.provide(policy(values))
      )
    ),
    Context.get(RateLimits)
  )

const ada = { credential: "ada", address: null }
const at = (address: string) => ({ credential: null, address })

const admitted = (limits: RateLimits["Service"], budget: Parameters<RateLimits["Service"]["take"]>[0], times: number) =>
  Effect.fnUntraced(function* (caller: Parameters<RateLimits["Service"]["take"]>[1]) {
    let count = 0
    for (let n = 0; n < times; n++) if ((yield* limits.take(budget, caller))?.admitted !== false) count++
    return count
  })

describe("one node", () => {
  layer(alone())("counts", (it) => {
    it.effect("down to nothing, tells when there is more, and then there is", () =>
      Effect.gen(function* () {
        const { take } = yield* RateLimits
        const first = yield* take("api", ada)
        assert.deepStrictEqual(first, {
          budget: "api",
          quota: 5,
          windowSeconds: 60,
          remaining: 4,
          resetSeconds: 60,
          admitted: true
        })
        yield* TestClock.adjust("20 seconds")
        for (const remaining of [3, 2, 1, 0]) assert.strictEqual((yield* take("api", ada))?.remaining, remaining)
        const refused = yield* take("api", ada)
        assert.deepInclude(refused, { admitted: false, remaining: 0, resetSeconds: 40 })
        yield* TestClock.adjust("39 seconds")
        assert.deepInclude(yield* take("api", ada), { admitted: false, resetSeconds: 1 })
        yield* TestClock.adjust("1 second")
        assert.deepInclude(yield* take("api", ada), { admitted: true, remaining: 4, resetSeconds: 60 })
      })
    )

    it.effect("each budget for itself: nothing starves heartbeats", () =>
      Effect.gen(function* () {
        const limits = yield* RateLimits
        const caller = { credential: "fra-1", address: "192.0.2.1" }
        assert.strictEqual(yield* admitted(limits, "api", 20)(caller), 5)
        assert.strictEqual(yield* admitted(limits, "heartbeats", 20)(caller), 5)
        assert.strictEqual(yield* admitted(limits, "sign-in", 20)(caller), 5)
      })
    )

    it.effect("an address of many credentials by itself, and tells whichever is nearer to its end", () =>
      Effect.gen(function* () {
        const { take } = yield* RateLimits
        const from = (credential: string) => take("api", { credential, address: "192.0.2.2" })
        for (let n = 0; n < 4; n++) yield* from("b")
        assert.deepInclude(yield* from("c"), { quota: 5, remaining: 4 }, "the address has 5 left")
        for (let n = 0; n < 4; n++) yield* from("d")
        assert.deepInclude(yield* from("e"), { quota: 10, remaining: 0 })
        assert.deepInclude(yield* from("f"), { quota: 10, admitted: false })
        const elsewhere = yield* take("api", { credential: "f", address: "192.0.2.3" })
        assert.deepInclude(elsewhere, { quota: 5, remaining: 4 }, "what was refused took nothing")
      })
    )

    it.effect("nobody where there is nothing to tell callers apart by", () =>
      Effect.gen(function* () {
        const limits = yield* RateLimits
        assert.isNull(yield* limits.take("api", { credential: null, address: null }))
      })
    )
  })

  it.effect("counts nothing of a budget without a limit", () =>
    Effect.gen(function* () {
      const limits = yield* RateLimits
      assert.strictEqual(yield* admitted(limits, "api", 10_000)(ada), 10_000)
      assert.strictEqual(yield* limits.size, 0)
    }).pipe(Effect.provide(alone({ quotas: { ...defaults.quotas, api: 0 } })))
  )

  it("takes an IPv6 network of 64 bits for one address", () => {
    for (const [address, network] of [
      ["192.0.2.7", "192.0.2.7"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:DB8:1:2::", "2001:db8:1:2::/64"],
      ["2001:db8::1", "2001:db8:0:0::/64"],
      ["2001:0db8:0000:0000:ffff::1", "2001:db8:0:0::/64"],
      ["::1", "0:0:0:0::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      ["::ffff:192.0.2.7", "::ffff:192.0.2.7"]
    ] as const) {
      assert.strictEqual(networkOf(address), network, address)
    }
  })

  it.effect("keeps count of so many at most, and of those who take much whatever flood of others comes", () =>
    Effect.gen(function* () {
      const limits = yield* RateLimits
      assert.strictEqual(yield* admitted(limits, "api", 20)(at("192.0.2.9")), 10)
      const before = process.memoryUsage().heapUsed
      for (let n = 0; n < 300_000; n++) {
        const address = `2001:db8:${(n >> 16).toString(16)}:${(n & 0xffff).toString(16)}::1`
        yield* limits.take("api", at(address))
        if (n % 1_000 === 0) {
          assert.deepInclude(yield* limits.take("api", at("192.0.2.9")), { admitted: false })
          // Another address of the same subscriber.
          assert.notStrictEqual((yield* limits.take("api", at(`${address.slice(0, -1)}2`)))?.remaining, 9)
        }
      }
      assert.strictEqual(yield* limits.size, 100_000)
      assert.isBelow((process.memoryUsage().heapUsed - before) / 1e6, 120, "megabytes, garbage included")
    }).pipe(Effect.provide(alone({ capacity: 100_000 })))
  )
})

layer(TestDatabase.layer)("nodes on PostgreSQL", (it) => {
  it.effect("tell each other who takes much, without a look-up for each request", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* node(), yield* node()]
      assert.strictEqual(yield* admitted(one, "api", 3)({ credential: "b1", address: null }), 3)
      yield* one.exchange
      assert.strictEqual(yield* admitted(other, "api", 2)({ credential: "b1", address: null }), 2)
      yield* other.exchange
      assert.deepInclude(yield* other.take("api", { credential: "b1", address: null }), {
        admitted: false,
        remaining: 0
      })
      // It has heard nothing since.
      assert.strictEqual(yield* admitted(one, "api", 1)({ credential: "b1", address: null }), 1)
      yield* one.exchange
      assert.deepInclude(yield* one.take("api", { credential: "b1", address: null }), { admitted: false })
    })
  )

  it.effect("say nothing of those who take little", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const one = yield* node({ quotas: { ...defaults.quotas, api: 100 } })
      assert.strictEqual(yield* admitted(one, "api", 25)({ credential: "b2", address: null }), 25)
      yield* one.exchange
      assert.lengthOf(yield* sql`select 1 from rate_limits where key like '%b2'`, 0)
      yield* one.take("api", { credential: "b2", address: null })
      yield* one.exchange
      const [row] = yield* sql`select used from rate_limits where key = 'api:credential:b2'`
      assert.strictEqual(row?.["used"], 26)
    })
  )

  it.effect("have one window between them", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* node(), yield* node()]
      const caller = { credential: "b3", address: null }
      yield* admitted(one, "api", 5)(caller)
      yield* one.exchange
      yield* TestClock.adjust("30 seconds")
      yield* admitted(other, "api", 2)(caller)
      yield* other.exchange
      assert.deepInclude(yield* other.take("api", caller), { admitted: false, resetSeconds: 30 })
      yield* TestClock.adjust("30 seconds")
      assert.deepInclude(yield* other.take("api", caller), { admitted: true, remaining: 4 })
      yield* admitted(one, "api", 3)(caller)
      yield* one.exchange
      assert.deepInclude(yield* other.take("api", caller), { remaining: 3 }, "it has told nothing yet, nor heard")
      yield* other.exchange
      assert.deepInclude(yield* other.take("api", caller), { admitted: false })
    })
  )

  it.effect("count sign-ins exactly, however many come at once on whichever node", () =>
    Effect.gen(function* () {
      const nodes = yield* Effect.all(Array.from({ length: 4 }, () => node()))
      const caller = { credential: "b4", address: "192.0.2.4" }
      const answers = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, n) => nodes[n % 4]),
        (limits) => (limits === undefined ? Effect.succeed(null) : limits.take("sign-in", caller)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(answers.filter((answer) => answer?.admitted).length, 5)
      // The address is not spent: somebody else there signs in, five times at most as well.
      const others = yield* Effect.forEach(nodes, (limits) =>
        admitted(limits, "sign-in", 10)({ credential: "b5", address: "192.0.2.5" })
      )
      assert.strictEqual(
        others.reduce((sum, count) => sum + count),
        5
      )
    })
  )

  it.effect("reach the store no more for whoever is spent", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = yield* node()
      yield* admitted(limits, "sign-in", 1_000)({ credential: "b6", address: null })
      const [row] = yield* sql`select used from rate_limits where key = 'sign-in:credential:b6'`
      assert.strictEqual(row?.["used"], 5)
    })
  )

  it.effect("go on each by itself when the store is away, say so once, and share again when it is back", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const lines: Array<string> = []
      const log = Logger.layer([
        Logger.make(({ message }) => {
          lines.push(String(message))
        })
      ])
      yield* Effect.gen(function* () {
        const limits = yield* node()
        yield* sql`alter table rate_limits rename to rate_limits_away`
        assert.strictEqual(yield* admitted(limits, "sign-in", 10)({ credential: "b7", address: null }), 5)
        assert.strictEqual(yield* admitted(limits, "api", 10)({ credential: "b7", address: null }), 5)
        yield* limits.exchange
        assert.deepStrictEqual(lines, ["Rate limits go on for each node by itself: the nodes' common counts are away"])
        yield* sql`alter table rate_limits_away rename to rate_limits`
        yield* limits.exchange
        assert.include(lines, "Rate limits are shared by all nodes again")
        const [row] = yield* sql`select used from rate_limits where key = 'api:credential:b7'`
        assert.strictEqual(row?.["used"], 5, "what was taken meanwhile is told")
      }).pipe(Effect.provide(log))
    })
  )

  it.effect("delete what is over", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const limits = yield* node()
      yield* limits.take("sign-in", { credential: "b8", address: "192.0.2.8" })
      yield* TestClock.adjust("59 seconds")
      yield* limits.prune
      assert.lengthOf(yield* sql`select 1 from rate_limits where key like '%b8' or key like '%192.0.2.8'`, 2)
      yield* TestClock.adjust("1 second")
      assert.isAtLeast(yield* limits.prune, 2)
      assert.lengthOf(yield* sql`select 1 from rate_limits`, 0)
    })
  )
})

describe.skipIf(!Redis.isPresent)("nodes on Redis", () => {
  layer(TestDatabase.layer, { excludeTestServices: true })((it) => {
    const eventually = Effect.fnUntraced(function* (what: string, look: Effect.Effect<boolean>) {
      for (let tries = 0; tries < 400; tries++) {
        if (yield* look) return
        yield* Effect.sleep("25 millis")
      }
      return assert.fail(what)
    })
    const running = (port: number) =>
      Effect.acquireRelease(
        Effect.promise(() => Redis.start(port)),
        (redis) => Effect.promise(() => redis[Symbol.asyncDispose]())
      )

    it.effect(
      "share counts, go on by themselves without it, and share again",
      () =>
        Effect.gen(function* () {
          const port = yield* Effect.promise(Redis.freePort)
          const store = {
            store: "redis",
            redisUrl: Redacted.make(`redis://127.0.0.1:${port}`)
          } as const
          // There is none yet: nobody waits for it.
          const [one, other] = [yield* node(store), yield* node(store)]
          let tries = 0
          /** Each of them is there: what one counts, the other knows. */
          const isShared = Effect.fnUntraced(function* (name: string) {
            const credential = `${name}-${tries++}`
            yield* one.take("sign-in", { credential, address: null })
            return (yield* other.take("sign-in", { credential, address: null }))?.remaining === 3
          })
          assert.strictEqual(yield* admitted(one, "api", 3)({ credential: "r1", address: null }), 3)

          yield* Effect.scoped(
            Effect.gen(function* () {
              yield* running(port)
              yield* admitted(other, "api", 2)({ credential: "r1", address: null })
              yield* eventually(
                "one hears of the other",
                Effect.gen(function* () {
                  yield* one.exchange
                  yield* other.exchange
                  return (yield* other.take("api", { credential: "r1", address: null }))?.admitted === false
                })
              )
              yield* eventually("both are there", isShared("r0"))
              const caller = { credential: "r2", address: null }
              const answers = yield* Effect.forEach(
                Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? one : other)),
                (limits) => limits.take("sign-in", caller),
                { concurrency: "unbounded" }
              )
              assert.strictEqual(answers.filter((answer) => answer?.admitted).length, 5)
            })
          )

          // It is gone, and so is what it knew.
          assert.strictEqual(yield* admitted(one, "sign-in", 10)({ credential: "r3", address: null }), 5)
          yield* running(port)
          yield* eventually("they share again", isShared("r4"))
        }),
      30_000
    )

    it.effect("begin a window anew when it is over", () =>
      Effect.gen(function* () {
        const port = yield* Effect.promise(Redis.freePort)
        yield* running(port)
        const limits = yield* node({
          store: "redis",
          redisUrl: Redacted.make(`redis://127.0.0.1:${port}`),
          window: Duration.seconds(1)
        })
        const caller = { credential: "r5", address: null }
        yield* eventually(
          "spent",
          Effect.map(limits.take("sign-in", caller), (answer) => answer?.admitted === false)
        )
        yield* eventually(
          "anew",
          Effect.map(limits.take("sign-in", caller), (answer) => answer?.admitted === true)
        )
      })
    )
  })
})
