/**
 * The API for other systems: what machines read and change with an API token. Tags that tell what changed, fields of
 * choice, and changes that happen once, however often they are asked for.
 */
import { execFile } from "node:child_process"
import { randomUUID } from "node:crypto"
import { readFile } from "node:fs/promises"
import { promisify } from "node:util"
import { BrokerClient } from "@broker/client/BrokerClient"
import { GroupName } from "@broker/domain/Group"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Effect, Redacted } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { granted, present } from "./Client.ts"
import { type Document, describe as describedAt, undeclared } from "./Described.ts"
import { type Gateway, join, serving } from "./Gateway.ts"
import { type Machine, machines } from "./Machine.ts"
import { type Answer, type Ask, type Json, start, type Wire } from "./Wire.ts"

let broker: Wire
let document: Document
let machine: Machine
let gateway: Gateway
let making: Awaited<ReturnType<typeof machines>>

const scopes = [
  "servers:read",
  "servers:update",
  "servers:limit",
  "servers:drain",
  "servers:verify",
  "verification:read",
  "maintenance:read",
  "fleet-guard:read",
  "admins:read",
  "roles:read",
  "api-tokens:read",
  "audit:read",
  "devices:block",
  "servers:approve",
  "servers:suspend",
  "servers:retire",
  "groups:read",
  "groups:create",
  "groups:update",
  "groups:delete",
  "users:read",
  "users:create",
  "users:update",
  "users:suspend",
  "users:delete",
  "personal-keys:create",
  "personal-keys:revoke",
  "connections:read",
  "connections:disconnect",
  "registration-keys:read",
  "registration-keys:create",
  "registration-keys:revoke"
]

/** How many transactions that keep an answer were under way whenever a name was looked up. */
const keptMeanwhile: Array<unknown> = []

const resolve = () =>
  Effect.promise(async () => {
    const [row] = await broker.sql(
      `select count(*)::int as open from pg_stat_activity
        where datname = current_database() and state = 'idle in transaction' and query like '%idempot%'`
    )
    keptMeanwhile.push(row?.["open"])
    return ["93.184.215.14"]
  })

beforeAll(async () => {
  broker = await start({ resolve })
  document = await describedAt(broker.url)
  making = await machines(broker)
  machine = await making(scopes)
  gateway = await serving(broker, await broker.key(), "fra-1", { tags: ["own"], labels: { rack: "b2" } })
}, 60_000)
afterAll(() => broker?.[Symbol.asyncDispose]())

/** As the document has it. */
const call = async (method: string, path: string, given: Ask = {}) => {
  const answer = await machine.ask(method, path, given)
  assert.deepStrictEqual(undeclared(document, method, `/api/v1${path}`, answer), [])
  return answer
}

const ok = async (method: string, path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}) => {
  const answer = await call(method, path, { body, headers })
  assert.include([200, 201, 204], answer.status, answer.text)
  return answer
}

const refused = async (answer: Promise<Answer> | Answer, status: number, code: string) => {
  const { json, text, ...rest } = await answer
  assert.strictEqual(`${rest.status} ${json["code"]}`, `${status} ${code}`, text)
  return json
}

const itemsOf = (answer: Answer) => answer.json["items"] as ReadonlyArray<Json>
const tagOf = (answer: Answer) => answer.headers.get("etag") ?? assert.fail("has no ETag")
const key = () => ({ "idempotency-key": randomUUID() })

const entriesOf = (subject: unknown) =>
  broker.sql(
    `select action, actor_kind as kind, actor_id as id, actor_name as name
       from audit_entries where subject_id = '${subject}' and outcome = 'done' order by seq`
  )

