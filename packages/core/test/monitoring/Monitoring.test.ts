import { randomUUID } from "node:crypto"
import { Monitoring } from "@broker/core/monitoring/Monitoring"
import { BeyondHistory, type FleetAt } from "@broker/domain/Monitoring"
import type { OrganizationId } from "@broker/domain/Organization"
import { ServerStatus } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Fiber, Layer, Schedule, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const Place = Schema.Literals([0, 1, 2, 3])

/** What may happen to a fleet, to one of its servers at a time. */
const Act = Schema.Union([
  Schema.TaggedStruct("Join", { approved: Schema.Boolean }),
  Schema.TaggedStruct("Admit", { which: Place, admission: Schema.Literals(["approved", "suspended", "retired"]) }),
  Schema.TaggedStruct("Hear", {
    which: Place,
    liveness: Schema.Literals(["online", "degraded", "offline", "unknown"])
  }),
  Schema.TaggedStruct("Serve", { which: Place, duty: Schema.Literals(["serving", "draining", "maintenance"]) }),
  Schema.TaggedStruct("Group", { which: Place, group: Schema.NullOr(Schema.Literals(["eu", "us"])) }),
  Schema.TaggedStruct("Update", { which: Place, version: Schema.NullOr(Schema.Literals(["1.9.0", "1.10.0"])) }),
  Schema.TaggedStruct("Connect", { which: Place }),
  Schema.TaggedStruct("Disconnect", { which: Place }),
  Schema.TaggedStruct("Wait", { seconds: Schema.Literals([1, 60, 86_400]) })
])
type Act = typeof Act.Type

const Script = Schema.Array(Act).check(Schema.isMaxLength(40))

interface Standing {
  readonly admission: string
  readonly duty: string
  readonly liveness: string
  readonly group: string | null
  readonly version: string | null
  readonly connections: number
}

/** The word for all three axes, told apart from the statement that says the same. */
const statusOf = ({ admission, duty, liveness }: Standing): string => {
  if (admission !== "approved") return admission
  if (duty === "maintenance") return duty
  return liveness === "online" ? (duty === "draining" ? duty : liveness) : liveness
}

/** What is told of a fleet that stands so. */
const accountOf = (fleet: ReadonlyMap<string, Standing>) => {
  const all = [...fleet.values()]
  const counts = (of: ReadonlyArray<Standing>) =>
    Object.fromEntries(
      ServerStatus.literals.map((status) => [status, of.filter((one) => statusOf(one) === status).length])
    )
  const sum = (of: ReadonlyArray<Standing>) => of.reduce((total, { connections }) => total + connections, 0)
  const kept = all.filter(({ admission }) => admission !== "retired")
  const versions = [...new Set(kept.map(({ version }) => version))]
  return {
    total: kept.length,
    counts: counts(all),
    liveConnections: sum(all),
    groups: ["eu", "us", null].flatMap((path) => {
      const members = kept.filter(({ group }) => group === path)
      return members.length === 0
        ? []
        : [{ path, total: members.length, counts: counts(members), connections: sum(members) }]
    }),
    versions: versions
      .map((version) => ({
        version,
        servers: kept.filter((one) => one.version === version).length,
        outdated: version === "1.9.0" && versions.includes("1.10.0")
      }))
      .toSorted((one, other) => String(one.version).localeCompare(String(other.version)))
  }
}

/** The same of what was told. */
const told = ({ at: _, groups, versions, ...rest }: FleetAt) => ({
  ...rest,
  groups: groups.map(({ groupId: _, ...group }) => group),
  versions: versions.toSorted((one, other) => String(one.version).localeCompare(String(other.version)))
})

