import { Availability } from "@broker/core/availability/Availability"
import { AvailabilityPolicy } from "@broker/core/availability/AvailabilityPolicy"
import { Fleet } from "@broker/core/fleet/Fleet"
import { Groups } from "@broker/core/groups/Groups"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Servers } from "@broker/core/servers/Servers"
import { AvailabilityOfServers } from "@broker/domain/Availability"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Clock, DateTime, type Duration, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { beats, fleet, heardFleet, unaudited } from "../fleet-guard/fleets.ts"
import * as Model from "./AvailabilityModel.ts"

const minutes = Schema.Literals([1, 7, 60, 300, 1_000, 2_000])

const Step = Schema.Union([
  Schema.TaggedStruct("Live", { to: Schema.Literals(["online", "degraded", "offline", "unknown"]) }),
  Schema.TaggedStruct("Admit", { to: Schema.Literals(["approved", "suspended"]) }),
  Schema.TaggedStruct("Duty", { to: Schema.Literals(["serving", "maintenance", "draining"]) }),
  Schema.TaggedStruct("Outage", { minutes }),
  /** Announced so long before or after, for the server, its group, the one above, all, or somebody else. */
  Schema.TaggedStruct("Window", {
    about: Schema.Literals(["server", "group", "above", "fleet", "other", "otherGroup"]),
    begins: Schema.Literals([-500, -60, 0, 60, 500]),
    minutes
  }),
  /** Into another group, or out of all. */
  Schema.TaggedStruct("Move", { to: Schema.Literals(["group", "above", "otherGroup", "none"]) }),
  Schema.TaggedStruct("Wait", { minutes })
])

/** A place, and those above it. */
const placesAbove = {
  group: ["group", "above"],
  above: ["above"],
  otherGroup: ["otherGroup"],
  none: []
} satisfies Record<string, ReadonlyArray<string>>
type Place = keyof typeof placesAbove

const isIn = (place: Place, group: string) => placesAbove[place].some((above) => above === group)

const Script = Schema.Struct({
  steps: Schema.Array(Step).check(Schema.isMaxLength(40)),
  /** Which part of it is asked for. */
  from: Schema.Literals([-3_000, -1, 0, 13, 700, 1_440]),
  length: Schema.Literals([1, 60, 1_440, 6_000, 40_000])
})

const minute = 60_000

/** A group, one above it and another one. */
const groupsOf = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const sql = yield* SqlClient.SqlClient
  const id = () => GroupId.make(Fixtures.boot())
  const [above, group, other] = [id(), id(), id()]
  const insert = (id: GroupId, parentId: GroupId | null, name: string) =>
    unaudited(
      sql`insert into groups ${sql.insert({ id, parentId, organizationId, name, nameKey: name, createdAt: new Date() })}`
    )
  yield* insert(above, null, "eu")
  yield* insert(group, above, "frankfurt")
  // Its path begins with the same letters.
  yield* insert(other, null, "eu-2")
  return { above, group, other }
})