describe("servers", () => {
  it("C8 shows clients and machines what is available, and machines that ask for it the whole fleet", async () => {
    const pending = await join(broker, await broker.key({ approval: true }), "ber-1")
    const available = await ok("GET", "/servers")
    assert.deepStrictEqual(
      itemsOf(available).map(({ name }) => name),
      ["fra-1"]
    )
    const fleet = await ok("GET", "/servers?view=fleet")
    assert.deepStrictEqual(
      itemsOf(fleet).map(({ name, status, available }) => [name, status, available]),
      [
        ["ber-1", "pending", false],
        ["fra-1", "online", true]
      ]
    )
    await refused(call("GET", `/servers/${pending.id}`), 404, "server_not_found")
    const one = await ok("GET", `/servers/${pending.id}?view=fleet`)
    assert.deepInclude(one.json, { name: "ber-1", admission: "pending", groupId: null, assignedTags: [] })
    const { key: personalKey } = await broker.user("Reader")
    const client = await present(broker, personalKey)
    await refused(client.ask("GET", "/api/v1/servers?view=fleet"), 403, "permission_missing")
    await refused(client.ask("GET", `/api/v1/servers/${pending.id}?view=fleet`), 403, "permission_missing")
  })

  it("C8 finds the fleet by all that discovery takes, and by the dashboard's language", async () => {
    const group = (await ok("POST", "/groups", { name: "finding" })).json
    await ok("PATCH", `/servers/${gateway.id}`, { groupId: group["id"], tags: { add: ["eu"], remove: [] } })
    const found = async (query: string) =>
      itemsOf(await ok("GET", `/servers?view=fleet&${query}`)).map(({ name }) => name)
    for (const query of [
      "tag=eu&tag=own",
      "label=rack:b2",
      "group=Finding",
      `group=${group["id"]}`,
      "q=FRA",
      "status=online",
      "verified=true",
      "search=tag:eu%20-status:offline",
      `search=id:${gateway.id}`
    ]) {
      assert.deepStrictEqual(await found(query), ["fra-1"], query)
    }
    for (const query of ["tag=eu&tag=us", "label=rack:b3", "group=nowhere", "minVersion=1.0", "capability=vpn"]) {
      assert.deepStrictEqual(await found(query), [], query)
    }
    assert.deepStrictEqual(await found("sort=-registered&limit=1"), ["ber-1"])
    const first = await ok("GET", "/servers?view=fleet&limit=1")
    const next = await ok("GET", `/servers?view=fleet&limit=1&cursor=${first.json["nextCursor"]}`)
    assert.deepStrictEqual(
      [...itemsOf(first), ...itemsOf(next)].map(({ name }) => name),
      ["ber-1", "fra-1"]
    )
    for (const wrong of [
      "view=fleet&near=me",
      "view=fleet&sort=nearest",
      "search=tag:eu",
      "verified=true",
      "sort=registered"
    ]) {
      await refused(call("GET", `/servers?${wrong}`), 400, "validation_failed")
    }
    await refused(call("GET", "/servers?view=fleet&search=nonsense:1"), 400, "invalid_search")
    await refused(call("GET", `/servers?view=fleet&search=${"x".repeat(505)}&q=yyyyyyyy`), 400, "validation_failed")
  })

  it("changes what admins say of a server, whole or one by one, as the token", async () => {
    const path = `/servers/${gateway.id}`
    const whole = await ok("PATCH", path, {
      groupId: null,
      assignedTags: ["a", "b"],
      assignedLabels: { site: "north" },
      ownConnectionLimit: 7
    })
    assert.deepInclude(whole.json, {
      groupId: null,
      assignedTags: ["a", "b"],
      assignedLabels: { site: "north" },
      ownConnectionLimit: 7,
      connectionLimit: 7,
      declaredTags: ["own"]
    })
    const some = await ok("PATCH", path, {
      tags: { add: ["c"], remove: ["a"] },
      labels: { set: { row: "2" }, remove: ["site"] }
    })
    assert.deepInclude(some.json, { assignedTags: ["b", "c"], assignedLabels: { row: "2" }, ownConnectionLimit: 7 })
    const same = await ok("PATCH", path, {})
    assert.strictEqual(tagOf(same).split(".")[0], tagOf(some).split(".")[0])
    await refused(
      call("PATCH", path, { body: { assignedTags: [], tags: { add: [], remove: [] } } }),
      400,
      "validation_failed"
    )
    await refused(call("PATCH", path, { body: { groupId: randomUUID() } }), 404, "group_not_found")
    await ok("PATCH", path, { ownConnectionLimit: null, assignedTags: [], assignedLabels: {} })
    const entries = await entriesOf(gateway.id)
    assert.deepInclude(entries, { action: "servers:assign", kind: "api-token", id: machine.id, name: "machine" })
    assert.deepInclude(entries, { action: "servers:limit", kind: "api-token", id: machine.id, name: "machine" })
  })

  it("A5 asks for another scope where a field does, and says so in the audit log", async () => {
    const narrow = await making(["servers:update"], "narrow")
    const changed = await narrow.ask("PATCH", `/servers/${gateway.id}`, { body: { assignedTags: ["n"] } })
    assert.strictEqual(changed.status, 200, changed.text)
    const limiting = narrow.ask("PATCH", `/servers/${gateway.id}`, {
      body: { assignedTags: [], ownConnectionLimit: 1 }
    })
    assert.strictEqual((await refused(limiting, 403, "permission_missing"))["permission"], "servers:limit")
    const { json } = await ok("GET", `/servers/${gateway.id}?view=fleet`)
    assert.deepInclude(json, { assignedTags: ["n"], ownConnectionLimit: null }, "all or nothing")
    const refusals = await broker.sql(
      `select details ->> 'endpoint' as endpoint from audit_entries
        where actor_id = '${narrow.id}' and outcome = 'refused' and action = 'servers:limit'`
    )
    assert.deepStrictEqual(refusals, [{ endpoint: "PATCH /api/v1/servers/:id" }])
  })

  it("drains, suspends, approves and retires", async () => {
    const server = await serving(broker, await broker.key(), "old-1")
    const path = `/servers/${server.id}`
    assert.strictEqual((await ok("PUT", `${path}/duty`, { duty: "draining" })).json["status"], "draining")
    assert.strictEqual((await ok("PUT", `${path}/duty`, { duty: "serving" })).json["duty"], "serving")
    const suspended = await ok("POST", `${path}/suspend`, { reason: "abuse" })
    assert.deepInclude(suspended.json, { admission: "suspended", statusReason: "abuse" })
    assert.strictEqual((await server.beat()).json["code"], "server_suspended")
    assert.strictEqual((await ok("POST", `${path}/approve`)).json["admission"], "approved")
    const retired = await ok("POST", `${path}/retire`, {})
    assert.strictEqual(retired.json["admission"], "retired")
    await refused(call("POST", `${path}/suspend`, { body: {} }), 409, "admission_conflict")
    assert.deepStrictEqual(
      (await entriesOf(server.id)).filter(({ kind }) => kind === "api-token").map(({ action }) => action),
      ["servers:drain", "servers:drain", "servers:suspend", "servers:approve", "servers:retire"]
    )
  })
})

