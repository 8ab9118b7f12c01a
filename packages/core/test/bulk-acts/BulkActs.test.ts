import { Admins } from "@broker/core/admins/Admins"
import { BulkActs } from "@broker/core/bulk-acts/BulkActs"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import type { BulkAct, BulkAction, Selection } from "@broker/domain/BulkAct"
import type { ServersQuery } from "@broker/domain/Fleet"
import { GroupName } from "@broker/domain/Group"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { GroupId, type ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { adminSession, joined, seen, unique } = Fixtures

const everything: ServersQuery = {
  text: "",
  statuses: [],
  tags: [],
  verified: null,
  sort: "name",
  limit: 50,
  cursor: null
}

const found = (text: string): Selection => ({ _tag: "Found", query: { ...everything, text } })
const ticked = (...servers: ReadonlyArray<{ readonly id: ServerId }>): Selection => ({
  _tag: "Ticked",
  ids: servers.map(({ id }) => id)
})

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

/** Some servers whose names begin alike. */
const several = Effect.fnUntraced(function* (count: number, organizationId: OrganizationId = defaultOrganizationId) {
  const word = unique("bulk")
  const servers = yield* Effect.forEach(Array.from({ length: count }), (_, at) =>
    joined(`${word}-${at}`, { organizationId })
  )
  return { word, servers }
})

/** Runs acts until nothing is left to do. */
const settle = Effect.gen(function* () {
  const acts = yield* BulkActs
  while ((yield* acts.advance) > 0);
})

const startedBy = Effect.fnUntraced(function* (
  admin: Fixtures.AdminSession["admin"],
  action: BulkAction,
  selection: Selection
) {
  const acts = yield* BulkActs
  const { id } = yield* acts.start(admin, { action, selection })
  yield* settle
  return yield* acts.get(admin.organizationId, id)
})

const counts = ({ changed, failed, same, state, total }: BulkAct) => ({ changed, failed, same, state, total })

const tagEu: BulkAction = { _tag: "Tag", add: ["eu"], remove: [] }

layer(Fixtures.audited, { timeout: 120_000 })("BulkActs", (it) => {
  it.effect("a preview tells what would change, and an act does just that", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const servers = yield* Servers
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(5)
      const [first, second] = some
      assert.isDefined(first)
      assert.isDefined(second)
      yield* servers.assign(defaultOrganizationId, first.id, { tags: ["eu", "old"] })
      yield* servers.assign(defaultOrganizationId, second.id, { tags: Array.from({ length: 32 }, (_, at) => `t${at}`) })
      const request = { action: tagEu, selection: found(word) }
      assert.deepStrictEqual(yield* acts.preview(admin, request), {
        total: 5,
        changes: 3,
        same: 1,
        impossible: [{ reason: "It would have more than 32 tags of admins.", servers: 1 }],
        connectionsEnd: 0,
        names: [2, 3, 4].map((at) => `${word}-${at}`),
        undoable: true
      })
      const act = yield* startedBy(admin, request.action, request.selection)
      assert.deepStrictEqual(counts(act), { total: 5, changed: 3, same: 1, failed: 1, state: "done" })
      assert.deepStrictEqual(act.problems, [{ problem: "It would have more than 32 tags of admins.", servers: 1 }])
      assert.deepStrictEqual((yield* seen(first)).assignedTags, ["eu", "old"])
    })
  )

  it.effect("each action does what the preview says, and is undone where it can be", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const servers = yield* Servers
      const groups = yield* Groups
      const { admin } = yield* adminSession()
      const group = yield* groups.create(defaultOrganizationId, {
        parentId: null,
        name: GroupName.make(unique("group")),
        heartbeatIntervalSeconds: null,
        verificationPeriodSeconds: null,
        connectionLimit: null
      })
      const actions: ReadonlyArray<BulkAction> = [
        { _tag: "Tag", add: ["eu", "gpu"], remove: ["old", "declared"] },
        { _tag: "Label", set: { rack: "b2" }, remove: ["row", "declared"] },
        { _tag: "Move", groupId: group.id },
        { _tag: "SetDuty", duty: "draining" },
        { _tag: "LimitConnections", limit: 7 },
        { _tag: "Verify" },
        { _tag: "Approve" },
        { _tag: "Suspend", reason: "test" },
        { _tag: "Retire", reason: "test" }
      ]
      for (const action of actions) {
        const { servers: some, word } = yield* several(6)
        const [plain, alike, shut, gone, tagged, moved] = some
        for (const server of [plain, alike, shut, gone, tagged, moved]) assert.isDefined(server)
        if (!plain || !alike || !shut || !gone || !tagged || !moved) return
        yield* servers.assign(defaultOrganizationId, alike.id, { tags: ["eu", "gpu"], labels: { rack: "b2" } })
        yield* servers.update(defaultOrganizationId, tagged.id, { tags: ["declared"], labels: { declared: "x" } })
        yield* servers.assign(defaultOrganizationId, moved.id, {
          tags: ["old"],
          labels: { row: "1", rack: "a1" },
          groupId: group.id
        })
        yield* servers.setDuty(defaultOrganizationId, alike.id, "draining")
        yield* servers.limitConnections(defaultOrganizationId, alike.id, 7)
        yield* servers.suspend(defaultOrganizationId, shut.id, "")
        yield* servers.retire(defaultOrganizationId, gone.id, "")
        const before = yield* Effect.forEach(some, seen)
        const selection = found(word)
        const preview = yield* acts.preview(admin, { action, selection })
        const act = yield* startedBy(admin, action, selection)
        assert.deepStrictEqual(
          [act.total, act.changed, act.same, act.problems],
          [
            preview.total,
            preview.changes,
            preview.same,
            preview.impossible.map(({ reason, servers }) => ({ problem: reason, servers }))
          ],
          action._tag
        )
        assert.isTrue(act.changed > 0, action._tag)
        assert.strictEqual(act.undoable, preview.undoable)
        if (!act.undoable) {
          assert.strictEqual(yield* codeOf(acts.undo(admin, act.id)), "bulk_act_conflict")
          continue
        }
        const undo = yield* acts.undo(admin, act.id)
        yield* settle
        const undone = yield* acts.get(defaultOrganizationId, undo.id)
        assert.deepStrictEqual(counts(undone), {
          total: act.changed,
          changed: act.changed,
          same: 0,
          failed: 0,
          state: "done"
        })
        const after = yield* Effect.forEach(some, seen)
        const facts = (all: typeof before) =>
          all.map((server) => [
            [...server.assignedTags].sort(),
            server.assignedLabels,
            server.groupId,
            server.duty,
            server.ownConnectionLimit
          ])
        assert.deepStrictEqual(facts(after), facts(before), action._tag)
        assert.strictEqual((yield* acts.get(defaultOrganizationId, act.id)).undoneBy, undo.id)
        assert.strictEqual(yield* codeOf(acts.undo(admin, act.id)), "bulk_act_conflict")
      }
    })
  )

  it.effect("an undo leaves alone what somebody changed since", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const servers = yield* Servers
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(2)
      const [first, second] = some
      assert.isDefined(first)
      assert.isDefined(second)
      const act = yield* startedBy(admin, { _tag: "LimitConnections", limit: 5 }, found(word))
      yield* servers.limitConnections(defaultOrganizationId, first.id, 9)
      const undo = yield* acts.undo(admin, act.id)
      yield* settle
      const undone = yield* acts.get(defaultOrganizationId, undo.id)
      assert.deepStrictEqual(undone.problems, [{ problem: "Somebody changed it since.", servers: 1 }])
      assert.strictEqual((yield* seen(first)).ownConnectionLimit, 9)
      assert.strictEqual((yield* seen(second)).ownConnectionLimit, null)
    })
  )

  it.effect("A6 each change is recorded as the admin's who started it, and the act itself", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(3)
      const act = yield* startedBy(admin, tagEu, found(word))
      const entries = yield* sql<{ actorKind: string; actorId: string; requestId: string; action: string }>`
        select actor_kind, actor_id, request_id, action
          from audit_entries
         where ${sql.in(
           "subject_id",
           some.map(({ id }) => id)
         )}
           and action = 'servers:assign'`
      assert.strictEqual(entries.length, 3)
      for (const entry of entries) {
        assert.deepStrictEqual(entry, {
          actorKind: "admin",
          actorId: admin.id,
          requestId: act.id,
          action: "servers:assign"
        })
      }
      const [started] = yield* sql<{ action: string; details: Record<string, unknown> }>`
        select action, details from audit_entries where subject_id = ${act.id}`
      assert.deepStrictEqual(started, {
        action: "bulk-acts:start",
        details: { act: "tag", add: ["eu"], remove: [], search: word, servers: 3 }
      })
    })
  )

  it.effect("A5 servers of another organization are never touched, and acts are not seen there", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const { admin } = yield* adminSession()
      const organizationId = yield* Fixtures.organization
      const foreign = yield* joined(unique("foreign"), { organizationId })
      const own = yield* joined()
      const preview = yield* acts.preview(admin, { action: tagEu, selection: ticked(own, foreign) })
      assert.strictEqual(preview.total, 1)
      const act = yield* startedBy(admin, tagEu, ticked(own, foreign))
      assert.deepStrictEqual(counts(act), { total: 1, changed: 1, same: 0, failed: 0, state: "done" })
      assert.deepStrictEqual((yield* seen(foreign)).tags, [])
      assert.strictEqual(yield* codeOf(acts.get(organizationId, act.id)), "bulk_act_not_found")
      assert.notInclude(
        (yield* acts.list(organizationId)).map(({ id }) => id),
        act.id
      )
      const group: BulkAction = { _tag: "Move", groupId: GroupId.make("019845e1-682f-7b02-a706-3b2422d13aec") }
      assert.strictEqual(yield* codeOf(acts.start(admin, { action: group, selection: ticked(own) })), "group_not_found")
    })
  )

  it.effect("asks for the permission of the act on one server", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const { admin } = yield* adminSession(yield* Fixtures.admin({ role: "operator" }))
      const owner = yield* adminSession()
      const selection = ticked(yield* joined())
      const retire: BulkAction = { _tag: "Retire", reason: "" }
      assert.strictEqual(yield* codeOf(acts.preview(admin, { action: retire, selection })), "permission_missing")
      assert.strictEqual(yield* codeOf(acts.start(admin, { action: retire, selection })), "permission_missing")
      assert.strictEqual((yield* acts.preview(admin, { action: tagEu, selection })).total, 1)
      const limited = yield* acts.start(owner.admin, { action: { _tag: "LimitConnections", limit: 1 }, selection })
      assert.strictEqual(yield* codeOf(acts.stop(admin, limited.id)), "permission_missing")
      yield* settle
      assert.strictEqual(yield* codeOf(acts.undo(admin, limited.id)), "permission_missing")
    })
  )

  it.effect("A5 an act stops where its admin was disabled or lost the permission", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const admins = yield* Admins
      const owner = yield* adminSession()
      const grace = yield* adminSession(yield* Fixtures.admin({ name: unique("grace") }))
      const heidi = yield* adminSession(yield* Fixtures.admin({ name: unique("heidi") }))
      const { servers: some, word } = yield* several(120)
      const one = yield* acts.start(grace.admin, { action: tagEu, selection: found(word) })
      const other = yield* acts.start(heidi.admin, {
        action: { _tag: "LimitConnections", limit: 3 },
        selection: found(word)
      })
      assert.strictEqual(yield* acts.advance, 100)
      yield* admins.disable(owner.admin, grace.admin.id)
      yield* admins.changeRole(owner.admin, heidi.admin.id, "operator")
      yield* settle
      const [stopped, lost] = [
        yield* acts.get(defaultOrganizationId, one.id),
        yield* acts.get(defaultOrganizationId, other.id)
      ]
      assert.deepStrictEqual(counts(stopped), { total: some.length, changed: 50, same: 0, failed: 0, state: "stopped" })
      assert.strictEqual(stopped.stoppedBecause, `${grace.admin.name} was disabled.`)
      assert.strictEqual(lost.stoppedBecause, `${heidi.admin.name} has the permission servers:limit no longer.`)
      assert.isTrue(stopped.undoable)
    })
  )

  it.effect("whoever stops an act leaves alone those that were not reached", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const { admin } = yield* adminSession()
      const { word } = yield* several(101)
      const { id } = yield* acts.start(admin, { action: tagEu, selection: found(word) })
      assert.strictEqual(yield* acts.advance, 100)
      const stopped = yield* acts.stop(admin, id)
      assert.deepStrictEqual(counts(stopped), { total: 101, changed: 100, same: 0, failed: 0, state: "stopped" })
      assert.strictEqual(stopped.stoppedBecause, null)
      assert.strictEqual(yield* acts.advance, 0)
      assert.strictEqual(yield* codeOf(acts.stop(admin, id)), "bulk_act_conflict")
    })
  )

  it.effect("goes on where it was when a run was cut off, and does nothing twice", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(20)
      const { id } = yield* acts.start(admin, { action: { _tag: "SetDuty", duty: "draining" }, selection: found(word) })
      // What a killed broker leaves behind: a transaction that never committed.
      yield* Effect.exit(sql.withTransaction(Effect.andThen(acts.advance, Effect.die("killed"))))
      assert.strictEqual((yield* acts.get(defaultOrganizationId, id)).changed, 0)
      // Two that both believe they lead.
      yield* Effect.all([acts.advance, acts.advance], { concurrency: "unbounded" })
      yield* settle
      const act = yield* acts.get(defaultOrganizationId, id)
      assert.deepStrictEqual(counts(act), { total: 20, changed: 20, same: 0, failed: 0, state: "done" })
      const [entries] = yield* sql<{ entries: number }>`
        select count(*)::int as entries
          from audit_entries
         where action = 'servers:drain'
           and ${sql.in(
             "subject_id",
             some.map(({ id }) => id)
           )}`
      assert.strictEqual(entries?.entries, 20)
    })
  )

  it.effect("loses nothing in a race with admins who change single servers", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const servers = yield* Servers
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(30)
      const { id } = yield* acts.start(admin, { action: tagEu, selection: found(word) })
      yield* Effect.all(
        [
          settle,
          Effect.forEach(some, (server) => servers.setDuty(defaultOrganizationId, server.id, "draining"), {
            concurrency: 4
          }),
          Effect.forEach(
            some,
            (server) => servers.assign(defaultOrganizationId, server.id, { labels: { rack: "b2" } }),
            {
              concurrency: 4
            }
          )
        ],
        { concurrency: "unbounded" }
      )
      yield* settle
      assert.strictEqual((yield* acts.get(defaultOrganizationId, id)).changed, 30)
      for (const server of yield* Effect.forEach(some, seen)) {
        assert.deepStrictEqual(
          [server.assignedTags, server.assignedLabels, server.duty],
          [["eu"], { rack: "b2" }, "draining"]
        )
      }
    })
  )

  it.effect("an act about nobody has ended already", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const { admin } = yield* adminSession()
      const act = yield* acts.start(admin, { action: tagEu, selection: found("nobodyiscalledthis") })
      assert.deepStrictEqual(counts(act), { total: 0, changed: 0, same: 0, failed: 0, state: "done" })
      assert.strictEqual(
        yield* codeOf(acts.start(admin, { action: tagEu, selection: found("nokey:x") })),
        "invalid_search"
      )
    })
  )

  it.effect("acts are gone 30 days after their end, those that were undone after their undoing", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const { admin } = yield* adminSession()
      const { word } = yield* several(2)
      const act = yield* startedBy(admin, tagEu, found(word))
      const undo = yield* acts.undo(admin, act.id)
      yield* settle
      yield* TestClock.adjust("29 days")
      assert.strictEqual(yield* acts.prune, 0)
      yield* TestClock.adjust("2 days")
      while ((yield* acts.prune) > 0);
      assert.strictEqual(yield* codeOf(acts.get(defaultOrganizationId, act.id)), "bulk_act_not_found")
      assert.strictEqual(yield* codeOf(acts.get(defaultOrganizationId, undo.id)), "bulk_act_not_found")
    })
  )
})

