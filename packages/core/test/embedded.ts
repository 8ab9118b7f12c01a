/**
 * A process of its own that uses an embedded PostgreSQL until it is told to
 * end, and writes a last row while it ends.
 */
import * as EmbeddedPostgres from "@broker/core/EmbeddedPostgres"
import { NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

const [dataDir = "", role] = process.argv.slice(2)

const lastWrite = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* Effect.addFinalizer(() =>
    Effect.sleep("300 millis").pipe(
      Effect.andThen(sql`create table if not exists farewell (said text)`),
      Effect.andThen(sql`insert into farewell values ('goodbye')`),
      Effect.orDie
    )
  )
})

const program = Effect.gen(function* () {
  const running = yield* EmbeddedPostgres.acquire({
    dataDir,
    role: role === "command" ? "command" : "serve",
    onProgress: () => Effect.void
  })
  yield* Effect.sync(() => console.log(JSON.stringify({ started: running.started, port: running.port })))
  yield* role === "command"
    ? Effect.never
    : Effect.andThen(lastWrite, Effect.never).pipe(Effect.scoped, Effect.provide(PgClient.layer({ url: running.url })))
})

NodeRuntime.runMain(Effect.scoped(program))