describe("what is known of a server", () => {
  it("V3 is asked to prove its key with its next heartbeat, and what came of it is shown", async () => {
    const server = await serving(broker, await broker.key(), "asked-1")
    const path = `/servers/${server.id}`
    const before = await ok("GET", `${path}/verification`)
    assert.deepInclude(before.json, { serverId: server.id, name: "asked-1", verified: true, silences: 0 })
    const headers = key()
    assert.strictEqual((await ok("POST", `${path}/verify`, undefined, headers)).status, 204)
    assert.strictEqual((await ok("POST", `${path}/verify`, undefined, headers)).status, 204)
    assert.isNotNull((await server.beat()).json["challenge"])
    const asked = (await ok("GET", `${path}/verification`)).json["last"]
    assert.deepInclude(asked, { purpose: "requested", state: "open" })
    const entries = (await entriesOf(server.id)).filter(({ kind }) => kind === "api-token")
    assert.deepStrictEqual(
      entries.map(({ action, id }) => [action, id]),
      [["servers:verify", machine.id]]
    )
    const body = undefined
    await refused(
      call("POST", `${path}/verify`, { body, headers: { "if-match": '"other"' } }),
      412,
      "precondition_failed"
    )
  })

  it("is read with notes, capabilities and availability", async () => {
    const path = `/servers/${gateway.id}`
    assert.deepStrictEqual(itemsOf(await ok("GET", `${path}/notes?limit=1&fields=body`)), [])
    assert.deepStrictEqual(itemsOf(await ok("GET", `${path}/capabilities`)), [])
    const day = `from=${new Date(Date.now() - 3_600_000).toISOString()}&to=${new Date().toISOString()}`
    assert.deepInclude((await ok("GET", `${path}/availability?${day}`)).json, { share: 1, falls: 0, windows: [] })
    const groups = itemsOf(await ok("GET", `/availability?${day}&limit=1`))
    assert.deepInclude(groups[0], { groupId: null, path: null })
    for (const list of ["/outages", "/availability", `${path}/availability`]) {
      const long = await refused(
        call("GET", `${list}?from=2020-01-01T00:00:00Z&to=2022-01-01T00:00:00Z`),
        400,
        "validation_failed"
      )
      assert.deepStrictEqual(
        (long["errors"] as ReadonlyArray<Json>).map(({ pointer }) => pointer),
        ["/query/to"]
      )
      await refused(call("GET", list), 400, "validation_failed")
    }
    assert.deepStrictEqual(itemsOf(await ok("GET", "/maintenance-windows")), [])
    assert.deepStrictEqual(itemsOf(await ok("GET", "/fleet-guards")), [])
    const passed = itemsOf(await ok("GET", "/verification?list=passed&limit=1"))
    assert.lengthOf(passed, 1)
    const elsewhere = itemsOf(await ok("GET", `/verification?list=passed&groupId=${randomUUID()}`))
    assert.deepStrictEqual(elsewhere, [])
    await refused(call("GET", "/verification"), 400, "validation_failed")
    await refused(call("GET", "/verification?list=passed&cursor=x"), 400, "invalid_cursor")
  })
})

describe("who may do what", () => {
  it("is read without a secret, page by page", async () => {
    const roles: Array<unknown> = []
    for (let cursor = ""; ; ) {
      const page = await ok("GET", `/roles?limit=2${cursor}`)
      roles.push(...itemsOf(page).map(({ id }) => id))
      if (page.json["nextCursor"] === null) break
      cursor = `&cursor=${page.json["nextCursor"]}`
    }
    assert.deepStrictEqual(roles, ["owner", "admin", "operator", "auditor", "viewer"])
    const admins = itemsOf(await ok("GET", "/admins"))
    assert.deepInclude(admins[0], { name: "owner of machines", role: "owner", state: "active" })
    const tokens = await ok("GET", "/api-tokens")
    assert.deepInclude(
      itemsOf(tokens).find(({ id }) => id === machine.id),
      { name: "machine", state: "active", idle: [] }
    )
    assert.notInclude(tokens.text, machine.token)
    assert.notMatch(tokens.text, /digest/)
    const entries = await machine.ask("GET", "/audit-entries?limit=1&fields=seq,action")
    assert.deepStrictEqual(
      itemsOf(entries).map((entry) => Object.keys(entry)),
      [["seq", "action"]]
    )
  })
})

describe("groups", () => {
  it("are made, listed page by page, changed, moved and deleted", async () => {
    const made = await ok("POST", "/groups", { name: "eu", connectionLimit: 50 })
    assert.strictEqual(made.status, 201)
    assert.strictEqual(made.headers.get("location"), `/api/v1/groups/${made.json["id"]}`)
    const eu = String(made.json["id"])
    const below = await ok("POST", "/groups", { name: "frankfurt", parentId: eu })
    assert.deepInclude(below.json, { path: "eu/frankfurt", connectionLimit: null, effectiveConnectionLimit: 50 })
    const renamed = await ok("PATCH", `/groups/${eu}`, { name: "europe" })
    assert.deepInclude(renamed.json, { path: "europe", connectionLimit: 50 }, "the rest stays")
    const paths: Array<unknown> = []
    for (let cursor = ""; ; ) {
      const page = await ok("GET", `/groups?limit=1${cursor}`)
      paths.push(...itemsOf(page).map(({ path }) => path))
      if (page.json["nextCursor"] === null) break
      cursor = `&cursor=${page.json["nextCursor"]}`
    }
    assert.deepStrictEqual(paths, ["europe", "europe/frankfurt", "finding"])
    // The one that a page ended with is put elsewhere meanwhile: what stays in its place is not passed over.
    const ended = await ok("GET", "/groups?limit=2")
    await ok("PATCH", `/groups/${below.json["id"]}`, { parentId: null, name: "zurich" })
    const rest = itemsOf(await ok("GET", `/groups?cursor=${ended.json["nextCursor"]}`))
    assert.deepStrictEqual(
      rest.map(({ path }) => path),
      ["finding", "zurich"]
    )
    await ok("PATCH", `/groups/${below.json["id"]}`, { parentId: eu, name: "frankfurt" })
    await refused(call("DELETE", `/groups/${eu}`), 409, "group_in_use")
    await refused(call("POST", "/groups", { body: { name: "EUROPE" } }), 409, "group_name_taken")
    await refused(call("PATCH", `/groups/${eu}`, { body: { parentId: below.json["id"] } }), 409, "group_misplaced")
    await ok("DELETE", `/groups/${below.json["id"]}`)
    await ok("DELETE", `/groups/${eu}`)
    await refused(call("GET", `/groups/${eu}`), 404, "group_not_found")
  })
})

