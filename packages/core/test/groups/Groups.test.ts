import { Signals } from "@broker/core/database/Signals"
import { Groups } from "@broker/core/groups/Groups"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Servers } from "@broker/core/servers/Servers"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import { GroupName, type GroupRequest, maxGroupDepth, pathKey } from "@broker/domain/Group"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Layer, Result, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { put } from "../discovery/fleet.ts"
import { groups, request, requestOf } from "./tree.ts"

const { beat, boot, joined, keyPair, seen, unique, verified } = Fixtures

const codeOf = <A, R>(effect: Effect.Effect<A, { readonly code: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ code }) => code)

const nobody = GroupId.make("019845e1-682f-7b02-a706-3b2422d13aec")

/** The paths of a tree, in its order. */
const paths = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const service = yield* Groups
  return (yield* service.tree(organizationId)).map(({ path }) => path)
})

/** How many connections each of the servers may have, in their order. */
const limits = Effect.fnUntraced(function* (organizationId: OrganizationId, ids: ReadonlyArray<ServerId>) {
  const servers = yield* Servers
  return yield* Effect.forEach(ids, (id) =>
    Effect.map(servers.get(organizationId, id), ({ connectionLimit }) => connectionLimit)
  )
})

/** A row that leaves the limit to its group. */
const inGroup = (name: string, id: GroupId | undefined, fields: { readonly admission?: string } = {}) => ({
  name,
  groupId: id ?? null,
  ...fields
})

/** Servers without a limit of their own. */
const putInto = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  ids: ReadonlyArray<GroupId | undefined>,
  fields: { readonly admission?: string } = {}
) {
  const sql = yield* SqlClient.SqlClient
  const servers = yield* put(
    organizationId,
    ids.map((id, at) => inGroup(unique(`server-${at}`), id, fields))
  )
  yield* sql`update servers set connection_limit = null where ${sql.in("id", servers)}`
  return servers
})

describe("Names and paths of groups", () => {
  const wrong = ["", " eu", "eu ", "a/b", "a／b", "℀", "a\u0000b", "a\u200bb", "x".repeat(65)]
  it.each(wrong)("%j is no name", (name) => {
    assert.isFalse(Schema.is(GroupName)(name))
  })
  it.each(["eu", "Frankfurt am Main", "São Paulo", "东京", "x".repeat(64), "a.b-c_d"])("%j is one", (name) => {
    assert.isTrue(Schema.is(GroupName)(name))
  })
  it("paths are compared folded, with or without a slash at the ends", () => {
    for (const path of ["EU/Frankfurt", "eu/frankfurt/", "/eu/FRANKFURT", " eu / frankfurt "]) {
      assert.strictEqual(pathKey(path), "eu/frankfurt")
    }
  })
})

