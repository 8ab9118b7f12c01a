import * as Database from "@broker/core/Database"
import { type SignalEvent, Signals } from "@broker/core/database/Signals"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Queue, type Redacted, Stream } from "effect"
import { SqlClient } from "effect/sql"
import * as FaultProxy from "./FaultProxy.ts"

/** A broker as far as signals go. */
const node = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  const services = yield* Layer.build(Layer.fresh(Database.layer({ url, maxConnections: 3 })))
  return { signals: Context.get(services, Signals), sql: Context.get(services, SqlClient.SqlClient) }
})

/** What a node hears on a topic, from now on. */
const hearing = Effect.fnUntraced(function* ({ signals }: { readonly signals: Signals["Service"] }, topic: string) {
  const events = yield* Queue.unbounded<SignalEvent>()
  const stream = yield* signals.subscribed(topic)
  yield* Effect.forkScoped(Stream.runForEach(stream, (event) => Queue.offer(events, event)))
  const next = Effect.timeout(Queue.take(events), "20 seconds")
  /** The next payload, past anything to look at again. */
  const payload: Effect.Effect<string, unknown> = Effect.flatMap(next, (event) =>
    event._tag === "Signal" ? Effect.succeed(event.payload) : payload
  )
  const resync: Effect.Effect<void, unknown> = Effect.flatMap(next, (event) =>
    event._tag === "Resync" ? Effect.void : resync
  )
  return { payload, resync, waiting: Queue.size(events) }
})

describe("Signals", { concurrent: true }, () => {
  it.live("J4 reach every process, this one included, on their topic only", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [one, two] = yield* Effect.all([node(url), node(url)])
      const [atOne, atTwo, elsewhere] = yield* Effect.all([
        hearing(one, "servers"),
        hearing(two, "servers"),
        hearing(two, "keys")
      ])
      yield* one.signals.notify("servers", "a b c")
      assert.deepStrictEqual(yield* Effect.all([atOne.payload, atTwo.payload]), ["a b c", "a b c"])
      yield* two.signals.notify("keys", "")
      assert.strictEqual(yield* elsewhere.payload, "")
      assert.strictEqual(yield* atOne.waiting, 0)
    })
  )

  it.live("W1 are given when the transaction commits, and not when it rolls back", () =>
    Effect.gen(function* () {
      const { signals, sql } = yield* node(yield* TestDatabase.createDatabase)
      const heard = yield* hearing({ signals }, "servers")
      yield* signals
        .notify("servers", "rolled back")
        .pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction, Effect.ignore)
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* signals.notify("servers", "committed")
          yield* Effect.sleep("200 millis")
          assert.strictEqual(yield* heard.waiting, 0)
        })
      )
      assert.strictEqual(yield* heard.payload, "committed")
    })
  )

  it.live("J4 never fail the transaction of who gives them", () =>
    Effect.gen(function* () {
      const { signals } = yield* node(yield* TestDatabase.createDatabase)
      const heard = yield* hearing({ signals }, "servers")
      const other = yield* hearing({ signals }, "keys")
      yield* signals.notify("servers", "é".repeat(5_000))
      yield* heard.resync
      assert.strictEqual(yield* other.waiting, 0)
    })
  )

  it.live("F4 F8 tell to look again after their connection was lost", () =>
    Effect.gen(function* () {
      const { signals, sql } = yield* node(yield* TestDatabase.createDatabase)
      const heard = yield* hearing({ signals }, "servers")
      const [took] = yield* Effect.timed(
        Effect.andThen(
          sql`
            select pg_terminate_backend(pid)
              from pg_stat_activity
             where application_name = 'broker-signals'
               and datname = current_database()`,
          heard.resync
        )
      )
      assert.isBelow(Duration.toMillis(took), 1_000)
      yield* signals.notify("servers", "again")
      assert.strictEqual(yield* heard.payload, "again")
    })
  )

  it.live("F8 notice within 15 s that a connection went silent", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const proxy = yield* FaultProxy.make(url)
      const near = yield* node(proxy.url)
      const far = yield* node(url)
      const heard = yield* hearing(near, "servers")
      yield* proxy.stall
      yield* far.signals.notify("servers", "lost on the way")
      yield* Effect.sleep("100 millis")
      yield* proxy.heal
      const [took] = yield* Effect.timed(heard.resync)
      assert.isBelow(Duration.toMillis(took), 15_000)
      yield* far.signals.notify("servers", "again")
      assert.strictEqual(yield* heard.payload, "again")
    })
  )

  it.live("J5 do not hold up a shutdown", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const [took] = yield* Effect.timed(
        Effect.scoped(
          Effect.gen(function* () {
            const started = yield* node(url)
            yield* hearing(started, "servers")
          })
        )
      )
      assert.isBelow(Duration.toMillis(took), 2_000)
    })
  )
})