describe("users, keys and connections", () => {
  it("are made, found, changed, suspended and deleted", async () => {
    const ada = await ok("POST", "/users", { name: "Ada Lovelace", email: "ada@example.com" })
    assert.strictEqual(ada.status, 201)
    const path = `/users/${ada.json["id"]}`
    assert.deepInclude(ada.json, { state: "active", note: "", keys: 0, devices: 0 })
    await refused(call("POST", "/users", { body: { name: "Other", email: "ADA@example.com" } }), 409, "email_taken")
    const found = await ok("GET", "/users?q=lovelace&state=active&state=suspended&sort=-created")
    assert.deepStrictEqual(
      itemsOf(found).map(({ id }) => id),
      [ada.json["id"]]
    )
    assert.strictEqual((await ok("PATCH", path, { note: "two laptops" })).json["note"], "two laptops")

    const created = await ok("POST", `${path}/personal-keys`, { name: "laptop" })
    assert.strictEqual(created.status, 201)
    const { key: secret, ...shown } = created.json
    assert.match(String(secret), /^brk_usr_/)
    const ofKey = `/personal-keys/${shown["id"]}`
    assert.strictEqual(created.headers.get("location"), `/api/v1${ofKey}`)
    const read = await ok("GET", ofKey)
    assert.deepStrictEqual([read.json, tagOf(read)], [shown, tagOf(created)], "all but the secret")
    const client = await present(broker, String(secret))
    const { id } = granted(await client.connect({ serverId: gateway.id }))
    assert.lengthOf(itemsOf(await ok("GET", `${path}/devices`)), 1)
    assert.deepInclude((await ok("GET", path)).json, { keys: 1, devices: 1, liveConnections: 1 })

    const listed = itemsOf(
      await ok("GET", `/connections?userId=${ada.json["id"]}&scope=live&status=intent&stale=false`)
    )
    assert.deepStrictEqual(
      listed.map((connection) => [connection["id"], connection["userName"], connection["serverName"]]),
      [[id, "Ada Lovelace", "fra-1"]]
    )
    const seen = await ok("GET", `/connections/${id}`)
    assert.strictEqual(seen.json["personalKeyName"], "laptop")
    const own = await client.ask("GET", `/api/v1/connections/${id}`)
    assert.notProperty(own.json, "personalKeyName")
    assert.deepInclude((await ok("POST", `/connections/${id}/disconnect`)).json, { status: "expired" })

    const rotated = await ok("POST", `${ofKey}/rotate`, { overlapSeconds: 60 })
    assert.strictEqual(rotated.status, 201)
    await refused(call("POST", `${ofKey}/rotate`, { body: { overlapSeconds: 60 } }), 409, "personal_key_over")
    assert.strictEqual((await ok("POST", `${ofKey}/revoke`, { reason: "lost" })).json["state"], "revoked")
    const newest = await ok("GET", `${path}/personal-keys?limit=1`)
    const oldest = await ok("GET", `${path}/personal-keys?limit=1&cursor=${newest.json["nextCursor"]}`)
    assert.deepStrictEqual(
      [...itemsOf(newest), ...itemsOf(oldest)].map(({ id }) => id),
      [rotated.json["id"], shown["id"]]
    )
    assert.isNull(oldest.json["nextCursor"])
    await refused(call("GET", `${path}/personal-keys?cursor=x`), 400, "invalid_cursor")
    assert.deepInclude((await ok("POST", `${path}/suspend`, { reason: "left" })).json, { state: "suspended" })
    await refused(call("POST", `${path}/personal-keys`, { body: { name: "x" } }), 409, "user_suspended")
    assert.deepInclude((await ok("POST", `${path}/resume`)).json, { state: "active" })
    await ok("DELETE", path)
    await refused(call("GET", path), 404, "user_not_found")
    assert.isTrue((await entriesOf(ada.json["id"])).every(({ id }) => id === machine.id))
  })
})

describe("devices", () => {
  it("C6 are blocked, let in again and forgotten, and their sessions end", async () => {
    const { key: secret, userId } = await broker.user("Owner of devices")
    const [first, second, third] = await Promise.all(
      ["one", "two", "three"].map((fingerprint) => present(broker, secret, { fingerprint, name: fingerprint }))
    )
    assert.isDefined(third)
    const path = `/devices/${first?.deviceId}`
    const seen = await ok("GET", path)
    assert.deepInclude(seen.json, { userId, name: "one", blockedAt: null })
    const blocked = await ok("POST", `${path}/block`, { reason: "lost" }, { "if-match": tagOf(seen) })
    assert.deepInclude(blocked.json, { blockedReason: "lost", liveConnections: 0 })
    assert.strictEqual((await first?.ask("GET", "/api/v1/me"))?.status, 401)
    assert.strictEqual((await second?.ask("GET", "/api/v1/me"))?.status, 200)
    const late = { body: {}, headers: { "if-match": tagOf(seen) } }
    await refused(call("POST", `${path}/unblock`, late), 412, "precondition_failed")
    await refused(call("DELETE", path, { headers: late.headers }), 412, "precondition_failed")
    const free = await ok("POST", `${path}/unblock`, undefined, { "if-match": tagOf(blocked) })
    assert.deepInclude(free.json, { blockedAt: null, blockedReason: null })

    const list = `/users/${userId}/devices`
    const all = itemsOf(await ok("GET", list)).map(({ id }) => id)
    const page = await ok("GET", `${list}?limit=2`)
    await ok("DELETE", `/devices/${all[1]}`, undefined, { "if-match": "*" })
    const rest = await ok("GET", `${list}?limit=2&cursor=${page.json["nextCursor"]}`)
    assert.deepStrictEqual(
      itemsOf(rest).map(({ id }) => id),
      all.slice(2),
      "nothing is passed over though the page's last is gone"
    )
    await refused(call("GET", `/devices/${all[1]}`), 404, "device_not_found")
    const acts = (await entriesOf(first?.deviceId)).filter(({ kind }) => kind === "api-token")
    assert.deepStrictEqual(
      acts.slice(0, 2).map(({ action }) => action),
      ["devices:block", "devices:unblock"]
    )
  })
})

