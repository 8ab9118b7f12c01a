import * as Database from "@broker/core/Database"
import * as DatabaseClock from "@broker/core/database/DatabaseClock"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, describe, it, vi } from "@effect/vitest"
import { Clock, Duration, Effect, Layer, Option, Schedule } from "effect"
import { SqlClient } from "effect/sql"

const layer = Layer.unwrap(
  Effect.map(TestDatabase.createDatabase, (url) =>
    DatabaseClock.layer.pipe(Layer.provideMerge(Database.layer({ url, maxConnections: 2 })))
  )
)

/** How far the product's clock is from the database's. */
const distance = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const before = yield* Clock.currentTimeMillis
  const [row] = yield* sql<{ now: number }>`select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`
  const after = yield* Clock.currentTimeMillis
  return Option.match(Option.fromUndefinedOr(row), {
    onNone: () => Number.NaN,
    onSome: ({ now }) => Math.max(before - now, now - after, 0)
  })
})

/** Sets this machine's wall clock, for as long as the scope lives. */
const wallClockOff = (by: Duration.Input) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const real = Date.now
      return vi
        .spyOn(Date, "now")
        .mockImplementation(() => real.call(Date) + Duration.toMillis(Duration.fromInputUnsafe(by)))
    }),
    (spy) => Effect.sync(() => spy.mockRestore())
  )

describe("DatabaseClock", () => {
  it.live("H4 tells the database's time", () =>
    Effect.gen(function* () {
      const clock = yield* DatabaseClock.DatabaseClock
      assert.isBelow(yield* distance, 50)
      assert.isBelow(Math.abs(yield* clock.offsetMillis), 50)
      assert.isFalse(yield* clock.drifted)
    }).pipe(Effect.provide(layer))
  )

  it.live("F9 does so on a node whose clock is an hour off", () =>
    Effect.gen(function* () {
      yield* wallClockOff("-1 hour")
      yield* Effect.gen(function* () {
        const clock = yield* DatabaseClock.DatabaseClock
        assert.isBelow(yield* distance, 50)
        assert.approximately(yield* clock.offsetMillis, 3_600_000, 100)
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("F9 does so on a node whose clock jumps while it runs", () =>
    Effect.gen(function* () {
      const clock = yield* DatabaseClock.DatabaseClock
      yield* wallClockOff("1 hour")
      assert.isBelow(yield* distance, 50)
      assert.approximately(yield* clock.offsetMillis, -3_600_000, 100)
      yield* Effect.sleep("1500 millis")
      assert.isBelow(yield* distance, 50)
      assert.isFalse(yield* clock.drifted)
    }).pipe(Effect.provide(layer))
  )

  it.live("H4 notices that the database's own clock moved, and follows it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const clock = yield* DatabaseClock.DatabaseClock
      // A fail-over to a server whose clock is ten minutes ahead, as far as this session can tell.
      yield* sql`
        create function public.clock_timestamp() returns timestamptz language sql
        as $$ select pg_catalog.clock_timestamp() + interval '10 minutes' $$`
      yield* sql`select set_config('search_path', 'public, pg_catalog', false)`
      yield* wallClockOff("1 hour")
      yield* Effect.repeat(clock.drifted, {
        schedule: Schedule.spaced("100 millis"),
        until: (drifted) => drifted
      }).pipe(Effect.timeout("5 seconds"))
      assert.isBelow(yield* distance, 50)
    }).pipe(Effect.provide(layer.pipe(Layer.fresh)))
  )
})
