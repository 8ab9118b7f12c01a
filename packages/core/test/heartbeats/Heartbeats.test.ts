import { Heartbeats } from "@broker/core/heartbeats/Heartbeats"
import * as HeartbeatsSql from "@broker/core/heartbeats/HeartbeatsSql"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Nodes } from "@broker/core/nodes/Nodes"
import { Servers } from "@broker/core/servers/Servers"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { beat, boot, joined, pass, seen, unique } = Fixtures

/** The moves of a server's liveness, the oldest first. */
const moves = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ before: string; after: string; reason: string | null }>`
    select before, after, reason from server_transitions where server_id = ${id} and axis = 'liveness' order by id`
  return rows.map(({ after, before, reason }) => `${before} → ${after}${reason === null ? "" : ` (${reason})`}`)
})

/** How many moved, of this server alone. */
const sweep = Effect.gen(function* () {
  const liveness = yield* Liveness
  return yield* liveness.sweep
})

/** A server that has been heard, and so many seconds of its interval. */
const heard = Effect.gen(function* () {
  const server = yield* joined()
  const bootId = boot()
  const { nextHeartbeatSeconds } = yield* beat(server, bootId, 1)
  let seq = 1
  return {
    ...server,
    interval: nextHeartbeatSeconds,
    again: Effect.suspend(() => beat(server, bootId, ++seq))
  }
})

/** Falls silent until it is offline, and tells how long its interval was. */
const fall = Effect.fnUntraced(function* (seconds: number) {
  yield* pass(Duration.seconds(seconds * 4 + 1))
  yield* sweep
})

const presence = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Record<string, unknown>>`select * from server_presence where server_id = ${id}`
  return row ?? {}
})

