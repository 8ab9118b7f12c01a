import { Discovery } from "@broker/core/discovery/Discovery"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import { type DiscoveryPage, type DiscoveryQuery, DiscoverySort } from "@broker/domain/Discovery"
import type { OrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Base64Url } from "effect/encoding"
import { TestClock } from "effect/testing"
import { groups } from "../groups/tree.ts"
import { put, type Row, rewrite } from "./fleet.ts"

const { beat, boot, pass, verified } = Fixtures

/** The names that a query finds in a fleet of its own, in their order. */
const names = Effect.fnUntraced(function* (organizationId: OrganizationId, query: DiscoveryQuery) {
  const discovery = yield* Discovery
  const { page } = yield* discovery.list(organizationId, query)
  return page.items.map(({ name }): string => name)
})

/** Asks until the answer is this; a test that waits in vain runs into its time limit. */
const until = Effect.fnUntraced(function* <E, R>(ask: Effect.Effect<ReadonlyArray<string>, E, R>, expected: string) {
  while ((yield* ask).join("") !== expected) yield* Effect.yieldNow
})

/** What a query finds among these servers. */
const found = Effect.fnUntraced(function* (rows: ReadonlyArray<Row>, query: DiscoveryQuery) {
  const organizationId = yield* Fixtures.organization
  yield* put(organizationId, rows)
  return yield* names(organizationId, query)
})

const frankfurt = { latitude: 50.11, longitude: 8.68 }
const london = { latitude: 51.51, longitude: -0.13 }
const sydney = { latitude: -33.87, longitude: 151.21 }

const fleet: ReadonlyArray<Row> = [
  {
    name: "ams",
    tags: ["eu", "fast"],
    labels: { rack: "a1", tier: "gold" },
    capabilities: { vpn: {} },
    version: "1.9.0"
  },
  { name: "fra", tags: ["eu"], labels: { rack: "a1" }, capabilities: { vpn: {}, lan: {} }, version: "1.10.0-rc.1" },
  { name: "Lon_1", tags: ["fast"], labels: { rack: "b2" }, version: "v1.10.0", liveness: "degraded" },
  { name: "sao%", labels: { "net/zone": "a:b" }, capabilities: { lan: {} }, version: null }
]

const filters: ReadonlyArray<readonly [query: DiscoveryQuery, names: ReadonlyArray<string>]> = [
  [{}, ["ams", "fra", "Lon_1", "sao%"]],
  [{ status: ["degraded"] }, ["Lon_1"]],
  [{ status: ["online", "degraded"] }, ["ams", "fra", "Lon_1", "sao%"]],
  [{ status: ["offline", "suspended"] }, []],
  [{ status: ["unknown"] }, []],
  [{ group: "any" }, []],
  [{ tag: ["eu"] }, ["ams", "fra"]],
  [{ tag: ["eu", "fast"] }, ["ams"]],
  [{ tag: ["e"] }, []],
  [{ label: ["rack:a1"] }, ["ams", "fra"]],
  [{ label: ["rack:a1", "tier:gold"] }, ["ams"]],
  [{ label: ["rack:a1", "rack:b2"] }, []],
  [{ label: ["net/zone:a:b"] }, ["sao%"]],
  [{ capability: ["vpn"] }, ["ams", "fra"]],
  [{ capability: ["vpn", "lan"] }, ["fra"]],
  // A tag is no capability, whatever it is called.
  [{ tag: ["vpn"] }, []],
  [{ tag: ["capability:vpn"] }, []],
  [{ q: "LON" }, ["Lon_1"]],
  [{ q: "_" }, ["Lon_1"]],
  [{ q: "%" }, ["sao%"]],
  [{ q: "\\" }, []],
  [{ minVersion: "1.9" }, ["ams", "fra", "Lon_1"]],
  [{ minVersion: "1.10.0-beta" }, ["fra", "Lon_1"]],
  [{ minVersion: "1.10" }, ["Lon_1"]],
  [{ minVersion: "2" }, []],
  [{ tag: ["eu"], capability: ["lan"], label: ["rack:a1"], q: "r", minVersion: "1.9", status: ["online"] }, ["fra"]]
]

const availability: ReadonlyArray<readonly [row: Omit<Row, "name">, isAvailable: boolean]> = [
  [{}, true],
  [{ liveness: "degraded" }, true],
  [{ liveness: "offline" }, false],
  // The fleet guard holds it (H6).
  [{ liveness: "unknown" }, true],
  [{ liveness: "never_seen" }, false],
  [{ admission: "pending" }, false],
  [{ admission: "suspended" }, false],
  [{ admission: "retired" }, false],
  [{ duty: "draining" }, false],
  [{ duty: "maintenance" }, false],
  [{ isVerified: false }, false]
]