layer(Fixtures.layer, { timeout: 120_000 })("BulkActs of many", (it) => {
  it.effect(
    "2,000 servers are all changed, a bounded part at a time",
    () =>
      Effect.gen(function* () {
        const acts = yield* BulkActs
        const sql = yield* SqlClient.SqlClient
        const { admin } = yield* adminSession()
        yield* sql`
          insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                               public_key, endpoints, capabilities, tags, labels, registered_at)
          select gen_random_uuid(), ${defaultOrganizationId}, 'many-' || n, 'many-' || n, 'approved', now(), 'serving', now(),
                 sha256(n::text::bytea), '[]', '{}', '{}', '{}', now()
            from generate_series(1, 2000) n`
        yield* sql`
          insert into server_presence (server_id, liveness_since)
          select id, now() from servers where name_key like 'many-%'`
        const { id, total } = yield* acts.start(admin, { action: tagEu, selection: found("name:many-") })
        assert.strictEqual(total, 2_000)
        const runs: Array<number> = []
        for (let reached = yield* acts.advance; reached > 0; reached = yield* acts.advance) runs.push(reached)
        assert.deepStrictEqual(
          runs,
          Array.from({ length: 20 }, () => 100)
        )
        assert.deepStrictEqual(counts(yield* acts.get(defaultOrganizationId, id)), {
          total: 2_000,
          changed: 2_000,
          same: 0,
          failed: 0,
          state: "done"
        })
        const [tagged] = yield* sql<{ servers: number }>`
          select count(*)::int as servers from servers where name_key like 'many-%' and assigned_tags = '{eu}'`
        assert.strictEqual(tagged?.servers, 2_000)
      }),
    110_000
  )
})
