/** What the search language finds in the database, how lists are ordered, and what was changed about a server. */
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import type { ServerSort, ServersQuery } from "@broker/domain/Fleet"
import { GroupName } from "@broker/domain/Group"
import { defaultOrganizationId, type OrganizationId } from "@broker/domain/Organization"
import type { GroupId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { labelled, tagged } from "./assigning.ts"

const { beat, boot, joined, unique, verified } = Fixtures

const group = Effect.fnUntraced(function* (organizationId: OrganizationId, name: string, parentId: GroupId | null) {
  const groups = yield* Groups
  return yield* groups.create(organizationId, {
    parentId,
    name: GroupName.make(name),
    heartbeatIntervalSeconds: null,
    verificationPeriodSeconds: null,
    connectionLimit: null
  })
})

/** Four servers that differ in everything, in an organization of their own. */
const fleet = Effect.gen(function* () {
  const servers = yield* Servers
  const sql = yield* SqlClient.SqlClient
  const organizationId = yield* Fixtures.organization
  const eu = yield* group(organizationId, "EU", null)
  const frankfurt = yield* group(organizationId, "Frankfurt", eu.id)
  const options = { organizationId }
  const a = yield* joined("a-old", options, { version: "1.2.3", labels: { rack: "b2" }, capabilities: { vpn: {} } })
  yield* TestClock.adjust("10 days")
  const b = yield* verified("b-new", options, { version: "1.10", tags: ["gpu"], labels: { rack: "row 1" } })
  const c = yield* verified("c edge", options, { version: "nightly" })
  const d = yield* joined("d-gone", options)
  yield* servers.assign(organizationId, a.id, { tags: tagged("eu"), groupId: eu.id })
  yield* servers.assign(organizationId, b.id, { labels: labelled({ row: "7" }), groupId: frankfurt.id })
  yield* beat(b, boot(), 1, { metrics: { cpu: 0.95 } })
  yield* TestClock.adjust("10 minutes")
  yield* beat(c, boot(), 1, { metrics: { cpu: 0.1 } })
  yield* servers.suspend(organizationId, d.id, "")
  yield* servers.setDuty(organizationId, c.id, "draining")
  yield* sql`update server_loads set live = 900 where server_id = ${b.id}`
  yield* sql`update servers set public_address = '10.1.2.3' where id = ${a.id}`
  return { organizationId, a, b, c, d, eu, frankfurt }
})

const named = Effect.fnUntraced(function* (organizationId: OrganizationId, query: Partial<ServersQuery>) {
  const servers = yield* Servers
  const whole = { ...Fixtures.everyServer, ...query }
  const { items } = yield* servers.list(organizationId, whole)
  assert.strictEqual(yield* servers.count(organizationId, whole), items.length)
  return items.map(({ name }) => name[0]).join("")
})

const words = (values: ReadonlyArray<string>, max: number) =>
  Arbitrary.map(
    Arbitrary.array(Arbitrary.schema(Schema.Literals([...values])), { minLength: 1, maxLength: max }),
    (parts) => parts.join("")
  )

/** Texts that are nearly right: each key with values of the letters that values of its kind are made of. */
const nearly = (keys: ReadonlyArray<string>, letters: ReadonlyArray<string>, max: number) =>
  Arbitrary.map(Arbitrary.all([words(keys, 1), words(letters, max)]), ([key, value]) => `${key}:${value}`)

const addresses = [
  "0",
  "1",
  "01",
  "8",
  "32",
  "48",
  "128",
  "129",
  "255",
  "256",
  "ffff",
  "2001",
  "g",
  ".",
  ":",
  "::",
  "/"
]
const numbers = ["0", "1", "9", "05", "999999999", ".", "-", "+", "e", "%", "<", "<=", ">", "=", "v", "rc", "s", "w"]
const anything = [
  "a",
  "B",
  "*",
  "/",
  "%",
  "_",
  "\\",
  "'",
  '"',
  "-",
  ",",
  "=",
  ":",
  "é",
  "東",
  "🚀",
  "\ud800",
  "\u0000",
  " "
]

const query = Arbitrary.map(
  Arbitrary.all({
    pick: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))),
    terms: Arbitrary.all([
      nearly(["ip", "address", "-ip"], addresses, 9),
      words(addresses, 9),
      nearly(["version", "load", "connections", "metric.cpu", "seen", "registered"], numbers, 6),
      nearly(["tag", "label", "cap", "group", "name", "id", "version", "status", "verified", "metric.a'"], anything, 8),
      words(anything, 8),
      Arbitrary.schema(Schema.String)
    ])
  }),
  ({ pick, terms }) => terms[pick] ?? ""
)