const order: ReadonlyArray<Row> = [
  { name: "a", live: 30, limit: 100, seen: 3, location: sydney },
  { name: "b", live: 2, limit: 4, seen: 1, location: frankfurt },
  { name: "c", live: 0, limit: 0, seen: 2, location: london },
  { name: "d", live: 0, limit: 9, seen: 4, location: null }
]

const sorts: ReadonlyArray<readonly [query: DiscoveryQuery, names: string]> = [
  [{}, "abcd"],
  [{ sort: "name" }, "abcd"],
  [{ sort: "-name" }, "dcba"],
  [{ sort: "load" }, "dabc"],
  [{ sort: "-load" }, "cbad"],
  [{ sort: "lastSeen" }, "bcad"],
  [{ sort: "-lastSeen" }, "dacb"],
  [{ near: frankfurt }, "bcad"],
  [{ near: sydney, sort: "nearest" }, "abcd"],
  [{ near: sydney, sort: "-name" }, "dcba"],
  // Nothing knows yet where a request came from.
  [{ near: "me" }, "dabc"],
  [{ sort: "nearest" }, "dabc"]
]

const refusals: ReadonlyArray<readonly [what: string, position: unknown, query: DiscoveryQuery]> = [
  ["is no text", 7, {}],
  ["has no list", ["a", "019845e1-682f-7b02-a706-3b2422d13aec"], {}],
  ["has no id", ["name a", "a"], {}],
  ["has no number for a load", ["load a", "019845e1-682f-7b02-a706-3b2422d13aec"], { sort: "load" }],
  ["has infinity for a load", ["load Infinity", "019845e1-682f-7b02-a706-3b2422d13aec"], { sort: "load" }],
  ["has no time", ["lastSeen a", "019845e1-682f-7b02-a706-3b2422d13aec"], { sort: "lastSeen" }],
  [
    "has a time that there is not",
    ["lastSeen 2026-02-30T00:00:00Z", "019845e1-682f-7b02-a706-3b2422d13aec"],
    { sort: "lastSeen" }
  ],
  ["holds NUL", ["name \u0000", "019845e1-682f-7b02-a706-3b2422d13aec"], {}]
]

