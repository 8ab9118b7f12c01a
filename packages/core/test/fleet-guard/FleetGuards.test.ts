import { AuditLog } from "@broker/core/audit/AuditLog"
import { Availability } from "@broker/core/availability/Availability"
import { Connections } from "@broker/core/connections/Connections"
import { Fleet } from "@broker/core/fleet/Fleet"
import { FleetGuards } from "@broker/core/fleet-guard/FleetGuards"
import * as HeartbeatsSql from "@broker/core/heartbeats/HeartbeatsSql"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { FleetGuardId } from "@broker/domain/FleetGuard"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { GroupId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { client, connected, gateway } from "../connections/parties.ts"
import { beats, fleet, heardFleet, type Member, moves, standing, unaudited } from "./fleets.ts"

const { pass } = Fixtures

const sweep = Effect.flatMap(Liveness, (liveness) => liveness.sweep)

/** Time passes in which only some are heard, with a sweep every so many seconds. */
const silence = Effect.fnUntraced(function* (seconds: number, heard: ReadonlyArray<Member>, every = 10) {
  for (let passed = 0; passed < seconds; passed += every) {
    yield* pass(`${every} seconds`)
    yield* beats(heard)
    yield* sweep
  }
})

const current = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const guards = yield* FleetGuards
  return yield* guards.current(organizationId)
})

/** Who said so is enough: there is one. */
const confirm = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const guards = yield* FleetGuards
  const guard = yield* guards.current(organizationId)
  if (guard === null) return yield* Effect.die("no guard holds")
  return yield* guards.confirm(organizationId, guard.id)
})

/** The ends of all guards, the newest first. */
const ends = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const guards = yield* FleetGuards
  return (yield* guards.list(organizationId)).map(({ end }) => end)
})

/** What the audit log has of guards, and the security events. */
const told = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const sql = yield* SqlClient.SqlClient
  const entries = yield* sql<{ action: string; actorKind: string }>`
    select action, actor_kind from audit_entries
     where organization_id = ${organizationId} and subject_kind = 'fleet-guard' order by id`
  const events = yield* sql<{ kind: string; severity: string }>`
    select kind, severity from security_events where organization_id = ${organizationId} order by id`
  return {
    entries: entries.map(({ action, actorKind }) => `${action} by ${actorKind}`),
    events: events.map(({ kind, severity }) => `${kind} (${severity})`)
  }
})

