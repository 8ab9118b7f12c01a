/**
 * A process of its own that leads and writes, to be killed and paused from
 * outside. With `SLOW` it rests in the middle of each write.
 */
import * as Database from "@broker/core/Database"
import { Leadership } from "@broker/core/nodes/Leadership"
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"

const write = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`insert into work (node) values ('child')`
  if (process.env["SLOW"] !== undefined) yield* Effect.sleep("200 millis")
  yield* sql`insert into work (node) values ('child')`
})

const work = Effect.gen(function* () {
  const leadership = yield* Leadership
  yield* Effect.sync(() => console.log("leading"))
  yield* leadership
    .fenced(write)
    .pipe(Effect.ignoreCause, Effect.repeat(Schedule.spaced("10 millis")), leadership.whileLeader)
})

const database = Layer.unwrap(
  Effect.map(Config.Redacted("DATABASE_URL"), (url) => Database.layer({ url, maxConnections: 4 }))
)

const main = Layer.effectDiscard(
  Effect.forkScoped(
    Effect.gen(function* () {
      const leadership = yield* Leadership
      yield* Effect.repeat(leadership.isLeader, { schedule: Schedule.spaced("10 millis"), until: (leads) => leads })
      yield* work
    })
  )
).pipe(Layer.provide(Leadership.layer), Layer.provide(database))

NodeRuntime.runMain(Layer.launch(main))
