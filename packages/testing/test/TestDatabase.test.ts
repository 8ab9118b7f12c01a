import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql"

const nameOf = (url: Redacted.Redacted) => new URL(Redacted.value(url)).pathname.slice(1)

const on =
  (url: Redacted.Redacted) =>
  <A, E>(use: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
    Effect.provide(SqlClient.SqlClient.use(use), TestServer.connect(url))

describe("TestDatabase", () => {
  it.live("gives everyone a migrated database that nobody else sees", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([TestDatabase.createDatabase, TestDatabase.createDatabase], {
        concurrency: "unbounded"
      })
      yield* on(one)((sql) => sql`create table private (id int)`)
      const seen = yield* on(two)(
        (sql) => sql`select to_regclass('private') as private, to_regclass('migrations')::text as migrations`
      )
      assert.deepStrictEqual(seen, [{ private: null, migrations: "migrations" }])
    })
  )

  it.live("drops it at the end, though somebody is still connected", () =>
    Effect.gen(function* () {
      const other = yield* TestDatabase.createDatabase
      const name = yield* Effect.scoped(
        Effect.gen(function* () {
          const url = yield* TestDatabase.createDatabase
          yield* Effect.forkDetach(Effect.ignore(on(url)((sql) => sql`select pg_sleep(5)`)))
          yield* Effect.sleep("200 millis")
          return nameOf(url)
        })
      )
      assert.deepStrictEqual(yield* on(other)((sql) => sql`select 1 from pg_database where datname = ${name}`), [])
    })
  )
})
