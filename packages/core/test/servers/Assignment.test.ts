import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { ServerAssignment, ServerPatch } from "@broker/domain/Server"
import { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { groups } from "../groups/tree.ts"
import { labelled, tagged } from "./assigning.ts"

const { joined, seen, unique } = Fixtures

const audited = Effect.fnUntraced(function* (id: string, action: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly details: unknown }>`
    select details from audit_entries where subject_id = ${id} and action = ${action} order by id`
  return rows.map(({ details }) => details)
})

layer(Fixtures.audited)("What admins say of a server", (it) => {
  it.effect(
    "stands beside what it declares: both together are its tags, and a label of theirs comes before its own",
    () =>
      Effect.gen(function* () {
        const servers = yield* Servers
        const server = yield* joined(unique("server"), {}, { tags: ["z", "eu"], labels: { rack: "1", tier: "gold" } })
        const { assignedLabels, assignedTags, declaredLabels, declaredTags, labels, tags } = yield* servers.assign(
          defaultOrganizationId,
          server.id,
          { tags: tagged("eu", "a"), labels: labelled({ rack: "2", owner: "ada" }) }
        )
        assert.deepStrictEqual(
          { assignedLabels, assignedTags, declaredLabels, declaredTags, labels, tags },
          {
            declaredTags: ["z", "eu"],
            declaredLabels: { rack: "1", tier: "gold" },
            assignedTags: ["eu", "a"],
            assignedLabels: { rack: "2", owner: "ada" },
            tags: ["eu", "a", "z"],
            labels: { rack: "2", tier: "gold", owner: "ada" }
          }
        )
      })
  )

  const patches: ReadonlyArray<ServerPatch> = [
    { tags: [] },
    { tags: ["own"] },
    { labels: {} },
    { labels: { rack: "9" } }
  ]
  it.effect.each(patches)("is not taken back by a server that sends %j", (patch) =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const [group] = yield* groups(defaultOrganizationId, [unique("eu")])
      const server = yield* joined(unique("server"), { tags: ["of-the-key"] }, { tags: ["a"], labels: { rack: "1" } })
      const assigned = {
        groupId: group?.id ?? null,
        tags: ["of-the-key", "of-an-admin"],
        labels: { rack: "2", owner: "ada" }
      }
      yield* servers.assign(defaultOrganizationId, server.id, {
        groupId: assigned.groupId,
        tags: tagged("of-an-admin"),
        labels: labelled(assigned.labels)
      })
      const after = yield* servers.update(defaultOrganizationId, server.id, patch)
      assert.deepInclude(after, {
        groupId: assigned.groupId,
        group: group?.path ?? null,
        assignedTags: assigned.tags,
        assignedLabels: assigned.labels,
        declaredTags: patch.tags ?? ["a"],
        declaredLabels: patch.labels ?? { rack: "1" }
      })
      assert.includeMembers([...after.tags], assigned.tags)
      assert.deepInclude(after.labels, assigned.labels)
    })
  )

  interface Given {
    readonly tags: ReadonlyArray<string>
    readonly labels: Readonly<Record<string, string>>
  }
  const nothing: Given = { tags: ["b"], labels: { rack: "2" } }
  const assignments: ReadonlyArray<readonly [ServerAssignment, Given]> = [
    [{}, nothing],
    [{ groupId: null }, nothing],
    [{ tags: { add: [], remove: ["a", "b", "none"] } }, { ...nothing, tags: [] }],
    [{ tags: { add: ["c"], remove: ["b"] } }, { ...nothing, tags: ["c"] }],
    [{ tags: { add: ["b", "c"], remove: ["b"] } }, { ...nothing, tags: ["b", "c"] }],
    [{ labels: { set: {}, remove: ["rack", "none"] } }, { ...nothing, labels: {} }],
    [{ labels: { set: { row: "7" }, remove: [] } }, { ...nothing, labels: { rack: "2", row: "7" } }],
    [{ labels: { set: { rack: "7" }, remove: ["rack"] } }, { ...nothing, labels: { rack: "7" } }]
  ]
  it.effect.each(assignments)(
    "%j changes what it names, and nothing of what a server declares",
    ([assignment, after]) =>
      Effect.gen(function* () {
        const servers = yield* Servers
        const server = yield* joined(unique("server"), {}, { tags: ["a", "b"], labels: { rack: "1" } })
        yield* servers.assign(defaultOrganizationId, server.id, { tags: tagged("b"), labels: labelled({ rack: "2" }) })
        assert.deepInclude(yield* servers.assign(defaultOrganizationId, server.id, assignment), {
          declaredTags: ["a", "b"],
          declaredLabels: { rack: "1" },
          assignedTags: after.tags,
          assignedLabels: after.labels
        })
      })
  )

  it.effect("A6 what several admins say at once all counts, of one field as well", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const [group] = yield* groups(defaultOrganizationId, [unique("eu")])
      const groupId = group?.id ?? null
      const { id } = yield* joined(unique("server"), { tags: ["old"] })
      const numbers = Array.from({ length: 4 }, (_, n) => n)
      yield* Effect.all(
        [
          servers.assign(defaultOrganizationId, id, { groupId, tags: { add: [], remove: ["old"] } }),
          ...numbers.map((n) => servers.assign(defaultOrganizationId, id, { tags: tagged(`t${n}`) })),
          ...numbers.map((n) => servers.assign(defaultOrganizationId, id, { labels: labelled({ [`l${n}`]: "1" }) }))
        ],
        { concurrency: "unbounded", discard: true }
      )
      const after = yield* servers.get(defaultOrganizationId, id)
      assert.strictEqual(after.groupId, groupId)
      assert.sameMembers(
        [...after.assignedTags],
        numbers.map((n) => `t${n}`)
      )
      assert.sameMembers(
        Object.keys(after.assignedLabels),
        numbers.map((n) => `l${n}`)
      )
    })
  )

  it.effect("more than 32 tags or labels of admins are refused, and then none are given", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const words = (prefix: string, many: number) => Array.from({ length: many }, (_, n) => `${prefix}${n}`)
      const pairs = (prefix: string, many: number) =>
        labelled(Object.fromEntries(words(prefix, many).map((word) => [word, "1"])))
      const { id } = yield* joined(unique("server"))
      const full = { tags: tagged(...words("a", 32)), labels: pairs("a", 32) }
      yield* servers.assign(defaultOrganizationId, id, full)
      const refused: ReadonlyArray<ServerAssignment> = [{ tags: tagged("b") }, { labels: labelled({ b: "1" }) }]
      for (const assignment of refused) {
        const { code } = yield* Effect.flip(servers.assign(defaultOrganizationId, id, assignment))
        assert.strictEqual(code, "assignment_too_large")
      }
      yield* servers.assign(defaultOrganizationId, id, { tags: { add: ["b"], remove: ["a0"] }, labels: pairs("a", 32) })
      const { assignedTags } = yield* servers.get(defaultOrganizationId, id)
      assert.deepStrictEqual([assignedTags.length, assignedTags.at(-1)], [32, "b"])
    })
  )

  it.effect("and what it declares may be 32 of each at the same time", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const words = (prefix: string) => Array.from({ length: 32 }, (_, n) => `${prefix}${n}`)
      const pairs = (prefix: string) => Object.fromEntries(words(prefix).map((word) => [word, "1"]))
      const server = yield* joined(unique("server"), {}, { tags: words("a"), labels: pairs("a") })
      const { labels, tags } = yield* servers.assign(defaultOrganizationId, server.id, {
        tags: tagged(...words("b")),
        labels: labelled(pairs("b"))
      })
      assert.deepStrictEqual([tags.length, Object.keys(labels).length], [64, 64])
    })
  )

  it.effect("A6 is on record with what it was before; what changes nothing is not", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const [group] = yield* groups(defaultOrganizationId, [unique("eu")])
      const { id, name } = yield* joined(unique("server"), { tags: ["x"] })
      const groupId = group?.id ?? null
      yield* servers.assign(defaultOrganizationId, id, { groupId, tags: tagged("x"), labels: labelled({ a: "b" }) })
      const same: ReadonlyArray<ServerAssignment> = [
        {},
        { groupId },
        { tags: { add: ["x"], remove: ["y"] } },
        { labels: { set: { a: "b" }, remove: ["c"] } }
      ]
      for (const assignment of same) {
        yield* servers.assign(defaultOrganizationId, id, assignment)
      }
      assert.deepStrictEqual(yield* audited(id, "servers:assign"), [
        { name, fields: ["groupId", "labels"], before: null, after: group?.path }
      ])
      const [change] = yield* servers.changes(defaultOrganizationId, id)
      assert.deepInclude(change, {
        action: "servers:assign",
        actorName: "ada",
        before: { group_id: null, assigned_labels: {} },
        after: { group_id: groupId, assigned_labels: { a: "b" } }
      })
    })
  )

  it.effect("A5 is said of no server of another organization", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const server = yield* joined()
      const other = yield* Fixtures.organization
      const nobody = ServerId.make("019845e1-682f-7b02-a706-3b2422d13aec")
      const codes = [
        yield* Effect.flip(servers.assign(other, server.id, { tags: tagged("mine") })),
        yield* Effect.flip(servers.assign(other, server.id, {})),
        yield* Effect.flip(servers.changes(other, server.id)),
        yield* Effect.flip(servers.limitConnections(other, server.id, null)),
        yield* Effect.flip(servers.assign(defaultOrganizationId, nobody, { tags: tagged("x") }))
      ].map(({ code }) => code)
      assert.deepStrictEqual(new Set(codes), new Set(["server_not_found"]))
      assert.deepStrictEqual((yield* seen(server)).assignedTags, [])
    })
  )

  it.effect("C2 A6 a limit of its own is taken back: the default holds again, and it is on record", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id, name } = yield* joined()
      yield* servers.limitConnections(defaultOrganizationId, id, 0)
      const limited = yield* servers.get(defaultOrganizationId, id)
      const free = yield* servers.limitConnections(defaultOrganizationId, id, null)
      yield* servers.limitConnections(defaultOrganizationId, id, null)
      assert.deepStrictEqual(
        [limited, free].map(({ connectionLimit, ownConnectionLimit }) => [connectionLimit, ownConnectionLimit]),
        [
          [0, 0],
          [1_000, null]
        ]
      )
      assert.deepStrictEqual(yield* audited(id, "servers:limit"), [
        { name, before: null, after: 0 },
        { name, before: 0, after: null }
      ])
    })
  )
})
