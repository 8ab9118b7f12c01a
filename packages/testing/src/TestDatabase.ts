/** A private database per test file, with the schema of now, dropped at the end. */

import { randomUUID } from "node:crypto"
import * as Database from "@broker/core/Database"
import { Clock, Config, Context, Effect, Layer, Option, type Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as TestServer from "./TestServer.ts"

/** Of the test run; a file that is run without `vitestSetup` starts one for itself. */
const server = Effect.gen(function* () {
  const shared = yield* Config.option(Config.Redacted(TestServer.variable))
  return Option.isSome(shared) ? shared.value : yield* TestServer.acquire
})

const create = Effect.fnUntraced(function* (server: Redacted.Redacted, template: Option.Option<string>) {
  const name = `broker_test_${randomUUID().replaceAll("-", "")}`
  const administer = (statement: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) =>
    SqlClient.SqlClient.use(statement).pipe(Effect.provide(TestServer.connect(server)))
  yield* Effect.acquireRelease(
    administer((sql) =>
      Option.match(template, {
        onNone: () => sql`create database ${sql(name)}`,
        onSome: (template) => sql`create database ${sql(name)} template ${sql(template)} strategy file_copy`
      })
    ),
    () => Effect.ignore(administer((sql) => sql`drop database if exists ${sql(name)} with (force)`))
  )
  return TestServer.withDatabase(server, name)
})

/** A fresh, migrated database for as long as the scope lives, for tests that start a broker on it. */
export const createDatabase = Effect.gen(function* () {
  const on = yield* server
  return yield* create(on, Option.some(yield* TestServer.template(on)))
}).pipe(Effect.orDie)

/** A database without any table. */
export const createEmptyDatabase = Effect.flatMap(server, (on) => create(on, Option.none())).pipe(Effect.orDie)

/**
 * Pools wait for sockets, which do not follow a test's clock: their time is
 * the real one, whatever time it is in the test.
 */
const realTime = Layer.succeed(Clock.Clock, Context.get(Context.empty(), Clock.Clock))

const pools = (unaudited: "refused" | "written") =>
  Layer.unwrap(Effect.map(createDatabase, (url) => Database.layer({ url, maxConnections: 8, unaudited }))).pipe(
    Layer.orDie,
    Layer.provide(realTime)
  )

/** `Database.layer` on a fresh, migrated database. Tests write to tables behind the backs of services. */
export const layer = pools("written")

/** The same, where nothing that matters changes without an audit entry (A6), as in production. */
export const audited = pools("refused")
