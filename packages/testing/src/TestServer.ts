/**
 * The PostgreSQL server that tests share: the one at `TEST_DATABASE_URL`, or an
 * embedded one in a temporary directory.
 *
 * On it stands one template database per state of the migrations, from which a
 * test file gets a database of its own in a few milliseconds.
 */

import { spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import { Socket } from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import * as Migrations from "@broker/sql"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Option, Redacted, References } from "effect"
import { SqlClient } from "effect/sql"

/** Where `vitestSetup` tells the workers which server it started. */
export const variable = "BROKER_TEST_DATABASE_URL"

/** "template" in ASCII: one process at a time makes the template. */
const lock = 0x74656d706c6174n

/** Nothing here outlives the tests, so nothing is made durable. */
const settings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "300" }

/** Cleans up after this process, however it ends. */
const guard = (dataDir: string) =>
  Effect.sync(() => {
    const script = fileURLToPath(new URL("./serverGuard.ts", import.meta.url))
    const child = spawn(process.execPath, [script, dataDir], { detached: true, stdio: ["pipe", "ignore", "ignore"] })
    child.unref()
    // The pipe alone must not keep this process alive.
    if (child.stdin instanceof Socket) child.stdin.unref()
  })

const embedded = Effect.gen(function* () {
  const dataDir = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "broker-test-"))),
    (dataDir) => Effect.promise(() => Fs.rm(dataDir, { recursive: true, force: true }))
  )
  yield* guard(dataDir)
  const { url } = yield* EmbeddedPostgres.acquire({ dataDir, settings, onProgress: () => Effect.void })
  return url
})

/** The server, running for as long as the scope lives. */
export const acquire = Effect.gen(function* () {
  const given = yield* Config.option(Config.Redacted("TEST_DATABASE_URL"))
  return Option.isSome(given) ? given.value : yield* embedded
})

/** The same server with another database. */
export const withDatabase = (server: Redacted.Redacted, database: string) => {
  const url = new URL(Redacted.value(server))
  url.pathname = `/${database}`
  return Redacted.make(url.href)
}

const client = (url: Redacted.Redacted, maxConnections: number) =>
  PgClient.layer({ url, maxConnections, applicationName: "broker-testing", startupParameters: { timezone: "UTC" } })

/** One connection for what has to be said outside of the database under test. */
export const connect = (url: Redacted.Redacted) => client(url, 1)

/** Connections without the limits and translations of the product. */
export const connectMany = (url: Redacted.Redacted) => client(url, 10)

/** The name of the template for the migrations as they are now, made if it is missing. */
export const template = Effect.fn("TestServer.template")(
  function* (server: Redacted.Redacted) {
    const name = `broker_template_${yield* Migrations.fingerprint}`
    const make = Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [known] = yield* sql`select 1 from pg_database where datname = ${name}`
      if (known !== undefined) return
      const draft = `${name}_draft`
      yield* sql`drop database if exists ${sql(draft)} with (force)`
      yield* sql`create database ${sql(draft)}`
      yield* Migrations.up.pipe(Effect.provide(connect(withDatabase(server, draft))))
      yield* sql`alter database ${sql(draft)} rename to ${sql(name)}`
    })
    // The lock belongs to the one connection of this client, and goes with it.
    yield* Effect.andThen(
      SqlClient.SqlClient.use((sql) => sql`select pg_advisory_lock(${lock})`),
      make
    ).pipe(Effect.provide(connect(server)))
    return name
  },
  Effect.provide(NodeServices.layer),
  Effect.provideService(References.MinimumLogLevel, "Warn")
)
