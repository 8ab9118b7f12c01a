import { createHash, randomUUID } from "node:crypto"
import { Actor } from "@broker/core/audit/Actor"
import * as SqlFailure from "@broker/core/database/SqlFailure"
import { Events } from "@broker/core/events/Events"
import { Mail } from "@broker/core/mail/Mail"
import { Reports } from "@broker/core/reports/Reports"
import { ReportsPolicy } from "@broker/core/reports/ReportsPolicy"
import type { OrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import {
  maxWaitingRuns,
  type ReportParameters,
  type ReportRequest,
  ReportRunId,
  type ReportRunsQuery
} from "@broker/domain/Report"
import { GroupId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Duration, Effect, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as UsageModel from "../analytics/UsageModel.ts"
import * as Usage from "../analytics/usage.ts"
import * as Post from "./post.ts"

const { defaultOrganizationId } = Post

const all: ReadonlySet<Permission> = new Set(Permission.literals)

const reader = (organizationId: OrganizationId = defaultOrganizationId, without: ReadonlyArray<Permission> = []) => ({
  organizationId,
  permissions: new Set([...all].filter((permission) => !without.includes(permission)))
})

const between = (from: number | string, to: number | string) =>
  ({ kind: "between", from: DateTime.makeUnsafe(from), to: DateTime.makeUnsafe(to) }) as const

const parameters = (fields: Partial<ReportParameters> = {}): ReportParameters => ({
  kind: "usage",
  range: between("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z"),
  timeZone: "UTC",
  groupId: null,
  compare: true,
  ...fields
})

const request = (fields: Partial<ReportRequest> = {}): ReportRequest => ({
  name: Fixtures.unique("report"),
  parameters: parameters({ range: { kind: "named", name: "yesterday" } }),
  formats: ["pdf", "csv", "json"],
  schedule: null,
  emails: [],
  webhook: false,
  ...fields
})

const runsOf = (fields: Partial<ReportRunsQuery> = {}): ReportRunsQuery => ({
  reportId: null,
  limit: 50,
  cursor: null,
  ...fields
})

/** What a reader finds in a preview. */
const shown = Effect.fnUntraced(function* (asked: ReportParameters, who = reader()) {
  const data = yield* Reports.use(({ preview }) => preview(who, asked))
  return {
    data,
    figures: Object.fromEntries(data.figures.map(({ id, value }) => [id, value])),
    previous: Object.fromEntries(data.figures.map(({ id, previous }) => [id, previous])),
    series: Object.fromEntries(data.series.map(({ id, points }) => [id, points])),
    rows: Object.fromEntries(data.tables.map(({ id, rows }) => [id, rows]))
  }
})

const bytesOf = Effect.fnUntraced(function* (id: ReportRunId, format: "pdf" | "csv" | "json", who = reader()) {
  const file = yield* Reports.use((reports) => reports.file(who, id, format))
  const content = Buffer.concat(yield* Stream.runCollect(file.content))
  assert.strictEqual(content.byteLength, file.bytes)
  assert.strictEqual(createHash("sha256").update(content).digest("hex"), file.sha256)
  return { ...file, content }
})

/** Made at once: nothing else waits. */
const made = Effect.fnUntraced(function* (asked: ReportParameters) {
  const reports = yield* Reports
  const { id } = yield* reports.run(reader(), { parameters: asked, formats: ["csv", "json", "pdf"] })
  assert.strictEqual(yield* reports.makeDue, 1)
  return yield* reports.getRun(reader(), id)
})

const hour = 3_600_000
const day = 24 * hour

/** Numbers that look random and are the same each time. */
const numbersFrom = (seed: number) => {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state % below
  }
}

/** Connections within four days around a night in which clocks change. */
const connectionsAround = (eve: number, servers: ReadonlyArray<string>, seed: number) => {
  const random = numbersFrom(seed)
  const users = Array.from({ length: 4 }, () => randomUUID())
  const devices = users.map(() => [randomUUID(), randomUUID()])
  return Array.from({ length: 24 }, (): UsageModel.Connection => {
    const user = random(users.length)
    const activeAt = eve - 2 * day + random(4 * 96) * (hour / 4) + random(2) * random(hour)
    return {
      user: users[user] ?? "",
      device: devices[user]?.[random(2)] ?? "",
      server: servers[random(servers.length)] ?? "",
      group: random(2) === 0 ? "eu/frankfurt" : "eu-2",
      platform: "linux",
      activeAt,
      endedAt: activeAt + random(30 * hour),
      rxBytes: random(1_000_000),
      txBytes: random(1_000)
    }
  })
}

layer(Post.layer)("Reports", (it) => {
  for (const [zone, eve] of [
    ["Europe/Berlin", "2026-10-25T00:00:00Z"],
    ["America/St_Johns", "2026-11-01T00:00:00Z"]
  ] as const) {
    it.effect(`C7 usage is what connections come to, by the day in ${zone}, and before`, () =>
      Effect.gen(function* () {
        yield* Usage.forget
        const servers = [yield* Usage.server(Fixtures.unique("one")), yield* Usage.server(Fixtures.unique("two"))]
        const night = Date.parse(eve)
        const connections = connectionsAround(night, servers, night % 97)
        yield* Effect.forEach(connections, (connection) => Usage.ended(connection), { discard: true })
        const over = night + 5 * day
        yield* Usage.caughtUpAt(over)
        const [from, to] = [night - day, night + day]
        for (const days of [1, 4]) {
          const range = between(from, from + days * day)
          const { data, figures, previous, series } = yield* shown(parameters({ range, timeZone: zone }))
          const expected = UsageModel.figures(connections, from, from + days * day, over)
          assert.deepInclude(figures, {
            connections: expected.connections,
            users: expected.users,
            devices: expected.devices,
            received: expected.rxBytes,
            sent: expected.txBytes,
            time: expected.seconds
          })
          const before = UsageModel.figures(connections, from - days * day, from, over)
          assert.deepInclude(previous, { connections: before.connections, received: before.rxBytes })
          const step = days === 1 ? "hour" : "day"
          assert.strictEqual(data.step, step)
          const starts = UsageModel.steps(from, from + days * day, step, zone)
          assert.deepStrictEqual(
            series["connections"]?.map(({ at, value }) => [at.epochMilliseconds, value]),
            starts.map((at, index) => [
              at,
              UsageModel.figures(connections, Math.max(at, from), starts[index + 1] ?? from + days * day, over)
                .connections
            ])
          )
          const done = connections.flatMap(({ activeAt, endedAt }) =>
            endedAt !== null && endedAt >= from && endedAt < from + days * day ? [(endedAt - activeAt) / 1_000] : []
          )
          assert.approximately(
            figures["mean-duration"] ?? -1,
            done.reduce((sum, seconds) => sum + seconds, 0) / done.length,
            0.001
          )
          assert.approximately(figures["longest-duration"] ?? -1, Math.max(...done), 0.001)
        }
        // What is told apart adds up to what there is, once each.
        const { figures, rows } = yield* shown(parameters({ range: between(from, to), timeZone: zone }))
        for (const table of ["by-server", "by-group"]) {
          assert.strictEqual(
            rows[table]?.reduce((sum, row) => sum + Number(row[1]), 0),
            figures["connections"],
            table
          )
        }
        const groupId = yield* Post.group("eu", null)
        yield* Post.group("frankfurt", groupId)
        const ofGroup = yield* shown(parameters({ range: between(from, to), timeZone: zone, groupId }))
        const own = connections.filter(({ group }) => group === "eu/frankfurt")
        assert.strictEqual(ofGroup.figures["connections"], UsageModel.figures(own, from, to, over).connections)
        yield* Post.forgetGroups
      })
    )
  }

  it.effect("performance is told by the middle and the slow end, and what was not measured is not zero", () =>
    Effect.gen(function* () {
      yield* Usage.forget
      const sql = yield* SqlClient.SqlClient
      const server = yield* Usage.server(Fixtures.unique("quick"))
      const from = Date.parse("2026-10-05T00:00:00Z")
      for (let index = 0; index < 21; index += 1) {
        const activeAt = from + index * 60_000
        const id = yield* Usage.ended(
          Usage.connection(new Date(activeAt).toISOString(), new Date(activeAt + 60_000).toISOString(), {
            server,
            rxBytes: 600
          })
        )
        yield* sql`update connections set rtt_ms = ${index * 10}::float8, loss_ratio = ${index / 1_000}::float8 where id = ${id}`
      }
      const refused = yield* Usage.refused(new Date(from), server)
      assert.isString(refused)
      for (const [state, times] of Object.entries({ passed: 3, failed: 1 })) {
        for (let index = 0; index < times; index += 1) {
          yield* sql`
            insert into challenges (id, server_id, purpose, nonce, state, issued_at, expires_at, answered_at)
            values (${randomUUID()}, ${server}, 'scheduled', sha256('x'), ${state}, ${new Date(from)}, ${new Date(from + hour)},
                    ${new Date(from + 1_000 * (index + 1))})`
        }
      }
      yield* Usage.caughtUpAt(from + 2 * day)
      const { data, figures, rows, series } = yield* shown(
        parameters({ kind: "performance", range: between(from, from + day) })
      )
      assert.deepInclude(figures, {
        "rtt-median": 100,
        "rtt-p95": 190,
        "loss-median": 0.01,
        throughput: (21 * 600) / 86_400,
        success: 21 / 22,
        verification: 0.75,
        "verification-latency": 2_000
      })
      assert.deepStrictEqual(
        data.figures.map(({ previous }) => previous),
        data.figures.map(({ id }) => (id === "throughput" ? 0 : null))
      )
      assert.deepStrictEqual(
        series["rtt-median"]?.slice(0, 2).map(({ value }) => value),
        [100, null]
      )
      assert.deepStrictEqual(rows["by-server"]?.[0]?.slice(2), [21, 100, 190, 0.01, 0.019])
      assert.deepStrictEqual(rows["refusals"], [["Refused by the server", 1]])
      assert.deepStrictEqual(data.notes, [])
      // Of a time of which part is past keeping, no number stands for all of it: that is said, and steps since are shown.
      const long = yield* shown(parameters({ kind: "performance", range: between(from - 100 * day, from + day) }))
      assert.deepInclude(long.figures, { "rtt-median": null, success: null, "verification-latency": null })
      assert.deepStrictEqual([long.data.tables, long.data.notes.length], [[], 2])
      assert.include(long.data.notes[0], "kept one by one for 90 days")
      assert.deepStrictEqual(
        long.series["rtt-median"]?.flatMap(({ value }) => (value === null ? [] : [value])),
        [100]
      )
    })
  )

  it.effect("health tells incidents, but not those that somebody expected, and what the broker could not know", () =>
    Effect.gen(function* () {
      const { organizationId, start } = yield* Post.ailingFleet
      const from = start - (start % day)
      const { data, figures, rows, series } = yield* shown(
        parameters({ kind: "health", range: between(from, from + day) }),
        reader(organizationId)
      )
      assert.deepInclude(figures, {
        incidents: 3,
        flaps: 1,
        downtime: 2 * 3_600 + 60 + 300,
        "longest-incident": 2 * 3_600,
        outages: 1,
        "outage-time": 600,
        guards: 0
      })
      assert.strictEqual(data.step, "hour")
      assert.strictEqual(
        series["downtime"]?.reduce((sum, { value }) => sum + (value ?? 0), 0),
        figures["downtime"]
      )
      assert.deepStrictEqual(
        rows["incidents"]?.map(([, group, , ended, seconds, reason]) => [group, ended === null, seconds, reason]),
        [
          ["eu", false, 7_200, "Heartbeats missed"],
          ["eu", false, 300, "Heartbeats missed"],
          ["eu", false, 60, "Heartbeats missed"]
        ]
      )
      const [fleet] = rows["by-group"] ?? []
      assert.deepStrictEqual([fleet?.[0], fleet?.[1], fleet?.[3]], ["All servers", 3, figures["downtime"]])
      assert.approximately(Number(fleet?.[2]), figures["availability"] ?? 0, 1e-9)
      assert.strictEqual(rows["outages"]?.length, 1)
    })
  )

  it.effect("inventory counts what stands now, of one's own organization and of the group that is asked for", () =>
    Effect.gen(function* () {
      const { groupId, organizationId, start } = yield* Post.ailingFleet
      const asked = parameters({ kind: "inventory", range: between(start - day, start + day) })
      const { figures, previous, rows } = yield* shown(asked, reader(organizationId))
      assert.deepInclude(figures, { servers: 3, joined: 3, retired: 0 })
      assert.deepInclude(previous, { servers: null, joined: 0, retired: 0 })
      assert.deepStrictEqual(rows["by-version"], [
        ["1.2.3", 2, 2 / 3],
        ["not told", 1, 1 / 3]
      ])
      assert.deepStrictEqual(rows["by-group"], [
        ["eu", 2, 2 / 3],
        ["No group", 1, 1 / 3]
      ])
      assert.strictEqual(rows["servers"]?.length, 3)
      assert.strictEqual((yield* shown({ ...asked, groupId }, reader(organizationId))).figures["servers"], 2)
      assert.strictEqual((yield* shown(asked, reader(yield* Fixtures.organization))).figures["servers"], 0)
      const missing = yield* Effect.flip(
        shown({ ...asked, groupId: GroupId.make(randomUUID()) }, reader(organizationId))
      )
      assert.strictEqual(missing._tag, "GroupNotFound")
    })
  )

  it.effect(
    "W4 files are kept with their hash, the same for the same time, and told to be so far while it goes on",
    () =>
      Effect.gen(function* () {
        const reports = yield* Reports
        yield* Usage.forget
        const server = yield* Usage.server(Fixtures.unique("kept"))
        yield* Usage.ended(Usage.connection("2026-10-01T10:00:00Z", "2026-10-01T11:00:00Z", { server, rxBytes: 5_000 }))
        yield* Usage.caughtUpAt(Date.parse("2026-10-02T06:00:00Z"))
        const [first, again] = [yield* made(parameters()), yield* made(parameters())]
        assert.deepInclude(first, { state: "done", complete: true, name: "Usage", requestedBy: "ada", mail: null })
        assert.deepStrictEqual(
          first.files.map(({ format }) => format),
          ["pdf", "json", "csv"]
        )
        assert.deepStrictEqual(again.files, first.files)
        const { content, name, type } = yield* bytesOf(first.id, "pdf")
        assert.strictEqual(content.subarray(0, 5).toString(), "%PDF-")
        assert.deepStrictEqual([name, type], ["Usage 2026-10-01.pdf", "application/pdf"])
        assert.include((yield* bytesOf(first.id, "csv")).content.toString(), "Connections,1,0")
        // What happened later in that time changes nothing of what was kept.
        yield* Usage.ended(Usage.connection("2026-10-01T12:00:00Z", "2026-10-01T13:00:00Z", { server }))
        yield* Usage.caughtUpAt(Date.parse("2026-10-02T06:00:00Z"))
        assert.notDeepEqual((yield* made(parameters())).files, first.files)
        yield* bytesOf(first.id, "json")
        const sql = yield* SqlClient.SqlClient
        const refused = yield* Effect.flip(sql`update report_runs set complete = false where id = ${first.id}`)
        assert.strictEqual(SqlFailure.brokenConstraint(refused), "report_runs_stay")
        const open = yield* made(parameters({ range: between("2026-10-02T00:00:00Z", "2026-10-03T00:00:00Z") }))
        assert.isFalse(open.complete)
        assert.include((yield* bytesOf(open.id, "csv")).content.toString(), "so far")
        // Kept for so long, and no longer.
        assert.strictEqual(yield* reports.prune, 0)
        yield* sql`update report_runs set created_at = created_at - interval '401 days' where id = ${first.id}`
        assert.strictEqual(yield* reports.prune, 1)
        assert.strictEqual((yield* Effect.flip(reports.getRun(reader(), first.id)))._tag, "ReportRunNotFound")
      })
  )

  it.effect(
    "W4 a report shows what its reader may see: users only to whoever may see users, and nothing to others",
    () =>
      Effect.gen(function* () {
        const reports = yield* Reports
        const withoutUsers = reader(defaultOrganizationId, ["users:read"])
        const tables = (data: { readonly tables: ReadonlyArray<{ readonly id: string }> }) =>
          data.tables.map(({ id }) => id)
        assert.include(tables((yield* shown(parameters())).data), "by-user")
        assert.notInclude(tables((yield* shown(parameters(), withoutUsers)).data), "by-user")
        const without = reader(defaultOrganizationId, ["connections:read"])
        const missing = yield* Effect.flip(shown(parameters(), without))
        assert.deepInclude(missing, { _tag: "PermissionMissing", permission: "connections:read" })
        const run = yield* made(parameters())
        for (const who of [withoutUsers, without, reader(yield* Fixtures.organization)]) {
          assert.strictEqual((yield* Effect.flip(reports.getRun(who, run.id)))._tag, "ReportRunNotFound")
          assert.strictEqual((yield* Effect.flip(reports.file(who, run.id, "csv")))._tag, "ReportRunNotFound")
          assert.notInclude(
            (yield* reports.runs(who, runsOf())).items.map(({ id }) => id),
            run.id
          )
        }
        // Made by whoever may see less, it is there for both, and shows less.
        const saved = yield* reports.create(reader(), request())
        const less = yield* reports.runSaved(withoutUsers, saved.id)
        yield* reports.makeDue
        assert.notInclude((yield* bytesOf(less.id, "csv", withoutUsers)).content.toString(), "By user")
        assert.strictEqual((yield* reports.list(without)).length, 0)
        assert.strictEqual((yield* Effect.flip(reports.get(without, saved.id)))._tag, "ReportNotFound")
        assert.strictEqual((yield* Effect.flip(reports.delete(without, saved.id)))._tag, "ReportNotFound")
        yield* reports.delete(reader(), saved.id)
        // What was made of it stays.
        assert.isNull((yield* reports.getRun(reader(), less.id)).reportId)
      })
  )

  it.effect("A5 a schedule shows no more than whoever saved it may still see", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const sql = yield* SqlClient.SqlClient
      yield* Fixtures.admin()
      const owner = yield* Fixtures.admin()
      const saved = yield* reports
        .create(reader(), request({ schedule: { cron: "0 7 * * *", timeZone: "UTC" } }))
        .pipe(Effect.provideService(Actor, { ...Fixtures.actor, id: owner.id }))
      yield* sql`update memberships set disabled_at = now() where admin_id = ${owner.id}`
      yield* TestClock.adjust("1 day")
      yield* Usage.caughtUpAt((yield* DateTime.now).epochMilliseconds)
      yield* reports.schedule
      yield* reports.makeDue
      const [run] = (yield* reports.runs(reader(), runsOf({ reportId: saved.id }))).items
      assert.strictEqual(run?.state, "failed")
      assert.include(run?.problem, "may no longer see")
      yield* reports.delete(reader(), saved.id)
    })
  )

  it.effect("W4 a slot is made once, however many nodes see it, and of those missed only the latest", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const sql = yield* SqlClient.SqlClient
      yield* TestClock.setTime(Date.parse("2026-11-24T12:00:00Z"))
      const { id, nextAt } = yield* reports.create(
        reader(),
        request({ schedule: { cron: "30 2 * * *", timeZone: "Europe/Berlin" }, webhook: true })
      )
      const next = (at: DateTime.Utc | null) => (at === null ? null : DateTime.formatIso(at))
      assert.strictEqual(next(nextAt), "2026-11-25T01:30:00.000Z")
      assert.strictEqual(yield* reports.schedule, 0)
      // Nobody was there for two nights.
      yield* TestClock.setTime(Date.parse("2026-11-26T08:00:00Z"))
      yield* Usage.caughtUpAt(Date.parse("2026-11-26T08:00:00Z"))
      yield* Effect.all([reports.schedule, reports.schedule, reports.schedule], { concurrency: "unbounded" })
      const { items } = yield* reports.runs(reader(), runsOf({ reportId: id }))
      assert.deepStrictEqual(
        items.map(({ slotAt }) => next(slotAt)),
        ["2026-11-26T01:30:00.000Z"]
      )
      assert.deepInclude(items[0], { state: "waiting", requestedBy: "schedule" })
      // Yesterday as seen from the slot.
      assert.deepStrictEqual(
        [next(items[0]?.from ?? null), next(items[0]?.to ?? null)],
        ["2026-11-25T00:00:00.000Z", "2026-11-26T00:00:00.000Z"]
      )
      // A node that believes it still leads comes late with the same slot.
      yield* sql`update reports set next_at = ${new Date("2026-11-26T01:30:00Z")} where id = ${id}`
      yield* reports.schedule
      assert.strictEqual((yield* reports.runs(reader(), runsOf({ reportId: id }))).items.length, 1)
      const counts = yield* Effect.all([reports.makeDue, reports.makeDue], { concurrency: "unbounded" })
      assert.strictEqual(counts[0] + counts[1], 1)
      const saved = yield* reports.get(reader(), id)
      assert.deepInclude(saved.lastRun, { state: "done", complete: true, problem: null })
      assert.strictEqual(next(saved.nextAt), "2026-11-27T01:30:00.000Z")
      // Told in the transaction that finished it, as the catalogue has it.
      const events = yield* Events
      yield* events.publish
      const heard = yield* events.list(reader(), {
        from: null,
        to: null,
        types: ["report.ready"],
        subjectId: id,
        text: "",
        limit: 10,
        cursor: null
      })
      const [event] = heard.items
      assert.strictEqual(heard.items.length, 1)
      assert.deepInclude(event?.subject, { id, name: saved.name })
      assert.deepInclude<object | undefined>(event?.data, {
        run: saved.lastRun?.id,
        kind: "usage",
        complete: true,
        files: saved.lastRun?.files.toSorted((one, other) => (one.format < other.format ? -1 : 1))
      })
      yield* reports.delete(reader(), id)
    })
  )

  it.effect("a scheduled report waits until all of its time is counted, but not for ever", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      yield* TestClock.setTime(Date.parse("2026-11-26T23:00:00Z"))
      const { id } = yield* reports.create(reader(), request({ schedule: { cron: "0 0 * * *", timeZone: "UTC" } }))
      yield* TestClock.setTime(Date.parse("2026-11-27T00:00:01Z"))
      yield* reports.schedule
      const state = Effect.map(reports.get(reader(), id), ({ lastRun }) => [lastRun?.state, lastRun?.complete])
      assert.strictEqual(yield* reports.makeDue, 0)
      assert.deepStrictEqual(yield* state, ["waiting", false])
      yield* TestClock.adjust("21 minutes")
      assert.strictEqual(yield* reports.makeDue, 1)
      assert.deepStrictEqual(yield* state, ["done", false])
      yield* reports.delete(reader(), id)
    })
  )

  it.effect("J1 what a node that died had begun is made by another, and nothing of the first counts", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const sql = yield* SqlClient.SqlClient
      const run = yield* reports.run(reader(), { parameters: parameters({ kind: "inventory" }), formats: ["csv"] })
      const now = yield* DateTime.now
      const until = DateTime.toDateUtc(DateTime.add(now, { minutes: 1 }))
      yield* sql`update report_runs set state = 'running', turn = 1, held_until = ${until} where id = ${run.id}`
      yield* sql`
        insert into report_pieces (run_id, format, turn, number, content) values (${run.id}, 'csv', 1, 0, 'half of it')`
      assert.strictEqual(yield* reports.makeDue, 0)
      yield* TestClock.adjust("61 seconds")
      assert.strictEqual(yield* reports.makeDue, 1)
      assert.notInclude((yield* bytesOf(run.id, "csv")).content.toString(), "half of it")
      assert.deepStrictEqual(yield* sql`select turn from report_pieces where run_id = ${run.id} and turn <> 2`, [])
      // What takes down whoever makes it is not handed on for ever.
      const fatal = yield* reports.run(reader(), { parameters: parameters({ kind: "inventory" }), formats: ["csv"] })
      const { attempts } = yield* ReportsPolicy
      const past = DateTime.toDateUtc(yield* DateTime.now)
      yield* sql`update report_runs set state = 'running', turn = ${attempts}, held_until = ${past} where id = ${fatal.id}`
      assert.strictEqual(yield* reports.makeDue, 0)
      const given = yield* reports.getRun(reader(), fatal.id)
      assert.strictEqual(given.state, "failed")
      assert.include(given.problem, "stopped in the middle of it")
    })
  )

  it.effect("what is saved is checked: names, schedules, how many, groups, and that there is somebody to send it", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const organizationId = yield* Fixtures.organization
      const who = reader(organizationId)
      const first = yield* reports.create(who, request({ name: "Weekly" }))
      const tag = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.map(Effect.flip(effect), ({ _tag }) => _tag)
      assert.strictEqual(yield* tag(reports.create(who, request({ name: "WEEKLY" }))), "ReportNameTaken")
      const other = yield* reports.create(who, request())
      assert.strictEqual(yield* tag(reports.update(who, other.id, { name: "weekly" })), "ReportNameTaken")
      for (const cron of ["*/5 * * * *", "0,5 7 * * 1", "0 7 30 2 *"]) {
        const schedule = { cron, timeZone: "UTC" }
        assert.strictEqual(yield* tag(reports.update(who, first.id, { schedule })), "ReportScheduleRefused", cron)
      }
      const groupId = GroupId.make(randomUUID())
      assert.strictEqual(
        yield* tag(reports.update(who, first.id, { parameters: parameters({ groupId }) })),
        "GroupNotFound"
      )
      const changed = yield* reports.update(who, first.id, { schedule: { cron: "0 7 * * 1", timeZone: "UTC" } })
      assert.isNotNull(changed.nextAt)
      assert.isNull((yield* reports.update(who, first.id, { schedule: null })).nextAt)
      assert.deepStrictEqual(
        (yield* reports.list(who)).map(({ name }) => name),
        [other.name, "Weekly"]
      )
      for (let index = 0; index < maxWaitingRuns; index += 1) yield* reports.runSaved(who, first.id)
      assert.strictEqual(yield* tag(reports.runSaved(who, first.id)), "TooManyReportRuns")
      const { items, nextCursor } = yield* reports.runs(who, runsOf({ limit: 15 }))
      const rest = yield* reports.runs(who, runsOf({ limit: 15, cursor: nextCursor }))
      assert.deepStrictEqual([items.length, rest.items.length, rest.nextCursor], [15, 5, null])
      assert.strictEqual(yield* tag(reports.runs(who, runsOf({ cursor: "x" }))), "InvalidCursor")
      const sql = yield* SqlClient.SqlClient
      const acts = yield* sql`
        select action, count(*)::int as times from audit_entries where organization_id = ${organizationId} and action like 'reports:%' group by 1 order by 1`
      assert.deepStrictEqual(acts, [
        { action: "reports:create", times: 2 },
        { action: "reports:run", times: 20 },
        { action: "reports:update", times: 2 }
      ])
      yield* sql`delete from report_runs where organization_id = ${organizationId}`
    })
  )

  it.effect("e-mail comes with its files intact, from a mail server that was away at first, and is one message", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const post = yield* Post.Post
      yield* post.away
      const { id } = yield* reports.create(
        reader(),
        request({
          name: "Nightly Łódź\r\nBcc: eve@example.com",
          emails: ["ada@example.com", "bob@example.com"],
          formats: ["pdf", "csv"]
        })
      )
      yield* reports.runSaved(reader(), id, { send: true })
      yield* reports.makeDue
      assert.strictEqual(yield* reports.sendDue, 0)
      const mail = Effect.map(reports.get(reader(), id), ({ lastRun }) => lastRun?.mail)
      const waiting = yield* mail
      assert.deepInclude(waiting, { state: "waiting", attempts: 1 })
      assert.match(waiting?.problem ?? "", /ECONNREFUSED/)
      assert.notInclude(waiting?.problem, Post.password)
      // Not before its time.
      assert.strictEqual(yield* reports.sendDue, 0)
      yield* post.back
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* reports.sendDue, 1)
      assert.deepInclude(yield* mail, { state: "sent", attempts: 2, problem: null, nextAttemptAt: null })
      assert.strictEqual(yield* reports.sendDue, 0)
      const [letter, ...more] = yield* post.received
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(letter?.to, ["ada@example.com", "bob@example.com"])
      const { lastRun } = yield* reports.get(reader(), id)
      assert.isDefined(lastRun?.id)
      const run = ReportRunId.make(lastRun?.id ?? "")
      const message = Post.parse(letter?.raw ?? "")
      assert.strictEqual(message.headers.get("message-id"), `<report.${run}@localhost>`)
      assert.strictEqual(message.headers.get("auto-submitted"), "auto-generated")
      // What a report is called is no header.
      assert.isFalse(message.headers.has("bcc"))
      assert.isString(message.headers.get("subject"))
      assert.deepStrictEqual(
        message.attachments.map(({ sha256, type }) => [type, sha256]),
        lastRun?.files.map(({ format, sha256 }) => [format === "pdf" ? "application/pdf" : "text/csv", sha256])
      )
      for (const { sha256 } of lastRun?.files ?? []) assert.include(message.text, sha256)
      // Sent again, as by a node that died before it could note it: whoever gets it twice can tell.
      const sql = yield* SqlClient.SqlClient
      yield* sql`update report_runs set mail_state = 'waiting', mail_left = emails, mail_next_at = ${new Date(0)} where id = ${run}`
      assert.strictEqual(yield* reports.sendDue, 1)
      const [, second] = yield* post.received
      assert.strictEqual(Post.parse(second?.raw ?? "").headers.get("message-id"), message.headers.get("message-id"))
      // Of one that is deleted, nothing is sent any more: neither what is made, nor what is still to be.
      const [later, open] = [
        yield* reports.runSaved(reader(), id, { send: true }),
        yield* reports.runSaved(reader(), id, { send: true })
      ]
      yield* sql`update report_runs set not_before = 'infinity' where id = ${open.id}`
      yield* reports.makeDue
      yield* reports.delete(reader(), id)
      assert.strictEqual(yield* reports.sendDue, 0)
      const { mail: calledOff } = yield* reports.getRun(reader(), later.id)
      assert.deepInclude(calledOff, { state: "failed", problem: "The report was deleted.", nextAttemptAt: null })
      yield* sql`update report_runs set not_before = null where id = ${open.id}`
      yield* reports.makeDue
      assert.deepInclude(yield* reports.getRun(reader(), open.id), { state: "done", mail: null })
    })
  )

  it.effect("e-mail that nobody takes is given up at last, and says why; secrets stand nowhere", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      const post = yield* Post.Post
      const mail = yield* Mail
      yield* mail.check
      const { id } = yield* reports.create(
        reader(),
        request({ emails: ["nobody@Example.com", "eve@example.com"], formats: ["csv"] })
      )
      yield* reports.runSaved(reader(), id, { send: true })
      yield* reports.makeDue
      const { mailDelays } = yield* ReportsPolicy
      for (const delay of [...mailDelays, Duration.zero]) {
        assert.strictEqual(yield* reports.sendDue, 0)
        yield* TestClock.adjust(delay)
      }
      const failed = (yield* reports.get(reader(), id)).lastRun?.mail
      assert.deepInclude(failed, { state: "failed", to: ["nobody@Example.com"], attempts: 8, nextAttemptAt: null })
      assert.include(failed?.problem, "No such mailbox")
      // Whoever it was taken for gets it once, however often it is tried for the others.
      const hers = (yield* post.received).filter(({ to }) => to.includes("eve@example.com"))
      assert.deepStrictEqual(
        hers.map(({ to }) => to),
        [["eve@example.com"]]
      )
      assert.strictEqual((yield* reports.get(reader(), id)).lastRun?.state, "done")
      yield* post.changePassword
      const refused = yield* Effect.flip(mail.check)
      assert.notInclude(refused.message, Post.password)
      // Nobody in between reads along: neither with a certificate of their own, nor by hiding that there is TLS.
      assert.match(yield* Post.refusedAt(`smtp://127.0.0.1:${yield* Post.stranger}`), /certificate/i)
      assert.match(yield* Post.refusedAt(`smtp://127.0.0.1:${post.port}?requireTLS=true`), /TLS/)
    })
  )
})

layer(Fixtures.layer)("Reports without a mail server", (it) => {
  it.effect("takes no addresses", () =>
    Effect.gen(function* () {
      const reports = yield* Reports
      assert.isFalse(reports.canMail)
      const refused = yield* Effect.flip(reports.create(reader(), request({ emails: ["ada@example.com"] })))
      assert.strictEqual(refused._tag, "MailNotSetUp")
    })
  )
})
