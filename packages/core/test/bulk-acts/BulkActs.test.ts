import { Admins } from "@broker/core/admins/Admins"
import { BulkActs } from "@broker/core/bulk-acts/BulkActs"
import { BulkActsPolicy } from "@broker/core/bulk-acts/BulkActsPolicy"
import { Groups } from "@broker/core/groups/Groups"
import { Leadership } from "@broker/core/nodes/Leadership"
import { LeadershipPolicy } from "@broker/core/nodes/LeadershipPolicy"
import { Servers } from "@broker/core/servers/Servers"
import type { BulkAct, BulkAction, Selection } from "@broker/domain/BulkAct"
import { GroupName } from "@broker/domain/Group"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { GroupId, type ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const { adminSession, joined, seen, unique } = Fixtures

const found = (text: string): Selection => ({ _tag: "Found", query: { ...Fixtures.everyServer, text } })
const ticked = (...servers: ReadonlyArray<{ readonly id: ServerId }>): Selection => ({
  _tag: "Ticked",
  ids: servers.map(({ id }) => id)
})

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

/** A node that runs the jobs for as long as any test takes: its clock is the test's, the database's is not. */
const leading = Layer.effectDiscard(
  Effect.gen(function* () {
    const { whileLeader } = yield* Leadership
    const leads = yield* Deferred.make<void>()
    yield* Effect.raceFirst(whileLeader(Deferred.succeed(leads, undefined)), Deferred.await(leads))
  })
).pipe(
  Layer.provideMerge(Leadership.layer),
  Layer.provide(
    Layer.succeed(LeadershipPolicy, {
      ...LeadershipPolicy.defaultValue(),
      ttl: Duration.days(3_650),
      renewEvery: Duration.days(3_000)
    })
  )
)

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
  const { changes } = yield* acts.preview(admin, { action, selection })
  const { id } = yield* acts.start(admin, { action, selection, expected: changes })
  yield* settle
  return yield* acts.get(admin.organizationId, id)
})

const counts = ({ changed, failed, same, state, total }: BulkAct) => ({ changed, failed, same, state, total })

const tagEu: BulkAction = { _tag: "Tag", add: ["eu"], remove: [] }

