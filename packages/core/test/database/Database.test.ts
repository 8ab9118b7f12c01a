import * as Database from "@broker/core/Database"
import * as Migrations from "@broker/sql"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"

layer(TestDatabase.layer)("Database", (it) => {
  it.effect("bounds what a session may do", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql`
        select current_setting('statement_timeout')                   as statement_timeout,
               current_setting('lock_timeout')                        as lock_timeout,
               current_setting('idle_in_transaction_session_timeout') as idle_timeout,
               current_setting('TimeZone')                            as zone,
               current_setting('jit')                                 as jit`
      assert.deepStrictEqual(row, {
        statementTimeout: "5s",
        lockTimeout: "2s",
        idleTimeout: "5s",
        zone: "UTC",
        jit: "off"
      })
    })
  )

  it.effect("acknowledges heartbeats before they are on disk, and nothing else", () =>
    Effect.gen(function* () {
      const source = (sql: SqlClient.SqlClient) =>
        sql`select setting, source = 'client' as ours from pg_settings where name = 'synchronous_commit'`
      assert.deepStrictEqual(yield* source(yield* Database.BeatSql), [{ setting: "off", ours: true }])
      const [durable] = yield* source(yield* SqlClient.SqlClient)
      assert.deepInclude(durable, { ours: false })
    })
  )

  it.effect("leaves the keys inside of JSON alone", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [row] = yield* sql`select '{"a_label": 1, "aLabel": 2}'::jsonb as free_form`
      assert.deepStrictEqual(row, { freeForm: { a_label: 1, aLabel: 2 } })
    })
  )
})

describe("Database.migrated", () => {
  it.live("J4 brings an empty database up to date before anyone queries it", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createEmptyDatabase
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const [row] = yield* sql`select count(*)::integer as applied from migrations`
        const known = yield* Migrations.status.pipe(Effect.provide(NodeServices.layer))
        assert.deepStrictEqual(row, { applied: known.length })
      }).pipe(Effect.provide(Layer.fresh(Database.migrated({ url }))))
    })
  )

  it.live("refuses a PostgreSQL that is too old", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createEmptyDatabase
      // A server that says it is version 14, to every session that comes.
      yield* SqlClient.SqlClient.use((sql) =>
        Effect.all([
          sql`
            create function public.current_setting(name text) returns text language sql
            as $$ select case name when 'server_version' then '14.9' else '140009' end $$`,
          sql.unsafe(
            `alter database ${new URL(Redacted.value(url)).pathname.slice(1)} set search_path = public, pg_catalog`
          )
        ])
      ).pipe(Effect.provide(TestServer.connect(url)))
      const refused = yield* Effect.flip(Layer.build(Database.layer({ url })))
      assert.instanceOf(refused, Database.DatabaseUnsupported)
      assert.strictEqual(refused.message, "The database is PostgreSQL 14.9; the broker needs 15 or newer")
    })
  )
})
