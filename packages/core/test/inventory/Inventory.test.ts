import { AuditLog } from "@broker/core/audit/AuditLog"
import { Groups } from "@broker/core/groups/Groups"
import { Inventory } from "@broker/core/inventory/Inventory"
import * as Cells from "@broker/core/inventory/InventoryCells"
import * as Planning from "@broker/core/inventory/InventoryPlanning"
import { InventoryPolicy } from "@broker/core/inventory/InventoryPolicy"
import * as Reading from "@broker/core/inventory/InventoryReading"
import type { StoredGroup, StoredServer } from "@broker/core/inventory/InventorySql"
import { writer } from "@broker/core/inventory/InventoryWriting"
import { Servers } from "@broker/core/servers/Servers"
import { GroupName, HeartbeatIntervalSeconds } from "@broker/domain/Group"
import { InventoryDocument, type InventoryFormat, maxInventory } from "@broker/domain/Inventory"
import type { OrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { Text } from "@broker/domain/Primitives"
import {
  GroupId,
  nameKey,
  PublicKey,
  ServerConnectionLimit,
  ServerId,
  ServerName,
  Tag,
  Version
} from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, describe, expect, layer, it as plainIt } from "@effect/vitest"
import { parse } from "csv-parse/sync"
import { DateTime, Effect, Layer, Option, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { put as putRows, type Row } from "../discovery/fleet.ts"
import { groups as tree } from "../groups/tree.ts"

const { organization } = Fixtures

describe("InventoryDocument", () => {
  plainIt("is described by docs/inventory.schema.json (`--update=all` writes it)", async () => {
    const { definitions, schema } = Schema.toJsonSchemaDocument(InventoryDocument)
    const document = { $schema: "https://json-schema.org/draft/2020-12/schema", ...schema, $defs: definitions }
    const file = new URL("../../../../docs/inventory.schema.json", import.meta.url).pathname
    await expect(`${JSON.stringify(document, null, 2)}\n`).toMatchFileSnapshot(file)
  })
})

describe("Cells", () => {
  plainIt.prop("W4 no cell is a formula, and every value comes back", [Schema.String], ([text]) => {
    const cell = Cells.guard(text)
    assert.notMatch(cell, /^[=+\-@\t\r]/)
    assert.strictEqual(Cells.unguard(cell), text)
  })

  plainIt.prop("what spreadsheets have to quote comes back", [Schema.Array(Schema.String)], ([texts]) => {
    const cells = ["first", ...texts.map((text) => text.toWellFormed())]
    const [read = []] = parse(Cells.line(cells), { record_delimiter: "\r\n" })
    assert.deepStrictEqual(read.map(Cells.unguard), cells)
  })

  plainIt.prop("labels come back", [Schema.Array(Schema.String)], ([values]) => {
    const labels = Object.fromEntries(values.map((value, at) => [`k.${at}`, value.toWellFormed()]))
    assert.deepStrictEqual(Cells.readLabels(Cells.labelsText(labels)), Option.some(labels))
  })

  plainIt("labels are written as people would", () => {
    const read = (text: string) => Option.getOrUndefined(Cells.readLabels(text))
    assert.strictEqual(Cells.labelsText({ site: "north; hall 2", rack: "a1" }), 'rack=a1; site="north; hall 2"')
    assert.deepStrictEqual(read(" rack = a1 ;site= b 2; empty=;"), { rack: "a1", site: "b 2", empty: "" })
    for (const wrong of ["rack", "rack=a1; rack=b1", 'rack="a1', "=a1", "rack=a1;;x=1"]) {
      assert.isUndefined(read(wrong), wrong)
    }
  })
})

describe("Reading", () => {
  plainIt.effect("a character of two halves comes back wherever in a large file it stands", () =>
    Effect.gen(function* () {
      const note = "😀".repeat(60)
      const name = (at: number) => `${"x".repeat(at % 4)}${at}`
      const rows = Array.from({ length: 2_000 }, (_, at) => `server,${name(at)},note=${note}`)
      const file = yield* Reading.read("csv", `kind,name,labels\r\n${rows.join("\r\n")}`)
      assert.deepStrictEqual(file.problems, [])
      assert.strictEqual(file.rows.length, rows.length)
      for (const [at, { line, values }] of file.rows.entries()) {
        assert.deepStrictEqual([line, values], [at + 2, { name: name(at), labels: { note } }])
      }
    })
  )

  plainIt.effect("what is no row counts as well, so that nobody keeps millions of problems in memory", () =>
    Effect.gen(function* () {
      const text = `kind,name\n${"x\n".repeat(maxInventory.rows + 1)}`
      assert.strictEqual((yield* Effect.flip(Reading.read("csv", text))).code, "inventory_too_large")
    })
  )

  plainIt.effect("a JSON document that says something twice, or nothing that anybody could mean, is told so", () =>
    Effect.gen(function* () {
      const problems = (text: string) =>
        Effect.map(Reading.read("json", text), ({ problems, rows }) => [
          rows.length,
          problems.map(({ field, line, message }) => `${line} ${field ?? "–"}: ${message}`)
        ])
      const head = '{"format": "broker-inventory", "version": 1'
      assert.deepStrictEqual(yield* problems(`${head},\n"servers": [{"name": "a"}],\n"servers" : []}`), [
        0,
        ["3 servers: is in line 2 already"]
      ])
      const deep = `${head},\n"servers": [{"name": "a", "status": ${"[".repeat(200_000)}${"]".repeat(200_000)}}]}`
      assert.deepStrictEqual(yield* problems(deep), [0, ["2 –: Nothing in an inventory is nested so deep."]])
      assert.deepStrictEqual(yield* problems(`${head},\n"constructor": []}`), [
        0,
        ["2 constructor: is not part of an inventory; there are groups and servers"]
      ])
    })
  )
})

/** What people and servers may call things, and say of them. */
const Said = Schema.Struct({
  group: GroupName,
  server: ServerName,
  tags: Schema.Array(Tag),
  labels: Schema.Array(Text(128)),
  version: Schema.NullOr(Version),
  interval: Schema.NullOr(HeartbeatIntervalSeconds),
  limit: Schema.NullOr(ServerConnectionLimit)
})

const stored = (said: typeof Said.Type): { readonly groups: [StoredGroup]; readonly servers: [StoredServer] } => {
  const id = "0199a1b2-0000-7000-8000-000000000001"
  const group: StoredGroup = {
    id: GroupId.make(id),
    parentId: null,
    name: said.group,
    nameKey: nameKey(said.group),
    path: said.group,
    pathKey: nameKey(said.group),
    heartbeatIntervalSeconds: said.interval,
    verificationPeriodSeconds: null,
    connectionLimit: said.limit
  }
  const tags = [...new Set(said.tags)].slice(0, 32)
  const labels = Object.fromEntries(said.labels.slice(0, 32).map((value, at) => [`k.${at}/x`, value]))
  const server: StoredServer = {
    id: ServerId.make(id),
    name: said.server,
    nameKey: nameKey(said.server),
    admission: "approved",
    groupId: group.id,
    group: group.path,
    tags,
    labels,
    connectionLimit: said.limit,
    status: "online",
    duty: "serving",
    version: said.version?.trim() ?? null,
    endpoints: [{ protocol: "webrtc", host: "2001:db8::1", port: 51_820 }],
    declaredTags: tags,
    declaredLabels: labels,
    publicAddress: "203.0.113.7",
    publicKey: PublicKey.make("A".repeat(43)),
    registeredAt: DateTime.makeUnsafe(0),
    lastSeenAt: null
  }
  return { groups: [group], servers: [server] }
}

describe("InventoryWriting", () => {
  plainIt.effect.prop("W4 whatever is written out is read as it is, and nothing changes by it", [Said], ([said]) =>
    Effect.gen(function* () {
      const { groups, servers } = stored(said)
      for (const format of ["json", "csv"] as const) {
        const write = writer(format, DateTime.makeUnsafe(0))
        const text = write.head + write.groups(groups) + write.between + write.servers(servers) + write.end
        const file = yield* Reading.read(format, text)
        const planned = yield* Planning.plan(yield* Planning.decode(file.rows), { groups, servers })
        assert.deepStrictEqual(
          { ...planned, problems: [...file.problems, ...planned.problems] },
          { made: [], moved: [], servers: [], problems: [], ignored: [], unchanged: 2 }
        )
      }
    })
  )
})

const everything: ReadonlySet<Permission> = new Set(Permission.literals)

/** Small pages and parts, so that there are several. */
const inParts = Layer.succeed(InventoryPolicy, { exported: 3, found: 4, changed: 2, sealed: 2 })

const put = Effect.fnUntraced(function* (organizationId: OrganizationId, rows: ReadonlyArray<Row>) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql.withTransaction(
    Effect.andThen(sql`select set_config('broker.audit', '', true)`, putRows(organizationId, rows))
  )
})

