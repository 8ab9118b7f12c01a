import { Connections } from "@broker/core/connections/Connections"
import { Cuts } from "@broker/core/connections/Cuts"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Servers } from "@broker/core/servers/Servers"
import type { SignedInClient } from "@broker/domain/ClientSession"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { client, connect, connected, gateway, settled } from "./parties.ts"

const cutUser = Effect.fnUntraced(function* ({ userId }: SignedInClient, reason = "user_suspended") {
  const cuts = yield* Cuts
  return yield* cuts.order(defaultOrganizationId, { kind: "user", id: userId, name: "Grace" }, reason)
})

const newest = Effect.fnUntraced(function* ({ userId }: SignedInClient) {
  const cuts = yield* Cuts
  const [act] = yield* cuts.list(defaultOrganizationId, { subjectId: userId, limit: 1 })
  return act
})

const statusOf = Effect.fnUntraced(function* (id: Parameters<Connections["Service"]["find"]>[1]) {
  const connections = yield* Connections
  return yield* connections.find(defaultOrganizationId, id)
})

layer(Fixtures.layer)("Cuts", (it) => {
  it.effect("C6 an order ends connections, and the next heartbeat of each server carries it", () =>
    Effect.gen(function* () {
      const [someone, one, two] = [yield* client(), yield* gateway(), yield* gateway()]
      const [a, b] = [yield* connected(someone, one), yield* connected(someone, two)]
      assert.strictEqual(yield* cutUser(someone), 2)
      assert.deepInclude(yield* statusOf(a.id), { status: "ended", endReason: "user_suspended", endedBy: "admin" })
      const reply = yield* one.beat({ connections: [a.id], cutCursor: "0" })
      assert.deepStrictEqual(reply.cuts.connections, [{ id: a.id, reason: "user_suspended" }])
      assert.notStrictEqual(reply.cuts.cursor, "0")
      const other = yield* two.beat({ connections: [b.id] })
      assert.deepStrictEqual(other.cuts.connections, [{ id: b.id, reason: "user_suspended" }])
    })
  )

  it.effect("C6 the next live set without it confirms; how many have, and after how long, is told", () =>
    Effect.gen(function* () {
      const [someone, one, two] = [yield* client(), yield* gateway(), yield* gateway()]
      const a = yield* connected(someone, one)
      yield* connected(someone, two)
      yield* settled
      yield* cutUser(someone)
      yield* TestClock.adjust("4 seconds")
      const { cuts } = yield* one.beat({ connections: [a.id] })
      assert.deepInclude(yield* newest(someone), {
        servers: 2,
        confirmedServers: 0,
        connections: 2,
        slowestSeconds: null
      })
      yield* TestClock.adjust("3 seconds")
      const after = yield* one.beat({ connections: [], cutCursor: cuts.cursor })
      assert.deepStrictEqual(after.cuts, { cursor: cuts.cursor, connections: [] })
      assert.deepInclude(yield* newest(someone), {
        servers: 2,
        confirmedServers: 1,
        confirmedConnections: 1,
        overdueServers: 0,
        slowestSeconds: 7,
        medianSeconds: 7
      })
    })
  )

  it.effect("C6 a server that goes on listing what it was to cut is told again, whatever its cursor", () =>
    Effect.gen(function* () {
      const [someone, one] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, one)
      yield* settled
      yield* cutUser(someone)
      const { cuts } = yield* one.beat({ connections: [id] })
      const again = yield* one.beat({ connections: [id], cutCursor: cuts.cursor })
      assert.deepStrictEqual(again.cuts.connections, [{ id, reason: "user_suspended" }])
    })
  )

  it.effect("C6 a server that lists nothing confirms by its cursor", () =>
    Effect.gen(function* () {
      const [someone, one] = [yield* client(), yield* gateway()]
      yield* connected(someone, one)
      yield* cutUser(someone)
      const { cuts } = yield* one.beat({})
      assert.strictEqual(cuts.connections.length, 1)
      const repeated = yield* one.beat({})
      assert.strictEqual(repeated.cuts.connections.length, 1, "the first answer may have been lost")
      yield* one.beat({ cutCursor: cuts.cursor })
      assert.deepInclude(yield* newest(someone), { confirmedServers: 1 })
    })
  )

  it.effect("C6 orders of several acts are all carried, in their order, by one cursor", () =>
    Effect.gen(function* () {
      const one = yield* gateway()
      const clients = [yield* client(), yield* client(), yield* client()]
      const ids: Array<string> = []
      for (const someone of clients) ids.push((yield* connected(someone, one)).id)
      yield* cutUser(clients[0] ?? (yield* client()), "first")
      const early = yield* one.beat({ cutCursor: "0" })
      yield* cutUser(clients[1] ?? (yield* client()), "second")
      yield* cutUser(clients[2] ?? (yield* client()), "third")
      const late = yield* one.beat({ cutCursor: early.cuts.cursor })
      assert.deepStrictEqual(
        [...early.cuts.connections, ...late.cuts.connections].map(({ id }) => id),
        ids
      )
    })
  )

  it.effect("C6 it is overdue when a server is unreachable, at once, and when one takes too long", () =>
    Effect.gen(function* () {
      const liveness = yield* Liveness
      const [someone, slow, gone] = [yield* client(), yield* gateway(), yield* gateway()]
      const [a] = [yield* connected(someone, slow), yield* connected(someone, gone)]
      yield* settled
      yield* Fixtures.pass("140 seconds")
      yield* slow.beat({ connections: [a.id] })
      yield* liveness.sweep
      yield* cutUser(someone)
      assert.deepInclude(yield* newest(someone), { servers: 2, overdueServers: 1 })
      yield* Fixtures.pass("91 seconds")
      assert.deepInclude(yield* newest(someone), { servers: 2, overdueServers: 2 })
    })
  )

  it.effect("C6 an intent is called off; no server has anything to cut", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, one] = [yield* client(), yield* gateway()]
      const { connection } = yield* connect(someone, { serverId: one.id })
      yield* cutUser(someone)
      assert.deepInclude(yield* statusOf(connection.id), { status: "expired", cutOrderedAt: null })
      assert.isUndefined(yield* newest(someone))
      const late = yield* Effect.flip(connections.reportByServer(one, connection.id, { status: "active" }))
      assert.strictEqual(late.code, "connection_over")
    })
  )

  it.effect("C6 suspending or retiring a server cuts what is open on it", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const [someone, one, two] = [yield* client(), yield* gateway(), yield* gateway()]
      const [a, b] = [yield* connected(someone, one), yield* connected(someone, two)]
      yield* servers.suspend(defaultOrganizationId, one.id, "looks odd")
      yield* servers.retire(defaultOrganizationId, two.id, "old")
      assert.deepInclude(yield* statusOf(a.id), { status: "ended", endReason: "server_suspended" })
      assert.deepInclude(yield* statusOf(b.id), { status: "ended", endReason: "server_retired" })
    })
  )

  it.effect("C6 a preview tells what an order would end", () =>
    Effect.gen(function* () {
      const cuts = yield* Cuts
      const [someone, one, two] = [yield* client(), yield* gateway(), yield* gateway()]
      yield* connected(someone, one)
      yield* connected(someone, one)
      yield* connect(someone, { serverId: two.id })
      const preview = yield* cuts.preview(defaultOrganizationId, "personal-key", someone.personalKeyId)
      assert.deepStrictEqual({ ...preview }, { connections: 3, servers: 2 })
      const elsewhere = yield* cuts.preview(yield* Fixtures.organization, "personal-key", someone.personalKeyId)
      assert.deepStrictEqual({ ...elsewhere }, { connections: 0, servers: 0 })
    })
  )

  it.effect("C4 what a server does not list has ended there, but not what it reported just now", () =>
    Effect.gen(function* () {
      const [someone, one] = [yield* client(), yield* gateway()]
      const old = yield* connected(someone, one)
      yield* settled
      const fresh = yield* connected(someone, one)
      yield* one.beat({ connections: [] })
      assert.deepInclude(yield* statusOf(old.id), { status: "ended", endedBy: "server", endReason: "server_dropped" })
      assert.strictEqual((yield* statusOf(fresh.id)).status, "active")
    })
  )

  it.effect("C4 what a server lists and nobody granted it, it is told to cut", () =>
    Effect.gen(function* () {
      const [someone, one, other] = [yield* client(), yield* gateway(), yield* gateway()]
      const theirs = yield* connected(someone, other)
      const made = "0192aaaa-0000-7000-8000-000000000001"
      const { cuts } = yield* one.beat({ connections: [made, theirs.id] })
      assert.deepStrictEqual(
        new Map(cuts.connections.map(({ id, reason }) => [id, reason])),
        new Map([
          [made, "unknown_connection"],
          [theirs.id, "unknown_connection"]
        ])
      )
      assert.strictEqual((yield* statusOf(theirs.id)).status, "active")
    })
  )

  it.effect("H3 C4 a heartbeat that comes again or late ends nothing", () =>
    Effect.gen(function* () {
      const [someone, one] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, one)
      yield* settled
      yield* one.beat({ connections: [id] })
      yield* one.beatAgain({ connections: [] })
      yield* Fixtures.beat(one, Fixtures.boot(), 1, { connections: [id] })
      yield* one.beatAgain({ connections: [] })
      assert.strictEqual((yield* statusOf(id)).status, "active")
    })
  )

  it.effect("C6 a server that is shut out confirms by being told; a retired one that never asks is not overdue", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const cuts = yield* Cuts
      const [someone, one, two] = [yield* client(), yield* gateway(), yield* gateway()]
      yield* connected(someone, one)
      yield* connected(someone, two)
      yield* servers.suspend(defaultOrganizationId, one.id, "")
      yield* TestClock.adjust("2 seconds")
      yield* cuts.confirmAll(one.id)
      yield* servers.retire(defaultOrganizationId, two.id, "")
      yield* Fixtures.pass("10 minutes")
      const [retired, suspended] = yield* cuts.list(defaultOrganizationId, { subjectId: someone.userId, limit: 2 })
      assert.deepInclude(suspended, { confirmedServers: 1, slowestSeconds: 2, overdueServers: 0 })
      assert.deepInclude(retired, { confirmedServers: 0, overdueServers: 0 })
    })
  )
})
