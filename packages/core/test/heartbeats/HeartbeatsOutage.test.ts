import { randomUUID } from "node:crypto"
import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import * as Database from "@broker/core/Database"
import { Signals } from "@broker/core/database/Signals"
import { Heartbeats } from "@broker/core/heartbeats/Heartbeats"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import type { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import * as TestServer from "@broker/testing/TestServer"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Redacted, Schedule, Stream } from "effect"
import { SqlClient } from "effect/sql"

/** A broker whose buffer holds so many, on a database that can be taken away. */
const broker = Effect.fnUntraced(function* (heartbeatBuffer: number) {
  const url = yield* TestDatabase.createDatabase
  const name = new URL(Redacted.value(url)).pathname.slice(1)
  const policy = { ...(yield* ServersPolicy), heartbeatBuffer }
  const layer = Layer.mergeAll(Core.layer, Layer.succeed(Actor, Fixtures.actor)).pipe(
    Layer.provideMerge(Database.layer({ url, maxConnections: 4 })),
    Layer.provide([Layer.succeed(ServersPolicy, policy), TestEncryption.layer])
  )
  const services = yield* Layer.build(Layer.fresh(layer))
  const administer = <A, E>(statements: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
    SqlClient.SqlClient.use(statements).pipe(
      Effect.provide(TestServer.connect(TestServer.withDatabase(url, "postgres"))),
      Effect.orDie
    )
  const back = administer((sql) => sql`alter database ${sql(name)} allow_connections true`)
  return {
    services,
    away: administer((sql) =>
      Effect.andThen(
        sql`alter database ${sql(name)} allow_connections false`,
        sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`
      )
    ),
    back
  }
})

/** Waits until this process has heard all that was signalled so far, of which a token's first use is some. */
const signalsHeard = Effect.gen(function* () {
  const signals = yield* Signals
  const marker = randomUUID()
  const heard = yield* signals.subscribed("server")
  yield* signals.notify("server", marker)
  yield* heard.pipe(
    Stream.filter((event) => event._tag === "Signal" && event.payload === marker),
    Stream.runHead
  )
  yield* Effect.repeat(Effect.yieldNow, { times: 10 })
})

const lastSeen = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ seq: bigint; at: Date | null }>`
    select seq, last_seen_at as at from server_presence where server_id = ${id}`
  return { seq: Number(row?.seq), at: row?.at?.getTime() }
})

/** Waits until the heartbeat of that number is in the database. */
const written = (id: ServerId, seq: number) =>
  lastSeen(id).pipe(
    Effect.flatMap((seen) => (seen.seq === seq ? Effect.succeed(seen) : Effect.fail("not yet" as const))),
    Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 200 })
  )

describe("Heartbeats with the database away", { concurrent: true }, () => {
  it.live("H7 are accepted from servers that are known, and written when it is back, as of when they came", () =>
    Effect.gen(function* () {
      const { away, back, services } = yield* broker(100)
      yield* Effect.gen(function* () {
        const tokens = yield* ServerTokens
        const server = yield* Fixtures.joined()
        const bootId = Fixtures.boot()
        yield* Fixtures.beat(yield* tokens.authenticate(server.token), bootId, 1)
        yield* signalsHeard
        yield* tokens.authenticate(server.token)

        yield* away
        const reply = yield* Fixtures.beat(yield* tokens.authenticate(server.token), bootId, 2)
        assert.strictEqual(reply.liveness, "online")

        yield* back
        const { at } = yield* written(server.id, 2)
        assert.strictEqual(at, DateTime.toEpochMillis(reply.time))
      }).pipe(Effect.provide(services))
    })
  )

  it.live("H7 the newest of a server that waits is the one that is written", () =>
    Effect.gen(function* () {
      const { away, back, services } = yield* broker(100)
      yield* Effect.gen(function* () {
        const server = yield* Fixtures.joined()
        const bootId = Fixtures.boot()
        yield* Fixtures.beat(server, bootId, 1)
        yield* away
        yield* Fixtures.beat(server, bootId, 2)
        yield* Fixtures.beat(server, bootId, 4)
        yield* Fixtures.beat(server, bootId, 3)
        yield* back
        yield* written(server.id, 4)
        // Heartbeats go on as if nothing had been.
        yield* Fixtures.beat(server, bootId, 5)
        assert.strictEqual((yield* lastSeen(server.id)).seq, 5)
      }).pipe(Effect.provide(services))
    })
  )

  it.live("H7 beyond the bound are refused until it is back", () =>
    Effect.gen(function* () {
      const { away, back, services } = yield* broker(3)
      yield* Effect.gen(function* () {
        const heartbeats = yield* Heartbeats
        const servers = yield* Effect.forEach([1, 2, 3, 4], () => Fixtures.joined())
        const first = yield* Fixtures.heartbeat(Fixtures.boot(), 1)
        yield* away
        const codes = yield* Effect.forEach(
          servers,
          (server) =>
            heartbeats.beat(server, first).pipe(
              Effect.as("accepted"),
              Effect.catch(({ code }) => Effect.succeed(code))
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(codes, ["accepted", "accepted", "accepted", "overloaded"])
        yield* back
        yield* Effect.forEach(servers.slice(0, 3), ({ id }) => written(id, 1))
        const last = servers[3]
        if (last !== undefined) assert.strictEqual((yield* heartbeats.beat(last, first)).liveness, "online")
      }).pipe(Effect.provide(services))
    })
  )
})