describe("registration keys", () => {
  it("let servers in, are shown without their secret, and are revoked", async () => {
    const created = await ok("POST", "/registration-keys", { name: "ci", expiresInSeconds: 600, tags: ["ci"] })
    assert.strictEqual(created.status, 201)
    const { key: secret, ...shown } = created.json
    assert.deepInclude(shown, { useLimit: 1, uses: 0, approval: false, createdBy: "machine", state: "active" })
    const path = `/registration-keys/${shown["id"]}`
    const read = await ok("GET", path)
    assert.deepStrictEqual([read.json, tagOf(read)], [shown, tagOf(created)])
    await serving(broker, String(secret), "by-machine")
    const used = await ok("GET", path)
    assert.deepInclude(used.json, { uses: 1, state: "exhausted" })
    assert.include(
      itemsOf(await ok("GET", "/registration-keys?state=exhausted&limit=200")).map(({ id }) => id),
      shown["id"]
    )
    assert.strictEqual((await ok("POST", `${path}/revoke`)).json["state"], "revoked")
    assert.notInclude(broker.log.join("\n"), String(secret))
  })
})

describe("fields of choice", () => {
  it("are what is answered, of one and of lists, with the tag of the whole", async () => {
    const path = `/servers/${gateway.id}?view=fleet`
    const full = await ok("GET", path)
    const some = await machine.ask("GET", `${path}&fields=id,name,status`)
    assert.deepStrictEqual(some.json, { id: gateway.id, name: "fra-1", status: "online" })
    assert.strictEqual(tagOf(some), tagOf(full))
    const same = await machine.ask("GET", `${path}&fields=id`, { headers: { "if-none-match": tagOf(some) } })
    assert.strictEqual(`${same.status} ${same.text}`, "304 ")
    for (const [list, fields] of [
      ["/servers?view=fleet&", "id,status"],
      ["/servers?", "id,load"],
      ["/groups?", "path"],
      ["/users?", "id,name"],
      ["/connections?", "id"],
      ["/registration-keys?", "id,state"]
    ]) {
      const page = await machine.ask("GET", `${list}fields=${fields}`)
      assert.strictEqual(page.status, 200, page.text)
      assert.isAbove(itemsOf(page).length, 0, list)
      for (const item of itemsOf(page)) assert.deepStrictEqual(Object.keys(item).join(), fields)
    }
    const list = await ok("GET", "/groups?limit=2")
    assert.isNull(list.headers.get("etag"))
    const headers = { "if-none-match": tagOf(await ok("GET", "/servers?view=fleet&q=fra")) }
    assert.strictEqual((await call("GET", "/servers?view=fleet&q=fra", { headers })).status, 304)
    assert.strictEqual((await call("GET", "/servers?view=fleet&q=ber", { headers })).status, 200)
  })

  it("are refused where there is no such field, with those that there are", async () => {
    for (const path of [
      "/groups",
      "/users",
      `/servers/${gateway.id}`,
      "/servers",
      "/servers?view=fleet",
      "/connections"
    ]) {
      const { errors } = await refused(
        call("GET", `${path}${path.includes("?") ? "&" : "?"}fields=id,digest`),
        400,
        "validation_failed"
      )
      const [{ message, pointer }] = errors as [{ pointer: string; message: string }]
      assert.strictEqual(pointer, "/query/fields")
      assert.match(message, /^must name some of .*\bid\b/)
      assert.notMatch(message, /digest|organizationId/)
    }
    await refused(call("GET", "/users?fields="), 400, "validation_failed")
  })
})