/** Writes what a script tells, and tells it to the model too. */
const play = Effect.fnUntraced(function* (steps: (typeof Script.Type)["steps"]) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`delete from broker_outages`
  const organizationId = yield* Fixtures.organization
  const groups = yield* groupsOf(organizationId)
  // It ends now.
  const took = steps.reduce((sum, step) => sum + ("minutes" in step && step._tag !== "Window" ? step.minutes : 0), 0)
  const start = (yield* Clock.currentTimeMillis) - took * minute
  const members = yield* fleet(organizationId, 2, () => ({ groupId: groups.group }))
  const [me, other] = members.map(({ id }) => id)
  if (me === undefined || other === undefined) return yield* Effect.die("no two servers")
  yield* sql`update server_transitions set at = ${new Date(start)} where organization_id = ${organizationId}`
  yield* unaudited(
    sql`update servers set admission_since = ${new Date(start)}, duty_since = ${new Date(start)} where organization_id = ${organizationId}`
  )
  const moves: Array<Model.Move> = [{ axis: "admission", before: null, after: "approved", at: start }]
  const outages: Array<Model.Period> = []
  const windows: Array<Model.Period & { readonly about: string }> = []
  const groupIds = { group: groups.group, above: groups.above, otherGroup: groups.other, none: null }
  const stays: Array<{ readonly place: Place; readonly from: number }> = [
    { place: "group", from: Number.NEGATIVE_INFINITY }
  ]
  let now = start
  const standing: Record<Model.Move["axis"], string> = {
    liveness: "never_seen",
    admission: "approved",
    duty: "serving"
  }
  const move = Effect.fnUntraced(function* (axis: Model.Move["axis"], after: string) {
    const before = standing[axis]
    if (before === after) return
    standing[axis] = after
    moves.push({ axis, before, after, at: now })
    const at = new Date(now)
    if (axis === "liveness") {
      yield* sql`
        update server_presence set liveness = ${after}, liveness_since = ${at}, last_seen_at = ${at}, interval_seconds = 30
         where server_id = ${me}`
    } else {
      yield* unaudited(sql`update servers set ${sql.update({ [axis]: after, [`${axis}Since`]: at })} where id = ${me}`)
    }
  })
  for (const step of steps) {
    switch (step._tag) {
      case "Live":
        yield* move("liveness", step.to)
        break
      case "Admit":
        yield* move("admission", step.to)
        break
      case "Duty":
        yield* move("duty", step.to)
        break
      case "Outage": {
        const to = now + step.minutes * minute
        outages.push({ from: now, to })
        yield* sql`insert into broker_outages ${sql.insert({ beganAt: new Date(now), endedAt: new Date(to) })}`
        now = to
        break
      }
      case "Window": {
        const from = now + step.begins * minute
        const to = from + step.minutes * minute
        if (step.about !== "other") windows.push({ about: step.about, from, to })
        const about = {
          server: { serverId: me, groupId: null },
          group: { serverId: null, groupId: groups.group },
          above: { serverId: null, groupId: groups.above },
          fleet: { serverId: null, groupId: null },
          other: { serverId: other, groupId: null },
          otherGroup: { serverId: null, groupId: groups.other }
        }[step.about]
        yield* unaudited(
          sql`insert into maintenance_windows ${sql.insert({
            id: Fixtures.boot(),
            organizationId,
            ...about,
            reason: "works",
            startsAt: new Date(from),
            endsAt: new Date(to),
            createdBy: "ada",
            createdAt: new Date(now)
          })}`
        )
        break
      }
      case "Move": {
        if (stays.at(-1)?.place === step.to) break
        stays.push({ place: step.to, from: now })
        yield* unaudited(sql`update servers set group_id = ${groupIds[step.to]} where id = ${me}`)
        yield* sql`
          update server_former_facts set until = ${new Date(now)}
           where id = (select max(id) from server_former_facts where server_id = ${me})`
        break
      }
      case "Wait":
        now += step.minutes * minute
    }
  }
  /** A window of a group is one of the times in which the server was there. */
  const applied = windows.flatMap(({ about, ...window }): ReadonlyArray<Model.Period> => {
    if (about === "server" || about === "fleet") return [window]
    return stays.flatMap(({ from, place }, index) => {
      const part = {
        from: Math.max(window.from, from),
        to: Math.min(window.to, stays[index + 1]?.from ?? Number.POSITIVE_INFINITY)
      }
      return isIn(place, about) && part.from < part.to ? [part] : []
    })
  })
  const place = stays.at(-1)?.place ?? "none"
  return { organizationId, place, me, start, now, story: { moves, outages, windows: applied } satisfies Model.Story }
})

const rangeOf = (from: number, to: number) => ({ from: DateTime.makeUnsafe(from), to: DateTime.makeUnsafe(to) })

const rounded = (figures: {
  readonly day: string
  readonly up: number
  readonly down: number
  readonly unknown: number
  readonly excluded: number
}) => ({
  day: figures.day,
  up: Math.round(figures.up),
  down: Math.round(figures.down),
  unknown: Math.round(figures.unknown),
  excluded: Math.round(figures.excluded)
})

/** A server's availability since so long. */
const since = Effect.fnUntraced(function* (
  server: { readonly id: ServerId; readonly organizationId: OrganizationId },
  ago: Duration.Input
) {
  const availability = yield* Availability
  const now = yield* DateTime.now
  return yield* availability.ofServer(server.organizationId, server.id, {
    from: DateTime.subtractDuration(now, ago),
    to: DateTime.add(now, { days: 1 })
  })
})

