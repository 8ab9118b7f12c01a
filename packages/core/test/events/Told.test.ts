import { Audit } from "@broker/core/audit/Audit"
import { Challenges } from "@broker/core/challenges/Challenges"
import { Connections } from "@broker/core/connections/Connections"
import { Events } from "@broker/core/events/Events"
import { Groups } from "@broker/core/groups/Groups"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { SecurityEvents } from "@broker/core/security-events/SecurityEvents"
import { Servers } from "@broker/core/servers/Servers"
import type { Event, EventPlace } from "@broker/domain/Event"
import { GroupName } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { client, connect, connected, gateway, metrics } from "../connections/parties.ts"
import { beats, heardFleet, unaudited } from "../fleet-guard/fleets.ts"

/** All that was told since the last look. */
const makeLook = Effect.fnUntraced(function* (organizationId: OrganizationId = defaultOrganizationId) {
  const events = yield* Events
  const reader = { organizationId, permissions: new Set(Permission.literals) }
  yield* events.publish
  let after: EventPlace = yield* events.newest(organizationId)
  return Effect.gen(function* () {
    yield* events.publish
    const page = yield* events.feed(reader, { after, types: [], subjectId: null, limit: 200 })
    after = page.next
    return page.items
  })
})

type Of<Type extends Event["type"]> = Extract<Event, { readonly type: Type }>

/** What each is about, in a word or two. */
const brief = (event: Event): string => {
  switch (event.type) {
    case "server.registered":
    case "server.admission_changed":
    case "server.liveness_changed":
    case "server.duty_changed":
    case "server.verification_changed":
      return `${event.type} ${event.data.before}→${event.data.after} (${event.data.reason})`
    case "server.updated":
      return `${event.type} ${event.data.changed.join(",")}`
    case "audit.recorded":
      return `audit ${event.data.action}`
    case "security_event.raised":
      return `${event.type} ${event.data.kind}`
    default:
      return event.type
  }
}

const withoutAudit = (events: ReadonlyArray<Event>) => events.filter(({ type }) => type !== "audit.recorded").map(brief)