layer(Fixtures.layer)("Heartbeats", (it) => {
  it.effect("H1 the next interval is 30 s, give or take 10 %", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      const told: Array<number> = []
      for (let seq = 1; seq <= 60; seq++) told.push((yield* beat(server, bootId, seq)).nextHeartbeatSeconds)
      assert.isAtLeast(Math.min(...told), 27)
      assert.isAtMost(Math.max(...told), 33)
      assert.isAbove(new Set(told).size, 10)
    })
  )

  it.effect("H7 what is no address is left out, and spoils no heartbeat of others", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const addresses = ["203.0.113.7", "fe80::1%eth0", "rubbish", "", "203.0.113.7/24", "::1", null, "1.2.3"]
      const servers = yield* Effect.forEach(addresses, (address) =>
        Effect.map(joined(), (server) => ({ ...server, address }))
      )
      // In one batch.
      yield* Effect.forEach(servers, (server) => beat(server, boot(), 1), { concurrency: "unbounded" })
      const written = yield* Effect.forEach(servers, ({ id }) =>
        Effect.map(
          sql<{ readonly address: string | null }>`
            select host(address) as address from server_presence where server_id = ${id} and liveness = 'online'`,
          ([row]) => row?.address
        )
      )
      assert.deepStrictEqual(written, ["203.0.113.7", null, null, null, null, "::1", null, null])
    })
  )

  it.effect("H1 the deadline follows from the interval the server was last told", () =>
    Effect.gen(function* () {
      const server = yield* heard
      yield* pass(Duration.seconds(server.interval * 2))
      yield* sweep
      assert.strictEqual((yield* seen(server)).liveness, "online")
      yield* pass("1 millis")
      yield* sweep
      assert.strictEqual((yield* seen(server)).liveness, "degraded")
    })
  )

  it.effect("H1 a repeated heartbeat is told the interval that counts", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      const first = yield* beat(server, bootId, 1)
      const again = yield* Effect.forEach([1, 2, 3, 4, 5], () => beat(server, bootId, 1))
      assert.deepStrictEqual(
        again.map(({ nextHeartbeatSeconds }) => nextHeartbeatSeconds),
        again.map(() => first.nextHeartbeatSeconds)
      )
    })
  )

  it.effect("H2 a first heartbeat brings a server online", () =>
    Effect.gen(function* () {
      const server = yield* heard
      const { lastSeenAt, liveness } = yield* seen(server)
      assert.strictEqual(liveness, "online")
      assert.deepStrictEqual(lastSeenAt, yield* DateTime.now)
      assert.deepStrictEqual(yield* moves(server.id), ["never_seen → online"])
    })
  )

  it.effect("H2 a server that was never heard is not given up on", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* fall(30)
      assert.strictEqual((yield* seen(server)).liveness, "never_seen")
    })
  )

  it.effect("H2 silence degrades after 2 missed, ends after 4, and one heartbeat heals", () =>
    Effect.gen(function* () {
      const server = yield* heard
      yield* pass(Duration.seconds(server.interval * 2 + 1))
      yield* sweep
      yield* pass(Duration.seconds(server.interval * 2))
      yield* sweep
      yield* server.again
      assert.deepStrictEqual(yield* moves(server.id), [
        "never_seen → online",
        "online → degraded (missed_heartbeats)",
        "degraded → offline (missed_heartbeats)",
        "offline → online"
      ])
    })
  )

  it.effect("H2 a sweep that comes late goes straight to offline", () =>
    Effect.gen(function* () {
      const server = yield* heard
      yield* fall(server.interval)
      assert.deepStrictEqual((yield* moves(server.id)).slice(1), ["online → offline (missed_heartbeats)"])
    })
  )

  it.effect("H2 who is offline has no active connections", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const { nextHeartbeatSeconds } = yield* beat(server, boot(), 1, { activeConnections: 7 })
      assert.strictEqual((yield* seen(server)).activeConnections, 7)
      yield* fall(nextHeartbeatSeconds)
      assert.strictEqual((yield* seen(server)).activeConnections, 0)
    })
  )

  it.effect("H2 sweeping again moves nobody", () =>
    Effect.gen(function* () {
      const server = yield* heard
      yield* fall(server.interval)
      const before = yield* moves(server.id)
      yield* sweep
      assert.deepStrictEqual(yield* moves(server.id), before)
    })
  )

  it.effect("H2 of sweeps that race, one moves a server", () =>
    Effect.gen(function* () {
      const server = yield* heard
      yield* pass(Duration.seconds(server.interval * 4 + 1))
      yield* Effect.all([sweep, sweep, sweep, sweep], { concurrency: "unbounded" })
      assert.deepStrictEqual((yield* moves(server.id)).slice(1), ["online → offline (missed_heartbeats)"])
    })
  )

  it.effect("H2 sweeps and heartbeats that race leave a history without gaps", () =>
    Effect.gen(function* () {
      const server = yield* heard
      for (let round = 0; round < 5; round++) {
        yield* pass(Duration.seconds(server.interval * 4 + 5))
        yield* Effect.all([sweep, server.again, sweep], { concurrency: "unbounded" })
      }
      const all = (yield* moves(server.id)).map((move) => move.replace(/ \(.*/, "").split(" → "))
      const gaps = all.filter(([before], at) => at > 0 && before !== all[at - 1]?.[1])
      assert.deepStrictEqual(gaps, [])
    })
  )

  it.effect("H2 one sweep moves a bounded number, the next one the rest", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policy = yield* ServersPolicy
      const servers = [yield* heard, yield* heard, yield* heard]
      yield* pass("5 minutes")
      const statements = HeartbeatsSql.make(sql, policy)
      const now = yield* DateTime.now
      const bounded = statements.sweep({ now, listeningSince: DateTime.makeUnsafe(0), limit: 2 })
      yield* bounded
      const offline = yield* Effect.forEach(servers, (server) => Effect.map(seen(server), (it) => it.liveness))
      assert.isAtMost(offline.filter((liveness) => liveness === "offline").length, 2)
      yield* sweep
      const all = yield* Effect.forEach(servers, (server) => Effect.map(seen(server), (it) => it.liveness))
      assert.deepStrictEqual(all, ["offline", "offline", "offline"])
    })
  )

  /** Falls and comes back, three times within the window. */
  const flapping = Effect.gen(function* () {
    const server = yield* heard
    for (let falls = 0; falls < 3; falls++) {
      const { nextHeartbeatSeconds } = yield* server.again
      yield* fall(nextHeartbeatSeconds)
    }
    return server
  })

  it.effect("H2 while flapping, three in a row bring a server back", () =>
    Effect.gen(function* () {
      const server = yield* flapping
      const replies = [yield* server.again, yield* server.again, yield* server.again]
      assert.deepStrictEqual(
        replies.map(({ liveness }) => liveness),
        ["offline", "offline", "online"]
      )
      assert.strictEqual((yield* seen(server)).statusReason, null)
    })
  )

  it.effect("H2 while flapping, the reason says so", () =>
    Effect.gen(function* () {
      const server = yield* flapping
      yield* server.again
      assert.strictEqual((yield* seen(server)).statusReason, "flapping")
    })
  )

  it.effect("H2 while flapping, a silence in between starts the three again", () =>
    Effect.gen(function* () {
      const server = yield* flapping
      yield* server.again
      const { nextHeartbeatSeconds } = yield* server.again
      yield* pass(Duration.seconds(nextHeartbeatSeconds * 2 + 1))
      yield* sweep
      assert.strictEqual((yield* server.again).liveness, "offline")
    })
  )

  it.effect("H2 10 minutes after the last fall, one heartbeat is enough again", () =>
    Effect.gen(function* () {
      const server = yield* flapping
      yield* pass("10 minutes")
      assert.strictEqual((yield* server.again).liveness, "online")
    })
  )

  it.effect("H2 falls that lie far apart are no flapping", () =>
    Effect.gen(function* () {
      const server = yield* heard
      for (let falls = 0; falls < 4; falls++) {
        const { nextHeartbeatSeconds } = yield* server.again
        yield* pass("11 minutes")
        yield* fall(nextHeartbeatSeconds)
      }
      assert.strictEqual((yield* server.again).liveness, "online")
    })
  )

  it.effect("H3 a duplicate changes nothing", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      yield* beat(server, bootId, 5, { activeConnections: 3, metrics: { cpu: 0.5 } })
      const before = yield* presence(server.id)
      yield* TestClock.adjust("10 seconds")
      yield* beat(server, bootId, 5, { activeConnections: 9, metrics: { cpu: 0.9 } })
      assert.deepStrictEqual(yield* presence(server.id), before)
    })
  )

  it.effect("H3 a late one changes nothing", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      yield* beat(server, bootId, 5)
      const before = yield* presence(server.id)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* beat(server, bootId, 4, { activeConnections: 9 })).liveness, "online")
      assert.deepStrictEqual(yield* presence(server.id), before)
    })
  )

  it.effect("H3 a late one of an old boot never touches the new one", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const [old, fresh] = [boot(), boot()]
      yield* beat(server, old, 100)
      yield* beat(server, fresh, 1)
      const before = yield* presence(server.id)
      yield* TestClock.adjust("10 seconds")
      yield* beat(server, old, 101, { activeConnections: 9 })
      assert.deepStrictEqual(yield* presence(server.id), before)
    })
  )

  it.effect("H3 a repeated beat of an offline server does not bring it back", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      const { nextHeartbeatSeconds } = yield* beat(server, bootId, 1)
      yield* fall(nextHeartbeatSeconds)
      assert.strictEqual((yield* beat(server, bootId, 1)).liveness, "offline")
    })
  )

  it.effect("H3 of beats that arrive at once, the newest counts", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      yield* Effect.forEach([3, 1, 7, 2, 7, 5], (seq) => beat(server, bootId, seq, { activeConnections: seq }), {
        concurrency: "unbounded"
      })
      assert.deepInclude(yield* presence(server.id), { bootId, seq: 7n, activeConnections: 7 })
    })
  )

  it.effect("H3 of two boots that arrive at once, the one that has just begun counts", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const [old, fresh] = [boot(), boot()]
      yield* beat(server, old, 100)
      yield* Effect.all([beat(server, fresh, 1), beat(server, old, 101)], { concurrency: "unbounded" })
      assert.deepInclude(yield* presence(server.id), { bootId: fresh, seq: 1n })
    })
  )

  it.effect.each([-120_001, 120_001])("H4 a clock that is %i ms off degrades, with the reason", (off) =>
    Effect.gen(function* () {
      const server = yield* joined()
      const sentAt = DateTime.formatIso(DateTime.add(yield* DateTime.now, { milliseconds: off }))
      assert.strictEqual((yield* beat(server, boot(), 1, { sentAt })).liveness, "degraded")
      assert.strictEqual((yield* seen(server)).statusReason, "clock_skew")
    })
  )

  it.effect.each([-120_000, 120_000])("H4 a clock that is %i ms off is near enough", (off) =>
    Effect.gen(function* () {
      const server = yield* joined()
      const sentAt = DateTime.formatIso(DateTime.add(yield* DateTime.now, { milliseconds: off }))
      assert.strictEqual((yield* beat(server, boot(), 1, { sentAt })).liveness, "online")
    })
  )

  it.effect("H4 the server's clock moves nothing but that", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      yield* beat(server, boot(), 1, { sentAt: "2036-01-01T00:00:00Z" })
      assert.deepStrictEqual((yield* seen(server)).lastSeenAt, yield* DateTime.now)
    })
  )

  it.effect("H4 a clock that was set right heals", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      yield* beat(server, bootId, 1, { sentAt: "2036-01-01T00:00:00Z" })
      assert.strictEqual((yield* beat(server, bootId, 2)).liveness, "online")
      assert.deepStrictEqual(yield* moves(server.id), ["never_seen → degraded (clock_skew)", "degraded → online"])
    })
  )

  it.effect("H5 after an outage of the broker nobody is blamed for the silence", () =>
    Effect.gen(function* () {
      const nodes = yield* Nodes
      const server = yield* heard
      yield* nodes.beat
      yield* TestClock.adjust("1 hour")
      yield* sweep
      assert.strictEqual((yield* seen(server)).liveness, "online")
    })
  )

  it.effect("H5 after it there is one full time-out of grace, and not more", () =>
    Effect.gen(function* () {
      const nodes = yield* Nodes
      const server = yield* heard
      yield* nodes.beat
      yield* TestClock.adjust("1 hour")
      yield* sweep
      yield* pass(Duration.seconds(server.interval * 4))
      yield* sweep
      assert.strictEqual((yield* seen(server)).liveness, "degraded")
      yield* pass("1 millis")
      yield* sweep
      assert.strictEqual((yield* seen(server)).liveness, "offline")
    })
  )

  it.effect("H5 a pause of 3 seconds is no outage, a longer one is, once", () =>
    Effect.gen(function* () {
      const nodes = yield* Nodes
      yield* nodes.beat
      yield* TestClock.adjust("3 seconds")
      assert.isFalse(yield* nodes.beat)
      yield* TestClock.adjust("3001 millis")
      const outages = yield* Effect.all([nodes.beat, nodes.beat, nodes.beat], { concurrency: "unbounded" })
      assert.strictEqual(outages.filter((outage) => outage).length, 1)
    })
  )

  it.effect("H5 as long as one node beats, the broker is not away", () =>
    Effect.gen(function* () {
      const nodes = yield* Nodes
      yield* nodes.beat
      yield* pass("10 minutes")
      assert.isFalse(yield* nodes.beat)
    })
  )

  /** A heartbeat that another node took in at some time, and writes now. */
  const delayed = Effect.fnUntraced(function* (serverId: ServerId, bootId: string, seq: number, seenAt: DateTime.Utc) {
    const statements = HeartbeatsSql.make(yield* SqlClient.SqlClient, yield* ServersPolicy)
    yield* statements.beat({
      lateBefore: DateTime.makeUnsafe(0),
      beats: [
        {
          serverId,
          bootId,
          seq,
          seenAt: DateTime.toDateUtc(seenAt),
          skewSeconds: 0,
          intervalSeconds: 30,
          activeConnections: 0,
          metrics: {}
        }
      ]
    })
  })

  it.effect("H7 a heartbeat that had to wait never moves last-seen backwards", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      yield* beat(server, bootId, 1)
      const now = yield* DateTime.now
      yield* delayed(server.id, bootId, 2, DateTime.subtract(now, { seconds: 10 }))
      assert.deepStrictEqual((yield* seen(server)).lastSeenAt, now)
      assert.deepInclude(yield* presence(server.id), { seq: 2n })
    })
  )

  it.effect("H2 a heartbeat that had to wait leaves a history that goes forwards", () =>
    Effect.gen(function* () {
      const server = yield* joined()
      const bootId = boot()
      const { nextHeartbeatSeconds, time } = yield* beat(server, bootId, 1)
      yield* fall(nextHeartbeatSeconds)
      yield* delayed(server.id, bootId, 2, DateTime.add(time, { seconds: 30 }))
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql<{ at: Date }>`
        select at from server_transitions where server_id = ${server.id} and axis = 'liveness' order by id`
      const times = rows.map(({ at }) => at.getTime())
      assert.lengthOf(times, 3)
      assert.deepStrictEqual(
        times.toSorted((a, b) => a - b),
        times
      )
    })
  )

  it.effect("H8 suspended and retired servers get answers of their own", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const [suspended, retired] = [yield* joined(), yield* joined()]
      yield* servers.suspend(defaultOrganizationId, suspended.id, "")
      yield* servers.retire(defaultOrganizationId, retired.id, "")
      const codes = yield* Effect.forEach([suspended, retired], (server) =>
        Effect.map(Effect.flip(beat(server, boot(), 1)), ({ code }) => code)
      )
      assert.deepStrictEqual(codes, ["server_suspended", "server_retired"])
    })
  )

  it.effect("H8 a suspended server's heartbeats change nothing", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* heard
      yield* servers.suspend(defaultOrganizationId, server.id, "")
      const before = yield* presence(server.id)
      yield* TestClock.adjust("5 seconds")
      yield* Effect.flip(server.again)
      assert.deepStrictEqual(yield* presence(server.id), before)
    })
  )

  it.effect("H8 a server that was approved again is heard again", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* heard
      yield* servers.suspend(defaultOrganizationId, server.id, "")
      yield* fall(server.interval)
      yield* servers.approve(defaultOrganizationId, server.id)
      assert.strictEqual((yield* server.again).liveness, "online")
    })
  )

  it.effect("H9 the last metrics of a server are shown, and of each minute kept", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* joined()
      const bootId = boot()
      yield* TestClock.setTime(Date.parse("2027-01-01T00:00:00Z"))
      yield* beat(server, bootId, 1, { metrics: { cpu: 0.1 } })
      yield* TestClock.adjust("30 seconds")
      yield* beat(server, bootId, 2, { metrics: { cpu: 0.2, my_own: 7 } })
      yield* TestClock.adjust("30 seconds")
      yield* beat(server, bootId, 3, { metrics: { cpu: 0.3 } })
      const { samples } = yield* servers.history(defaultOrganizationId, server.id)
      assert.deepStrictEqual(
        samples.map(({ metrics, minute }) => [DateTime.formatIso(minute), metrics]),
        [
          ["2027-01-01T00:00:00.000Z", { cpu: 0.2, my_own: 7 }],
          ["2027-01-01T00:01:00.000Z", { cpu: 0.3 }]
        ]
      )
      assert.deepStrictEqual((yield* seen(server)).metrics, { cpu: 0.3 })
    })
  )

  it.effect("heartbeats of many servers at once are all written", () =>
    Effect.gen(function* () {
      const heartbeats = yield* Heartbeats
      const key = yield* Fixtures.registrationKey({ useLimit: 40 })
      const servers = yield* Effect.forEach(
        Array.from({ length: 40 }),
        () => Effect.map(Fixtures.join(key, Fixtures.keyPair(), { name: unique("many") }), ({ server }) => server),
        { concurrency: 4 }
      )
      const sent = yield* Fixtures.heartbeat(boot(), 1)
      const replies = yield* Effect.forEach(
        servers,
        ({ admission, id }) =>
          heartbeats.beat({ id, admission, organizationId: defaultOrganizationId }, { ...sent, bootId: boot() }),
        { concurrency: "unbounded" }
      )
      assert.isTrue(replies.every(({ liveness }) => liveness === "online"))
    })
  )
})
