import { randomUUID } from "node:crypto"
import { Analytics } from "@broker/core/analytics/Analytics"
import { ConnectionsPolicy } from "@broker/core/connections/ConnectionsPolicy"
import { DeviceId } from "@broker/domain/Device"
import { ServerId } from "@broker/domain/Server"
import { UserId } from "@broker/domain/User"
import { assert, layer } from "@effect/vitest"
import { DateTime, Deferred, Duration, Effect, Fiber, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { TestClock } from "effect/testing"
import * as Model from "./UsageModel.ts"
import * as Usage from "./usage.ts"

const { caughtUpAt, connection, ended, forget, instant, report, rollUpAt } = Usage

const hour = 3_600_000
const minute = 60_000

/** The eves of the nights in which Berlin's clocks go back, and forth. */
const eves = ["2026-10-24T00:00:00Z", "2027-03-27T00:00:00Z"] as const

const Planned = Schema.Struct({
  startsAfter: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 48 * hour })),
  lasts: Schema.Union([
    Schema.Literals([0, 1, 15 * minute, hour]),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 * hour }))
  ]),
  /** Still going on when all is over. */
  stays: Schema.Literals([false, false, false, true]),
  startsOnQuarter: Schema.Boolean,
  user: Schema.Literals([0, 1, 2]),
  device: Schema.Literals([0, 1]),
  server: Schema.Literals([0, 1]),
  rxBytes: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 40 })),
  txBytes: Schema.Literals([0, 1, 7, 1_000])
})

const Plan = Schema.Struct({
  eve: Schema.Literals(eves),
  connections: Schema.Array(Planned).check(Schema.isMaxLength(8)),
  /** When the roll-up runs meanwhile. */
  rollUps: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 80 * hour }))).check(
    Schema.isMaxLength(5)
  )
})

/** When a plan begins, and when all of it is over. */
const spanOf = (plan: typeof Plan.Type) => ({ eve: Date.parse(plan.eve), over: Date.parse(plan.eve) + 80 * hour })

const zones = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"] as const

/** Lets all of a plan happen in its order, and tells what there was. */
const play = Effect.fnUntraced(function* (plan: typeof Plan.Type, servers: ReadonlyArray<string>) {
  yield* forget
  const { eve, over } = spanOf(plan)
  const users = [randomUUID(), randomUUID(), randomUUID()]
  const devices = users.map(() => [randomUUID(), randomUUID()])
  const connections = plan.connections.map((planned): Model.Connection => {
    const startsAfter = planned.startsAfter - (planned.startsOnQuarter ? planned.startsAfter % (15 * minute) : 0)
    const activeAt = eve + startsAfter
    return {
      user: users[planned.user] ?? "",
      device: devices[planned.user]?.[planned.device] ?? "",
      server: servers[planned.server] ?? "",
      group: planned.server === 0 ? null : "eu",
      platform: planned.device === 0 ? "linux" : "iOS",
      activeAt,
      endedAt: planned.stays ? null : activeAt + planned.lasts,
      rxBytes: planned.stays ? 0 : planned.rxBytes,
      txBytes: planned.stays ? 0 : planned.txBytes
    }
  })
  const ids = new Map<Model.Connection, string>()
  const events: ReadonlyArray<{
    readonly at: number
    readonly happens: Effect.Effect<unknown, SqlError, SqlClient.SqlClient | Analytics>
  }> = [
    ...connections.map((connection) => ({
      at: connection.activeAt,
      happens: Effect.map(Usage.open(connection), (id) => void ids.set(connection, id))
    })),
    ...connections.map((connection) => ({
      at: connection.endedAt ?? Number.POSITIVE_INFINITY,
      happens: Effect.suspend(() =>
        connection.endedAt === null ? Effect.void : Usage.end(ids.get(connection) ?? "", connection.endedAt, connection)
      )
    })),
    ...plan.rollUps.map((after) => ({ at: eve + after, happens: rollUpAt(eve + after) }))
  ].toSorted((a, b) => a.at - b.at)
  yield* Effect.forEach(events, ({ happens }) => happens, { discard: true })
  yield* caughtUpAt(over)
  return connections
})

const morning = { from: instant("2026-07-01T10:00:00Z"), to: instant("2026-07-01T12:00:00Z") }

/** What a whole day of a zone comes to, by the hour. */
const dayOf = (timeZone: string, from: string, to: string) =>
  report({ from: instant(from), to: instant(to), timeZone, step: "hour" })

