import { Connections } from "@broker/core/connections/Connections"
import { Fleet } from "@broker/core/fleet/Fleet"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Servers } from "@broker/core/servers/Servers"
import type { LiveEvent, Watch } from "@broker/domain/Fleet"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { ServerStatus } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect, Queue, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { client, connected, gateway } from "../connections/parties.ts"

const { beat, boot, joined, unique, verified } = Fixtures

const nothing: Watch = { overview: false, servers: [], joining: false, connections: [], connecting: false }

/** What a dashboard that watches hears, looking on until something comes. */
const watching = Effect.fnUntraced(function* (organizationId: OrganizationId, watch: Partial<Watch>) {
  const fleet = yield* Fleet
  const sql = yield* SqlClient.SqlClient
  const events = yield* Queue.unbounded<LiveEvent>()
  yield* fleet.live(organizationId, { ...nothing, ...watch }).pipe(
    Stream.runForEach((event) => Queue.offer(events, event)),
    Effect.forkScoped({ startImmediately: true })
  )
  /** A second passes, and a look has the time it takes. */
  const look = Effect.andThen(TestClock.adjust("1 second"), sql`select 1`)
  const next: Effect.Effect<LiveEvent, unknown> = Effect.flatMap(Queue.size(events), (size) =>
    size > 0 ? Queue.take(events) : Effect.andThen(look, next)
  )
  return { next, look, waiting: Queue.size(events) }
})

const namesIn = (event: LiveEvent) => (event._tag === "Servers" ? event.servers.map(({ name }) => name) : [event._tag])

layer(Fixtures.layer)("Fleet", (it) => {
  it.effect("the overview of nobody's fleet is all zeros, with every status in it", () =>
    Effect.gen(function* () {
      const fleet = yield* Fleet
      const overview = yield* fleet.overview(yield* Fixtures.organization)
      assert.deepStrictEqual(overview, {
        total: 0,
        counts: Object.fromEntries(ServerStatus.literals.map((status) => [status, 0])) as typeof overview.counts,
        available: 0,
        activeConnections: 0,
        liveConnections: 0,
        activeKeys: 0,
        guard: null,
        attention: [],
        attentionTotal: 0,
        transitions: []
      })
    })
  )

  it.effect("the overview counts servers by status, who is available, connections and keys", () =>
    Effect.gen(function* () {
      const fleet = yield* Fleet
      const servers = yield* Servers
      const keys = yield* RegistrationKeys
      const organizationId = yield* Fixtures.organization
      const online = yield* verified(unique("a"), { organizationId })
      const degraded = yield* verified(unique("b"), { organizationId })
      const suspended = yield* joined(unique("c"), { organizationId })
      yield* joined(unique("d"), { organizationId, approval: true })
      yield* beat(online, boot(), 1, { activeConnections: 4 })
      yield* beat(degraded, boot(), 1, { activeConnections: 3, sentAt: "2020-01-01T00:00:00Z" })
      yield* servers.suspend(organizationId, suspended.id, "")
      yield* Fixtures.registrationKey({ organizationId })
      const revoked = yield* Fixtures.registrationKey({ organizationId })
      yield* keys.revoke(organizationId, revoked.id)
      const { activeConnections, activeKeys, attention, attentionTotal, available, counts, total } =
        yield* fleet.overview(organizationId)
      assert.deepInclude(counts, { online: 1, degraded: 1, suspended: 1, pending: 1, never_seen: 0 })
      assert.deepStrictEqual(
        { total, available, activeConnections, activeKeys },
        { total: 4, available: 2, activeConnections: 7, activeKeys: 1 }
      )
      // The gravest first.
      assert.deepStrictEqual(
        attention.map(({ status }) => status),
        ["suspended", "pending", "degraded"]
      )
      assert.strictEqual(attentionTotal, 3)
    })
  )

  it.effect("A5 the overview holds nothing of another organization", () =>
    Effect.gen(function* () {
      const fleet = yield* Fleet
      yield* joined()
      assert.strictEqual((yield* fleet.overview(yield* Fixtures.organization)).total, 0)
    })
  )

  it.effect("the live picture begins with what is watched as it is", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const server = yield* joined(unique("server"), { organizationId })
      const live = yield* watching(organizationId, { overview: true, servers: [server.id], joining: true })
      const first = [yield* live.next, yield* live.next, yield* live.next]
      assert.deepStrictEqual(
        first.map(({ _tag }) => _tag),
        ["Overview", "Servers", "Joined"]
      )
    })
  )

  it.effect("the live picture tells what changes, and only that", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const organizationId = yield* Fixtures.organization
      const [one, two] = [yield* joined("one", { organizationId }), yield* joined("two", { organizationId })]
      const live = yield* watching(organizationId, { servers: [one.id, two.id] })
      assert.sameMembers(namesIn(yield* live.next), ["one", "two"])
      yield* live.look
      yield* live.look
      const before = yield* live.waiting
      yield* servers.suspend(organizationId, two.id, "")
      assert.deepStrictEqual([before, namesIn(yield* live.next)], [0, ["two"]])
    })
  )

  it.effect("the live picture announces whoever joins, with the number there are", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const live = yield* watching(organizationId, { joining: true })
      const first = yield* live.next
      const server = yield* joined("new", { organizationId })
      const second = yield* live.next
      assert.deepStrictEqual(
        [first, second].map((event) => (event._tag === "Joined" ? [event.total, event.newest?.id] : [])),
        [
          [0, undefined],
          [1, server.id]
        ]
      )
    })
  )

  it.effect("the live picture tells a new overview when a heartbeat moves a server", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const server = yield* joined(unique("server"), { organizationId })
      const live = yield* watching(organizationId, { overview: true })
      yield* live.next
      yield* beat(server, boot(), 1)
      const event = yield* live.next
      assert.strictEqual(event._tag === "Overview" ? event.overview.counts.online : undefined, 1)
    })
  )

  it.effect("the live picture tells connections as they move, how many there are, and that new ones came", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      const live = yield* watching(defaultOrganizationId, { connections: [id], connecting: true })
      const [first, second] = [yield* live.next, yield* live.next]
      assert.deepStrictEqual(
        [first._tag === "Connections" && first.connections.map(({ status }) => status), second._tag],
        [["active"], "Connecting"]
      )
      yield* connections.reportByClient(someone, id, { status: "ended" })
      // A look that was under way may have seen the one before the other.
      const told = [yield* live.next, yield* live.next].map((event) =>
        event._tag === "Connections"
          ? event.connections.map(({ status }) => status)
          : event._tag === "Connecting" && [event.counts.active, event.newest]
      )
      assert.sameDeepMembers<unknown>(told, [["ended"], [0, id]])
    })
  )

  it.effect("A5 servers of another organization are not told, though they are asked for", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const own = yield* joined("own", { organizationId })
      const foreign = yield* joined()
      const live = yield* watching(organizationId, { servers: [foreign.id, own.id] })
      assert.deepStrictEqual(namesIn(yield* live.next), ["own"])
    })
  )
})