describe("tags", () => {
  it("tell whether something changed: 304 while it did not", async () => {
    const { json } = await ok("POST", "/groups", { name: "tagged" })
    const path = `/groups/${json["id"]}`
    const tag = tagOf(await ok("GET", path))
    assert.match(tag, /^"[\w.-]+"$/)
    for (const condition of [tag, `W/${tag}`, `"other", ${tag}`, "*"]) {
      const answer = await call("GET", path, { headers: { "if-none-match": condition } })
      assert.strictEqual(answer.status, 304, condition)
    }
    const changed = tagOf(await ok("PATCH", path, { connectionLimit: 3 }))
    assert.notStrictEqual(changed, tag)
    assert.strictEqual((await call("GET", path, { headers: { "if-none-match": tag } })).status, 200)
    assert.strictEqual(tagOf(await ok("GET", path)), changed)
  })

  it("let nobody change what is not as they saw it", async () => {
    const { json } = await ok("POST", "/users", { name: "Tagged" })
    const path = `/users/${json["id"]}`
    const seen = tagOf(await ok("GET", path))
    await ok("PATCH", path, { note: "first" }, { "if-match": seen })
    for (const condition of [seen, `W/${seen}`, '"other"', "nonsense"]) {
      const body = { note: "second" }
      await refused(call("PATCH", path, { body, headers: { "if-match": condition } }), 412, "precondition_failed")
      await refused(call("DELETE", path, { headers: { "if-match": condition } }), 412, "precondition_failed")
      await refused(
        call("POST", `${path}/suspend`, { body: {}, headers: { "if-match": condition } }),
        412,
        "precondition_failed"
      )
    }
    const weak = `W/${tagOf(await ok("GET", path))}`
    await refused(call("DELETE", path, { headers: { "if-match": weak } }), 412, "precondition_failed")
    assert.strictEqual((await ok("PATCH", path, { note: "any" }, { "if-match": "*" })).json["note"], "any")
    const now = tagOf(await ok("GET", path))
    const named = await ok("PATCH", path, { note: "named" }, { "if-match": `W/"other",${now}` })
    await ok("DELETE", path, undefined, { "if-match": `"other", ${tagOf(named)}` })
    await refused(call("DELETE", path, { headers: { "if-match": "*" } }), 404, "user_not_found")
  })

  it("go on where only what the broker observes has moved", async () => {
    const path = `/servers/${gateway.id}`
    const seen = tagOf(await ok("GET", `${path}?view=fleet`))
    await gateway.beat({ activeConnections: 9, metrics: { cpu: 0.99 } })
    const now = await call("GET", `${path}?view=fleet`, { headers: { "if-none-match": seen } })
    assert.strictEqual(now.status, 200, "it is shown anew")
    await ok("PATCH", path, { assignedTags: ["calm"] }, { "if-match": seen })
    const body = { assignedTags: ["lost"] }
    await refused(call("PATCH", path, { body, headers: { "if-match": seen } }), 412, "precondition_failed")
  })

  it("lose no change of 50 at once, though all saw the same", async () => {
    const { json } = await ok("POST", "/groups", { name: "contested" })
    const group = `/groups/${json["id"]}`
    const contest = async (path: string, read: string, many: number, body: (n: number) => Json) => {
      const seen = tagOf(await ok("GET", read))
      const answers = await Promise.all(
        Array.from({ length: many }, (_, n) =>
          machine.ask("PATCH", path, { body: body(n), headers: { "if-match": seen } })
        )
      )
      const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b)
      assert.deepStrictEqual(statuses, [200, ...Array(many - 1).fill(412)], path)
      const winner = answers.find(({ status }) => status === 200)
      assert.strictEqual(tagOf(await ok("GET", read)), tagOf(winner ?? assert.fail()))
    }
    await contest(group, group, 50, (n) => ({ connectionLimit: n }))
    const server = `/servers/${gateway.id}`
    await contest(server, `${server}?view=fleet`, 20, (n) => ({ ownConnectionLimit: n, assignedTags: [`t${n}`] }))
  })

  it("are not needed: what is left out of a change stays, also of 20 changes at once", async () => {
    const path = `/servers/${gateway.id}`
    await ok("PATCH", path, { assignedTags: [] })
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        machine.ask("PATCH", path, { body: { tags: { add: [`p${n}`], remove: [] } } })
      )
    )
    assert.isTrue(answers.every(({ status }) => status === 200))
    assert.lengthOf((await ok("GET", `${path}?view=fleet`)).json["assignedTags"] as ReadonlyArray<string>, 20)
  })
})