layer(Fixtures.layer)("ServerSearch", (it) => {
  const searches: ReadonlyArray<readonly [text: string, found: string]> = [
    ["", "abcd"],
    ["edge", "c"],
    ["-edge", "abd"],
    ["e d", "cd"],
    ['"c e"', "c"],
    ["name:E", "bcd"],
    ["tag:eu", "a"],
    ["tag:eu,gpu", "ab"],
    ["-tag:eu,gpu", "cd"],
    ["label:rack", "ab"],
    ["label:rack=b2", "a"],
    ['label:rack="row 1" label:row=7', "b"],
    ["-label:rack", "cd"],
    ["cap:vpn", "a"],
    ["cap:vpn,lan", "a"],
    ["group:eu", "ab"],
    ["group:EU/frankfurt", "b"],
    ["group:EU/", "ab"],
    ["group:/eu/frankfurt/", "b"],
    ["group:e", ""],
    ["group:*", "ab"],
    ["-group:*", "cd"],
    ["version:<1.10", "a"],
    ["version:>=1.2", "ab"],
    ["version:1.10.0", "b"],
    ["-version:<1.10", "bcd"],
    ["version:nightly", "c"],
    ["version:NIGHTLY", ""],
    ["version:v1.10", "b"],
    ["version:1.10-rc.1", ""],
    ["version:1.10+build", ""],
    ["version:1.10x", ""],
    ["version:1.10.0.0.0", ""],
    ["version:<1.10-rc.1", "a"],
    ["version:<=1.10", "ab"],
    ["status:draining", "c"],
    ["status:draining,suspended", "cd"],
    ["-status:suspended", "abc"],
    ["admission:suspended", "d"],
    ["duty:serving", "abd"],
    ["verified:yes", "bc"],
    ["verified:no", "ad"],
    ["seen:<5m", "c"],
    ["seen:>5m", "b"],
    ["seen:never", "ad"],
    ["-seen:<5m", "abd"],
    ["registered:<7d", "bcd"],
    ["registered:>1w", "a"],
    ["load:>0.8", "b"],
    ["load:>80%", "b"],
    ["connections:>10", "b"],
    ["connections:0", "acd"],
    ["metric.cpu:>0.9", "b"],
    ["-metric.cpu:>0.9", "acd"],
    ["metric.nothing:>0", ""],
    ["address:10.1.2.3", "a"],
    ["address:10.0.0.0/8", "a"],
    ["10.1.2.3", "a"],
    ["2001:db8::1", ""],
    ["tag:eu group:eu version:<1.4 -status:offline", "a"],
    ["'; drop table servers; --", ""],
    ['label:rack="\' or true --"', ""]
  ]
  it.effect("C8 finds by each kind of term", () =>
    Effect.gen(function* () {
      const { a, eu, frankfurt, organizationId } = yield* fleet
      for (const [text, found] of searches) assert.strictEqual(yield* named(organizationId, { text }), found, text)
      assert.strictEqual(yield* named(organizationId, { text: `id:${a.id}` }), "a")
      assert.strictEqual(yield* named(organizationId, { groupId: eu.id }), "ab")
      assert.strictEqual(yield* named(organizationId, { groupId: frankfurt.id }), "b")
      assert.strictEqual(yield* named(organizationId, { tags: ["eu"] }), "a")
      const other = yield* Fixtures.organization
      assert.strictEqual(yield* named(other, { groupId: eu.id }), "")
      assert.strictEqual(yield* named(other, { text: `id:${a.id}` }), "")
    })
  )

  const malformed = ["ip:2001:db8::/048", "ip:10.0.0.0/08", "ip:10.0.0.0/33", "ip:::/129", "ip:1.2.3.04", "group:eu//x"]
  it.effect("no text makes a list or a count fail, but for what is not understood", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const codeOf = <A>(attempt: Effect.Effect<A, { readonly code: string }>) =>
        Effect.match(attempt, { onSuccess: () => null, onFailure: ({ code }) => code })
      for (const text of [...malformed, ...(yield* Arbitrary.sampleEffect(query, { count: 400 }))]) {
        const asked = { ...Fixtures.everyServer, text }
        const code = yield* codeOf(servers.list(defaultOrganizationId, asked))
        assert.include([malformed.includes(text) ? "" : null, "invalid_search"], code, text)
        assert.strictEqual(yield* codeOf(servers.count(defaultOrganizationId, asked)), code, text)
      }
    })
  )

  const orders: ReadonlyArray<readonly [ServerSort, string]> = [
    ["name", "abcd"],
    ["-name", "dcba"],
    ["-lastSeen", "cb"],
    ["version", "ab"],
    ["-version", "ba"],
    ["-load", "b"],
    ["registered", "a"]
  ]
  it.effect("C8 every order is total: pages of one make up the whole", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { organizationId } = yield* fleet
      for (const [sort, order] of orders) {
        const names: Array<string> = []
        let cursor: string | null = null
        do {
          const page: Effect.Success<ReturnType<typeof servers.list>> = yield* servers.list(organizationId, {
            ...Fixtures.everyServer,
            sort,
            limit: 1,
            cursor
          })
          names.push(...page.items.map(({ name }) => name.slice(0, 1)))
          cursor = page.nextCursor
        } while (cursor !== null)
        assert.deepStrictEqual([...names].sort(), ["a", "b", "c", "d"], sort)
        // Where some have no value, those that have one stand together.
        assert.include(names.join(""), order, sort)
      }
    })
  )

  it.effect("a search that is not understood is told", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const attempt = servers.list(defaultOrganizationId, { ...Fixtures.everyServer, text: "tags:eu" })
      const problem = yield* Effect.flip(attempt)
      assert.deepStrictEqual(
        [problem.code, problem.detail],
        ["invalid_search", "At character 1, tags:eu: there is no tags:. Did you mean tag:?"]
      )
    })
  )

  it.effect("a cursor of one order is none of another", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { organizationId } = yield* fleet
      const { nextCursor } = yield* servers.list(organizationId, { ...Fixtures.everyServer, limit: 1 })
      for (const sort of ["version", "load", "lastSeen", "registered"] as const) {
        const attempt = servers.list(organizationId, { ...Fixtures.everyServer, sort, cursor: nextCursor })
        assert.strictEqual((yield* Effect.flip(attempt)).code, "invalid_cursor")
      }
    })
  )

  it.effect("A6 the changes of a server tell who changed what, the newest first", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const { id } = yield* joined(unique("changed"))
      const eu = yield* group(defaultOrganizationId, unique("group"), null)
      yield* servers.assign(defaultOrganizationId, id, {
        tags: tagged("eu"),
        labels: labelled({ rack: "b2" }),
        groupId: eu.id
      })
      yield* servers.limitConnections(defaultOrganizationId, id, 5)
      yield* servers.suspend(defaultOrganizationId, id, "because")
      const [suspended, limited, assigned, registered] = yield* servers.changes(defaultOrganizationId, id)
      assert.deepInclude(suspended, { action: "servers:suspend", actorKind: "admin", actorName: "ada" })
      assert.deepInclude(suspended?.before, { admission: "approved", admission_reason: null })
      assert.deepInclude(suspended?.after, { admission: "suspended", admission_reason: "because" })
      assert.deepStrictEqual([limited?.before, limited?.after], [{ connection_limit: null }, { connection_limit: 5 }])
      assert.deepStrictEqual(assigned?.before, { assigned_tags: [], assigned_labels: {}, group_id: null })
      assert.deepStrictEqual(assigned?.after, {
        assigned_tags: ["eu"],
        assigned_labels: { rack: "b2" },
        group_id: eu.id
      })
      assert.strictEqual(registered?.action, "servers:register")
      // What is not seen of the server itself, such as the key that it joined by, is not told here either.
      assert.doesNotHaveAnyKeys(registered?.after, ["id", "organization_id", "registration_key_id"])
      assert.deepInclude(registered?.after, { admission: "approved", assigned_tags: [], connection_limit: null })
    })
  )
})