layer(Fixtures.audited)("What is told", (it) => {
  it.effect("W1 of a server: each move and each change, once and in order, and no silence once it is retired", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const challenges = yield* Challenges
      const groups = yield* Groups
      const look = yield* makeLook()
      const server = yield* Fixtures.joined()
      const { id, organizationId } = server
      const said = yield* look
      assert.deepStrictEqual(
        said.map(brief).filter((one) => !one.includes("registration-keys")),
        ["server.registered null→approved (registered)", "audit servers:register"]
      )
      const registered = said.find((event): event is Of<"server.registered"> => event.type === "server.registered")
      assert.deepInclude(registered?.subject, { kind: "server", id, name: server.name })
      assert.deepStrictEqual(registered?.data.server, { id, name: server.name })

      if (server.challenge !== null) {
        yield* challenges.answer(server, server.challenge.id, yield* Fixtures.signature(server, server.challenge))
      }
      const bootId = Fixtures.boot()
      yield* Fixtures.beat(server, bootId, 1)
      yield* Fixtures.beat(server, bootId, 2)
      assert.deepStrictEqual(withoutAudit(yield* look), [
        "server.verification_changed unverified→verified (null)",
        "server.liveness_changed never_seen→online (null)"
      ])

      const group = yield* groups.create(organizationId, {
        parentId: null,
        name: GroupName.make("eu"),
        heartbeatIntervalSeconds: null,
        verificationPeriodSeconds: null,
        connectionLimit: null
      })
      yield* servers.assign(organizationId, id, { groupId: group.id, tags: { add: ["eu"], remove: [] } })
      yield* servers.update(organizationId, id, { version: "2.0.0" })
      yield* servers.update(organizationId, id, { version: "2.0.0" })
      yield* servers.setDuty(organizationId, id, "draining")
      yield* servers.suspend(organizationId, id, "odd traffic")
      yield* servers.approve(organizationId, id)
      const moves = yield* look
      assert.deepStrictEqual(withoutAudit(moves), [
        "server.updated group,tags",
        "server.updated version",
        "server.duty_changed serving→draining (null)",
        "server.admission_changed approved→suspended (odd traffic)",
        "server.admission_changed suspended→approved (null)"
      ])
      assert.deepStrictEqual(
        moves
          .filter((event): event is Of<"server.updated"> => event.type === "server.updated")
          .map(({ data }) => data.group),
        ["eu", "eu"]
      )

      yield* servers.retire(organizationId, id, "sold")
      yield* Fixtures.pass("10 minutes")
      yield* Effect.flatMap(Liveness, ({ sweep }) => sweep)
      const last = yield* look
      assert.deepStrictEqual(withoutAudit(last), ["server.admission_changed approved→retired (sold)"])
    })
  )

  it.effect("W1 C1 of a connection: that it was granted, began, ended and was settled, or never came to be", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const server = yield* gateway()
      const ada = yield* unaudited(client())
      const look = yield* makeLook()

      const { id } = yield* connected(ada, server)
      yield* connections.reportByClient(ada, id, { metrics: metrics(10, 20) })
      yield* connections.reportByServer(server, id, { status: "ended", reason: "idle", metrics: metrics(2_000, 1_000) })
      yield* connections.reportByClient(ada, id, { status: "ended", metrics: metrics(1_000, 2_000) })
      const said = (yield* look).filter(
        (event): event is Of<"connection.settled"> => event.subject.id === id && event.type.startsWith("connection.")
      )
      assert.deepStrictEqual(said.map(brief), [
        "connection.created",
        "connection.started",
        "connection.ended",
        "connection.settled"
      ])
      const [created, , ended, settled] = said.map(({ data }) => data)
      assert.deepInclude(created, { status: "intent", startedAt: null, endedAt: null, rxBytes: null, verdict: null })
      assert.deepInclude(created?.server, { id: server.id, name: server.name })
      assert.deepInclude(ended, { status: "ended", endedBy: "server", reason: "idle" })
      assert.deepInclude(settled, { rxBytes: 1_000, txBytes: 2_000, verdict: "confirmed" })

      const refused = (yield* connect(ada, { serverId: server.id })).connection
      yield* connections.reportByServer(server, refused.id, { status: "refused", reason: "full" })
      const late = (yield* connect(ada, { serverId: server.id })).connection
      yield* Fixtures.pass("5 minutes")
      yield* connections.sweep
      assert.deepStrictEqual(
        (yield* look).filter(({ subject }) => [refused.id, late.id].some((one) => one === subject.id)).map(brief),
        ["connection.created", "connection.refused", "connection.created", "connection.expired"]
      )
    })
  )

  it.effect("W1 H6 of the fleet guard: that it began and ended, with the alarm", () =>
    Effect.gen(function* () {
      const { members, organizationId } = yield* heardFleet(12)
      const look = yield* makeLook(organizationId)
      for (let passed = 0; passed < 130; passed += 10) {
        yield* Fixtures.pass("10 seconds")
        yield* beats(members.slice(6))
        yield* Effect.flatMap(Liveness, ({ sweep }) => sweep)
      }
      const said = yield* look
      const began = said.find((event): event is Of<"fleet_guard.began"> => event.type === "fleet_guard.began")
      assert.deepInclude(began?.data, { expected: 12, held: 6, end: null })
      assert.include(said.map(brief), "security_event.raised fleet_silent")
      assert.lengthOf(
        said.filter((event) => event.type === "server.liveness_changed" && event.data.after === "unknown"),
        6
      )
      for (let passed = 0; passed < 60; passed += 10) {
        yield* Fixtures.pass("10 seconds")
        yield* beats(members)
        yield* Effect.flatMap(Liveness, ({ sweep }) => sweep)
      }
      const ended = (yield* look).find((event): event is Of<"fleet_guard.ended"> => event.type === "fleet_guard.ended")
      assert.deepInclude(ended?.data, { end: "recovered" })
    })
  )

  it.effect("W1 A6 of what was done, in the order of the audit log, and not of what was refused or read", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const look = yield* makeLook(organizationId)
      const record = (action: `${string}:${string}`, more: Partial<Parameters<typeof audit.record>[0]> = {}) =>
        audit.record({ organizationId, action, subjectKind: "organization", subjectId: null, ...more })
      yield* record("organizations:rename", { details: { name: "Acme" } })
      yield* record("organizations:rename", { outcome: "refused" })
      yield* record("audit-log:read", { subjectKind: "audit-log" })
      yield* record("organizations:paint")
      yield* Effect.ignore(
        sql.withTransaction(Effect.andThen(record("organizations:burn"), Effect.fail("rolled back")))
      )
      const said = (yield* look).filter((event): event is Of<"audit.recorded"> => event.type === "audit.recorded")
      assert.deepStrictEqual(
        said.map(({ data }) => `${data.entry} ${data.action} by ${data.actor.name}`),
        ["2 organizations:rename by ada", "5 organizations:paint by ada"]
      )
      assert.deepInclude(said[0]?.subject, { kind: "organization", id: organizationId, name: "Acme" })
    })
  )

  it.effect("W1 of what is suspicious, which is listed too", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const sql = yield* SqlClient.SqlClient
      const security = yield* SecurityEvents
      const organizationId = yield* Fixtures.organization
      const server = yield* Fixtures.joined(undefined, { organizationId })
      const look = yield* makeLook(organizationId)
      const alarm = { organizationId, kind: "challenge_failed", severity: "high" } as const
      yield* audit.alarm({ ...alarm, serverId: server.id, details: { purpose: "join" } })
      yield* audit.alarm({ ...alarm, kind: "sign_in_slowed", severity: "low", serverId: null })
      yield* Effect.ignore(
        sql.withTransaction(Effect.andThen(audit.alarm({ ...alarm, serverId: null }), Effect.fail("rolled back")))
      )
      const [failed, slowed, ...more] = (yield* look).filter(
        (event): event is Of<"security_event.raised"> => event.type === "security_event.raised"
      )
      assert.lengthOf(more, 0)
      assert.deepInclude(failed?.subject, { kind: "server", id: server.id, name: server.name })
      assert.deepInclude(failed?.data, { kind: "challenge_failed", severity: "high", address: "203.0.113.7" })
      assert.deepInclude(slowed?.subject, { kind: "organization", id: organizationId, name: null })

      // A newer node found something that this one has no word for.
      yield* sql`
        insert into security_events (organization_id, at, kind, severity)
        values (${organizationId}, now(), 'moonlight', 'low')`
      const all = { kinds: [], severities: [], serverId: null, limit: 50, cursor: null } as const
      const kinds = (query: Partial<Parameters<typeof security.list>[1]>) =>
        Effect.map(security.list(organizationId, { ...all, ...query }), ({ items }) => items.map(({ kind }) => kind))
      assert.deepStrictEqual(yield* kinds({}), ["sign_in_slowed", "challenge_failed"])
      assert.deepStrictEqual(yield* kinds({ severities: ["high", "critical"] }), ["challenge_failed"])
      assert.deepStrictEqual(yield* kinds({ kinds: ["token_reused"] }), [])
      assert.deepStrictEqual(yield* kinds({ serverId: server.id }), ["challenge_failed"])
      const first = yield* security.list(organizationId, { ...all, limit: 1 })
      assert.deepStrictEqual(yield* kinds({ cursor: first.nextCursor }), ["challenge_failed"])
      assert.deepInclude(first.items[0], { severity: "low", server: null, address: "203.0.113.7" })
      assert.strictEqual((yield* Effect.flip(kinds({ cursor: "bm90IG9uZQ" })))._tag, "InvalidCursor")
    })
  )

  it.effect("W1 nothing of what was rolled back", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const sql = yield* SqlClient.SqlClient
      const server = yield* Fixtures.verified()
      const look = yield* makeLook()
      yield* Effect.ignore(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* servers.setDuty(server.organizationId, server.id, "draining")
            yield* servers.suspend(server.organizationId, server.id, "odd traffic")
            return yield* Effect.fail("rolled back")
          })
        )
      )
      assert.deepStrictEqual(yield* look, [])
    })
  )
})