describe("Idempotency-Key", () => {
  it("F6 gives the same answer again, with its secret, and changes nothing twice", async () => {
    const headers = key()
    const body = { name: "once", expiresInSeconds: 600 }
    const first = await ok("POST", "/registration-keys", body, headers)
    const again = await ok("POST", "/registration-keys", { expiresInSeconds: 600, name: "once" }, headers)
    assert.strictEqual(again.status, 201)
    assert.strictEqual(again.text, first.text)
    for (const name of ["etag", "location", "content-type"]) {
      assert.strictEqual(again.headers.get(name), first.headers.get(name), name)
    }
    const made = await broker.sql("select id from registration_keys where name = 'once'")
    assert.lengthOf(made, 1)
    assert.lengthOf(await entriesOf(made[0]?.["id"]), 1)
    const other = { body: { ...body, name: "twice" }, headers }
    await refused(call("POST", "/registration-keys", other), 422, "idempotency_key_reused")
    await refused(call("POST", "/users", { body, headers }), 422, "idempotency_key_reused")
    const elsewhere = await (await making(scopes, "another")).ask("POST", "/registration-keys", { body, headers })
    assert.strictEqual(elsewhere.status, 201, "another machine's keys are its own")
    assert.notStrictEqual(elsewhere.json["id"], first.json["id"])
  })

  it("F6 keeps no secret that anybody could read", async () => {
    const { json } = await ok("POST", "/registration-keys", { name: "sealed", expiresInSeconds: 600 }, key())
    const secret = String(json["key"])
    const parts = (await broker.tables()).map(
      (table) => `select '${table}' as name, count(*)::int as n from ${table} t
                   where t::text like '%${secret.slice(30)}%' or t::text like '%${Buffer.from(secret).toString("hex")}%'`
    )
    assert.deepStrictEqual(await broker.sql(`select * from (${parts.join(" union all ")}) as found where n > 0`), [])
  })

  it("F6 makes one of 50 at once, and answers all of them alike", async () => {
    const headers = key()
    const body = { name: "Of fifty" }
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => machine.ask("POST", "/users", { body, headers }))
    )
    assert.deepStrictEqual(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size, 1, answers[0]?.text)
    assert.strictEqual(answers[0]?.status, 201)
    assert.deepStrictEqual(await broker.sql("select count(*)::int as n from users where name = 'Of fifty'"), [{ n: 1 }])
  })

  it("F6 stands for changes of what is there as well: an answer that was lost is given again", async () => {
    const { json } = await ok("POST", "/groups", { name: "lost" })
    const path = `/groups/${json["id"]}`
    const seen = { ...key(), "if-match": tagOf(await ok("GET", path)) }
    const changed = await ok("PATCH", path, { name: "found" }, seen)
    assert.strictEqual((await ok("PATCH", path, { name: "found" }, seen)).text, changed.text, "and no 412")
    const headers = key()
    assert.strictEqual((await ok("DELETE", path, undefined, headers)).status, 204)
    assert.strictEqual((await ok("DELETE", path, undefined, headers)).status, 204, "and no 404")
    assert.deepStrictEqual(
      (await entriesOf(json["id"])).map(({ action }) => action),
      ["groups:create", "groups:update", "groups:delete"]
    )
  })

  it("F6 takes bodies that go deeper than anybody compares", async () => {
    const headers = key()
    const body = (name: string) => `{"name":"${name}","ignored":${"[".repeat(20_000)}${"]".repeat(20_000)}}`
    const made = await ok("POST", "/users", body("Deep"), headers)
    assert.strictEqual((await ok("POST", "/users", body("Deep"), headers)).text, made.text)
    await refused(call("POST", "/users", { body: body("Deeper"), headers }), 422, "idempotency_key_reused")
  })

  it("holds no transaction open while a name server is asked where a webhook leads", async () => {
    const { ask } = await making(["webhooks:read", "webhooks:create", "webhooks:update", "servers:read"], "hooks")
    const body = { name: "Pager", url: "https://hooks.example/in", types: ["server.updated"] }
    const headers = { "idempotency-key": randomUUID() }
    const created = await ask("POST", "/webhooks", { body, headers })
    assert.strictEqual(created.status, 201, created.text)
    assert.strictEqual((await ask("POST", "/webhooks", { body, headers })).text, created.text)
    const tag = created.headers.get("etag") ?? ""
    const path = `/webhooks/${created.json["id"]}`
    const moved = { body: { url: "https://elsewhere.example/" }, headers: { "if-match": tag } }
    assert.strictEqual((await ask("PATCH", path, moved)).status, 200)
    assert.strictEqual((await ask("PATCH", path, moved)).status, 412)
    assert.deepStrictEqual([...new Set(keptMeanwhile)], [0])
  })

  it("F6 is free again after a refusal, and after a day", async () => {
    const headers = key()
    const body = { name: "Freed", email: "freed@example.com" }
    const taken = await ok("POST", "/users", { ...body, name: "Holder" })
    await refused(call("POST", "/users", { body, headers }), 409, "email_taken")
    await ok("DELETE", `/users/${taken.json["id"]}`)
    const made = await ok("POST", "/users", body, headers)
    await broker.sql("update idempotency_keys set created_at = created_at - interval '25 hours'")
    await ok("DELETE", `/users/${made.json["id"]}`)
    const anew = await ok("POST", "/users", body, headers)
    assert.notStrictEqual(anew.json["id"], made.json["id"])
    assert.strictEqual((await ok("POST", "/users", body, headers)).text, anew.text)
  })
})

describe("from outside", () => {
  it("the README's lines do what they say", async () => {
    const readme = await readFile(new URL("../../../../README.md", import.meta.url), "utf8")
    const [, section = ""] = readme.split("## Connect other systems\n")
    const lines = (section.split("\n## ")[0] ?? "").match(/^ {4}curl(?:.*\\\n)*.*$/gm) ?? []
    assert.lengthOf(lines, 2)
    const run = async (line: string): Promise<Json> => {
      const env = { PATH: process.env["PATH"], BROKER_URL: broker.url, BROKER_TOKEN: machine.token }
      const { stdout } = await promisify(execFile)("bash", ["-c", `${line} -sS --fail-with-body`], { env })
      return JSON.parse(stdout)
    }
    const [fleet = "", create = ""] = lines
    const { items } = (await run(fleet)) as { readonly items: ReadonlyArray<Json> }
    assert.isAbove(items.length, 0)
    for (const item of items) assert.sameMembers(Object.keys(item), ["id", "name", "status", "statusSince"])
    const once = await run(create)
    assert.match(String(once["key"]), /^brk_reg_/)
    assert.deepStrictEqual(await run(create), once, "asked again, it is the same key")
  })

  it("the typed client works for machines", async () => {
    const { apiToken, url } = { apiToken: Redacted.make(machine.token), url: broker.url }
    const program = Effect.gen(function* () {
      const client = yield* BrokerClient.make({ url, apiToken })
      const group = yield* client.groups.create({ payload: { name: GroupName.make("typed") }, headers: {} })
      const [changed, response] = yield* client.groups.update({
        params: { id: group.id },
        payload: { connectionLimit: 5 },
        headers: {},
        responseMode: "decoded-and-response"
      })
      const refused = yield* client.groups
        .delete({ params: { id: group.id }, headers: { "if-match": '"not this"' } })
        .pipe(Effect.flip)
      yield* client.groups.delete({ params: { id: group.id }, headers: { "if-match": response.headers["etag"] ?? "" } })
      const fleet = yield* client.discovery.list({ query: { view: "fleet", q: "fra" }, headers: {} })
      return { changed, refused, names: fleet.items.map(({ name }) => name) }
    })
    const { changed, names, refused } = await Effect.runPromise(Effect.provide(program, NodeHttpClient.layerUndici))
    assert.strictEqual(changed.connectionLimit, 5)
    assert.strictEqual(refused._tag, "PreconditionFailed")
    assert.deepStrictEqual(names, ["fra-1"])
  })
})

