import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Database from "@broker/core/Database"
import * as SqlFailure from "@broker/core/database/SqlFailure"
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Option, Redacted, Ref, Schedule, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as FaultProxy from "./FaultProxy.ts"

const pool = (url: Redacted.Redacted) =>
  Effect.map(Layer.build(Layer.fresh(Database.layer({ url, maxConnections: 4, patience: "1 second" }))), (services) => {
    const sql = Effect.runSync(Effect.provide(SqlClient.SqlClient, services))
    return sql
  })

const fake = (code: string) =>
  new SqlError({ reason: new UnknownError({ cause: Object.assign(new Error(code), { code }), operation: "query" }) })

/** What a failing statement means, wherever in the cause it stands. */
const verdict = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(effect), (exit) =>
    Option.map(Option.flatMap(Exit.getCause(exit), SqlFailure.find), SqlFailure.isUnavailable)
  )

describe("SqlFailure", { concurrent: true }, () => {
  it("J3 tells a database that is away from a statement that is wrong", () => {
    const away = ["57P01", "57P02", "57P03", "57P05", "08006", "08P01", "53300", "25006", "53100", "53200", "25P03"]
    for (const code of away) assert.isTrue(SqlFailure.isUnavailable(fake(code)), code)
    for (const code of ["42601", "23505", "22P02", "28P01", "XX000", "0A000"]) {
      assert.isFalse(SqlFailure.isUnavailable(fake(code)), code)
    }
    const refused = new ConnectionError({
      cause: Object.assign(new Error(), { code: "ECONNREFUSED" }),
      operation: "connect"
    })
    assert.isTrue(SqlFailure.isUnavailable(new SqlError({ reason: refused })))
    assert.isUndefined(SqlFailure.sqlState(new SqlError({ reason: refused })))
  })

  it("J3 knows which statements surely were not done", () => {
    for (const code of ["40001", "40P01", "55P03", "57P03", "53300", "25006"]) {
      assert.isTrue(SqlFailure.certainlyNotDone(fake(code)), code)
    }
    for (const code of ["57P01", "08006", "23505"]) assert.isFalse(SqlFailure.certainlyNotDone(fake(code)), code)
  })

  it.live("J3 reads PostgreSQL's own code", () =>
    Effect.gen(function* () {
      const sql = yield* pool(yield* TestDatabase.createDatabase)
      const error = yield* Effect.flip(sql`select 1 / 0`)
      assert.strictEqual(SqlFailure.sqlState(error), "22012")
      assert.isFalse(SqlFailure.isUnavailable(error))
    })
  )

  it.live("F10 a read-only database is unavailable for writes", () =>
    Effect.gen(function* () {
      const sql = yield* pool(yield* TestDatabase.createDatabase)
      const write = Effect.andThen(sql`set transaction read only`, sql`create table t (id int)`)
      assert.deepStrictEqual(yield* verdict(sql.withTransaction(write)), Option.some(true))
    })
  )

  it.live("F4 a killed session is unavailable, also inside of a transaction, and the next query works", () =>
    Effect.gen(function* () {
      const sql = yield* pool(yield* TestDatabase.createDatabase)
      const suicide = sql`select pg_terminate_backend(pg_backend_pid())`
      assert.deepStrictEqual(yield* verdict(suicide), Option.some(true))
      assert.deepStrictEqual(yield* verdict(sql.withTransaction(suicide)), Option.some(true))
      assert.deepStrictEqual(yield* sql`select 1 as one`, [{ one: 1 }])
    })
  )

  it.live("J3 a statement that takes too long fails by itself", () =>
    Effect.gen(function* () {
      const sql = yield* pool(yield* TestDatabase.createDatabase)
      const [took, result] = yield* Effect.timed(verdict(sql`select pg_sleep(8)`))
      assert.deepStrictEqual(result, Option.some(true))
      assert.isBelow(Duration.toMillis(took), 5_500)
    })
  )

  it.live("J3 a database that refuses us is not asked again and again", () =>
    Effect.gen(function* () {
      const url = new URL(Redacted.value(yield* TestDatabase.createDatabase))
      url.pathname = "/nowhere"
      const [took, error] = yield* Effect.timed(Effect.flip(pool(Redacted.make(url.href))))
      assert.isTrue("reason" in error && SqlFailure.sqlState(error) === "3D000")
      assert.isBelow(Duration.toMillis(took), 1_000)
    })
  )

  it.live("J3 what may be sent twice is, until it works; what may not is not", () =>
    Effect.gen(function* () {
      const tries = yield* Ref.make(0)
      const failing = (error: SqlError) =>
        Effect.flatMap(
          Ref.updateAndGet(tries, (n) => n + 1),
          (n) => (n < 3 ? Effect.fail(error) : Effect.succeed(n))
        )
      assert.strictEqual(yield* failing(fake("57P01")).pipe(SqlFailure.retryIdempotent()), 3)
      yield* Ref.set(tries, 0)
      yield* failing(fake("57P01")).pipe(SqlFailure.retrySafe(), Effect.flip)
      assert.strictEqual(yield* Ref.get(tries), 1)
      yield* Ref.set(tries, 0)
      assert.strictEqual(yield* failing(fake("40001")).pipe(Effect.catch(Effect.die), SqlFailure.retrySafe()), 3)
    })
  )

  it.live("F4 J3 a restarted database is back within 1 s of its return", () =>
    Effect.gen(function* () {
      const dataDir = yield* Effect.acquireRelease(
        Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "broker-restart-"))),
        (dataDir) => Effect.ignore(EmbeddedPostgres.discard(dataDir))
      )
      const start = Effect.fnUntraced(function* () {
        const scope = yield* Scope.fork(yield* Effect.scope)
        const running = yield* EmbeddedPostgres.acquire({ dataDir, onProgress: () => Effect.void }).pipe(
          Scope.provide(scope)
        )
        return { ...running, stop: Scope.close(scope, Exit.void) }
      })
      const first = yield* start()
      const sql = yield* pool(first.url)
      const failures = yield* Ref.make<ReadonlyArray<Option.Option<boolean>>>([])
      const busy = yield* Effect.forkScoped(
        Effect.gen(function* () {
          const result = yield* verdict(sql.withTransaction(Effect.andThen(sql`select 1`, sql`select pg_sleep(0.01)`)))
          if (Option.isSome(result)) yield* Ref.update(failures, (all) => [...all, result])
        }).pipe(Effect.repeat(Schedule.spaced("5 millis")))
      )
      yield* Effect.sleep("300 millis")
      yield* first.stop
      yield* Effect.sleep("300 millis")
      yield* start()
      const [took] = yield* Effect.timed(sql`select 1`.pipe(SqlFailure.retryIdempotent("5 seconds")))
      assert.isBelow(Duration.toMillis(took), 1_000)
      yield* Fiber.interrupt(busy)
      const seen = yield* Ref.get(failures)
      assert.isAbove(seen.length, 0)
      assert.isTrue(seen.every((result) => Option.contains(result, true)))
    })
  )

  it.live("F5 queries on a black-holed network fail, and the pool heals within 8 s", () =>
    Effect.gen(function* () {
      const proxy = yield* FaultProxy.make(yield* TestDatabase.createDatabase)
      const sql = yield* pool(proxy.url)
      yield* Effect.all(
        Array.from({ length: 4 }, () => sql`select pg_sleep(0.2)`),
        { concurrency: "unbounded" }
      )
      yield* proxy.stall
      const inTransaction = yield* Effect.forkScoped(verdict(sql.withTransaction(sql`select 1`)))
      const [took, result] = yield* Effect.timed(verdict(sql`select 1`))
      assert.deepStrictEqual(result, Option.some(true))
      assert.deepStrictEqual(yield* Fiber.join(inTransaction), Option.some(true))
      yield* proxy.heal
      // A link that fell silent with the others may be found out only now, so the first try after it may still meet one.
      const [back] = yield* Effect.timed(SqlFailure.retryIdempotent("8 seconds")(sql`select 1`))
      assert.isBelow(Duration.toMillis(took) + Duration.toMillis(back), 8_000)
    })
  )
})