layer(Fixtures.guarded)("Availability", (it) => {
  it.effect("a server that is silent for an hour of a day was up for the rest", () =>
    Effect.gen(function* () {
      const liveness = yield* Liveness
      const { members, organizationId } = yield* heardFleet(1)
      const [member] = members
      if (member === undefined) return
      yield* Fixtures.pass("121 seconds")
      yield* liveness.sweep
      yield* Fixtures.pass("1 hour")
      yield* beats(members)
      yield* Fixtures.pass("1 minutes")
      const { down, excluded, falls, share, spans, up } = yield* since(
        { id: member.id, organizationId },
        "3781 seconds"
      )
      assert.deepStrictEqual({ up, down, excluded, falls }, { up: 181, down: 3_600, excluded: 0, falls: 1 })
      assert.approximately(share ?? 0, 181 / 3_781, 1e-9)
      assert.deepStrictEqual(
        spans.map(({ state }) => state),
        ["online", "offline", "online"]
      )
    })
  )

  it.effect("H5 an outage of the broker is nobody's, and is shown", () =>
    Effect.gen(function* () {
      const liveness = yield* Liveness
      const { members, organizationId } = yield* heardFleet(1)
      const [member] = members
      if (member === undefined) return
      yield* TestClock.adjust("1 hour")
      yield* liveness.sweep
      yield* beats(members)
      yield* Fixtures.pass("1 minutes")
      const { down, excluded, outages, spans, up } = yield* since({ id: member.id, organizationId }, "61 minutes")
      assert.deepStrictEqual({ up, down, excluded }, { up: 60, down: 0, excluded: 3_600 })
      assert.strictEqual(outages.length, 1)
      assert.deepStrictEqual(
        spans.map(({ state }) => state),
        ["outage", "online"]
      )
    })
  )

  it.effect("nothing is said of what has not happened yet, nor of before it was let in", () =>
    Effect.gen(function* () {
      const server = yield* Fixtures.joined(Fixtures.unique("late"), { approval: true })
      const availability = yield* Availability
      const now = yield* DateTime.now
      const future = { from: DateTime.add(now, { days: 1 }), to: DateTime.add(now, { days: 2 }) }
      const ahead = yield* availability.ofServer(defaultOrganizationId, server.id, future)
      assert.deepInclude(ahead, { up: 0, down: 0, excluded: 0, share: null, spans: [], days: [] })
      yield* Fixtures.pass("1 hour")
      const waiting = yield* since(server, "2 hours")
      assert.deepInclude(waiting, { up: 0, down: 0, excluded: 7_200, share: null })
      assert.deepStrictEqual(
        waiting.spans.map(({ state }) => state),
        ["out"]
      )
      const servers = yield* Servers
      yield* servers.approve(defaultOrganizationId, server.id)
      yield* Fixtures.pass("1 hour")
      assert.deepStrictEqual(
        (yield* since(server, "2 hours")).spans.map(({ state }) => state),
        ["out", "never_seen"]
      )
    })
  )

  it.effect("a server of nobody, or of somebody else, is not found", () =>
    Effect.gen(function* () {
      const availability = yield* Availability
      const { members, organizationId } = yield* heardFleet(1)
      const [member] = members
      if (member === undefined) return
      const now = yield* DateTime.now
      const range = { from: DateTime.subtract(now, { days: 1 }), to: now }
      const stranger = yield* Fixtures.organization
      assert.strictEqual((yield* Effect.flip(availability.ofServer(stranger, member.id, range)))._tag, "ServerNotFound")
      assert.deepStrictEqual(yield* availability.ofServers(stranger, [member.id], range), {})
      assert.deepStrictEqual(Object.keys(yield* availability.ofServers(organizationId, [member.id], range)), [
        member.id
      ])
    })
  )

  it.effect("a window is announced, shown with what it is about, and called off", () =>
    Effect.gen(function* () {
      const availability = yield* Availability
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const groups = yield* groupsOf(organizationId)
      const server = yield* Fixtures.joined(Fixtures.unique("kept"), { organizationId })
      const now = yield* DateTime.now
      const times = {
        startsAt: DateTime.add(now, { hours: 1 }),
        endsAt: DateTime.add(now, { hours: 3 }),
        reason: "new disks"
      }
      const of = yield* availability.announce(organizationId, { serverId: server.id, groupId: null, ...times })
      assert.deepInclude(of, { about: server.name, createdBy: "ada", reason: "new disks" })
      const ofGroup = yield* availability.announce(organizationId, { serverId: null, groupId: groups.group, ...times })
      assert.strictEqual(ofGroup.about, "eu/frankfurt")
      const ofFleet = yield* availability.announce(organizationId, { serverId: null, groupId: null, ...times })
      assert.isNull(ofFleet.about)
      assert.strictEqual((yield* availability.windows(organizationId)).length, 3)
      // Not begun: it is as if it had never been.
      yield* availability.callOff(organizationId, ofGroup.id)
      assert.strictEqual((yield* availability.windows(organizationId)).length, 2)
      yield* Fixtures.pass("2 hours")
      yield* availability.callOff(organizationId, of.id)
      const [, ended] = (yield* availability.windows(organizationId)).toSorted(
        (a, b) => b.endsAt.epochMilliseconds - a.endsAt.epochMilliseconds
      )
      assert.deepStrictEqual(ended?.endsAt.epochMilliseconds, (yield* DateTime.now).epochMilliseconds)
      assert.strictEqual(
        (yield* Effect.flip(availability.callOff(organizationId, ofGroup.id)))._tag,
        "MaintenanceWindowNotFound"
      )
      const stranger = yield* Fixtures.organization
      assert.strictEqual((yield* Effect.flip(availability.callOff(stranger, of.id)))._tag, "MaintenanceWindowNotFound")
      assert.strictEqual(
        (yield* Effect.flip(availability.announce(stranger, { serverId: server.id, groupId: null, ...times })))._tag,
        "ServerNotFound"
      )
      assert.strictEqual(
        (yield* Effect.flip(availability.announce(stranger, { serverId: null, groupId: groups.group, ...times })))._tag,
        "GroupNotFound"
      )
      yield* unaudited(sql`
        update maintenance_windows
           set starts_at = starts_at - interval '32 days', ends_at = ends_at - interval '32 days'
         where organization_id = ${organizationId}`)
      assert.deepStrictEqual(yield* availability.windows(organizationId), [])
      const entries = yield* sql<{ action: string }>`
        select action from audit_entries
         where organization_id = ${organizationId} and subject_kind = 'maintenance-window' and actor_kind = 'admin' order by id`
      assert.deepStrictEqual(
        entries.map(({ action }) => action),
        [...Array<string>(3).fill("maintenance:create"), ...Array<string>(2).fill("maintenance:delete")]
      )
    })
  )

  it.effect("a fall within a window needs nobody, though the server's status stays true", () =>
    Effect.gen(function* () {
      const [availability, liveness, overviews] = [yield* Availability, yield* Liveness, yield* Fleet]
      const { members, organizationId } = yield* heardFleet(2)
      const [first, second] = members
      if (first === undefined || second === undefined) return
      const now = yield* DateTime.now
      yield* availability.announce(organizationId, {
        serverId: first.id,
        groupId: null,
        reason: "new disks",
        startsAt: now,
        endsAt: DateTime.add(now, { hours: 1 })
      })
      yield* Fixtures.pass("121 seconds")
      yield* liveness.sweep
      const overview = yield* overviews.overview(organizationId)
      assert.strictEqual(overview.counts.offline, 2)
      assert.deepStrictEqual(
        overview.attention.map(({ id }) => id),
        [second.id]
      )
      assert.strictEqual(overview.attentionTotal, 1)
      yield* Fixtures.pass("1 hour")
      assert.strictEqual((yield* overviews.overview(organizationId)).attention.length, 2)
      const { down, excluded } = yield* since({ id: first.id, organizationId }, "3721 seconds")
      assert.deepStrictEqual({ down, excluded }, { down: 121, excluded: 3_600 })
    })
  )

  it.effect("A7 a group with maintenance ahead stays; what its servers had of it stays when the group is gone", () =>
    Effect.gen(function* () {
      const availability = yield* Availability
      const groups = yield* Groups
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const { above, group } = yield* groupsOf(organizationId)
      const [member] = yield* fleet(organizationId, 1, () => ({ groupId: group }))
      if (member === undefined) return
      yield* Fixtures.pass(0)
      yield* beats([member])
      const now = yield* DateTime.now
      const announced = { serverId: null, reason: "new disks", startsAt: now, endsAt: DateTime.add(now, { hours: 2 }) }
      const { id } = yield* availability.announce(organizationId, { ...announced, groupId: group })
      yield* availability.announce(organizationId, {
        ...announced,
        groupId: above,
        endsAt: DateTime.add(now, { hours: 1 })
      })
      yield* Fixtures.pass("1 hour")
      yield* unaudited(sql`update servers set group_id = null where id = ${member.id}`)
      yield* sql`update server_former_facts set until = ${DateTime.toDateUtc(yield* DateTime.now)} where server_id = ${member.id}`
      const refused = yield* Effect.flip(groups.delete(organizationId, group))
      assert.deepInclude(refused, { _tag: "GroupInUse", servers: 0, maintenanceWindows: 1 })
      yield* Fixtures.pass("30 minutes")
      yield* availability.callOff(organizationId, id)
      yield* groups.delete(organizationId, group)
      const windows = yield* availability.windows(organizationId)
      assert.deepStrictEqual(windows.map(({ about }) => about).toSorted(), ["eu", "eu/frankfurt"])
      const [whole] = yield* availability.ofGroups(
        organizationId,
        rangeOf(now.epochMilliseconds, now.epochMilliseconds + 5_400_000)
      )
      // An hour in the group, and half an hour out of it.
      assert.deepInclude(whole, { up: 1_800, excluded: 3_600 })
      const told = yield* since({ id: member.id, organizationId }, "90 minutes")
      assert.deepInclude(told, { up: 1_800, excluded: 3_600 })
      assert.deepStrictEqual(told.windows.map(({ about }) => about).toSorted(), ["eu", "eu/frankfurt"])
    })
  )

  it.effect("a month of days of a page of servers may be asked for at once, and not more", () =>
    Effect.sync(() => {
      const ask = (servers: number, days: number) =>
        Schema.is(AvailabilityOfServers)({
          ids: Array.from({ length: servers }, () => ServerId.make(Fixtures.boot())),
          range: rangeOf(0, days * 86_400_000)
        })
      assert.deepStrictEqual(
        [ask(100, 31), ask(200, 15), ask(101, 31), ask(7, 400), ask(8, 400)],
        [true, true, false, true, false]
      )
    })
  )

  it.effect("the database keeps windows whole", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const { group } = yield* groupsOf(organizationId)
      const server = yield* Fixtures.joined(Fixtures.unique("kept"), { organizationId })
      const insert = (fields: Readonly<Record<string, unknown>>) =>
        unaudited(
          sql`insert into maintenance_windows ${sql.insert({
            id: Fixtures.boot(),
            organizationId,
            serverId: null,
            groupId: null,
            reason: "",
            startsAt: new Date(0),
            endsAt: new Date(1),
            createdBy: "ada",
            createdAt: new Date(0),
            ...fields
          })}`
        )
      yield* insert({})
      for (const wrong of [
        { endsAt: new Date(0) },
        { serverId: server.id, groupId: group },
        { groupId: Fixtures.boot() }
      ]) {
        assert.strictEqual((yield* Effect.flip(insert(wrong)))._tag, "SqlError")
      }
    })
  )
})