const exported = Effect.fnUntraced(function* (organizationId: OrganizationId, format: InventoryFormat) {
  const inventory = yield* Inventory
  return yield* Stream.mkString(inventory.export(organizationId, format))
})

const planned = Effect.fnUntraced(function* (organizationId: OrganizationId, format: InventoryFormat, text: string) {
  const inventory = yield* Inventory
  return yield* inventory.plan({ organizationId, permissions: everything }, format, text)
})

const applied = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  format: InventoryFormat,
  text: string,
  digest: string
) {
  const inventory = yield* Inventory
  return yield* inventory.apply({ organizationId, permissions: everything }, format, text, digest)
})

const imported = Effect.fnUntraced(function* (organizationId: OrganizationId, format: InventoryFormat, text: string) {
  const { digest, problems } = yield* planned(organizationId, format, text)
  assert.deepStrictEqual(problems, [])
  return yield* applied(organizationId, format, text, digest ?? "")
})

/** Each problem as `line field: message`. */
const problemsOf = Effect.fnUntraced(function* (organizationId: OrganizationId, format: InventoryFormat, text: string) {
  const { digest, problems } = yield* planned(organizationId, format, text)
  assert.strictEqual(digest === null, problems.length > 0)
  return problems.map(({ field, line, message }) => `${line} ${field ?? "–"}: ${message}`)
})