/** Plays a script in the tables, as its services would write, and keeps what the fleet was like after each act. */
const play = Effect.fnUntraced(function* (organizationId: OrganizationId, script: ReadonlyArray<Act>) {
  const sql = yield* SqlClient.SqlClient
  const groups = new Map<string, string>()
  for (const name of ["eu", "us"]) {
    const id = randomUUID()
    groups.set(name, id)
    yield* sql`insert into groups (id, organization_id, name, name_key, created_at)
               values (${id}, ${organizationId}, ${name}, ${name}, now())`
  }
  const fleet = new Map<string, Standing>()
  const ids: Array<string> = []
  const connections = new Map<string, Array<string>>()
  let at = yield* DateTime.now
  const log: Array<{ readonly at: DateTime.Utc; readonly account: ReturnType<typeof accountOf> }> = []

  const change = (id: string, fields: Partial<Standing>) => {
    const standing = fleet.get(id)
    if (standing !== undefined) fleet.set(id, { ...standing, ...fields })
  }

  /** The trigger goes by the database's clock, and the script by its own. */
  const dated = (write: Effect.Effect<unknown, unknown>) =>
    Effect.gen(function* () {
      const [last] = yield* sql`select coalesce(max(id), 0) as id from server_former_facts`
      yield* write
      yield* sql`update server_former_facts set until = ${DateTime.toDateUtc(at)} where id > ${Number(last?.["id"])}`
    })

  const run = Effect.fnUntraced(function* (act: Act) {
    const now = DateTime.toDateUtc(at)
    if (act._tag === "Wait") {
      at = DateTime.add(at, { seconds: act.seconds })
      return
    }
    if (act._tag === "Join") {
      const id = randomUUID()
      const admission = act.approved ? "approved" : "pending"
      yield* sql`
        insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                             public_key, endpoints, capabilities, tags, labels, registered_at)
        values (${id}, ${organizationId}, ${id}, ${id}, ${admission}, ${now}, 'serving', ${now},
                sha256(${id}::text::bytea), '[]', '{}', '{}', '{}', ${now})`
      yield* sql`insert into server_presence (server_id, liveness_since) values (${id}, ${now})`
      ids.push(id)
      fleet.set(id, {
        admission,
        duty: "serving",
        liveness: "never_seen",
        group: null,
        version: null,
        connections: 0
      })
      return
    }
    const id = ids[act.which]
    if (id === undefined) return
    const standing = fleet.get(id)
    switch (act._tag) {
      case "Admit":
        if (standing?.admission === "retired") return
        yield* sql`update servers set admission = ${act.admission}, admission_since = ${now}
                    where id = ${id} and admission <> ${act.admission}`
        return change(id, { admission: act.admission })
      case "Hear":
        yield* sql`update server_presence
                      set liveness = ${act.liveness}, liveness_since = ${now}, last_seen_at = ${now}
                    where server_id = ${id} and liveness <> ${act.liveness}`
        return change(id, { liveness: act.liveness })
      case "Serve":
        yield* sql`update servers set duty = ${act.duty}, duty_since = ${now} where id = ${id} and duty <> ${act.duty}`
        return change(id, { duty: act.duty })
      case "Group":
        yield* dated(
          sql`update servers set group_id = ${act.group === null ? null : groups.get(act.group)}::uuid where id = ${id}`
        )
        return change(id, { group: act.group })
      case "Update":
        yield* dated(sql`update servers set version = ${act.version}::text where id = ${id}`)
        return change(id, { version: act.version })
      case "Connect": {
        const connection = randomUUID()
        yield* sql`
          insert into connections (id, organization_id, user_id, user_name, personal_key_id, personal_key_name,
                                   device_id, device_name, platform, server_id, server_name, created_at, expires_at,
                                   grant_expires_at, status, active_at)
          values (${connection}, ${organizationId}, gen_random_uuid(), 'u', gen_random_uuid(), 'k', gen_random_uuid(),
                  'd', 'linux', ${id}, 's', ${now}, ${now}::timestamptz + interval '1 minute',
                  ${now}::timestamptz + interval '1 minute', 'active', ${now})`
        yield* sql`update server_loads set live = live + 1 where server_id = ${id}`
        connections.set(id, [...(connections.get(id) ?? []), connection])
        return change(id, { connections: (standing?.connections ?? 0) + 1 })
      }
      case "Disconnect": {
        const [connection, ...others] = connections.get(id) ?? []
        if (connection === undefined) return
        yield* sql`update connections
                      set status = 'ended', stale_since = null, ended_at = ${now}, ended_by = 'client', end_reason = 'closed'
                    where id = ${connection}`
        connections.set(id, others)
        return change(id, { connections: others.length })
      }
    }
  })

  log.push({ at: DateTime.subtract(at, { seconds: 1 }), account: accountOf(fleet) })
  for (const act of script) {
    yield* run(act)
    log.push({ at, account: accountOf(fleet) })
  }
  return log
})