describe("what holds of all", () => {
  it("refuses unknown parameters, ids that are none, and methods that there are not", async () => {
    await refused(call("GET", "/users?colour=red"), 400, "validation_failed")
    await refused(call("GET", "/users/1"), 400, "validation_failed")
    await refused(call("GET", "/users?limit=201"), 400, "validation_failed")
    await refused(call("GET", "/users?cursor=x"), 400, "invalid_cursor")
    // What is no time with its zone is none, whatever a clever reader makes of it.
    for (const time of ["1", "2026", "2026-11-01", "Nov 1 2026", "2026-11-01T00:00:00"]) {
      await refused(call("GET", `/audit-entries?from=${encodeURIComponent(time)}`), 400, "validation_failed")
    }
    const wrong = await machine.ask("PUT", "/users", { body: {} })
    await refused(wrong, 405, "method_not_allowed")
    assert.strictEqual(wrong.headers.get("allow"), "GET, HEAD, POST, OPTIONS")
  })

  it("A5 answers 404 to whatever is another organization's", async () => {
    const elsewhere = "00000000-0000-7000-8000-000000000003"
    await broker.sql(`insert into organizations (id, name) values ('${elsewhere}', 'elsewhere')`)
    const home = broker.of(elsewhere as Parameters<Wire["of"]>[0])
    const { key: personalKey, keyId, userId } = await home.user("Foreign")
    const { deviceId } = await present(broker, personalKey)
    const server = await serving(broker, await home.key(), "foreign")
    const groupId = "019845e1-682f-7b02-a706-3b2422d13aee"
    await broker.sql(
      `insert into groups (id, organization_id, name, name_key, created_at)
       values ('${groupId}', '${elsewhere}', 'foreign', 'foreign', now())`
    )
    const own = await ok("POST", "/groups", { name: "own" })
    const [registrationKey] = await broker.sql(
      `select id from registration_keys where organization_id = '${elsewhere}'`
    )
    const span = "from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z"
    const calls: ReadonlyArray<readonly [string, string, string, unknown?]> = [
      ["GET", `/servers/${server.id}?view=fleet`, "server_not_found"],
      ["PATCH", `/servers/${server.id}`, "server_not_found", { assignedTags: ["mine"], ownConnectionLimit: 1 }],
      ["PUT", `/servers/${server.id}/duty`, "server_not_found", { duty: "draining" }],
      ["POST", `/servers/${server.id}/suspend`, "server_not_found", {}],
      ["POST", `/servers/${server.id}/approve`, "server_not_found"],
      ["POST", `/servers/${server.id}/retire`, "server_not_found", {}],
      ["POST", `/servers/${server.id}/verify`, "server_not_found"],
      ["GET", `/servers/${server.id}/verification`, "server_not_found"],
      ["GET", `/servers/${server.id}/capabilities`, "server_not_found"],
      ["GET", `/servers/${server.id}/notes`, "server_not_found"],
      ["GET", `/servers/${server.id}/availability?${span}`, "server_not_found"],
      ["GET", `/devices/${deviceId}`, "device_not_found"],
      ["POST", `/devices/${deviceId}/block`, "device_not_found", {}],
      ["POST", `/devices/${deviceId}/unblock`, "device_not_found"],
      ["DELETE", `/devices/${deviceId}`, "device_not_found"],
      ["GET", `/groups/${groupId}`, "group_not_found"],
      ["PATCH", `/groups/${groupId}`, "group_not_found", { name: "mine" }],
      ["PATCH", `/groups/${own.json["id"]}`, "group_not_found", { parentId: groupId }],
      ["POST", "/groups", "group_not_found", { name: "below", parentId: groupId }],
      ["PATCH", `/servers/${gateway.id}`, "group_not_found", { groupId }],
      ["POST", "/registration-keys", "group_not_found", { name: "mine", expiresInSeconds: 600, groupId }],
      [
        "POST",
        "/registration-keys",
        "server_not_found",
        { name: "mine", expiresInSeconds: 600, replacesServerId: server.id }
      ],
      ["GET", `/users/${userId}`, "user_not_found"],
      ["GET", `/users/${userId}/personal-keys`, "user_not_found"],
      ["GET", `/users/${userId}/devices`, "user_not_found"],
      ["PATCH", `/users/${userId}`, "user_not_found", { name: "Mine" }],
      ["POST", `/users/${userId}/suspend`, "user_not_found", {}],
      ["POST", `/users/${userId}/resume`, "user_not_found"],
      ["POST", `/users/${userId}/personal-keys`, "user_not_found", { name: "mine" }],
      ["DELETE", `/users/${userId}`, "user_not_found"],
      ["GET", `/personal-keys/${keyId}`, "personal_key_not_found"],
      ["POST", `/personal-keys/${keyId}/rotate`, "personal_key_not_found", { overlapSeconds: 0 }],
      ["POST", `/personal-keys/${keyId}/revoke`, "personal_key_not_found", {}],
      ["GET", `/registration-keys/${registrationKey?.["id"]}`, "registration_key_not_found"],
      ["POST", `/registration-keys/${registrationKey?.["id"]}/revoke`, "registration_key_not_found"]
    ]
    const before = await broker.snapshot()
    for (const [method, path, code, body] of calls) {
      for (const headers of [{}, { "if-match": "*" }]) {
        await refused(call(method, path, { body, headers }), 404, code)
      }
    }
    const unread = ({ api_tokens: _, ...tables }: Json = {}) => tables
    assert.deepStrictEqual(unread(await broker.snapshot()), unread(before))
    const lists = ["/servers?view=fleet", "/users", "/connections", "/registration-keys", "/groups", "/admins"]
    for (const list of [...lists, "/api-tokens", "/maintenance-windows", "/fleet-guards", `/availability?${span}`]) {
      assert.notInclude((await ok("GET", `${list}${list.includes("?") ? "&" : "?"}limit=200`)).text, elsewhere)
      assert.notMatch((await ok("GET", list)).text, /oreign/)
    }
  })
})