const pathsOf = Effect.fnUntraced(function* (organizationId: OrganizationId) {
  const groups = yield* Groups
  return (yield* groups.tree(organizationId)).map(({ path }) => path)
})

const said = Effect.fnUntraced(function* (organizationId: OrganizationId, id: ServerId) {
  const servers = yield* Servers
  const { assignedLabels, assignedTags, group, ownConnectionLimit } = yield* servers.get(organizationId, id)
  return { group, tags: [...assignedTags], labels: { ...assignedLabels }, limit: ownConnectionLimit }
})

const codeOf = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(attempt), ({ code }) => code)

/** Groups and servers with all that is hard to write down. */
const hard = Effect.gen(function* () {
  const organizationId = yield* organization
  const [eu, fra] = yield* tree(organizationId, ["eu", "eu/frankfurt", "=sum(a1)", "us"])
  assert.isDefined(eu)
  assert.isDefined(fra)
  const ids = yield* put(organizationId, [
    { name: "plain", groupId: fra.id, assignedTags: ["prod", "edge"], assignedLabels: { rack: "a1" }, limit: 0 },
    { name: '=HYPERLINK("http://evil")', tags: ["declared"], labels: { site: "x" }, assignedLabels: { a: "=1+1" } },
    { name: "'quoted, name", groupId: eu.id, assignedLabels: { "k/1": "a; b", "k.2": ' "q"\n', "k-3": "" } },
    { name: "+49", assignedLabels: { unicode: "ÄÖ 東京" } },
    { name: "-dash", version: null, admission: "suspended" },
    { name: "@at", admission: "pending", isVerified: false },
    { name: "gone", admission: "retired" }
  ])
  return { organizationId, ids, eu, fra }
})