layer(Fixtures.layer)("Groups", (it) => {
  it.effect("the tree is in the order of its paths, and counts what is in each group and below", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const [eu, frankfurt, rack, , west] = yield* groups(organizationId, [
        "eu",
        "eu/frankfurt",
        "eu/frankfurt/rack",
        "eu/amsterdam",
        "eu-west"
      ])
      yield* putInto(organizationId, [eu?.id, frankfurt?.id, rack?.id, rack?.id, west?.id, undefined])
      yield* putInto(organizationId, [rack?.id], { admission: "pending" })
      yield* putInto(organizationId, [rack?.id], { admission: "retired" })
      const tree = yield* service.tree(organizationId)
      assert.deepStrictEqual(
        tree.map(({ availableBelow, depth, path, servers, serversBelow }) => [
          path,
          depth,
          servers,
          serversBelow,
          availableBelow
        ]),
        [
          ["eu", 1, 1, 5, 4],
          ["eu/amsterdam", 2, 0, 0, 0],
          ["eu/frankfurt", 2, 1, 4, 3],
          ["eu/frankfurt/rack", 3, 3, 3, 2],
          ["eu-west", 1, 1, 1, 1]
        ]
      )
    })
  )

  it.effect("what a group leaves open, the ones above it say; the nearest has the last word", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const top = yield* service.create(
        organizationId,
        request("top", { heartbeatIntervalSeconds: 10, connectionLimit: 5 })
      )
      const middle = yield* service.create(
        organizationId,
        request("middle", { parentId: top.id, verificationPeriodSeconds: 600 })
      )
      const leaf = yield* service.create(
        organizationId,
        request("leaf", { parentId: middle.id, heartbeatIntervalSeconds: 60, connectionLimit: 0 })
      )
      const held = (group: typeof leaf) => [
        group.effectiveHeartbeatIntervalSeconds,
        group.effectiveVerificationPeriodSeconds,
        group.effectiveConnectionLimit
      ]
      assert.deepStrictEqual([top, middle, leaf].map(held), [
        [10, null, 5],
        [10, 600, 5],
        [60, 600, 0]
      ])
      yield* service.update(organizationId, top.id, requestOf(top, { heartbeatIntervalSeconds: 20 }))
      yield* service.update(organizationId, middle.id, requestOf(middle, { verificationPeriodSeconds: null }))
      yield* service.update(organizationId, leaf.id, requestOf(leaf, { heartbeatIntervalSeconds: null }))
      assert.deepStrictEqual((yield* service.tree(organizationId)).map(held), [
        [20, null, 5],
        [20, null, 5],
        [20, null, 0]
      ])
    })
  )

  it.effect("a group that moves or gets another name takes all below it along", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const servers = yield* Servers
      const organizationId = yield* Fixtures.organization
      const [a, b, c] = yield* groups(organizationId, ["a", "a/b", "a/b/c", "d"])
      const d = yield* service.find(organizationId, "d")
      const [server] = yield* putInto(organizationId, [c?.id])
      if (a === undefined || b === undefined || server === undefined) return assert.fail()
      yield* service.update(organizationId, b.id, requestOf(b, { parentId: d.id, name: "B" }))
      assert.deepStrictEqual(yield* paths(organizationId), ["a", "d", "d/B", "d/B/c"])
      const { group, groupId } = yield* servers.get(organizationId, server)
      assert.deepStrictEqual({ group, groupId }, { group: "d/B/c", groupId: c?.id ?? null })
    })
  )

  it.effect("connection limits of servers follow their group's, unless they have one of their own", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const servers = yield* Servers
      const organizationId = yield* Fixtures.organization
      const [top, leaf] = yield* groups(organizationId, ["top", "top/leaf"])
      if (top === undefined || leaf === undefined) return assert.fail()
      const ids = yield* putInto(organizationId, [leaf.id, leaf.id, undefined])
      const [, own] = ids
      if (own === undefined) return assert.fail()
      yield* servers.limitConnections(organizationId, own, 7)
      assert.deepStrictEqual(yield* limits(organizationId, ids), [1_000, 7, 1_000])
      yield* service.update(organizationId, top.id, requestOf(top, { connectionLimit: 50 }))
      assert.deepStrictEqual(yield* limits(organizationId, ids), [50, 7, 1_000])
      yield* service.update(organizationId, leaf.id, requestOf(leaf, { connectionLimit: 3 }))
      assert.deepStrictEqual(yield* limits(organizationId, ids), [3, 7, 1_000])
      yield* servers.limitConnections(organizationId, own, null)
      assert.deepStrictEqual(yield* limits(organizationId, ids), [3, 3, 1_000])
      yield* servers.assign(organizationId, own, { groupId: top.id })
      assert.deepStrictEqual(yield* limits(organizationId, ids), [3, 50, 1_000])
      yield* servers.assign(organizationId, own, { groupId: null })
      assert.deepStrictEqual(yield* limits(organizationId, ids), [3, 1_000, 1_000])
      yield* service.update(organizationId, leaf.id, requestOf(leaf, { parentId: null, connectionLimit: null }))
      assert.deepStrictEqual(yield* limits(organizationId, ids), [1_000, 1_000, 1_000])
    })
  )

  const misplaced: ReadonlyArray<readonly [what: string, at: number, parent: number]> = [
    ["itself", 0, 0],
    ["one in it", 0, 1],
    ["one far below it", 0, maxGroupDepth - 1]
  ]
  it.effect.each(misplaced)("a group cannot stand in %s", ([, at, parent]) =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const deep = Array.from({ length: maxGroupDepth }, (_, n) =>
        Array.from({ length: n + 1 }, (_, at) => `level-${at}`).join("/")
      )
      const made = yield* groups(organizationId, deep)
      const [group, into] = [made[at], made[parent]]
      if (group === undefined || into === undefined) return assert.fail()
      const refused = service.update(organizationId, group.id, requestOf(group, { parentId: into.id }))
      assert.strictEqual(yield* codeOf(refused), "group_misplaced")
      assert.deepStrictEqual(yield* paths(organizationId), deep)
    })
  )

  it.effect("8 deep is deep enough, whether one is made or many are moved", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const made = yield* groups(
        organizationId,
        Array.from({ length: maxGroupDepth }, (_, n) =>
          Array.from({ length: n + 1 }, (_, at) => `level-${at}`).join("/")
        )
      )
      const [top] = made
      const deepest = made.at(-1)
      if (top === undefined || deepest === undefined) return assert.fail()
      const deeper = service.create(organizationId, request("b", { parentId: deepest.id }))
      assert.strictEqual(yield* codeOf(deeper), "group_misplaced")
      const other = yield* service.create(organizationId, request("other"))
      const moved = service.update(organizationId, top.id, requestOf(top, { parentId: other.id }))
      assert.strictEqual(yield* codeOf(moved), "group_misplaced")
    })
  )

  it.effect("of two moves at once that would make a ring together, one is refused", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      for (let round = 0; round < 5; round++) {
        const [a, b] = yield* groups(organizationId, [`a${round}`, `b${round}`])
        if (a === undefined || b === undefined) return assert.fail()
        const results = yield* Effect.all(
          [
            Effect.result(service.update(organizationId, a.id, requestOf(a, { parentId: b.id }))),
            Effect.result(service.update(organizationId, b.id, requestOf(b, { parentId: a.id })))
          ],
          { concurrency: "unbounded" }
        )
        const codes = results.flatMap((one) => (Result.isFailure(one) ? [one.failure.code] : []))
        assert.deepStrictEqual(codes, ["group_misplaced"])
      }
      assert.lengthOf(yield* paths(organizationId), 10)
    })
  )

  it.effect("the database itself refuses a ring, whoever asks, and however many rows at once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const [a, b] = yield* groups(organizationId, ["a", "b"])
      const ring = sql`
        update groups
           set parent_id = case id when ${a?.id ?? null}::uuid then ${b?.id ?? null}::uuid else ${a?.id ?? null}::uuid end
         where organization_id = ${organizationId}`
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ring)))
      assert.deepStrictEqual(yield* paths(organizationId), ["a", "b"])
    })
  )

  it.effect("of ten of one name at one place at once, one is made; at another place the name is free", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const results = yield* Effect.forEach(
        Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? "Frankfurt" : "FRANKFURT")),
        (name) => Effect.result(service.create(organizationId, request(name))),
        { concurrency: "unbounded" }
      )
      const codes = results.flatMap((one) => (Result.isFailure(one) ? [one.failure.code] : []))
      assert.deepStrictEqual([codes.length, new Set(codes)], [9, new Set(["group_name_taken"])])
      const { id } = yield* service.find(organizationId, "frankfurt")
      const inside = yield* service.create(organizationId, request("frankfurt", { parentId: id }))
      const up = service.update(organizationId, inside.id, requestOf(inside, { parentId: null }))
      assert.strictEqual(yield* codeOf(up), "group_name_taken")
      // Its own name is nobody else's.
      yield* service.update(organizationId, id, request("frankfurt"))
    })
  )

  it.effect("is found by id, and by path in any case", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const [, frankfurt] = yield* groups(organizationId, ["EU", "EU/Frankfurt", nobody])
      for (const by of [frankfurt?.id ?? "", "eu/frankfurt", "/EU/FRANKFURT/"]) {
        assert.strictEqual((yield* service.find(organizationId, by)).id, frankfurt?.id)
      }
      assert.strictEqual((yield* service.find(organizationId, nobody)).path, nobody)
      for (const by of ["frankfurt", "eu/", "eu/fra", "", "%"]) {
        const found = yield* Effect.match(service.find(organizationId, by), {
          onFailure: ({ code }) => code,
          onSuccess: ({ path }) => path
        })
        assert.strictEqual(found, by === "eu/" ? "EU" : "group_not_found")
      }
    })
  )

  it.effect("A5 a group of another organization is nowhere, and nothing is put into it", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const servers = yield* Servers
      const organizationId = yield* Fixtures.organization
      const other = yield* Fixtures.organization
      const [theirs] = yield* groups(other, ["theirs"])
      const [ours] = yield* groups(organizationId, ["ours"])
      const [server] = yield* put(organizationId, [{ name: "fra" }])
      if (theirs === undefined || ours === undefined || server === undefined) return assert.fail()
      const codes = [
        yield* codeOf(service.get(organizationId, theirs.id)),
        yield* codeOf(service.find(organizationId, theirs.id)),
        yield* codeOf(service.find(organizationId, "theirs")),
        yield* codeOf(service.update(organizationId, theirs.id, request("mine"))),
        yield* codeOf(service.delete(organizationId, theirs.id)),
        yield* codeOf(service.preview(organizationId, theirs.id, request("mine"))),
        yield* codeOf(service.preview(organizationId, ours.id, requestOf(ours, { parentId: theirs.id }))),
        yield* codeOf(service.create(organizationId, request("mine", { parentId: theirs.id }))),
        yield* codeOf(service.create(organizationId, request("mine", { parentId: nobody }))),
        yield* codeOf(service.update(organizationId, ours.id, requestOf(ours, { parentId: theirs.id }))),
        yield* codeOf(servers.assign(organizationId, server, { groupId: theirs.id })),
        yield* codeOf(Fixtures.registrationKey({ organizationId, groupId: theirs.id }))
      ]
      assert.deepStrictEqual(new Set(codes), new Set(["group_not_found"]))
      assert.deepStrictEqual(yield* paths(other), ["theirs"])
    })
  )

  const changes: ReadonlyArray<readonly [what: string, change: Partial<GroupRequest>, ...ReadonlyArray<number>]> = [
    ["nothing", {}, 4, 0, 0, 0],
    ["the interval", { heartbeatIntervalSeconds: 12 }, 4, 3, 0, 0],
    ["the interval to what is usual anyway", { heartbeatIntervalSeconds: 30 }, 4, 0, 0, 0],
    ["the period", { verificationPeriodSeconds: 3_600 }, 4, 0, 4, 0],
    ["the limit", { connectionLimit: 9 }, 4, 0, 0, 3],
    ["the name", { name: "else" }, 4, 0, 0, 0]
  ]
  it.effect.each(changes)("a preview of %s tells what the change then does", ([, change, ...expected]) =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const [top, leaf] = yield* groups(organizationId, ["top", "top/leaf", "other"])
      if (top === undefined || leaf === undefined) return assert.fail()
      const own = yield* service.update(
        organizationId,
        leaf.id,
        requestOf(leaf, { heartbeatIntervalSeconds: 5, connectionLimit: null })
      )
      const other = yield* service.find(organizationId, "other")
      const ids = yield* putInto(organizationId, [top.id, top.id, top.id, own.id, other.id])
      const [limited] = ids
      if (limited === undefined) return assert.fail()
      yield* (yield* Servers).limitConnections(organizationId, limited, 11)
      yield* putInto(organizationId, [top.id], { admission: "retired" })
      const before = yield* limits(organizationId, ids)
      const {
        intervals,
        limits: limited_,
        periods,
        servers
      } = yield* service.preview(organizationId, top.id, requestOf(top, change))
      assert.deepStrictEqual([servers, intervals, periods, limited_], expected)
      yield* service.update(organizationId, top.id, requestOf(top, change))
      const after = yield* limits(organizationId, ids)
      assert.strictEqual(after.filter((limit, at) => limit !== before[at]).length, limited_)
    })
  )

  it.effect("a preview of another place tells what comes from there", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const [a] = yield* groups(organizationId, ["a"])
      const b = yield* service.create(organizationId, request("b", { heartbeatIntervalSeconds: 5, connectionLimit: 1 }))
      if (a === undefined) return assert.fail()
      yield* putInto(organizationId, [a.id, a.id])
      assert.deepStrictEqual(
        { ...(yield* service.preview(organizationId, a.id, requestOf(a, { parentId: b.id }))) },
        { servers: 2, intervals: 2, periods: 0, limits: 2 }
      )
    })
  )

  it.effect("A7 a group that holds servers, groups or keys that still let servers in stays, and tells how many", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const keys = yield* RegistrationKeys
      const servers = yield* Servers
      const organizationId = yield* Fixtures.organization
      const [top, leaf] = yield* groups(organizationId, ["top", "top/leaf"])
      if (top === undefined || leaf === undefined) return assert.fail()
      const [server] = yield* putInto(organizationId, [top.id])
      const key = yield* Fixtures.registrationKey({ organizationId, groupId: top.id, useLimit: 2 })
      const refused = yield* Effect.flip(service.delete(organizationId, top.id))
      assert.deepInclude(refused, { code: "group_in_use", servers: 1, groups: 1, registrationKeys: 1 })
      if (server === undefined) return assert.fail()
      yield* servers.retire(organizationId, server, "")
      yield* service.delete(organizationId, leaf.id)
      const again = yield* Effect.flip(service.delete(organizationId, top.id))
      assert.deepInclude(again, { code: "group_in_use", servers: 0, groups: 0, registrationKeys: 1 })
      yield* keys.revoke(organizationId, key.id)
      yield* service.delete(organizationId, top.id)
      assert.deepStrictEqual(yield* paths(organizationId), [])
      assert.deepInclude(yield* servers.get(organizationId, server), { groupId: null, group: null })
      const { items } = yield* keys.list(organizationId, { states: [], limit: 10, cursor: null })
      assert.deepStrictEqual(
        items.map(({ groupId }) => groupId),
        [null]
      )
      assert.strictEqual(yield* codeOf(service.delete(organizationId, top.id)), "group_not_found")
    })
  )

  it.effect("A7 of a deletion and a server that joins at once, one comes first", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const servers = yield* Servers
      const organizationId = yield* Fixtures.organization
      for (let round = 0; round < 5; round++) {
        const [group] = yield* groups(organizationId, [`g${round}`])
        const [server] = yield* put(organizationId, [{ name: `server-${round}` }])
        if (group === undefined || server === undefined) return assert.fail()
        const [deleted, assigned] = yield* Effect.all(
          [
            Effect.result(service.delete(organizationId, group.id)),
            Effect.result(servers.assign(organizationId, server, { groupId: group.id }))
          ],
          { concurrency: "unbounded" }
        )
        const codes = [
          ...(Result.isFailure(deleted) ? [deleted.failure.code] : []),
          ...(Result.isFailure(assigned) ? [assigned.failure.code] : [])
        ]
        assert.lengthOf(codes, 1)
        assert.include(["group_in_use", "group_not_found"], codes[0])
      }
    })
  )

  it.effect("a change of a group and servers that move within its tree never wait for each other in a ring", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const [leaf, top] = yield* groups(organizationId, ["leaf", "top"])
      if (leaf === undefined || top === undefined) return assert.fail()
      yield* service.update(organizationId, leaf.id, requestOf(leaf, { parentId: top.id }))
      const share = (id: GroupId) => sql`select 1 from groups where id = ${id} for share`
      const waits = sql`
        select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      const held = yield* Deferred.make<void>()
      // Groups come in the order of their ids, and the one below is the older.
      const mover = sql.withTransaction(
        Effect.gen(function* () {
          yield* share(leaf.id)
          yield* Deferred.succeed(held, undefined)
          while ((yield* waits).length === 0);
          yield* share(top.id)
        })
      )
      const change = Effect.andThen(
        Deferred.await(held),
        service.update(organizationId, top.id, requestOf(top, { connectionLimit: 5 }))
      )
      const [, changed] = yield* Effect.all([mover, change], { concurrency: "unbounded" })
      assert.strictEqual(changed.connectionLimit, 5)
    })
  )

  it.effect(
    "J4 a broker of the release before lets a server into the group of its key; what admins then say counts",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const servers = yield* Servers
        const organizationId = yield* Fixtures.organization
        const service = yield* Groups
        const [group] = yield* groups(organizationId, ["eu"])
        if (group === undefined) return assert.fail()
        yield* service.update(organizationId, group.id, requestOf(group, { connectionLimit: 5 }))
        const keys = [
          yield* Fixtures.registrationKey({ organizationId, groupId: group.id }),
          yield* Fixtures.registrationKey({ organizationId })
        ]
        const ids = yield* Effect.forEach(keys, (key) =>
          Effect.gen(function* () {
            const id = ServerId.make(Fixtures.boot())
            yield* sql`
            insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                                 public_key, endpoints, capabilities, tags, labels, registered_at, registration_key_id)
            values (${id}, ${organizationId}, ${id}, ${id}, 'approved', now(), 'serving', now(),
                    sha256(${id}::text::bytea), '[]', '{}', '{}', '{}', now(), ${key.id})`
            yield* sql`insert into server_presence (server_id, liveness_since) values (${id}, now())`
            return id
          })
        )
        const told = Effect.forEach(ids, (id) => servers.get(organizationId, id)).pipe(
          Effect.map((all) => all.map(({ connectionLimit, group }) => [group, connectionLimit]))
        )
        assert.deepStrictEqual(yield* told, [
          ["eu", 5],
          [null, 1_000]
        ])
        for (const id of ids) yield* servers.assign(organizationId, id, { groupId: null })
        yield* sql`update servers set tags = '{x}' where ${sql.in("id", ids)}`
        assert.deepStrictEqual(yield* told, [
          [null, 1_000],
          [null, 1_000]
        ])
      })
  )

  it.effect("J4 what brokers of the release before write goes on as it did", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const service = yield* Groups
      const [group] = yield* groups(organizationId, ["eu"])
      if (group === undefined) return assert.fail()
      yield* service.update(organizationId, group.id, requestOf(group, { connectionLimit: 5 }))
      const id = Fixtures.boot()
      // They know nothing of groups, nor of what admins say of a server.
      yield* sql`
        insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                             public_key, endpoints, capabilities, tags, labels, registered_at)
        values (${id}, ${organizationId}, 'old', 'old', 'approved', now(), 'serving', now(),
                sha256(${id}::text::bytea), '[]', '{}', '{eu}', '{"a": "b"}', now())`
      yield* sql`insert into server_presence (server_id, liveness_since) values (${id}, now())`
      const one = sql<Record<string, unknown>>`
        select connection_limit, tags, labels, "group" from fleet_servers where id = ${id}`
      const plain = { tags: ["eu"], labels: { a: "b" }, group: null }
      assert.deepStrictEqual({ ...(yield* one)[0] }, { connectionLimit: 1_000, ...plain })
      yield* sql`update servers set connection_limit = 40 where id = ${id}`
      assert.deepStrictEqual({ ...(yield* one)[0] }, { connectionLimit: 40, ...plain })
      yield* sql`update servers set tags = '{us}', labels = '{}' where id = ${id}`
      assert.deepStrictEqual({ ...(yield* one)[0] }, { connectionLimit: 40, tags: ["us"], labels: {}, group: null })
    })
  )
})

/** Another node on the same database. */
const anotherNode = Effect.map(
  Layer.build(
    Layer.provideMerge(Layer.fresh(Layer.merge(Groups.layer, ServerTokens.layer)), Layer.fresh(Signals.layer))
  ),
  (services) => ({ groups: Context.get(services, Groups), tokens: Context.get(services, ServerTokens) })
)

layer(Fixtures.layer)("Heartbeat intervals by group", (it) => {
  it.effect("H1 a server is told its group's interval, give or take 10 %, and its deadlines follow from it", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const tokens = yield* ServerTokens
      const { id } = yield* service.create(
        defaultOrganizationId,
        request(unique("quick"), { heartbeatIntervalSeconds: 10 })
      )
      const server = yield* joined(unique("server"), { groupId: id })
      const bearer = yield* tokens.authenticate(server.token)
      assert.strictEqual(bearer.groupId, id)
      const bootId = boot()
      const told: Array<number> = []
      for (let seq = 1; seq <= 60; seq++) told.push((yield* beat(bearer, bootId, seq)).nextHeartbeatSeconds)
      assert.isAtLeast(Math.min(...told), 9)
      assert.isAtMost(Math.max(...told), 11)
      assert.isAbove(new Set(told).size, 5)
      assert.strictEqual((yield* seen(server)).heartbeatIntervalSeconds, told.at(-1))
    })
  )

  it.effect("H1 the answer to a registration names the group's interval too", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const { id } = yield* service.create(organizationId, request("slow", { heartbeatIntervalSeconds: 300 }))
      const key = yield* Fixtures.registrationKey({ organizationId, groupId: id })
      const answer = yield* Fixtures.join(key, keyPair(), { name: unique("server") })
      assert.deepStrictEqual([answer.heartbeatIntervalSeconds, answer.server.group], [300, "slow"])
      const plain = yield* Fixtures.registrationKey({ organizationId })
      const other = yield* Fixtures.join(plain, keyPair(), { name: unique("server") })
      assert.deepStrictEqual([other.heartbeatIntervalSeconds, other.server.group], [30, null])
    })
  )

  it.effect("H1 a change holds on every node, for the group and all below it that say nothing of their own", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const [top, leaf] = yield* groups(organizationId, ["top", "top/leaf"])
      if (top === undefined || leaf === undefined) return assert.fail()
      const nodes = [service, (yield* anotherNode).groups]
      for (const node of nodes) assert.isNull(yield* node.heartbeatIntervalSeconds(leaf.id))
      yield* service.update(organizationId, top.id, requestOf(top, { heartbeatIntervalSeconds: 45 }))
      // The clock stands still: only the signal tells.
      for (const node of nodes) {
        while ((yield* node.heartbeatIntervalSeconds(leaf.id)) !== 45) yield* Effect.yieldNow
      }
    })
  )

  it.effect("H1 a server that moves to another group is known to be there on every node", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const organizationId = yield* Fixtures.organization
      const [group] = yield* groups(organizationId, ["eu"])
      const server = yield* verified(unique("server"), { organizationId })
      const nodes = [yield* ServerTokens, (yield* anotherNode).tokens]
      for (const node of nodes) assert.isNull((yield* node.authenticate(server.token)).groupId)
      yield* servers.assign(organizationId, server.id, { groupId: group?.id ?? null })
      for (const node of nodes) {
        while ((yield* node.authenticate(server.token)).groupId !== group?.id) yield* Effect.yieldNow
      }
    })
  )

  it.effect("of no group, of one that is gone, and of one that says nothing, the broker's setting holds", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const [group] = yield* groups(yield* Fixtures.organization, ["eu"])
      for (const id of [null, nobody, group?.id ?? null]) assert.isNull(yield* service.heartbeatIntervalSeconds(id))
      assert.strictEqual(Duration.toSeconds((yield* ServersPolicy).heartbeatInterval), 30)
    })
  )
})

interface Change {
  readonly table: string
  readonly before: Readonly<Record<string, unknown>> | null
  readonly after: Readonly<Record<string, unknown>> | null
}

layer(Fixtures.audited)("Groups on record", (it) => {
  it.effect("A6 each change stands in the audit log, with what it was before and after", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const service = yield* Groups
      const organizationId = defaultOrganizationId
      const name = unique("group")
      const group = yield* service.create(organizationId, request(name, { connectionLimit: 5 }))
      const server = yield* joined(unique("server"), { groupId: group.id })
      const changed = yield* service.update(organizationId, group.id, requestOf(group, { connectionLimit: 6 }))
      // Nothing changes, and nothing is recorded.
      yield* service.update(organizationId, group.id, requestOf(changed))
      yield* (yield* Servers).retire(organizationId, server.id, "")
      yield* service.delete(organizationId, group.id)
      const entries = yield* sql<{ action: string; details: unknown; changes: ReadonlyArray<Change> }>`
        select action, details, changes from audit_entries where subject_id = ${group.id} order by id`
      assert.deepStrictEqual(
        entries.map(({ action, details }) => [action, details]),
        [
          ["groups:create", { path: name }],
          ["groups:update", { path: name, fields: ["connectionLimit"] }],
          ["groups:delete", { path: name }]
        ]
      )
      const [created, updated, deleted] = entries.map(({ changes }) => changes)
      assert.deepInclude(created?.[0]?.after, { name, connection_limit: 5 })
      assert.deepStrictEqual(
        updated?.map(({ after, before }) => [before, after]),
        [[{ connection_limit: 5 }, { connection_limit: 6 }]]
      )
      assert.sameMembers(deleted?.map(({ table }) => table) ?? [], ["registration_keys", "servers", "groups"])
    })
  )
})