layer(Fixtures.layer)("Discovery", (it) => {
  it.effect.each(filters)("C8 finds by %j", ([query, expected]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* found(fleet, query), expected)
    })
  )

  const inGroups: ReadonlyArray<readonly [group: string, names: string]> = [
    ["eu", "abc"],
    ["EU/", "abc"],
    ["eu/frankfurt", "ab"],
    ["eu/Frankfurt/dc-1", "b"],
    ["eu/amsterdam", "c"],
    ["eu-west", "d"],
    ["eu/f", ""],
    ["frankfurt", ""],
    ["%", ""],
    ["", ""]
  ]
  it.effect("C8 finds by group: what is in it, and in whatever is below it", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [eu, frankfurt, rack, amsterdam, west] = yield* groups(organizationId, [
        "EU",
        "EU/Frankfurt",
        "EU/Frankfurt/DC-1",
        "EU/Amsterdam",
        "EU-West"
      ])
      yield* put(organizationId, [
        { name: "a", groupId: frankfurt?.id ?? null },
        { name: "b", groupId: rack?.id ?? null, tags: ["fast"] },
        { name: "c", groupId: amsterdam?.id ?? null, tags: ["fast"] },
        { name: "d", groupId: west?.id ?? null },
        { name: "e" }
      ])
      for (const [group, expected] of inGroups) {
        assert.strictEqual((yield* names(organizationId, { group })).join(""), expected, group)
      }
      assert.strictEqual((yield* names(organizationId, { group: eu?.id ?? "" })).join(""), "abc")
      assert.strictEqual((yield* names(organizationId, { group: "eu", tag: ["fast"] })).join(""), "bc")
      assert.deepStrictEqual(yield* names(yield* Fixtures.organization, { group: eu?.id ?? "" }), [])
      const { page } = yield* discovery.list(organizationId, {})
      assert.deepStrictEqual(
        page.items.map(({ group }) => group),
        ["EU/Frankfurt", "EU/Frankfurt/DC-1", "EU/Amsterdam", "EU-West", null]
      )
      const [best] = yield* discovery.candidates(organizationId, { group: "eu/amsterdam" }, 1)
      assert.strictEqual(best?.group, "EU/Amsterdam")
    })
  )

  it.effect("C8 a group that gets another name is found by it at once, and not by the old one", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      const organizationId = yield* Fixtures.organization
      const [eu, frankfurt] = yield* groups(organizationId, ["eu", "eu/frankfurt"])
      yield* put(organizationId, [{ name: "a", groupId: frankfurt?.id ?? null }])
      assert.deepStrictEqual(yield* names(organizationId, { group: "europe" }), [])
      yield* service.update(organizationId, eu?.id ?? GroupId.make(""), {
        parentId: null,
        name: "europe",
        heartbeatIntervalSeconds: null,
        verificationPeriodSeconds: null,
        connectionLimit: null
      })
      yield* until(names(organizationId, { group: "europe/frankfurt" }), "a")
      assert.deepStrictEqual(yield* names(organizationId, { group: "eu" }), [])
    })
  )

  it.effect("C8 shows and finds what admins say of a server beside what it says itself", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, [
        {
          name: "a",
          tags: ["b", "eu"],
          assignedTags: ["a", "eu"],
          labels: { rack: "1", tier: "gold" },
          assignedLabels: { rack: "2" }
        }
      ])
      const { page } = yield* discovery.list(organizationId, { tag: ["a", "b"], label: ["rack:2", "tier:gold"] })
      assert.deepStrictEqual(
        page.items.map(({ labels, tags }) => ({ labels, tags })),
        [{ labels: { rack: "2", tier: "gold" }, tags: ["a", "eu", "b"] }]
      )
      assert.deepStrictEqual(yield* names(organizationId, { label: ["rack:1"] }), [])
    })
  )

  it.effect("H6 a server that the fleet guard holds is served, and its status says so", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, [{ name: "a" }, { name: "b", liveness: "unknown" }])
      const { page } = yield* discovery.list(organizationId, {})
      assert.deepStrictEqual(
        page.items.map(({ liveness }) => liveness),
        ["online", "unknown"]
      )
      assert.deepStrictEqual(yield* names(organizationId, { status: ["unknown"] }), ["b"])
    })
  )

  it.effect.each(availability)("C8 a server with %j is shown: %s", ([row, isAvailable]) =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ ...row, name: "fra" }])
      const one = yield* Effect.option(discovery.get(organizationId, id))
      const chosen = yield* discovery.candidates(organizationId, {}, 5)
      assert.deepStrictEqual(
        [(yield* names(organizationId, {})).length === 1, one._tag === "Some", chosen.length === 1],
        [isAvailable, isAvailable, isAvailable]
      )
    })
  )

  it.effect.each(sorts)("C8 sorts by %j", ([query, expected]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* found(order, query)).join(""), expected)
    })
  )

  it.effect.each(sorts)("C8 %j goes on behind a cursor, one by one", ([query, expected]) =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, order)
      let seen = ""
      let next: DiscoveryQuery | null = { ...query, limit: 1 }
      while (next !== null) {
        const { page }: { readonly page: DiscoveryPage } = yield* discovery.list(organizationId, next)
        seen += page.items.map(({ name }) => name).join("")
        next = page.nextCursor === null ? null : { ...query, limit: 1, cursor: page.nextCursor }
      }
      assert.strictEqual(seen, expected)
    })
  )

  it.effect("A5 shows nothing of another organization", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, fleet)
      const other = yield* Fixtures.organization
      assert.deepStrictEqual(yield* names(other, {}), [])
      assert.deepStrictEqual(yield* names(other, { sort: "load" }), [])
      assert.deepStrictEqual(yield* names(other, { near: frankfurt }), [])
      assert.deepStrictEqual(yield* names(other, { sort: "lastSeen" }), [])
      assert.strictEqual((yield* Effect.flip(discovery.get(other, id))).code, "server_not_found")
    })
  )

  it.effect("G2 a server without a location has no distance, and is not off the coast of Africa", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, order)
      const { page } = yield* discovery.list(organizationId, { near: { latitude: 0, longitude: 0 } })
      const { name, distanceKm } = page.items.at(-1) ?? {}
      assert.deepStrictEqual({ name, distanceKm }, { name: "d" as typeof name, distanceKm: null })
    })
  )

  it.effect("C8 tells how far and how busy each server is", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, order)
      const { page } = yield* discovery.list(organizationId, { near: frankfurt })
      assert.deepStrictEqual(
        page.items.map(({ distanceKm, load }) => [distanceKm, load]),
        [
          [0, 0.5],
          [637.9, 1],
          [16_483.2, 0.3],
          [null, 0]
        ]
      )
    })
  )

  it.effect("C8 candidates have room, and the emptiest comes first", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, [...order, { name: "full", live: 3, limit: 3, location: frankfurt }])
      const chosen = yield* discovery.candidates(organizationId, {}, 5)
      assert.strictEqual(chosen.map(({ name }) => name).join(""), "dab")
      const near = yield* discovery.candidates(organizationId, { near: frankfurt }, 2)
      assert.strictEqual(near.map(({ name }) => name).join(""), "ba")
    })
  )

  it.effect("C8 candidates are read anew each time", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ name: "fra" }])
      yield* discovery.candidates(organizationId, {}, 5)
      yield* rewrite(organizationId, id, { name: "fra", liveness: "offline" })
      assert.deepStrictEqual(yield* discovery.candidates(organizationId, {}, 5), [])
    })
  )

  it.effect.each(refusals)("a cursor that %s is refused", ([, position, query]) =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const cursor = Base64Url.encode(JSON.stringify(position))
      const refused = yield* Effect.flip(names(organizationId, { ...query, cursor }))
      assert.strictEqual(refused.code, "invalid_cursor")
    })
  )

  it.effect.each(DiscoverySort.literals)("a cursor of %s is refused by every other sort", (sort) =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, order)
      const { page } = yield* discovery.list(organizationId, { near: frankfurt, sort, limit: 1 })
      for (const other of DiscoverySort.literals) {
        const query = { near: frankfurt, sort: other, cursor: page.nextCursor ?? "" }
        const outcome = yield* Effect.match(names(organizationId, query), {
          onFailure: ({ code }) => code,
          onSuccess: () => sort
        })
        assert.strictEqual(outcome, other === sort ? sort : "invalid_cursor")
      }
    })
  )

  it.effect("a cursor of another place is refused", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      yield* put(organizationId, order)
      const { page } = yield* discovery.list(organizationId, { near: frankfurt, limit: 1 })
      const refused = yield* Effect.flip(names(organizationId, { near: sydney, cursor: page.nextCursor ?? "" }))
      assert.strictEqual(refused.code, "invalid_cursor")
    })
  )

  it.effect("C8 a gateway is found from its first heartbeat on, until it is silent", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      yield* pass(0)
      const server = yield* verified(Fixtures.unique("server"), {}, { location: frankfurt })
      const isFound = Effect.map(Effect.option(discovery.get(server.organizationId, server.id)), ({ _tag }) => _tag)
      assert.strictEqual(yield* isFound, "None")
      yield* beat(server, boot(), 1)
      assert.strictEqual(yield* isFound, "Some")
      const servers = yield* Servers
      yield* servers.suspend(server.organizationId, server.id, "")
      assert.strictEqual(yield* isFound, "None")
    })
  )

  it.effect("the entity tag stays while nothing changes but last-seen and a little load", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ name: "fra", live: 500, limit: 1_000, seen: 1 }])
      const tag = Effect.gen(function* () {
        yield* TestClock.adjust("2 seconds")
        return (yield* discovery.list(organizationId, {})).etag
      })
      const first = yield* tag
      assert.match(first, /^W\/"[A-Za-z0-9_-]{27}"$/)
      yield* rewrite(organizationId, id, { name: "fra", live: 510, limit: 1_000, seen: 9 })
      assert.strictEqual(yield* tag, first)
    })
  )

  const changes: ReadonlyArray<readonly [what: string, row: Row]> = [
    ["load", { name: "fra", live: 600, limit: 1_000 }],
    ["liveness", { name: "fra", live: 500, limit: 1_000, liveness: "degraded" }],
    ["version", { name: "fra", live: 500, limit: 1_000, version: "1.1" }],
    ["availability", { name: "fra", live: 500, limit: 1_000, duty: "draining" }]
  ]
  it.effect.each(changes)("the entity tag changes with %s", ([, row]) =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const [id = ServerId.make("")] = yield* put(organizationId, [{ name: "fra", live: 500, limit: 1_000 }])
      const { etag } = yield* discovery.list(organizationId, {})
      yield* rewrite(organizationId, id, row)
      yield* TestClock.adjust("2 seconds")
      assert.notStrictEqual((yield* discovery.list(organizationId, {})).etag, etag)
    })
  )

  it.effect("the entity tag is of the question too", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fixtures.organization
      const { etag } = yield* discovery.list(organizationId, {})
      assert.notStrictEqual((yield* discovery.list(organizationId, { tag: ["eu"] })).etag, etag)
    })
  )
})