layer(Usage.layer)("Analytics", (it) => {
  it.effect.prop(
    "C7 sums over hours and days of any zone are what the connections come to, however often it was rolled up",
    [Plan, Schema.Literals(zones), Schema.Literals(["hour", "day"])],
    ([plan, timeZone, step]) =>
      Effect.gen(function* () {
        const servers = [yield* Usage.server("one"), yield* Usage.server("two")]
        const connections = yield* play(plan, servers)
        const { eve, over } = spanOf(plan)
        const { groups, steps, totals } = yield* report({
          from: instant(eve),
          to: instant(over),
          timeZone,
          step,
          by: "platform"
        })
        assert.deepStrictEqual<unknown>(totals, Model.figures(connections, eve, over, over))
        const starts = Model.steps(eve, over, step, timeZone)
        assert.deepStrictEqual<unknown>(
          steps.map(({ at, ...figures }) => ({ at: at.epochMilliseconds, ...figures })),
          starts.map((at, index) => ({
            at,
            ...Model.figures(connections, Math.max(at, eve), starts[index + 1] ?? over, over)
          }))
        )
        for (const { key, name, ...figures } of groups) {
          const own = connections.filter(({ platform }) => platform.toLowerCase() === key)
          assert.deepStrictEqual<unknown>(figures, Model.figures(own, eve, over, over), name)
        }
      }),
    { arbitrary: { runs: 40, size: 30, maxShrinks: 60 } }
  )

  it.effect.prop(
    "C7 what was rolled up bit by bit is what is rolled up from scratch, and again",
    [Plan],
    ([plan]) =>
      Effect.gen(function* () {
        const { over } = spanOf(plan)
        yield* play(plan, [yield* Usage.server("one"), yield* Usage.server("two")])
        const bitByBit = yield* Usage.usage
        yield* Usage.allDue
        yield* rollUpAt(over)
        assert.deepStrictEqual(yield* Usage.usage, bitByBit)
        yield* Usage.forgetUsage
        yield* Usage.allDue
        yield* caughtUpAt(over)
        assert.deepStrictEqual(yield* Usage.usage, bitByBit)
      }),
    { arbitrary: { runs: 40, size: 30, maxShrinks: 60 } }
  )

  it.effect("C7 a connection over midnight counts once, and its time and its bytes where they fell", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      // Midnight in Berlin.
      yield* ended(connection("2026-07-01T21:30:00Z", "2026-07-01T23:30:00Z", { server, rxBytes: 1_000, txBytes: 3 }))
      yield* caughtUpAt(Date.parse("2026-07-02T00:00:00Z"))
      const { steps, totals } = yield* report({
        from: instant("2026-06-30T22:00:00Z"),
        to: instant("2026-07-02T22:00:00Z"),
        timeZone: "Europe/Berlin",
        step: "day"
      })
      assert.deepStrictEqual(
        steps.map(({ at, ...figures }) => [DateTime.formatIso(at), figures]),
        [
          [
            "2026-06-30T22:00:00.000Z",
            { connections: 1, users: 1, devices: 1, seconds: 1_800, rxBytes: 250, txBytes: 0 }
          ],
          [
            "2026-07-01T22:00:00.000Z",
            { connections: 0, users: 1, devices: 1, seconds: 5_400, rxBytes: 750, txBytes: 3 }
          ]
        ]
      )
      assert.deepStrictEqual(totals, {
        connections: 1,
        users: 1,
        devices: 1,
        seconds: 7_200,
        rxBytes: 1_000,
        txBytes: 3
      })
    })
  )

  it.effect.each([
    ["Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25],
    ["Europe/Berlin", "2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z", 23],
    ["Asia/Kathmandu", "2026-10-24T18:15:00Z", "2026-10-25T18:15:00Z", 24],
    ["America/St_Johns", "2026-10-24T02:30:00Z", "2026-10-25T02:30:00Z", 24],
    // Clocks go forth at midnight: the day begins at one.
    ["Africa/Cairo", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z", 23]
  ] as const)("C7 a day in %s from %s to %s has as many hours as it has", ([timeZone, from, to, hours]) =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      yield* ended(connection(from, to, { server }))
      yield* caughtUpAt(Date.parse(to))
      const byHour = yield* dayOf(timeZone, from, to)
      assert.deepStrictEqual(
        byHour.steps.map(({ at, seconds }) => [at.epochMilliseconds, seconds]),
        Array.from({ length: hours }, (_, index) => [Date.parse(from) + index * hour, 3_600])
      )
      const byDay = yield* report({ from: instant(from), to: instant(to), timeZone, step: "day" })
      assert.deepStrictEqual(
        byDay.steps.map(({ at, connections, seconds }) => [at.epochMilliseconds, connections, seconds]),
        [[Date.parse(from), 1, hours * 3_600]]
      )
    })
  )

  it.effect("C7 a user and a device count once in all, and once in every step that they are seen in", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      const [user, phone, laptop] = [randomUUID(), randomUUID(), randomUUID()]
      yield* ended(connection("2026-07-01T10:10:00Z", "2026-07-01T11:10:00Z", { server, user, device: phone }))
      yield* ended(connection("2026-07-01T10:20:00Z", "2026-07-01T10:30:00Z", { server, user, device: laptop }))
      yield* ended(connection("2026-07-01T11:00:00Z", "2026-07-01T11:00:00Z", { server, user, device: phone }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      const { steps, totals } = yield* report(morning)
      assert.deepStrictEqual(
        steps.map(({ connections, devices, users }) => [connections, users, devices]),
        [
          [2, 1, 2],
          [1, 1, 1]
        ]
      )
      assert.deepInclude(totals, { connections: 3, users: 1, devices: 2 })
    })
  )

  it.effect("C7 time is never negative, also of a connection that begins when the clock has not come so far", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      yield* Usage.open(connection("2026-07-01T10:50:00.500Z", null, { server }))
      yield* rollUpAt(Date.parse("2026-07-01T10:50:00Z"))
      const { totals } = yield* report(morning)
      assert.deepInclude(totals, { connections: 1, seconds: 0 })
    })
  )

  it.effect("what is live counts until now, more with each run, and is complete until then", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      const id = yield* Usage.open(connection("2026-07-01T10:50:00Z", null, { server }))
      const live = Effect.gen(function* () {
        const { completeUntil, steps } = yield* report(morning)
        return [DateTime.formatIso(completeUntil), ...steps.map(({ seconds }) => seconds)]
      })
      yield* rollUpAt(Date.parse("2026-07-01T10:51:00Z"))
      assert.deepStrictEqual(yield* live, ["2026-07-01T10:51:00.000Z", 60, 0])
      // No run for a while: nobody led.
      yield* rollUpAt(Date.parse("2026-07-01T11:40:00Z"))
      assert.deepStrictEqual(yield* live, ["2026-07-01T11:40:00.000Z", 600, 2_400])
      yield* Usage.end(id, Date.parse("2026-07-01T11:39:59Z"), { rxBytes: 0, txBytes: 0 })
      yield* rollUpAt(Date.parse("2026-07-01T11:50:00Z"))
      assert.deepStrictEqual(yield* live, ["2026-07-01T11:50:00.000Z", 600, 2_399])
    })
  )

  it.effect("bytes that are told after the end count too", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const server = yield* Usage.server("one")
      const id = yield* ended(connection("2026-07-01T10:10:00Z", "2026-07-01T10:20:00Z", { server, rxBytes: 10 }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      yield* sql`update connections set server_tx_bytes = 70 where id = ${id}`
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      assert.strictEqual((yield* report(morning)).totals.rxBytes, 70)
    })
  )

  it.effect("a range that begins and ends within quarters is widened to them", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      yield* ended(connection("2026-07-01T10:00:00Z", "2026-07-01T12:00:00Z", { server }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      const { steps, totals } = yield* report({
        from: instant("2026-07-01T10:20:00Z"),
        to: instant("2026-07-01T11:00:01Z")
      })
      assert.strictEqual(totals.seconds, 60 * 60)
      assert.deepStrictEqual(
        steps.map(({ seconds }) => seconds),
        [45 * 60, 15 * 60]
      )
    })
  )

  it.effect("groups by user are called as they are now, and as they were last when they are gone (C7)", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const server = yield* Usage.server("one")
      const user = yield* Usage.user("Grace Hopper")
      yield* ended(connection("2026-07-01T10:10:00Z", "2026-07-01T10:20:00Z", { server, user }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      const names = Effect.map(report(morning), ({ groups }) =>
        groups.map(({ connections, name }) => [name, connections])
      )
      assert.deepStrictEqual(yield* names, [["Grace Hopper", 1]])
      yield* sql`delete from users where id = ${user}`
      assert.deepStrictEqual(yield* names, [["Grace", 1]])
      yield* sql`delete from connections`
      assert.deepStrictEqual(yield* names, [["Grace", 1]])
    })
  )

  it.effect("groups by server, group and platform, those with the most time first", () =>
    Effect.gen(function* () {
      yield* forget
      const [one, two] = [yield* Usage.server("one"), yield* Usage.server("two")]
      yield* ended(
        connection("2026-07-01T10:00:00Z", "2026-07-01T10:30:00Z", { server: one, group: "eu", platform: "iOS" })
      )
      yield* ended(connection("2026-07-01T10:00:00Z", "2026-07-01T10:10:00Z", { server: two, platform: "ios" }))
      yield* ended(connection("2026-07-01T10:00:00Z", "2026-07-01T10:05:00Z", { server: two }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      const groups = (by: "server" | "group" | "platform") =>
        Effect.map(report({ ...morning, by }), ({ groups }) =>
          groups.map(({ connections, name, seconds }) => [name, connections, seconds])
        )
      assert.deepStrictEqual(yield* groups("server"), [
        ["one", 1, 1_800],
        ["two", 2, 900]
      ])
      assert.deepStrictEqual(yield* groups("group"), [
        ["eu", 1, 1_800],
        ["No group", 2, 900]
      ])
      assert.deepStrictEqual(yield* groups("platform"), [
        ["ios", 2, 2_400],
        ["linux", 1, 300]
      ])
    })
  )

  it.effect("of more than 50 groups the rest is counted", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      yield* Effect.forEach(Array.from({ length: 53 }), () =>
        ended(connection("2026-07-01T10:00:00Z", "2026-07-01T10:30:00Z", { server }))
      )
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      const { groups, moreGroups, totals } = yield* report(morning)
      assert.deepStrictEqual([groups.length, moreGroups, totals.users], [50, 3, 53])
    })
  )

  it.effect("a range without connections has all its steps and no groups", () =>
    Effect.gen(function* () {
      yield* forget
      const { groups, moreGroups, steps, totals } = yield* report(morning)
      assert.deepStrictEqual(
        steps.map(({ connections, seconds }) => [connections, seconds]),
        [
          [0, 0],
          [0, 0]
        ]
      )
      assert.deepStrictEqual([groups, moreGroups, totals.connections], [[], 0, 0])
    })
  )

  it.effect("filters hold for figures, verdicts, reasons and outcomes alike", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const [one, two] = [yield* Usage.server("one"), yield* Usage.server("two")]
      const mine = { server: one, user: randomUUID(), device: randomUUID(), platform: "Linux" }
      const id = yield* ended(connection("2026-07-01T10:10:00Z", "2026-07-01T10:20:00Z", mine), "idle")
      yield* sql`update connections set settled_at = ended_at where id = ${id}`
      yield* ended(connection("2026-07-01T10:10:00Z", "2026-07-01T10:40:00Z", { server: two, platform: "ios" }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      const filters = [
        { serverId: ServerId.make(mine.server) },
        { userId: UserId.make(mine.user) },
        { deviceId: DeviceId.make(mine.device) },
        { platform: "linux" }
      ]
      for (const filter of filters) {
        const found = yield* report({ ...morning, ...filter })
        assert.deepInclude(found.totals, { connections: 1, seconds: 600 })
        assert.deepStrictEqual(found.verdicts, { confirmed: 0, client_only: 0, server_only: 1, byte_mismatch: 0 })
        assert.deepStrictEqual(found.reasons, [{ reason: "idle", connections: 1 }])
        assert.deepStrictEqual(found.outcomes, { connected: 1, expired: 0, refused: 0 })
      }
      const all = yield* report(morning)
      assert.deepStrictEqual(all.reasons, [
        { reason: "closed", connections: 1 },
        { reason: "idle", connections: 1 }
      ])
      assert.deepStrictEqual(all.outcomes, { connected: 2, expired: 0, refused: 0 })
    })
  )

  it.effect("a run that fails leaves all to the next", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const server = yield* Usage.server("one")
      yield* ended(connection("2026-07-01T10:10:00Z", "2026-07-01T10:40:00Z", { server }))
      const now = Date.parse("2026-07-01T12:00:00Z")
      yield* Effect.exit(sql.withTransaction(Effect.andThen(rollUpAt(now), Effect.fail("the node dies"))))
      assert.deepStrictEqual(yield* Usage.usage, [])
      yield* rollUpAt(now)
      assert.strictEqual((yield* report(morning)).totals.seconds, 1_800)
    })
  )

  it.effect("what happens while it runs is left to the next run, and not forgotten", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const server = yield* Usage.server("one")
      const id = yield* Usage.open(connection("2026-07-01T10:10:00Z", null, { server }))
      const now = Date.parse("2026-07-01T10:20:00Z")
      const [written, ended] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const running = yield* Effect.forkChild(
        sql.withTransaction(
          rollUpAt(now).pipe(
            Effect.andThen(Deferred.succeed(written, undefined)),
            Effect.andThen(Deferred.await(ended))
          )
        )
      )
      yield* Deferred.await(written)
      yield* Usage.end(id, Date.parse("2026-07-01T10:15:00Z"), { rxBytes: 5, txBytes: 0 })
      yield* Deferred.succeed(ended, undefined)
      yield* Fiber.join(running)
      assert.strictEqual((yield* report(morning)).totals.rxBytes, 0)
      yield* rollUpAt(now)
      assert.deepInclude((yield* report(morning)).totals, { seconds: 300, rxBytes: 5 })
    })
  )

  it.effect("runs at the same time come to what one comes to", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      yield* Effect.forEach([10, 20, 30], (minutes) =>
        ended(connection(`2026-07-01T10:${minutes}:00Z`, "2026-07-01T11:10:00Z", { server, rxBytes: 1_000 }))
      )
      const now = Date.parse("2026-07-01T12:00:00Z")
      yield* Effect.forEach([1, 2, 3], () => rollUpAt(now), { concurrency: "unbounded" })
      assert.deepInclude((yield* report(morning)).totals, { connections: 3, seconds: 9_000, rxBytes: 3_000 })
    })
  )

  it.effect("a run takes on so much and no more, the oldest first, and says until when all is there", () =>
    Effect.gen(function* () {
      yield* forget
      const server = yield* Usage.server("one")
      const long = connection("2026-06-10T00:00:00Z", "2026-07-01T10:00:00Z", { server })
      yield* ended(long)
      const now = Date.parse("2026-07-01T12:00:00Z")
      const range = { from: instant("2026-06-10T00:00:00Z"), to: instant(now) }
      assert.isBelow(yield* rollUpAt(now), 250)
      const part = yield* report(range)
      assert.strictEqual(DateTime.formatIso(part.completeUntil), "2026-06-11T13:30:00.000Z")
      assert.strictEqual(part.totals.connections, 1)
      assert.isBelow(part.totals.seconds, 21 * 86_400)
      yield* caughtUpAt(now)
      assert.strictEqual((yield* report(range)).totals.seconds, 21 * 86_400 + 36_000)
    })
  )

  it.effect("C7 what was rolled up stays when the connections are deleted, whoever of then ends still", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const { history } = yield* ConnectionsPolicy
      const server = yield* Usage.server("one")
      const brief = yield* ended(connection("2026-07-01T10:00:00Z", "2026-07-01T10:30:00Z", { server }))
      const long = yield* Usage.open(connection("2026-07-01T10:00:00Z", null, { server }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      yield* sql`delete from connections where id = ${brief}`
      const much = Date.parse("2026-07-02T00:07:33Z") + Duration.toMillis(history)
      yield* Usage.end(long, much, { rxBytes: 0, txBytes: 0 })
      yield* caughtUpAt(much)
      assert.deepInclude((yield* report(morning)).totals, { connections: 2, seconds: 1_800 + 7_200 })
    })
  )

  it.effect("usage is kept for its time", () =>
    Effect.gen(function* () {
      yield* forget
      const { usageHistory } = yield* ConnectionsPolicy
      const { prune } = yield* Analytics
      const server = yield* Usage.server("one")
      yield* ended(connection("2026-07-01T10:00:00Z", "2026-07-01T11:00:00Z", { server }))
      yield* caughtUpAt(Date.parse("2026-07-01T12:00:00Z"))
      yield* TestClock.setTime(Date.parse("2026-07-01T10:30:00Z") + Duration.toMillis(usageHistory))
      assert.strictEqual(yield* prune, 2)
      assert.strictEqual(yield* prune, 0)
      assert.strictEqual((yield* report(morning)).totals.seconds, 1_800)
    })
  )
})