layer(Fixtures.guarded)("FleetGuards", (it) => {
  it.effect("H6 when much of a fleet is silent at once, it is unknown, and one alert is sent", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(20)
      const heard = members.slice(8)
      yield* silence(130, heard)
      assert.deepStrictEqual(yield* standing(organizationId), { online: 12, unknown: 8 })
      assert.deepStrictEqual(yield* told(organizationId), {
        entries: ["fleet-guard:begin by broker"],
        events: ["fleet_silent (critical)"]
      })
      const guard = yield* current(organizationId)
      assert.deepInclude(guard, { expected: 20, seen: 12, held: 8, endedAt: null, end: null })
      const silent = new Set(members.slice(0, 8).map(({ id }) => id))
      assert.deepStrictEqual(
        (yield* moves(members))
          .filter(({ serverId }) => silent.has(serverId))
          .map(({ after, reason }) => `${after} ${reason}`)
          .toSorted(),
        [
          ...Array<string>(8).fill("degraded missed_heartbeats"),
          ...Array<string>(8).fill("online null"),
          ...Array<string>(8).fill("unknown fleet_guard")
        ]
      )
      yield* silence(100, heard)
      assert.strictEqual((yield* told(organizationId)).events.length, 1)
      assert.isTrue((yield* (yield* AuditLog).verify(organizationId)).intact)
    })
  )

  it.effect("H6 servers that die one by one, or few of many, are offline as ever", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(20)
      // 6 of 20 are 30 %, and not over it.
      yield* silence(140, members.slice(6))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 14, offline: 6 })
      // Long after, 4 of the 14 more: 5 is the least, whatever the share.
      yield* silence(140, members.slice(6))
      yield* silence(140, members.slice(10))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 10, offline: 10 })
      assert.isNull(yield* current(organizationId))
      assert.deepStrictEqual((yield* told(organizationId)).events, [])
    })
  )

  it.effect("H6 those who fell within one time-out count together, a sweep or several apart", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(20)
      yield* silence(60, members.slice(4))
      // The first four are given up on, at 120 s, when three more have been silent for 60 s.
      yield* silence(70, members.slice(7))
      // At that moment all seven are seen to be silent.
      assert.deepStrictEqual(yield* standing(organizationId), { online: 13, degraded: 3, unknown: 4 })
      assert.deepInclude(yield* current(organizationId), { expected: 20, seen: 13 })
    })
  )

  it.effect(
    "H6 who was given up on within one time-out before the guard began is held after all, and nobody else",
    () =>
      Effect.gen(function* () {
        const { members, organizationId } = yield* heardFleet(30)
        const ids = (from: number, to: number) => new Set(members.slice(from, to).map(({ id }) => id))
        yield* silence(130, members.slice(2))
        assert.deepStrictEqual(yield* standing(organizationId), { online: 28, offline: 2 })
        yield* silence(80, members.slice(6))
        yield* silence(50, members.slice(12))
        assert.deepStrictEqual(yield* standing(organizationId), { online: 24, offline: 6 })
        yield* silence(80, members.slice(12))
        // Ten of 28: the first two were given up on too long ago to have anything to do with it.
        assert.deepStrictEqual(yield* standing(organizationId), { online: 18, unknown: 10, offline: 2 })
        assert.deepInclude(yield* current(organizationId), { expected: 28, seen: 18, held: 10 })
        const recalled = ids(2, 6)
        assert.deepStrictEqual(
          (yield* moves(members))
            .filter(({ serverId }) => recalled.has(serverId))
            .map(({ after, reason }) => `${after} ${reason}`)
            .toSorted(),
          ["degraded missed_heartbeats", "offline missed_heartbeats", "online null", "unknown fleet_guard"].flatMap(
            (move) => Array<string>(4).fill(move)
          )
        )
      })
  )

  it.effect("H6 fleets of under 5 are never guarded", () =>
    Effect.gen(function* () {
      const { organizationId } = yield* heardFleet(4)
      yield* silence(130, [])
      assert.deepStrictEqual(yield* standing(organizationId), { offline: 4 })
      assert.isNull(yield* current(organizationId))
    })
  )

  it.effect("H6 who is heard again is online at once, and the guard ends when all are", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(10)
      yield* silence(130, [])
      assert.deepStrictEqual(yield* standing(organizationId), { unknown: 10 })
      yield* beats(members.slice(0, 4))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 4, unknown: 6 })
      yield* silence(10, members.slice(0, 4))
      assert.deepInclude(yield* current(organizationId), { seen: 4, held: 6 })
      yield* silence(10, members)
      assert.isNull(yield* current(organizationId))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 10 })
      const [guard] = yield* (yield* FleetGuards).list(organizationId)
      assert.deepInclude(guard, { end: "recovered", endedBy: null, held: 0 })
      assert.deepStrictEqual((yield* told(organizationId)).entries, [
        "fleet-guard:begin by broker",
        "fleet-guard:end by broker"
      ])
      assert.isEmpty((yield* moves(members)).filter(({ after }) => after === "offline"))
    })
  )

  it.effect("H6 when the number held is steady for ten minutes, the rest is offline, and nothing begins anew", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(10)
      const heard = members.slice(5)
      yield* silence(130, heard)
      yield* silence(300, heard)
      // Two more come back, and the time begins again.
      yield* silence(310, members.slice(3))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 7, unknown: 3 })
      yield* silence(310, members.slice(3))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 7, offline: 3 })
      const [guard] = yield* (yield* FleetGuards).list(organizationId)
      assert.deepInclude(guard, { end: "steady", expected: 10, seen: 7, held: 3 })
      assert.deepStrictEqual(
        (yield* moves(members)).filter(({ after }) => after === "offline").map(({ reason }) => reason),
        Array<string>(3).fill("fleet_guard")
      )
      // Four of seven who die now are no five, whoever was given up on lately.
      yield* silence(150, members.slice(7))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 3, offline: 7 })
      assert.isNull(yield* current(organizationId))
    })
  )

  it.effect.each([
    // One in a small fleet, and 1 % of the expected in a large one.
    { size: 20, moving: 1, end: "steady" },
    { size: 20, moving: 2, end: null },
    { size: 300, moving: 3, end: "steady" },
    { size: 300, moving: 4, end: null }
  ])("H6 of $size, $moving who come back do not count as moving, or do ($end)", ({ end, moving, size }) =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(size)
      const half = size / 2
      yield* silence(130, members.slice(half))
      yield* silence(570, members.slice(half))
      yield* silence(40, members.slice(half - moving))
      assert.deepStrictEqual(yield* ends(organizationId), [end])
    })
  )

  it.effect("H6 a second network that falls silent before the guard was to end is held too", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(100)
      yield* silence(130, members.slice(40))
      const guard = yield* current(organizationId)
      assert.deepStrictEqual(guard?.held, 40)
      yield* silence(520, members.slice(40))
      // 80 seconds before its end: silent when it comes, and not held yet.
      yield* silence(80, members.slice(80))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 20, degraded: 40, unknown: 40 })
      yield* silence(300, members.slice(80))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 20, unknown: 80 })
      assert.deepStrictEqual(yield* ends(organizationId), [null])
      assert.isEmpty((yield* moves(members)).filter(({ after }) => after === "offline"))
    })
  )

  it.effect("H6 one that comes back as another one goes holds the same number, and nothing is steady", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(100)
      yield* silence(130, members.slice(40))
      yield* silence(520, members.slice(40))
      const others = [...members.slice(0, 40), ...members.slice(80)]
      yield* silence(130, others)
      assert.deepStrictEqual(yield* standing(organizationId), { online: 60, unknown: 40 })
      yield* silence(300, others)
      assert.deepStrictEqual(yield* standing(organizationId), { online: 60, unknown: 40 })
    })
  )

  it.effect("H6 a second network that falls silent as the guard ends is held by another", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(100)
      yield* silence(130, members.slice(40))
      yield* silence(550, members.slice(40))
      // 50 seconds before its end: nobody can see it when it comes.
      yield* silence(60, members.slice(80))
      assert.deepStrictEqual(yield* ends(organizationId), ["steady"])
      yield* silence(100, members.slice(80))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 20, unknown: 40, offline: 40 })
      assert.deepStrictEqual(yield* ends(organizationId), [null, "steady"])
      assert.deepInclude(yield* current(organizationId), { expected: 60, held: 40 })
      const late = new Set(members.slice(40).map(({ id }) => id))
      assert.isEmpty((yield* moves(members)).filter(({ after, serverId }) => after === "offline" && late.has(serverId)))
    })
  )

  it.effect("H6 however much comes and goes, a guard ends after an hour", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(20)
      yield* silence(130, members.slice(10))
      for (let passed = 0; passed < 3_300; passed += 300) {
        yield* silence(150, members.slice(10), 30)
        yield* silence(150, members.slice(7), 30)
      }
      assert.deepStrictEqual(yield* ends(organizationId), [null])
      const guard = yield* current(organizationId)
      const hour = DateTime.add(guard?.beganAt ?? DateTime.makeUnsafe(0), { hours: 1 })
      assert.deepStrictEqual(guard?.endsAt, hour)
      yield* silence(330, members.slice(10), 30)
      assert.deepStrictEqual(yield* ends(organizationId), ["expired"])
      assert.deepStrictEqual(yield* standing(organizationId), { online: 10, offline: 10 })
    })
  )

  it.effect("H5 H6 time in which the broker is away is no time of steadiness", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(10)
      const heard = members.slice(5)
      yield* silence(130, heard)
      yield* TestClock.adjust("1 hour")
      yield* beats(heard)
      yield* sweep
      assert.deepStrictEqual(yield* standing(organizationId), { online: 5, unknown: 5 })
      yield* silence(580, heard)
      assert.isNotNull(yield* current(organizationId))
      yield* silence(30, heard)
      assert.deepStrictEqual(yield* standing(organizationId), { online: 5, offline: 5 })
    })
  )

  it.effect(
    "H5 H6 after an outage of the broker there is a time-out of grace, and then its likely cause is named",
    () =>
      Effect.gen(function* () {
        const { organizationId } = yield* heardFleet(10)
        yield* TestClock.adjust("1 hour")
        yield* sweep
        yield* silence(110, [])
        assert.deepStrictEqual(yield* standing(organizationId), { degraded: 10 })
        yield* silence(30, [])
        assert.deepStrictEqual(yield* standing(organizationId), { unknown: 10 })
        assert.deepInclude(yield* current(organizationId), { cause: "broker", causeDetail: null })
      })
  )

  it.effect.each([
    // Two time-outs, of eight intervals.
    { intervalSeconds: 30, away: 240, cause: "unclear" },
    { intervalSeconds: 30, away: 230, cause: "broker" },
    { intervalSeconds: 60, away: 470, cause: "broker" },
    { intervalSeconds: 60, away: 480, cause: "unclear" }
  ])(
    "H5 H6 $away s after an outage, servers that report every $intervalSeconds s are silent for a cause that is $cause",
    ({ away, cause, intervalSeconds }) =>
      Effect.gen(function* () {
        const { members, organizationId } = yield* heardFleet(12)
        yield* TestClock.adjust("1 hour")
        yield* sweep
        const timeOut = 4 * intervalSeconds
        const often = () => ({ intervalSeconds })
        for (let passed = 0; passed < away; passed += 10) {
          yield* pass("10 seconds")
          // One time-out before, all but one are heard for the last time.
          yield* beats(passed + 10 <= away - timeOut - 10 ? members : members.slice(0, 1), often)
          yield* sweep
        }
        assert.strictEqual((yield* current(organizationId))?.cause, cause)
      })
  )

  it.effect("H6 an admin confirms that they are gone, once, and who did is recorded", () =>
    Effect.gen(function* () {
      const guards = yield* FleetGuards
      const { members, organizationId } = yield* heardFleet(10)
      yield* silence(100, members.slice(5))
      yield* silence(30, members.slice(6))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 5, unknown: 5 })
      const confirmed = yield* confirm(organizationId)
      assert.deepInclude(confirmed, { end: "confirmed", endedBy: "ada", seen: 5, held: 5 })
      // The next sweep gives up on them.
      assert.deepStrictEqual(yield* standing(organizationId), { online: 5, unknown: 5 })
      yield* sweep
      assert.deepStrictEqual(yield* standing(organizationId), { online: 5, offline: 5 })
      const again = yield* Effect.flip(guards.confirm(organizationId, confirmed.id))
      assert.strictEqual(again._tag, "FleetGuardNotOpen")
      // The sixth is one among five, and gone as ever.
      yield* silence(130, members.slice(6))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 4, offline: 6 })
      assert.deepStrictEqual((yield* told(organizationId)).entries, [
        "fleet-guard:begin by broker",
        "fleet-guard:confirm by admin"
      ])
    })
  )

  it.effect("H6 what an admin confirms is the guard that was looked at, and nobody whom it does not hold", () =>
    Effect.gen(function* () {
      const guards = yield* FleetGuards
      const { members, organizationId } = yield* heardFleet(100)
      yield* silence(130, members.slice(40))
      const first = yield* current(organizationId)
      // Forty more are silent, and not held yet.
      yield* silence(80, members.slice(80))
      yield* confirm(organizationId)
      yield* silence(60, members.slice(80))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 20, unknown: 40, offline: 40 })
      const id = first?.id ?? FleetGuardId.make(Fixtures.boot())
      assert.strictEqual((yield* Effect.flip(guards.confirm(organizationId, id)))._tag, "FleetGuardNotOpen")
      const stranger = yield* Fixtures.organization
      const second = (yield* current(organizationId))?.id ?? id
      assert.strictEqual((yield* Effect.flip(guards.confirm(stranger, second)))._tag, "FleetGuardNotOpen")
      assert.deepStrictEqual(yield* standing(organizationId), { online: 20, unknown: 40, offline: 40 })
    })
  )

  it.effect("H6 whom a guard held is given up on a bounded number at a time, whatever holds meanwhile", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = HeartbeatsSql.make(sql, yield* ServersPolicy)
      const { members, organizationId } = yield* heardFleet(30)
      yield* silence(130, members.slice(10))
      yield* confirm(organizationId)
      yield* Fixtures.pass("1 seconds")
      const moment = { now: yield* DateTime.now, listeningSince: DateTime.makeUnsafe(0) }
      assert.strictEqual((yield* statements.sweep({ ...moment, limit: 4 })).length, 4)
      assert.deepStrictEqual(yield* standing(organizationId), { online: 20, unknown: 6, offline: 4 })
      yield* unaudited(
        sql`insert into fleet_guards ${sql.insert({
          id: Fixtures.boot(),
          organizationId,
          beganAt: DateTime.toDateUtc(moment.now),
          expected: 20,
          seen: 20,
          held: 0,
          cause: "unclear",
          steadyHeld: 0,
          steadySince: DateTime.toDateUtc(moment.now),
          endsAt: DateTime.toDateUtc(moment.now)
        })}`
      )
      yield* sweep
      assert.deepStrictEqual(yield* standing(organizationId), { online: 20, offline: 10 })
    })
  )

  it.effect("H6 nobody expects servers in maintenance: they neither count nor are held", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const availability = yield* Availability
      const organizationId = yield* Fixtures.organization
      const [above, group] = [GroupId.make(Fixtures.boot()), GroupId.make(Fixtures.boot())]
      const grouped = (id: GroupId, parentId: GroupId | null, name: string) =>
        unaudited(
          sql`insert into groups ${sql.insert({ id, parentId, organizationId, name, nameKey: name, createdAt: new Date() })}`
        )
      yield* grouped(above, null, "eu")
      yield* grouped(group, above, "frankfurt")
      const members = yield* fleet(organizationId, 20, (index) => (index < 8 ? { groupId: group } : {}))
      const resting = members.slice(8, 10).map(({ id }) => id)
      yield* unaudited(sql`update servers set duty = 'maintenance' where ${sql.in("id", resting)}`)
      yield* pass(0)
      yield* beats(members)
      const now = yield* DateTime.now
      yield* availability.announce(organizationId, {
        serverId: null,
        groupId: above,
        reason: "new power",
        startsAt: now,
        endsAt: DateTime.add(now, { hours: 1 })
      })
      yield* silence(130, members.slice(11))
      // More than half of the fleet with the one that really died, and nobody is alarmed.
      assert.deepStrictEqual(yield* standing(organizationId), { online: 9, offline: 11 })
      assert.deepStrictEqual(yield* told(organizationId), { entries: [], events: [] })
      // Five of the nine that are left do count.
      yield* silence(130, members.slice(16))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 4, unknown: 5, offline: 11 })
      assert.deepInclude(yield* current(organizationId), { expected: 9, seen: 4, held: 5 })
    })
  )

  it.effect("H6 however many nodes sweep at once, one guard begins and each server moves once", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(30)
      yield* silence(110, [])
      yield* pass("20 seconds")
      yield* Effect.all([sweep, sweep, sweep, sweep], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* standing(organizationId), { unknown: 30 })
      assert.strictEqual((yield* (yield* FleetGuards).list(organizationId)).length, 1)
      assert.deepStrictEqual((yield* told(organizationId)).entries, ["fleet-guard:begin by broker"])
      assert.strictEqual((yield* moves(members)).filter(({ after }) => after === "unknown").length, 30)
      assert.isEmpty((yield* moves(members)).filter(({ after }) => after === "offline"))
    })
  )

  it.effect("H6 one organization's silence holds nobody else's servers", () =>
    Effect.gen(function* () {
      const silent = yield* heardFleet(10)
      const other = yield* heardFleet(10)
      yield* silence(130, other.members.slice(1))
      assert.deepStrictEqual(yield* standing(silent.organizationId), { unknown: 10 })
      assert.deepStrictEqual(yield* standing(other.organizationId), { online: 9, offline: 1 })
      assert.isNull(yield* current(other.organizationId))
    })
  )

  it.effect("H6 servers that were shut out are neither counted nor held", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { members, organizationId } = yield* heardFleet(20)
      const shut = members.slice(0, 10).map(({ id }) => id)
      yield* unaudited(sql`update servers set admission = 'suspended' where ${sql.in("id", shut)}`)
      yield* silence(130, members.slice(10))
      assert.deepStrictEqual(yield* standing(organizationId), { online: 10, offline: 10 })
      assert.isNull(yield* current(organizationId))
    })
  )

  it.effect("H6 what the silent have in common, and the others have not, is named as the cause", () =>
    Effect.gen(function* () {
      const causeOf = Effect.fnUntraced(function* (
        traits: (index: number) => { readonly address?: string; readonly version?: string; readonly groupId?: string },
        heardFrom: number,
        organization?: OrganizationId
      ) {
        const organizationId = organization ?? (yield* Fixtures.organization)
        const members = yield* fleet(organizationId, 20, traits)
        yield* pass(0)
        yield* beats(members)
        yield* silence(130, members.slice(heardFrom))
        const guard = yield* current(organizationId)
        return [guard?.cause, guard?.causeDetail]
      })
      const net = (index: number) => ({ address: index < 10 ? `198.51.100.${index + 1}` : `203.0.113.${index + 1}` })
      const versions = (index: number) => ({ version: index < 10 ? "2.0.0" : "1.9.0" })
      assert.deepStrictEqual(yield* causeOf(net, 10), ["network", "198.51.0.0/16"])
      assert.deepStrictEqual(
        yield* causeOf((index) => ({ address: index < 10 ? `2001:db8::${index + 1}` : `2001:db9::${index + 1}` }), 10),
        ["network", "2001:db8::/32"]
      )
      assert.deepStrictEqual(yield* causeOf(versions, 10), ["version", "2.0.0"])
      assert.deepStrictEqual(yield* causeOf((index) => ({ version: index % 2 === 0 ? "1.0.0" : "2.0.0" }), 10), [
        "unclear",
        null
      ])
      // All are silent: that they all run one version says nothing.
      assert.deepStrictEqual(yield* causeOf(() => ({ version: "2.0.0" }), 20), ["unclear", null])
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const [eu, frankfurt] = ["019845e1-682f-7b02-a706-3b2422d13a01", "019845e1-682f-7b02-a706-3b2422d13a02"] as const
      yield* unaudited(
        Effect.gen(function* () {
          yield* sql`insert into groups (id, organization_id, name, name_key, created_at) values (${eu}, ${organizationId}, 'EU', 'eu', now())`
          yield* sql`insert into groups (id, organization_id, parent_id, name, name_key, created_at) values (${frankfurt}, ${organizationId}, ${eu}, 'Frankfurt', 'frankfurt', now())`
        })
      )
      const groups = (index: number) => ({ groupId: index < 10 ? frankfurt : eu })
      assert.deepStrictEqual(yield* causeOf(groups, 10, organizationId), ["group", "EU/Frankfurt"])
    })
  )

  it.effect.each([
    { silent: 18, heard: 2, cause: ["network", "198.51.0.0/16"] },
    { silent: 17, heard: 2, cause: ["unclear", null] },
    { silent: 18, heard: 3, cause: ["unclear", null] }
  ])(
    "H6 of 20 who are silent $silent are in a network, and $heard of 20 who are heard: $cause",
    ({ cause, heard, silent }) =>
      Effect.gen(function* () {
        const { members, organizationId } = yield* heardFleet(40, (index) => ({
          address: `${index < silent || index >= 40 - heard ? "198.51.100" : `10.${index}.0`}.${index + 1}`
        }))
        yield* silence(130, members.slice(20))
        const guard = yield* current(organizationId)
        assert.deepStrictEqual([guard?.cause, guard?.causeDetail], cause)
      })
  )

  it.effect("H6 C5 who is held goes on being offered, keeps its connections, and loses them when given up on", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const server = yield* gateway()
      const someone = yield* unaudited(client())
      const { id } = yield* connected(someone, server)
      const others = yield* fleet(defaultOrganizationId, 9)
      yield* beats(others)
      yield* server.beat({ connections: [id] })
      // Its interval is one of up to 33 seconds.
      yield* silence(140, [])
      assert.deepInclude(yield* Fixtures.seen(server), { liveness: "unknown", available: true, status: "unknown" })
      yield* connections.sweep
      const held = yield* connections.find(defaultOrganizationId, id)
      assert.deepInclude(held, { status: "active", staleSince: null })
      // Another one may still be made.
      yield* connected(someone, server)
      const overview = yield* (yield* Fleet).overview(defaultOrganizationId)
      assert.strictEqual(overview.guard?.held, 10)
      yield* confirm(defaultOrganizationId)
      yield* sweep
      yield* connections.sweep
      assert.isNotNull((yield* connections.find(defaultOrganizationId, id)).staleSince)
      assert.deepInclude(yield* Fixtures.seen(server), { liveness: "offline", available: false })
    })
  )

  it.effect("H2 H6 a server that flapped is online again by one heartbeat when it was held", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(6)
      for (let fall = 0; fall < 3; fall++) {
        yield* silence(70, [])
        yield* beats(members)
      }
      yield* silence(130, [])
      assert.deepStrictEqual(yield* standing(organizationId), { unknown: 6 })
      yield* beats(members)
      assert.deepStrictEqual(yield* standing(organizationId), { online: 6 })
    })
  )

  it.effect("H6 the database keeps guards whole", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const insert = (fields: Readonly<Record<string, unknown>>) =>
        unaudited(
          sql`insert into fleet_guards ${sql.insert({
            id: Fixtures.boot(),
            organizationId,
            beganAt: new Date(0),
            expected: 10,
            seen: 5,
            held: 5,
            cause: "unclear",
            steadyHeld: 5,
            steadySince: new Date(0),
            endsAt: new Date(0),
            ...fields
          })}`
        )
      yield* insert({})
      for (const wrong of [
        {},
        { endedAt: new Date(1) },
        { endKind: "steady" },
        { endedAt: new Date(1), endKind: "steady", endedBy: "ada" },
        { endedAt: new Date(1), endKind: "confirmed" },
        { endedAt: new Date(-1), endKind: "steady" },
        { endedAt: new Date(1), endKind: "tired" },
        { endedAt: new Date(1), endKind: "steady", seen: 11 },
        { endedAt: new Date(1), endKind: "steady", cause: "weather" }
      ]) {
        assert.strictEqual((yield* Effect.flip(insert(wrong)))._tag, "SqlError")
      }
    })
  )
})
