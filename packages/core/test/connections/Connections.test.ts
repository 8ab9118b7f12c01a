import { Connections } from "@broker/core/connections/Connections"
import { ConnectionsPolicy } from "@broker/core/connections/ConnectionsPolicy"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Servers } from "@broker/core/servers/Servers"
import { SigningKeys } from "@broker/core/signing-keys/SigningKeys"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Option, Redacted, Result } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { client, connect, connected, everything, type Gateway, gateway, loads, metrics, unknownId } from "./parties.ts"

const found = Effect.fnUntraced(function* (id: Parameters<Connections["Service"]["find"]>[1]) {
  const connections = yield* Connections
  return yield* connections.find(defaultOrganizationId, id)
})

const codeOf = <E extends { readonly code: string }>(error: E) => error.code

layer(Fixtures.layer)("Connections", (it) => {
  it.effect("C3 the grant says who may connect where, and until when", () =>
    Effect.gen(function* () {
      const keys = yield* SigningKeys
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection, grant } = yield* connect(someone, { serverId: server.id })
      const claims = Option.getOrThrow(yield* keys.verify("grant+jwt", Redacted.value(grant)))
      const now = Math.floor(DateTime.toEpochMillis(yield* DateTime.now) / 1000)
      assert.deepInclude(claims, {
        connection: connection.id,
        device: someone.deviceId,
        server: server.id,
        aud: "http://localhost:3000",
        exp: now + 120
      })
      yield* TestClock.adjust("2 minutes")
      assert.isTrue(Option.isNone(yield* keys.verify("grant+jwt", Redacted.value(grant))))
    })
  )

  it.effect("C1 intent, active, ended: as the server and the client tell it", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      assert.strictEqual(connection.status, "intent")
      const active = yield* connections.reportByServer(server, connection.id, { status: "active" })
      assert.strictEqual(active.status, "active")
      const ended = yield* connections.reportByClient(someone, connection.id, { status: "ended", reason: "logged_off" })
      assert.deepInclude(ended, { status: "ended", endedBy: "client", endReason: "logged_off" })
      assert.deepStrictEqual(yield* loads(server), { counted: 0, live: 0 })
    })
  )

  it.effect("C1 of two ends the first is final, with its reason; the other side's account is still taken", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      yield* connections.reportByServer(server, id, { status: "ended", reason: "idle", metrics: metrics(10, 20) })
      yield* TestClock.adjust("1 second")
      const again = yield* connections.reportByClient(someone, id, {
        status: "ended",
        reason: "late",
        metrics: metrics(20, 10)
      })
      assert.deepInclude(again, { endedBy: "server", endReason: "idle" })
      const entry = yield* found(id)
      assert.deepInclude(entry, { clientReason: "late", clientRxBytes: 20, verdict: "confirmed" })
    })
  )

  it.effect("C1 an end that overtook the beginning makes it active for that moment", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      const ended = yield* connections.reportByServer(server, connection.id, { status: "ended" })
      assert.strictEqual(ended.status, "ended")
      const late = yield* Effect.flip(connections.reportByServer(server, connection.id, { status: "active" }))
      assert.strictEqual(late.code, "connection_over")
    })
  )

  it.effect("C1 an intent that its client calls off never came to be, and its grant opens nothing any more", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      const off = yield* connections.reportByClient(someone, connection.id, { status: "ended" })
      assert.deepInclude(off, { status: "expired", endedBy: "client", activeAt: null })
      const late = yield* Effect.flip(connections.reportByServer(server, connection.id, { status: "active" }))
      assert.strictEqual(late.code, "connection_over")
    })
  )

  it.effect("C1 a server refuses an intent, but not what is active", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      const refused = yield* connections.reportByServer(server, connection.id, { status: "refused", reason: "full" })
      assert.deepInclude(refused, { status: "refused", endedBy: "server", endReason: "full" })
      const active = yield* connected(someone, server)
      const conflict = yield* Effect.flip(connections.reportByServer(server, active.id, { status: "refused" }))
      assert.strictEqual(conflict.code, "connection_conflict")
    })
  )

  it.effect("C2 an intent lives 60 seconds, swept or not", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      yield* Fixtures.pass("60 seconds")
      const late = yield* Effect.flip(connections.reportByServer(server, connection.id, { status: "active" }))
      assert.strictEqual(late.code, "connection_over")
      yield* connections.sweep
      assert.deepInclude(yield* found(connection.id), { status: "expired", endReason: "intent_expired" })
    })
  )

  it.effect("C2 the same device and Idempotency-Key give the same connection and the same grant", () =>
    Effect.gen(function* () {
      const [someone, server] = [yield* client(), yield* gateway()]
      const one = yield* connect(someone, { serverId: server.id }, "key-1")
      yield* TestClock.adjust("30 seconds")
      const two = yield* connect(someone, { serverId: server.id }, "key-1")
      assert.strictEqual(two.connection.id, one.connection.id)
      assert.strictEqual(Redacted.value(two.grant), Redacted.value(one.grant))
      assert.deepStrictEqual(yield* loads(server), { counted: 1, live: 1 })
      const other = yield* gateway()
      const refused = yield* Effect.flip(connect(someone, { serverId: other.id }, "key-1"))
      assert.strictEqual(refused.code, "idempotency_key_reused")
    })
  )

  it.effect("C2 an Idempotency-Key is another device's to use, and everybody's after a day", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* client(), yield* client()]
      const server = yield* gateway()
      const first = yield* connect(one, { serverId: server.id }, "key-2")
      const second = yield* connect(two, { serverId: server.id }, "key-2")
      assert.notStrictEqual(second.connection.id, first.connection.id)
      yield* Fixtures.pass("25 hours")
      yield* server.beat()
      const third = yield* connect(one, { serverId: server.id }, "key-2")
      assert.notStrictEqual(third.connection.id, first.connection.id)
    })
  )

  it.effect("a server that is not available is not granted, nor is one of nobody", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const someone = yield* client()
      const unverified = yield* Fixtures.joined()
      const draining = yield* gateway()
      yield* servers.setDuty(defaultOrganizationId, draining.id, "draining")
      for (const serverId of [unverified.id, draining.id, "00000000-0000-7000-8000-00000000beef" as Gateway["id"]]) {
        const refused = yield* Effect.flip(connect(someone, { serverId }))
        assert.strictEqual(refused.code, "server_unavailable")
      }
    })
  )

  it.effect("select takes the best server that has room, and says what it passed over", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const tag = Fixtures.unique("tag")
      const [near, far] = [
        yield* gateway(undefined, {}, { tags: [tag], location: { latitude: 50, longitude: 8 } }),
        yield* gateway(undefined, {}, { tags: [tag], location: { latitude: 52, longitude: 13 } })
      ]
      const request = { select: { tag: [tag], near: { latitude: 50.1, longitude: 8.7 } } }
      const first = yield* connect(yield* client(), request)
      assert.strictEqual(first.server.id, near.id)
      assert.isBelow(first.explanation?.distanceKm ?? Number.NaN, 60)
      yield* sql`update servers set connection_limit = 1 where id = ${near.id}`
      const second = yield* connect(yield* client(), request)
      assert.strictEqual(second.server.id, far.id)
      yield* sql`update servers set connection_limit = 1 where id = ${far.id}`
      const third = yield* Effect.flip(connect(yield* client(), request))
      assert.strictEqual(third.code, "no_server_matches")
    })
  )

  it.effect("progress of both sides is kept; totals never shrink", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      yield* connections.reportByClient(someone, id, { metrics: metrics(500, 50) })
      yield* connections.reportByServer(server, id, { status: "active", metrics: { rxBytes: 51, txBytes: 501 } })
      yield* connections.reportByClient(someone, id, { metrics: metrics(400, 60) })
      assert.deepInclude(yield* found(id), {
        clientRxBytes: 500,
        clientTxBytes: 60,
        serverRxBytes: 51,
        serverTxBytes: 501,
        rxBytes: 501,
        txBytes: 51,
        rttMs: 20
      })
    })
  )

  it.effect("what is over takes no more progress", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      yield* connections.reportByServer(server, id, { status: "ended" })
      const over = yield* Effect.flip(connections.reportByClient(someone, id, { metrics: metrics(1, 1) }))
      assert.strictEqual(over.code, "connection_over")
    })
  )

  it.effect("nobody reads or reports another's connection", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, stranger] = [yield* client(), yield* client()]
      const [server, other] = [yield* gateway(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      const refusals = yield* Effect.all([
        Effect.flip(connections.get(stranger, id)),
        Effect.flip(connections.reportByClient(stranger, id, { status: "ended" })),
        Effect.flip(connections.reportByServer(other, id, { status: "ended" })),
        Effect.flip(connections.reportByServer(server, unknownId, { status: "active" })),
        Effect.flip(connections.find(yield* Fixtures.organization, id))
      ])
      assert.deepStrictEqual(refusals.map(codeOf), Array<string>(5).fill("connection_not_found"))
    })
  )

  it.effect("the verdict follows from who told the end, and what they counted", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const { settlement } = yield* ConnectionsPolicy
      const [someone, server] = [yield* client(), yield* gateway()]
      const mebibyte = 1024 ** 2
      const end = Effect.fnUntraced(function* (
        byClient: readonly [number, number] | null,
        byServer: readonly [number, number] | null
      ) {
        const { id } = yield* connected(someone, server)
        if (byClient !== null) {
          yield* connections.reportByClient(someone, id, { status: "ended", metrics: metrics(...byClient) })
        }
        if (byServer !== null) {
          yield* connections.reportByServer(server, id, { status: "ended", metrics: metrics(...byServer) })
        }
        return id
      })
      const ids = {
        confirmed: yield* end([mebibyte, 1000], [1100, mebibyte + 50_000]),
        byte_mismatch: yield* end([mebibyte, 1000], [1000, 2 * mebibyte]),
        client_only: yield* end([1, 1], null),
        server_only: yield* end(null, [1, 1])
      }
      assert.isNull((yield* found(ids.client_only)).verdict)
      yield* TestClock.adjust(settlement)
      yield* connections.sweep
      for (const [verdict, id] of Object.entries(ids)) assert.strictEqual((yield* found(id)).verdict, verdict)
      const late = yield* connections.reportByServer(server, ids.client_only, {
        status: "ended",
        metrics: metrics(1, 1)
      })
      assert.strictEqual(late.endedBy, "client")
      assert.strictEqual((yield* found(ids.client_only)).verdict, "confirmed")
    })
  )

  it.effect("C5 connections of a server that is offline are stale, and lost after a minute", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      yield* silence
      assert.isNotNull((yield* found(id)).staleSince)
      yield* Fixtures.pass("59 seconds")
      yield* connections.sweep
      assert.strictEqual((yield* found(id)).status, "active")
      yield* Fixtures.pass("1 second")
      yield* connections.sweep
      assert.deepInclude(yield* found(id), {
        status: "ended",
        endedBy: "broker",
        endReason: "server_lost",
        staleSince: null
      })
    })
  )

  it.effect("C5 a server that returns in time has its connections back", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      yield* silence
      yield* server.beat({ connections: [id] })
      assert.deepInclude(yield* found(id), { status: "active", staleSince: null })
      yield* Fixtures.pass("2 minutes")
      yield* connections.sweep
      assert.strictEqual((yield* found(id)).status, "active")
    })
  )

  it.effect("C5 H2 a server that is back, but not steady yet, keeps its connections", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      for (const _ of [1, 2, 3]) {
        yield* silence
        yield* server.beat()
      }
      yield* server.beat()
      yield* server.beat()
      const { id } = yield* connected(someone, server)
      yield* silence
      yield* Fixtures.pass("5 seconds")
      yield* server.beat({ connections: [id] })
      assert.strictEqual((yield* Fixtures.seen(server)).liveness, "offline")
      yield* Fixtures.pass("30 seconds")
      yield* server.beat({ connections: [id] })
      yield* Fixtures.pass("29 seconds")
      yield* connections.sweep
      assert.strictEqual((yield* found(id)).status, "active")
    })
  )

  it.effect("C5 what a server reports while it is offline is stale at once", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      const sql = yield* SqlClient.SqlClient
      yield* sql`update server_presence set liveness = 'offline' where server_id = ${server.id}`
      yield* connections.reportByServer(server, connection.id, { status: "active" })
      assert.isNotNull((yield* found(connection.id)).staleSince)
    })
  )

  it.effect("C1 an intent that is called off again answers as before", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      const first = yield* connections.reportByClient(someone, connection.id, { status: "ended" })
      const again = yield* connections.reportByClient(someone, connection.id, { status: "ended" })
      assert.deepStrictEqual(again, first)
    })
  )

  it.effect("C7 history survives: names are those of then", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      yield* connections.reportByClient(someone, id, { status: "ended" })
      yield* sql`delete from users where id = ${someone.userId}`
      assert.deepInclude(yield* found(id), { userName: "Grace", deviceName: "notebook", platform: "linux" })
    })
  )

  it.effect("lists are filtered, and paged the newest first, each once", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const ids: Array<string> = []
      for (let one = 0; one < 5; one++) ids.unshift((yield* connected(someone, server)).id)
      const mine = { ...everything, userId: someone.userId, limit: 2 }
      const first = yield* connections.list(defaultOrganizationId, mine)
      yield* connected(someone, server)
      const second = yield* connections.list(defaultOrganizationId, { ...mine, cursor: first.nextCursor })
      const third = yield* connections.list(defaultOrganizationId, { ...mine, cursor: second.nextCursor })
      assert.deepStrictEqual(
        [...first.items, ...second.items, ...third.items].map(({ id }) => id),
        ids
      )
      const count = (query: Partial<typeof everything>) =>
        Effect.map(
          connections.list(defaultOrganizationId, { ...everything, userId: someone.userId, ...query }),
          ({ items }) => items.length
        )
      assert.strictEqual(yield* count({ scope: "live" }), 6)
      assert.strictEqual(yield* count({ scope: "over" }), 0)
      assert.strictEqual(yield* count({ text: "NOTEBOOK" }), 6)
      assert.strictEqual(yield* count({ text: "100%" }), 0)
      assert.strictEqual(yield* count({ statuses: ["intent"] }), 0)
      assert.strictEqual(yield* count({ stale: true }), 0)
      assert.strictEqual(yield* count({ serverId: server.id, text: "198.51.100.4" }), 6)
    })
  )

  it.effect("C6 an admin disconnects, once, and it is on record", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      const cut = yield* connections.disconnect(defaultOrganizationId, id)
      assert.deepInclude(cut, { status: "ended", endedBy: "admin", endReason: "admin_disconnected" })
      yield* connections.disconnect(defaultOrganizationId, id)
      const entries = yield* sql`select action, actor_name from audit_entries where subject_id = ${id}`
      assert.deepStrictEqual(entries, [{ action: "connections:disconnect", actorName: "ada" }])
    })
  )

  it.effect("what is over long ago is deleted", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: server.id })
      yield* connections.reportByServer(server, connection.id, { status: "refused" })
      yield* Fixtures.pass("91 days")
      yield* connections.prune
      const gone = yield* Effect.result(found(connection.id))
      assert.isTrue(Result.isFailure(gone))
    })
  )
})

/** Every server falls silent for as long as it takes to be offline. */
const silence = Effect.gen(function* () {
  yield* Fixtures.pass("3 minutes")
  yield* Effect.flatMap(Liveness, ({ sweep }) => sweep)
})