const withoutAdmission = Layer.effectDiscard(
  SqlClient.SqlClient.use((sql) => sql`alter table connections disable trigger connections_admitted`)
)

const startOfTime = Layer.effectDiscard(TestClock.setTime(Fixtures.start.epochMilliseconds))

const base = Monitoring.layer.pipe(
  Layer.provideMerge(withoutAdmission),
  Layer.provideMerge(TestDatabase.layer),
  Layer.provideMerge(startOfTime)
)

layer(base)("Monitoring", (it) => {
  it.effect.prop(
    "H2 the fleet as of any instant is what it was then, whatever happened since",
    [Script],
    ([script]) =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        const organizationId = yield* Fixtures.organization
        const log = yield* play(organizationId, script)
        const last = log.at(-1)
        yield* TestClock.setTime(DateTime.add(last?.at ?? Fixtures.start, { minutes: 1 }).epochMilliseconds)
        for (const [index, { at }] of log.entries()) {
          // Of acts at the same instant, the last counts.
          if (log[index + 1]?.at.epochMilliseconds === at.epochMilliseconds) continue
          const asked = yield* monitoring.fleetAt(organizationId, at)
          assert.strictEqual(asked.at.epochMilliseconds, at.epochMilliseconds)
          assert.deepStrictEqual(told(asked), log[index]?.account as unknown)
        }
        assert.deepStrictEqual(told(yield* monitoring.fleetAt(organizationId, null)), last?.account as unknown)
        const later = DateTime.add(yield* DateTime.now, { days: 1 })
        assert.deepStrictEqual(told(yield* monitoring.fleetAt(organizationId, later)), last?.account as unknown)
        yield* TestClock.setTime(Fixtures.start.epochMilliseconds)
      }),
    { arbitrary: { runs: 60, size: 40, maxShrinks: 60 } }
  )

  it.effect("a group that is gone is told by the name it had", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const monitoring = yield* Monitoring
      const organizationId = yield* Fixtures.organization
      yield* play(organizationId, [
        { _tag: "Join", approved: true },
        { _tag: "Group", which: 0, group: "eu" },
        { _tag: "Wait", seconds: 60 },
        { _tag: "Group", which: 0, group: null }
      ])
      yield* sql`delete from groups where organization_id = ${organizationId} and name = 'eu'`
      yield* TestClock.adjust("2 minutes")
      const then = yield* monitoring.fleetAt(organizationId, DateTime.add(Fixtures.start, { seconds: 30 }))
      assert.deepStrictEqual(
        then.groups.map(({ path, total }) => ({ path, total })),
        [{ path: "eu", total: 1 }]
      )
      yield* TestClock.setTime(Fixtures.start.epochMilliseconds)
    })
  )

  it.effect("what is older than the history is refused rather than told wrongly", () =>
    Effect.gen(function* () {
      const monitoring = yield* Monitoring
      const organizationId = yield* Fixtures.organization
      const now = yield* DateTime.now
      const kept = yield* monitoring.fleetAt(organizationId, DateTime.subtract(now, { days: 90 }))
      assert.strictEqual(kept.total, 0)
      const refused = yield* Effect.flip(monitoring.fleetAt(organizationId, DateTime.subtract(now, { days: 92 })))
      assert.instanceOf(refused, BeyondHistory)
    })
  )

  it.effect("the fleet as it is now is read once for all who look at it within two seconds", () =>
    Effect.gen(function* () {
      const monitoring = yield* Monitoring
      const organizationId = yield* Fixtures.organization
      const total = Effect.map(monitoring.fleetAt(organizationId, null), (fleet) => fleet.total)
      assert.strictEqual(yield* total, 0)
      yield* play(organizationId, [{ _tag: "Join", approved: true }])
      assert.strictEqual(yield* total, 0)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* total, 1)
      yield* TestClock.setTime(Fixtures.start.epochMilliseconds)
    })
  )

  it.effect("moments are noted once a minute, thinned for long ranges, and forgotten after 90 days", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const monitoring = yield* Monitoring
      const organizationId = yield* Fixtures.organization
      yield* play(organizationId, [
        { _tag: "Join", approved: true },
        { _tag: "Join", approved: true },
        { _tag: "Join", approved: true },
        { _tag: "Hear", which: 0, liveness: "online" },
        { _tag: "Hear", which: 1, liveness: "offline" },
        { _tag: "Connect", which: 0 },
        { _tag: "Admit", which: 2, admission: "retired" }
      ])
      yield* sql`
        update server_presence p set interval_seconds = 4
          from servers s where s.id = p.server_id and s.organization_id = ${organizationId}`
      const now = yield* DateTime.now
      assert.isAtLeast(yield* monitoring.note, 1)
      assert.strictEqual(yield* monitoring.note, 0)
      const range = { from: DateTime.subtract(now, { hours: 1 }), to: now }
      const [moment, ...others] = yield* monitoring.trend(organizationId, range)
      assert.lengthOf(others, 0)
      assert.deepInclude(moment, { total: 2, up: 1, down: 1, unknown: 0, connections: 1, heartbeats: 0.5 })

      yield* sql`
        insert into fleet_moments
        select ${organizationId}, at, 2, 1, 1, 0, 1, 0.25
          from generate_series(${DateTime.toDateUtc(now)}::timestamptz - interval '10 days',
                               ${DateTime.toDateUtc(now)}::timestamptz - interval '1 minute', '1 minute') as at`
      const long = yield* monitoring.trend(organizationId, { from: DateTime.subtract(now, { days: 10 }), to: now })
      assert.isAtMost(long.length, 2_000)
      assert.isAtLeast(long.length, 1_800)
      assert.strictEqual(long.at(-1)?.at.epochMilliseconds, moment?.at.epochMilliseconds)
      const day = yield* monitoring.trend(organizationId, { from: DateTime.subtract(now, { days: 1 }), to: now })
      assert.lengthOf(day, 1_441)

      yield* sql`
        insert into server_former_facts (server_id, version, until)
        select id, '0.1', ${DateTime.toDateUtc(now)}::timestamptz - interval '92 days' from servers
         where organization_id = ${organizationId} limit 1`
      assert.strictEqual(yield* monitoring.prune, 1)
      yield* TestClock.adjust("82 days")
      assert.isAtLeast(yield* monitoring.prune, 1_400)
      yield* TestClock.setTime(Fixtures.start.epochMilliseconds)
    })
  )

  it.effect("the database tells its size and its slow statements, without what stands in them", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const monitoring = yield* Monitoring
      const sleeping = yield* Effect.forkScoped(sql`select pg_sleep(4), 'hunter2' as secret`)
      const slow = sql`
        select 1 from pg_stat_activity
         where query like '%hunter2%' and pid <> pg_backend_pid()
           and clock_timestamp() - query_start > interval '1.1 s'`
      yield* Effect.repeat(slow, { schedule: Schedule.recurs(100_000), until: (rows) => rows.length > 0 })
      yield* TestClock.adjust("3 seconds")
      const { database } = yield* monitoring.broker
      assert.match(database.version, /^\d+/)
      assert.isAbove(database.sizeBytes, 1_000_000)
      assert.isAbove(database.connections, 0)
      assert.isAbove(database.maxConnections, database.connections)
      assert.isTrue(database.tables.length > 0 && database.tables.every(({ bytes }) => bytes > 0))
      const found = database.slow.find(({ statement }) => statement.includes("pg_sleep"))
      assert.strictEqual(found?.statement, "select pg_sleep(?), ? as secret")
      assert.isAbove(found?.seconds ?? 0, 1)
      assert.strictEqual(found?.waitsFor, "Timeout: PgSleep")
      assert.notInclude(JSON.stringify(database), "hunter2")
      yield* Fiber.interrupt(sleeping)
    })
  )
})