/** One server at a time, so that a fleet of two is in parts. */
const inParts = Fixtures.guarded.pipe(Layer.provide(Layer.succeed(AvailabilityPolicy, { serversAtOnce: 1 })))

layer(inParts)("Availability of a random history", (it) => {
  it.effect.prop(
    "whatever happened, the database's sets of ranges and a walk from instant to instant agree",
    [Script],
    ([{ from, length, steps }]) =>
      Effect.gen(function* () {
        const availability = yield* Availability
        const { me, now, organizationId, place, start, story } = yield* play(steps)
        const period = { from: start + from * minute, to: start + (from + length) * minute }
        const range = rangeOf(period.from, period.to)
        const told = yield* availability.ofServer(organizationId, me, range)
        const expected = Model.availability(story, {
          from: period.from,
          to: Math.max(period.from, Math.min(period.to, now))
        })
        assert.deepStrictEqual(told.days.map(rounded), expected.days.map(rounded))
        assert.deepStrictEqual<unknown>(
          told.spans.map((span) => ({
            state: span.state,
            from: span.from.epochMilliseconds,
            to: span.to.epochMilliseconds
          })),
          expected.spans
        )
        assert.strictEqual(told.falls, expected.falls)
        const days = yield* availability.ofServers(organizationId, [me], range)
        assert.deepStrictEqual(days[me] ?? [], told.days)
        // The other one was never heard.
        const groups = yield* availability.ofGroups(organizationId, range)
        assert.isNull(groups[0]?.path)
        const sums = groups
          .toSorted((a, b) => (a.path ?? "").localeCompare(b.path ?? ""))
          .map(({ down, path, servers, unknown, up }) => [
            path,
            servers,
            Math.round(up),
            Math.round(down),
            Math.round(unknown)
          ])
        const own = [Math.round(told.up), Math.round(told.down), Math.round(told.unknown)]
        const of = (group: string, others: number) => (isIn(place, group) ? [others + 1, ...own] : [others, 0, 0, 0])
        assert.deepStrictEqual(sums, [
          [null, 2, ...own],
          ["eu", ...of("above", 1)],
          ["eu-2", ...of("otherGroup", 0)],
          ["eu/frankfurt", ...of("group", 1)]
        ])
      }),
    { arbitrary: { runs: 40, size: 40, maxShrinks: 20 } }
  )
})