layer(Fixtures.audited.pipe(Layer.provide(inParts)), { timeout: 60_000 })("Inventory", (it) => {
  it.effect("an export is what an import makes nothing of", () =>
    Effect.gen(function* () {
      const { organizationId } = yield* hard
      for (const format of ["json", "csv"] as const) {
        const text = yield* exported(organizationId, format)
        const plan = yield* planned(organizationId, format, text)
        assert.deepStrictEqual(plan.problems, [])
        assert.deepStrictEqual(plan.ignored, [])
        assert.deepStrictEqual(plan.totals, {
          rows: 10,
          creates: 0,
          updates: 0,
          unchanged: 10,
          problems: 0,
          ignored: 0
        })
        assert.notInclude(text, '"gone"')
      }
      const csv = yield* exported(organizationId, "csv")
      const lines = parse(csv, { bom: true, relax_column_count: false }) as ReadonlyArray<ReadonlyArray<string>>
      for (const cell of lines.flat()) assert.notMatch(cell, /^[=+\-@\t\r]/)
      // As a spreadsheet of another country saves it.
      const german = lines.map((cells) => cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(";")).join("\n")
      assert.strictEqual((yield* planned(organizationId, "csv", german)).totals.unchanged, 10)
    })
  )

  it.effect("a group that is renamed during an export is called the same in the whole file", () =>
    Effect.gen(function* () {
      const { eu, organizationId } = yield* hard
      const inventory = yield* Inventory
      const groups = yield* Groups
      const parts: Array<string> = []
      yield* Stream.runForEach(inventory.export(organizationId, "csv"), (part) =>
        parts.push(part) === 2
          ? Effect.asVoid(groups.amend(organizationId, eu.id, { name: GroupName.make("europe") }))
          : Effect.void
      )
      assert.include(yield* pathsOf(organizationId), "europe/frankfurt")
      assert.notInclude(parts.join(""), "europe")
      assert.include(parts.join(""), "server,eu/frankfurt,plain")
    })
  )

  it.effect("one file makes groups, moves them, and says what admins say of servers", () =>
    Effect.gen(function* () {
      const { eu, ids, organizationId } = yield* hard
      const [plain, formula] = ids
      assert.isDefined(plain)
      assert.isDefined(formula)
      const text = [
        "kind,id,group,name,tags,labels,connectionLimit,heartbeatIntervalSeconds",
        // Those below come first, as spreadsheets sort as they like.
        "group,,asia/tokyo/shibuya,,,,,",
        "group,,asia/tokyo,,,,50,2.5",
        "group,,asia,,,,,",
        // By its id a group is moved, with what is in it.
        `group,${eu.id},asia/europe,,,,,10`,
        'server,,asia/tokyo,PLAIN,"edge, new","rack=b2; site=""a; b""",7,',
        `server,${formula},asia/europe/frankfurt,,,,,`
      ].join("\r\n")
      const plan = yield* planned(organizationId, "csv", text)
      assert.deepStrictEqual(plan.problems, [])
      assert.deepStrictEqual(
        plan.creates.map(({ line, name }) => [line, name]),
        [
          [2, "asia/tokyo/shibuya"],
          [3, "asia/tokyo"],
          [4, "asia"]
        ]
      )
      assert.deepStrictEqual(plan.updates, [
        {
          line: 5,
          kind: "group",
          id: eu.id,
          name: "eu",
          changes: [
            { field: "group", before: "eu", after: "asia/europe" },
            { field: "heartbeatIntervalSeconds", before: "", after: "10" }
          ]
        },
        {
          line: 6,
          kind: "server",
          id: plain,
          name: "plain",
          changes: [
            { field: "group", before: "eu/frankfurt", after: "asia/tokyo" },
            { field: "tags", before: "prod edge", after: "edge new" },
            { field: "labels", before: "rack=a1", after: 'rack=b2; site="a; b"' },
            { field: "connectionLimit", before: "0", after: "7" }
          ]
        },
        {
          line: 7,
          kind: "server",
          id: formula,
          name: '=HYPERLINK("http://evil")',
          changes: [
            { field: "group", before: "", after: "asia/europe/frankfurt" },
            { field: "labels", before: "a==1+1", after: "" },
            { field: "connectionLimit", before: "1000", after: "" }
          ]
        }
      ])

      const done = yield* applied(organizationId, "csv", text, plan.digest ?? "")
      assert.deepStrictEqual(done, { created: 3, updated: 3, unchanged: 0 })
      assert.deepStrictEqual(yield* pathsOf(organizationId), [
        "=sum(a1)",
        "asia",
        "asia/europe",
        "asia/europe/frankfurt",
        "asia/tokyo",
        "asia/tokyo/shibuya",
        "us"
      ])
      assert.deepStrictEqual(yield* said(organizationId, plain), {
        group: "asia/tokyo",
        tags: ["edge", "new"],
        labels: { rack: "b2", site: "a; b" },
        limit: 7
      })
      assert.deepStrictEqual(yield* said(organizationId, formula), {
        group: "asia/europe/frankfurt",
        tags: [],
        labels: {},
        limit: null
      })
      const groups = yield* Groups
      const tokyo = yield* groups.find(organizationId, "asia/tokyo/shibuya")
      assert.strictEqual(tokyo.effectiveHeartbeatIntervalSeconds, 2.5)

      // A6: an entry for each change, under its own subject, in a chain that holds.
      const sql = yield* SqlClient.SqlClient
      const entries = yield* sql<{ action: string; subject: string | null; changes: number }>`
          select action, subject_id::text as subject, jsonb_array_length(changes) as changes
            from audit_entries
           where organization_id = ${organizationId}
             and action !~ '^(groups:create|servers:change|organizations)'
        order by seq`
      assert.deepStrictEqual(
        entries.map(({ action, changes, subject }) => [action, subject, changes > 0]),
        [
          ["inventory:import", null, false],
          ["groups:update", eu.id, true],
          ["servers:assign", plain, true],
          ["servers:limit", plain, false],
          ["servers:assign", formula, true],
          ["servers:limit", formula, false]
        ]
      )
      const log = yield* AuditLog
      assert.isTrue((yield* log.verify(organizationId)).intact)
      const servers = yield* Servers
      const [change] = (yield* servers.changes(organizationId, plain)).filter(
        ({ action }) => action === "servers:assign"
      )
      assert.deepStrictEqual(change?.after["assigned_tags"], ["edge", "new"])

      // The same file again changes nothing.
      const again = yield* planned(organizationId, "csv", text.replace(/,PLAIN,.*/, ",PLAIN,new edge,,,"))
      assert.strictEqual(again.totals.creates, 0)
      assert.deepStrictEqual(
        again.updates.flatMap(({ changes }) => changes.map(({ field }) => field)),
        ["labels", "connectionLimit"]
      )
    })
  )

  it.effect("what is left out stays, and null says nothing of its own", () =>
    Effect.gen(function* () {
      const { ids, organizationId } = yield* hard
      const [plain] = ids
      assert.isDefined(plain)
      const file = (fields: object) =>
        JSON.stringify({ format: "broker-inventory", version: 1, servers: [{ name: "plain", ...fields }] })
      yield* imported(organizationId, "json", file({ tags: ["only"] }))
      assert.deepStrictEqual(yield* said(organizationId, plain), {
        group: "eu/frankfurt",
        tags: ["only"],
        labels: { rack: "a1" },
        limit: 0
      })
      yield* imported(organizationId, "json", file({ group: null, labels: {}, connectionLimit: null }))
      assert.deepStrictEqual(yield* said(organizationId, plain), {
        group: null,
        tags: ["only"],
        labels: {},
        limit: null
      })
    })
  )

  it.effect("nothing is done that nobody looked at, and all or nothing", () =>
    Effect.gen(function* () {
      const { fra, ids, organizationId } = yield* hard
      const [plain] = ids
      assert.isDefined(plain)
      const servers = yield* Servers
      const text = "kind,name,tags,group\ngroup,,,new\nserver,plain,canary,new\nserver,+49,canary,new\n"
      const attempt = (digest: string, given = text) => codeOf(applied(organizationId, "csv", given, digest))
      const before = yield* said(organizationId, plain)
      const { digest } = yield* planned(organizationId, "csv", text)
      assert.isNotNull(digest)

      assert.strictEqual(yield* attempt(digest, text.replace("+49,canary", "+49,prod")), "inventory_changed")
      // Somebody changed what it is about.
      yield* servers.assign(organizationId, plain, { tags: { add: ["meanwhile"], remove: [] } })
      assert.strictEqual(yield* attempt(digest), "inventory_changed")
      assert.deepStrictEqual(yield* said(organizationId, plain), { ...before, tags: [...before.tags, "meanwhile"] })
      assert.notInclude(yield* pathsOf(organizationId), "new")

      // What it is not about may change.
      const anew = yield* planned(organizationId, "csv", text)
      yield* servers.assign(organizationId, ids[2] ?? plain, { groupId: fra.id })
      yield* applied(organizationId, "csv", text, anew.digest ?? "")
      assert.deepStrictEqual((yield* said(organizationId, plain)).tags, ["canary"])
      // It was done, and would be something else now.
      assert.strictEqual(yield* attempt(anew.digest ?? ""), "inventory_changed")
    })
  )

  it.effect("A5 an import does nothing that one may not do one by one", () =>
    Effect.gen(function* () {
      const { organizationId } = yield* hard
      const inventory = yield* Inventory
      const missing = (text: string, ...held: ReadonlyArray<Permission>) =>
        inventory
          .plan({ organizationId, permissions: new Set<Permission>(["inventory:import", ...held]) }, "csv", text)
          .pipe(
            Effect.map(() => undefined),
            Effect.catchTag("PermissionMissing", ({ permission }) => Effect.succeed(permission))
          )
      const head = "kind,group,name,tags,connectionLimit\n"
      assert.strictEqual(yield* missing(`${head}group,new,,,\n`), "groups:create")
      assert.strictEqual(yield* missing(`${head}group,us,,,5\n`), "groups:update")
      assert.strictEqual(yield* missing(`${head}server,us,plain,,0\n`), "servers:update")
      assert.strictEqual(yield* missing(`${head}server,us,plain,,1\n`, "servers:update"), "servers:limit")
      assert.isUndefined(yield* missing(`${head}server,us,plain,,1\n`, "servers:update", "servers:limit"))

      // Another organization has neither these servers nor these groups.
      const { ids } = yield* hard
      const strange = `kind,id,tags\nserver,${ids[0]},mine\n`
      assert.match((yield* problemsOf(organizationId, "csv", strange)).join(), /^2 id: There is no server with this id/)
    })
  )

  it.effect("problems name the line, the field, and what to do", () =>
    Effect.gen(function* () {
      const { eu, ids, organizationId } = yield* hard
      const head = "kind,id,group,name,tags,labels,connectionLimit,heartbeatIntervalSeconds,publicKey\n"
      const cases: ReadonlyArray<readonly [row: string, problem: RegExp]> = [
        ["server,,,nobody,,,,,", /^2 name: There is no server with this name.*create a registration key/],
        ["server,,,plain,,site=M\uFFFDnchen,,,", /^2 labels: holds a character that could not be read\. Save .* UTF-8/],
        ["server,,,,,,,,", /^2 –: A server needs its name or its id/],
        [`server,${ids[6]},,,,,,,`, /^2 id: The server is retired/],
        [`server,${ids[0]},,renamed,,,,,`, /^2 name: The server with this id is called plain/],
        [`server,nonsense,,,,,,,`, /^2 id: must be a UUID/],
        ["server,,mars,plain,,,,,", /^2 group: There is no group mars/],
        ["server,,,plain,a b a,,,,", /^2 tags: must not name a tag twice/],
        ["server,,,plain,-x,,,,", /^2 tags: must be a word/],
        ["server,,,plain,,rack,,,", /^2 labels: must be pairs such as/],
        ["server,,,plain,,,many,,", /^2 connectionLimit: must be a number/],
        ["server,,,plain,,,1.5,,", /^2 connectionLimit: must be a whole number/],
        ["server,,,plain,,,2000000,,", /^2 connectionLimit: must be from 0 to 1000000/],
        ["server,,,plain,,,,5,", /^2 heartbeatIntervalSeconds: is nothing that a server has/],
        ["server,,,plain,,,,,abc", /^2 publicKey: This is not what plain has/],
        ["server,,,plain,,,0,,\nserver,,,Plain,,,0,,", /^3 name: is in line 2 already/],
        ["group,,,,,,,,", /^2 group: must be names/],
        ["group,,a//b,,,,,,", /^2 group: must be names/],
        ["group,,a/b,,,,,,", /^2 group: There is no group a\. Add a row/],
        ["group,,1/2/3/4/5/6/7/8/9,,,,,,", /^2 group: must not be more than 8 groups deep/],
        ["group,,US,,,,,,\ngroup,,us,,,,,,", /^3 group: is in line 2 already/],
        [`group,${ids[0]},us,,,,,,`, /^2 id: There is no group with this id/],
        [`group,${eu.id},us,,,,,,`, /^2 group: is in the place of another group/],
        [`group,${eu.id},eu/frankfurt/eu,,,,,,`, /^2 group: There is no group eu\/frankfurt|becomes/],
        [`group,${eu.id},europe,,,,,,\nserver,,eu,plain,,,,,`, /^3 group: eu becomes europe by this import/],
        ["group,,us,,,,,0,", /^2 heartbeatIntervalSeconds: must be from 1 to 3600/],
        ["planet,,,,,,,,", /^2 kind: must be group or server/],
        ["server,,,plain,,,,,,,more", /^2 –: There are more cells than columns/],
        ['server,,,"plain,,,,,', /^2 –: This row is not CSV/]
      ]
      for (const [row, problem] of cases) {
        const problems = yield* problemsOf(organizationId, "csv", `${head}${row}\n`)
        assert.isTrue(
          problems.some((one) => problem.test(one)),
          `${row} → ${problems.join(" | ")}`
        )
      }
      const wrongHead = yield* problemsOf(organizationId, "csv", "kind,name,color,name\n\nserver,plain,red,plain\n")
      assert.deepStrictEqual(
        wrongHead.map((one) => one.split(";")[0]),
        ["1 color: is no column of an inventory", "1 name: is there twice"]
      )
      assert.match((yield* problemsOf(organizationId, "csv", "name\nplain\n")).join(), /^1 kind: is missing/)
      assert.match((yield* problemsOf(organizationId, "csv", "\n")).join(), /^1 –: The file is empty/)
    })
  )

  it.effect("problems of a JSON document name its lines as well", () =>
    Effect.gen(function* () {
      const { organizationId } = yield* hard
      const text = `{
  "format": "broker-inventory",
  "version": 1,
  "color": "red",
  "groups": [
    { "path": "us", "connectionLimit": "many" },
    { "path": "a \\" } ] b", "colour": [1, {"x": "]"}] }
  ],
  "servers": [
    {
      "name": "plain",
      "tags": "prod"
    }, 7, {"name": "nobody"}
  ]
}`
      assert.deepStrictEqual(
        (yield* problemsOf(organizationId, "json", text)).map((one) => one.slice(0, 42)),
        [
          "4 color: is not part of an inventory; ther",
          "6 connectionLimit: must be a number or null",
          "7 colour: is nothing that a group has",
          "10 tags: must be an array",
          "13 –: A server must be an object.",
          "13 name: There is no server with this name"
        ].map((one) => one.slice(0, 42))
      )
      const of = (text: string) => Effect.map(problemsOf(organizationId, "json", text), (all) => all.join())
      assert.match(yield* of('{\n  "format": "broker-inventory",\n  oops\n}'), /^3 –: This is not JSON/)
      assert.match(yield* of('{\n  "groups": ['), /^2 –: This is not JSON/)
      const odd = { name: "plain", status: { toString: 1 }, declaredLabels: { a: { toString: 1 } }, endpoints: [[1]] }
      const { ignored } = yield* planned(
        organizationId,
        "json",
        JSON.stringify({ format: "broker-inventory", version: 1, servers: [odd] })
      )
      assert.deepStrictEqual(
        ignored.map(({ field }) => field),
        ["status", "endpoints", "declaredLabels"]
      )
      assert.match(yield* of("[]"), /^1 –: The file must be an object/)
      assert.match(yield* of('{\n"format": "other"}'), /^2 format: must be "broker-inventory"/)
      assert.match(yield* of('{"format": "broker-inventory",\n"version": 2}'), /^2 version: must be 1/)
    })
  )

  it.effect("what only the server says is left alone, and stands in nobody's way", () =>
    Effect.gen(function* () {
      const { ids, organizationId } = yield* hard
      const [plain] = ids
      assert.isDefined(plain)
      const text = yield* exported(organizationId, "csv")
      const servers = yield* Servers
      yield* servers.setDuty(organizationId, plain, "draining")
      const { ignored, totals } = yield* planned(organizationId, "csv", text)
      assert.deepStrictEqual(
        ignored.map(({ field }) => field),
        ["status", "duty"]
      )
      assert.match(ignored[1]?.message ?? "", /^is draining now, and stays: `broker server drain` changes it/)
      assert.strictEqual(totals.unchanged, 10)
      yield* imported(organizationId, "csv", text)
      assert.strictEqual((yield* servers.get(organizationId, plain)).duty, "draining")
    })
  )

  it.effect("there is an end to what an import takes", () =>
    Effect.gen(function* () {
      const { organizationId } = yield* hard
      const rows = "server,plain\n".repeat(maxInventory.rows + 1)
      assert.strictEqual(yield* codeOf(planned(organizationId, "csv", `kind,name\n${rows}`)), "inventory_too_large")
      const long = "ä".repeat(maxInventory.bytes / 2 + 1)
      assert.strictEqual(yield* codeOf(planned(organizationId, "json", long)), "inventory_too_large")
    })
  )

  it.effect("groups that change places by one import are told to take turns", () =>
    Effect.gen(function* () {
      const organizationId = yield* organization
      const [a, b] = yield* tree(organizationId, ["a", "b"])
      const swap = `kind,id,group\ngroup,${a?.id},b\ngroup,${b?.id},a\n`
      assert.match((yield* problemsOf(organizationId, "csv", swap)).join(), /b leaves this place by the same import/)
      yield* imported(organizationId, "csv", `kind,id,group\ngroup,${b?.id},a/b\n`)
      yield* imported(organizationId, "csv", `kind,id,group\ngroup,${b?.id},B\ngroup,${a?.id},B/a\n`)
      assert.deepStrictEqual(yield* pathsOf(organizationId), ["B", "B/a"])
      assert.isTrue(Schema.is(GroupId)(a?.id))
    })
  )
})