layer(leading.pipe(Layer.provideMerge(Fixtures.audited)), { timeout: 120_000 })("BulkActs", (it) => {
  it.effect("a preview tells what would change, and an act does just that", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const servers = yield* Servers
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(5)
      const [first, second] = some
      assert.isDefined(first)
      assert.isDefined(second)
      yield* servers.assign(defaultOrganizationId, first.id, { tags: { add: ["eu", "old"], remove: [] } })
      yield* servers.assign(defaultOrganizationId, second.id, {
        tags: { add: Array.from({ length: 32 }, (_, at) => `t${at}`), remove: [] }
      })
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
        yield* servers.assign(defaultOrganizationId, alike.id, {
          tags: { add: ["eu", "gpu"], remove: [] },
          labels: { set: { rack: "b2" }, remove: [] }
        })
        yield* servers.update(defaultOrganizationId, tagged.id, { tags: ["declared"], labels: { declared: "x" } })
        yield* servers.assign(defaultOrganizationId, moved.id, {
          tags: { add: ["old"], remove: [] },
          labels: { set: { row: "1", rack: "a1" }, remove: [] },
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
      const sql = yield* SqlClient.SqlClient
      const entries = yield* sql<{ action: string; actorKind: string; reason: string | null }>`
          select action, actor_kind, details ->> 'reason' as reason
            from audit_entries
           where subject_id in (${one.id}, ${other.id})
             and action = 'bulk-acts:stop'
        order by id`
      assert.deepStrictEqual(
        entries,
        [stopped, lost].map(({ stoppedBecause }) => ({
          action: "bulk-acts:stop",
          actorKind: "broker",
          reason: stoppedBecause
        }))
      )
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

  it.effect("whoever stops and undoes an act at work puts back all that it did", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(40)
      for (let round = 0; round < 3; round++) {
        const { id } = yield* acts.start(admin, { action: tagEu, selection: found(word) })
        const run = yield* Effect.forkChild(acts.advance)
        while ((yield* acts.get(defaultOrganizationId, id)).changed < 5);
        const stopped = yield* acts.stop(admin, id)
        assert.strictEqual(stopped.state, "stopped")
        const undo = yield* acts.undo(admin, id)
        assert.strictEqual(undo.total, stopped.changed)
        yield* Fiber.join(run)
        yield* settle
        assert.strictEqual((yield* acts.get(defaultOrganizationId, id)).changed, stopped.changed)
        assert.deepStrictEqual(counts(yield* acts.get(defaultOrganizationId, undo.id)), {
          total: stopped.changed,
          changed: stopped.changed,
          same: 0,
          failed: 0,
          state: "done"
        })
        const tags = (yield* Effect.forEach(some, seen)).flatMap(({ assignedTags }) => assignedTags)
        assert.deepStrictEqual(tags, [])
      }
    })
  )

  it.effect("A6 of two acts over one server, each entry holds what that act changed", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const sql = yield* SqlClient.SqlClient
      const grace = yield* adminSession(yield* Fixtures.admin({ name: unique("grace") }))
      const heidi = yield* adminSession(yield* Fixtures.admin({ name: unique("heidi") }))
      const server = yield* joined()
      yield* acts.start(grace.admin, { action: tagEu, selection: ticked(server) })
      yield* acts.start(heidi.admin, { action: { _tag: "LimitConnections", limit: 3 }, selection: ticked(server) })
      assert.strictEqual(yield* acts.advance, 2)
      const entries = yield* sql<{ actorName: string; after: unknown }>`
          select actor_name, jsonb_path_query_array(changes, '$[*].after') as after
            from audit_entries
           where subject_id = ${server.id}
             and action in ('servers:assign', 'servers:limit')
        order by id`
      assert.deepStrictEqual(entries, [
        { actorName: grace.admin.name, after: [{ assigned_tags: ["eu"] }] },
        { actorName: heidi.admin.name, after: [{ connection_limit: 3 }] }
      ])
    })
  )

  it.effect("moves servers while admins change the groups", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const groups = yield* Groups
      const { admin } = yield* adminSession()
      const limitedTo = (connectionLimit: number) => ({
        parentId: null,
        heartbeatIntervalSeconds: null,
        verificationPeriodSeconds: null,
        connectionLimit
      })
      const [one, other] = yield* Effect.all([
        groups.create(defaultOrganizationId, { ...limitedTo(1), name: GroupName.make(unique("one")) }),
        groups.create(defaultOrganizationId, { ...limitedTo(1), name: GroupName.make(unique("other")) })
      ])
      const { servers: some, word } = yield* several(40)
      const move = (groupId: GroupId) =>
        acts.start(admin, { action: { _tag: "Move", groupId }, selection: found(word) })
      const edits = Effect.forEach(
        Array.from({ length: 15 }, (_, at) => at + 2),
        (limit) =>
          Effect.forEach([one, other], ({ id, name }) =>
            groups.update(defaultOrganizationId, id, { ...limitedTo(limit), name })
          ),
        { concurrency: 2, discard: true }
      )
      const [there, back] = yield* Effect.all([move(one.id), move(other.id)])
      yield* Effect.all([settle, edits], { concurrency: "unbounded" })
      for (const { id } of [there, back]) {
        const { failed, state, total } = yield* acts.get(defaultOrganizationId, id)
        assert.deepStrictEqual({ failed, state, total }, { failed: 0, state: "done", total: 40 })
      }
      const limits = new Map(
        yield* Effect.forEach([one, other], ({ id }) =>
          Effect.map(groups.get(defaultOrganizationId, id), (group) => [id, group.connectionLimit] as const)
        )
      )
      for (const server of yield* Effect.forEach(some, seen)) {
        assert.strictEqual(server.connectionLimit, limits.get(server.groupId ?? GroupId.make("")))
      }
    })
  )

  it.effect("a server that cannot be changed in time, or at all, holds up no other", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const sql = yield* SqlClient.SqlClient
      const { tries } = yield* BulkActsPolicy
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(6)
      const [slow, broken, ...others] = some
      assert.isDefined(slow)
      assert.isDefined(broken)
      yield* sql`
        create function obstruct() returns trigger language plpgsql as $$
        begin
          raise exception 'in the way' using errcode = tg_argv[0];
        end
        $$`
      const obstruct = (name: string, { id }: { readonly id: ServerId }, state: string) =>
        sql`
          create trigger ${sql(name)} before update on servers for each row
            when (old.id = ${sql.literal(`'${id}'`)}) execute function obstruct(${sql.literal(`'${state}'`)})`
      yield* obstruct("obstructed_slow", slow, "57014")
      yield* obstruct("obstructed_broken", broken, "XX001")
      const [first, second] = yield* Effect.all([
        acts.start(admin, { action: tagEu, selection: found(word) }),
        acts.start(admin, { action: { _tag: "LimitConnections", limit: 3 }, selection: found(word) })
      ])
      for (let run = 0; run < tries + 2; run++) yield* acts.advance
      for (const { id } of [first, second]) {
        const act = yield* acts.get(defaultOrganizationId, id)
        assert.deepStrictEqual(counts(act), { total: 6, changed: 4, same: 0, failed: 2, state: "done" })
        assert.deepStrictEqual(act.problems, [
          { problem: "Something went wrong on the broker.", servers: 1 },
          { problem: "The broker could not change it in time.", servers: 1 }
        ])
      }
      for (const server of yield* Effect.forEach(others, seen)) assert.deepStrictEqual(server.assignedTags, ["eu"])
      yield* sql`drop trigger obstructed_slow on servers`
      yield* sql`drop trigger obstructed_broken on servers`

      // That the database goes away is no fault of the server.
      yield* obstruct("obstructed_slow", slow, "57P01")
      const { id } = yield* acts.start(admin, {
        action: { _tag: "LimitConnections", limit: 4 },
        selection: ticked(slow)
      })
      for (let run = 0; run < tries + 2; run++) assert.isTrue(Exit.isFailure(yield* Effect.exit(acts.advance)))
      yield* sql`drop trigger obstructed_slow on servers`
      yield* settle
      assert.strictEqual((yield* acts.get(defaultOrganizationId, id)).changed, 1)
    })
  )

  it.effect("starts with what was previewed, or not at all", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const servers = yield* Servers
      const { admin } = yield* adminSession()
      const { word } = yield* several(3)
      const retire: BulkAction = { _tag: "Retire", reason: "" }
      const suspend: BulkAction = { _tag: "Suspend", reason: "" }
      const selection = found(word)
      const { changes } = yield* acts.preview(admin, { action: retire, selection })
      assert.strictEqual(changes, 3)
      const late = yield* joined(`${word}-late`)
      const refused = yield* Effect.flip(acts.start(admin, { action: retire, selection, expected: changes }))
      assert.strictEqual(refused.code, "bulk_selection_changed")
      assert.strictEqual(refused.detail, "It would change 4 servers now, not 3.")
      for (const action of [retire, suspend]) {
        assert.strictEqual(yield* codeOf(acts.start(admin, { action, selection })), "bulk_selection_changed")
      }
      assert.strictEqual(
        yield* codeOf(acts.start(admin, { action: tagEu, selection, expected: 3 })),
        "bulk_selection_changed"
      )
      assert.strictEqual(yield* acts.advance, 0)
      // Those that are so already are none that it changes.
      yield* servers.retire(defaultOrganizationId, late.id, "")
      const { id } = yield* acts.start(admin, { action: retire, selection, expected: changes })
      yield* settle
      const retired = yield* acts.get(defaultOrganizationId, id)
      assert.deepStrictEqual(counts(retired), { total: 4, changed: 3, same: 1, failed: 0, state: "done" })
    })
  )

  it.effect("A6 the entry of a start tells all that chose its servers", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const groups = yield* Groups
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* adminSession()
      const group = yield* groups.create(defaultOrganizationId, {
        parentId: null,
        name: GroupName.make(unique("group")),
        heartbeatIntervalSeconds: null,
        verificationPeriodSeconds: null,
        connectionLimit: null
      })
      const { id } = yield* acts.start(admin, {
        action: tagEu,
        selection: {
          _tag: "Found",
          query: {
            ...Fixtures.everyServer,
            text: "fra",
            statuses: ["online"],
            tags: ["us"],
            verified: false,
            groupId: group.id
          }
        }
      })
      const [entry] = yield* sql<{ details: unknown }>`select details from audit_entries where subject_id = ${id}`
      assert.deepStrictEqual(entry?.details, {
        act: "tag",
        add: ["eu"],
        remove: [],
        search: "fra",
        statuses: ["online"],
        tags: ["us"],
        verified: false,
        inGroup: group.id,
        servers: 0
      })
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
            (server) =>
              servers.assign(defaultOrganizationId, server.id, { labels: { set: { rack: "b2" }, remove: [] } }),
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

/** Parts that are small beside what is acted on. */
const inParts = Layer.succeed(BulkActsPolicy, { ...BulkActsPolicy.defaultValue(), atOnce: 40, maxServers: 250 })

layer(leading.pipe(Layer.provideMerge(Fixtures.layer), Layer.provide(inParts)), { timeout: 120_000 })(
  "BulkActs of many",
  (it) => {
    it.effect("all are noted, changed and put back, a bounded part at a time", () =>
      Effect.gen(function* () {
        const acts = yield* BulkActs
        const sql = yield* SqlClient.SqlClient
        const { admin } = yield* adminSession()
        yield* sql`
          insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                               public_key, endpoints, capabilities, tags, labels, registered_at)
          select gen_random_uuid(), ${defaultOrganizationId}, 'many-' || n, 'many-' || n, 'approved', now(), 'serving', now(),
                 sha256(n::text::bytea), '[]', '{}', '{}', '{}', now()
            from generate_series(1, 251) n`
        yield* sql`
          insert into server_presence (server_id, liveness_since)
          select id, now() from servers where name_key like 'many-%'`
        const runs = Effect.gen(function* () {
          const reached: Array<number> = []
          for (let run = yield* acts.advance; run > 0; run = yield* acts.advance) reached.push(run)
          return reached
        })
        const tagged = Effect.map(
          sql<{ servers: number }>`
            select count(*)::int as servers from servers where name_key like 'many-%' and assigned_tags = '{eu}'`,
          ([row]) => row?.servers
        )
        assert.strictEqual(
          yield* codeOf(acts.start(admin, { action: tagEu, selection: found("name:many-") })),
          "bulk_act_conflict"
        )
        yield* sql`update servers set name = 'other', name_key = 'other' where name_key = 'many-251'`
        const { id } = yield* acts.start(admin, { action: tagEu, selection: found("name:many-"), expected: 250 })
        const whole = { total: 250, changed: 250, same: 0, failed: 0, state: "done" } as const
        assert.deepStrictEqual(yield* runs, [100, 100, 50])
        assert.deepStrictEqual(counts(yield* acts.get(defaultOrganizationId, id)), whole)
        assert.strictEqual(yield* tagged, 250)
        const undo = yield* acts.undo(admin, id)
        assert.deepStrictEqual(yield* runs, [100, 100, 50])
        assert.deepStrictEqual(counts(yield* acts.get(defaultOrganizationId, undo.id)), whole)
        assert.strictEqual(yield* tagged, 0)
      })
    )
  }
)

layer(Fixtures.audited, { timeout: 120_000 })("BulkActs on several nodes", (it) => {
  it.effect("J1 J2 where one is cut off in the middle of a run, nothing is half done, and another goes on", () =>
    Effect.gen(function* () {
      const acts = yield* BulkActs
      const sql = yield* SqlClient.SqlClient
      const { admin } = yield* adminSession()
      const { servers: some, word } = yield* several(40)
      const { id } = yield* acts.start(admin, { action: { _tag: "SetDuty", duty: "draining" }, selection: found(word) })
      const reached = Effect.map(acts.get(defaultOrganizationId, id), ({ changed }) => changed)
      const run = yield* Effect.forkChild(acts.advance)
      while ((yield* reached) < 5);
      yield* Fiber.interrupt(run)
      const before = yield* reached
      assert.isBelow(before, 40)
      // Another took over, though the first one still believes that it leads.
      yield* sql`update leases set holder = gen_random_uuid(), token = token + 1`
      assert.strictEqual((yield* Effect.flip(acts.advance))._tag, "NotLeader")
      assert.strictEqual(yield* reached, before)
      yield* sql`update leases set expires_at = '-infinity'`
      // Two runs at once, as if one of them were late.
      yield* Effect.all([settle, settle], { concurrency: "unbounded" }).pipe(
        Effect.andThen(settle),
        Effect.provide(Layer.fresh(leading))
      )
      const act = yield* acts.get(defaultOrganizationId, id)
      assert.deepStrictEqual(counts(act), { total: 40, changed: 40, same: 0, failed: 0, state: "done" })
      const [entries] = yield* sql<{ entries: number }>`
        select count(*)::int as entries
          from audit_entries
         where action = 'servers:drain'
           and ${sql.in(
             "subject_id",
             some.map(({ id }) => id)
           )}`
      assert.strictEqual(entries?.entries, 40)
    }).pipe(Effect.provide(Layer.fresh(leading)))
  )
})
