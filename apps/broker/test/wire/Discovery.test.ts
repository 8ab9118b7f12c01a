/** How clients find servers: every parameter, pages, and answers that need not be sent twice (C8). */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Client, present } from "./Client.ts"
import { procedure, signIn } from "./Dashboard.ts"
import { type Document, describe as describedAt, undeclared } from "./Described.ts"
import { type Gateway, join, serving } from "./Gateway.ts"
import { type Answer, type Ask, eventually, type Json, sharedDatabase, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"
const servers = "/api/v1/servers"

let broker: Wire
let document: Document
let cookie: string
let me: Client
const fleet = new Map<string, Gateway>()

/** What stands where, in the order of their names. */
const given: Readonly<Record<string, Json>> = {
  "ams-1": {
    version: "1.4.2",
    tags: ["eu", "fast"],
    labels: { rack: "b2", tier: "gold" },
    capabilities: { vpn: { ipv6: true }, lan: {} },
    location: { latitude: 52.37, longitude: 4.9 }
  },
  "fra-1": {
    version: "1.10.0",
    tags: ["eu"],
    labels: { rack: "b2" },
    capabilities: { vpn: {} },
    location: { latitude: 50.11, longitude: 8.68 }
  },
  "nyc-1": {
    version: "2.0.0-rc.1",
    tags: ["us", "fast"],
    labels: { rack: "c1", note: "a:b" },
    capabilities: { lan: {} },
    location: { latitude: 40.71, longitude: -74.01 }
  },
  "sgp-1": { tags: ["asia"], location: { latitude: 1.35, longitude: 103.82 } },
  "zrh-1": { version: "1.9.0", tags: ["eu"], labels: { rack: "z9" }, capabilities: { vpn: {} } }
}

beforeAll(async () => {
  broker = await start()
  document = await describedAt(broker.url)
  await broker.admin("ada", password)
  cookie = await signIn(broker, "ada", password)
  const key = await broker.key({ useLimit: 20 })
  for (const [name, fields] of Object.entries(given)) fleet.set(name, await serving(broker, key, name, fields))
  me = await present(broker, (await broker.user("Ada")).key)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const asking = async (query = "", asked: Ask = {}) => {
  const path = query === "" ? servers : `${servers}?${query}`
  const answer = await me.ask("GET", path, asked)
  assert.deepStrictEqual(undeclared(document, "GET", path, answer), [])
  return answer
}

const items = (answer: Answer) => answer.json["items"] as ReadonlyArray<Json>

/** The names of what is found. */
const found = async (query = "") => {
  const answer = await asking(query)
  assert.strictEqual(answer.status, 200, answer.text)
  return items(answer).map(({ name }) => String(name))
}

const told = (answer: Answer) => `${answer.status} ${answer.json["code"]}`

const pointers = (answer: Answer) =>
  ((answer.json["errors"] ?? []) as ReadonlyArray<{ readonly pointer: string }>).map(({ pointer }) => pointer)

const everything = Object.keys(given)

describe("GET /api/v1/servers", () => {
  it("answers a page of servers as clients are shown them", async () => {
    const answer = await asking()
    assert.strictEqual(answer.status, 200)
    assert.sameMembers(Object.keys(answer.json), ["items", "nextCursor"])
    assert.isNull(answer.json["nextCursor"])
    const [first] = items(answer)
    const { id, lastSeenAt, registeredAt, publicKey, ...server } = first ?? {}
    assert.strictEqual(id, fleet.get("ams-1")?.id)
    assert.strictEqual(publicKey, fleet.get("ams-1")?.identity.publicKey)
    assert.match(String(lastSeenAt), /Z$/)
    assert.match(String(registeredAt), /Z$/)
    assert.deepStrictEqual(server, {
      ...given["ams-1"],
      name: "ams-1",
      admission: "approved",
      liveness: "online",
      duty: "serving",
      verified: true,
      endpoints: [],
      group: null,
      publicAddress: "127.0.0.1",
      load: 0,
      distanceKm: null
    })
  })

  it.each([
    ["", everything],
    ["tag=eu", ["ams-1", "fra-1", "zrh-1"]],
    ["tag=eu&tag=fast", ["ams-1"]],
    ["tag=nothing", []],
    ["label=rack:b2", ["ams-1", "fra-1"]],
    ["label=rack:b2&label=tier:gold", ["ams-1"]],
    ["label=note:a:b", ["nyc-1"]],
    ["label=rack:b", []],
    ["capability=vpn", ["ams-1", "fra-1", "zrh-1"]],
    ["capability=vpn&capability=lan", ["ams-1"]],
    ["q=R", ["fra-1", "zrh-1"]],
    ["q=-1", everything],
    ["q=%25", []],
    ["q=_", []],
    ["minVersion=1.9", ["fra-1", "nyc-1", "zrh-1"]],
    ["minVersion=v1.10", ["fra-1", "nyc-1"]],
    ["minVersion=2", []],
    ["minVersion=2.0.0-rc.1", ["nyc-1"]],
    ["status=online", everything],
    ["status=degraded", []],
    ["status=online&status=degraded", everything],
    ["status=offline", []],
    ["group=nobody", []],
    ["tag=eu&capability=vpn&minVersion=1.9&q=1&label=rack:z9", ["zrh-1"]],
    ["sort=name", everything],
    ["sort=-name", everything.toReversed()],
    ["limit=2", ["ams-1", "fra-1"]]
  ])("?%s", async (query, names) => {
    assert.deepStrictEqual(await found(query), names)
  })

  it("near: by distance, which is told; servers of unknown location last", async () => {
    const answer = await asking("near=50.0,8.0")
    assert.deepStrictEqual(
      items(answer).map(({ name }) => name),
      ["fra-1", "ams-1", "nyc-1", "sgp-1", "zrh-1"]
    )
    const distances = items(answer).map(({ distanceKm }) => distanceKm)
    assert.isNull(distances.at(-1))
    assert.closeTo(Number(distances[0]), 50, 5)
    assert.closeTo(Number(distances[2]), 6_164, 5)
    assert.deepStrictEqual(await found("near=1.3,103.8&sort=nearest&limit=1"), ["sgp-1"])
    assert.deepStrictEqual(await found("near=1.3,103.8&sort=name"), everything)
  })

  it("near=me: of a place that nobody knows, all the same (G2)", async () => {
    assert.sameMembers(await found("near=me"), everything)
  })

  it("sort=load: whoever carries most comes last", async () => {
    const { key } = await broker.user("Busy")
    const busy = await present(broker, key)
    assert.strictEqual((await busy.connect({ serverId: fleet.get("ams-1")?.id })).status, 201)
    await eventually("the load is seen", async () => (await found("sort=load")).at(-1) === "ams-1", { withinMs: 3_000 })
    assert.strictEqual((await found("sort=-load"))[0], "ams-1")
    const one = await eventually("and told", async () => {
      const [server] = items(await asking("sort=-load&limit=1"))
      return Number(server?.["load"]) > 0 && server
    })
    assert.strictEqual(one["load"], 0.001)
  })

  it.each(["sort=name", "sort=-name", "sort=load", "sort=lastSeen", "sort=-lastSeen", "near=50,8", "tag=eu", ""])(
    "pages of two by %s are the whole, each once and in order",
    async (query) => {
      const whole = await found(query)
      const pages: Array<string> = []
      let cursor: unknown
      do {
        const next = cursor === undefined ? "" : `&cursor=${encodeURIComponent(String(cursor))}`
        const answer = await asking(`${query}&limit=2${next}`)
        assert.strictEqual(answer.status, 200, answer.text)
        pages.push(...items(answer).map(({ name }) => String(name)))
        cursor = answer.json["nextCursor"]
      } while (cursor !== null)
      assert.deepStrictEqual(pages, whole)
    }
  )

  it.each([
    ["verbose=1", "/query/verbose"],
    ["Tag=eu", "/query/Tag"],
    ["tag[]=eu", "/query/tag[]"],
    ["limit=0", "/query/limit"],
    ["limit=201", "/query/limit"],
    ["limit=ten", "/query/limit"],
    ["limit=1.5", "/query/limit"],
    ["limit=1&limit=2", "/query/limit"],
    ["sort=size", "/query/sort"],
    ["sort=name&sort=load", "/query/sort"],
    ["status=awake", "/query/status/0"],
    ["status=online&status=awake", "/query/status/1"],
    ["tag=", "/query/tag/0"],
    ["label=rack", "/query/label/0"],
    ["capability=VPN", "/query/capability/0"],
    ["q=a&q=b", "/query/q"],
    [`q=${"x".repeat(129)}`, "/query/q"],
    ["q=%00", "/query/q"],
    ["minVersion=new", "/query/minVersion"],
    ["near=here", "/query/near"],
    ["near=91,0", "/query/near/latitude"],
    ["near=0,181", "/query/near/longitude"],
    ["near=1", "/query/near"],
    [`cursor=${"x".repeat(1_025)}`, "/query/cursor"]
  ])("?%s answers 400, and names it", async (query, pointer) => {
    const answer = await asking(query)
    assert.strictEqual(told(answer), "400 validation_failed")
    assert.include(pointers(answer), pointer)
  })

  it.each(["x", "e30", "W10", "bnVsbA", Buffer.from('["ams-1"]').toString("base64url"), "%F0%9F%98%80"])(
    "the cursor %s is none that it gave out",
    async (cursor) => {
      assert.strictEqual(told(await asking(`cursor=${cursor}`)), "400 invalid_cursor")
    }
  )

  it("a cursor of another sort is none", async () => {
    const { nextCursor } = (await asking("sort=name&limit=1")).json
    const answer = await asking(`sort=lastSeen&limit=1&cursor=${encodeURIComponent(String(nextCursor))}`)
    assert.strictEqual(told(answer), "400 invalid_cursor")
  })

  it("never shows a server that is not available", async () => {
    const key = await broker.key({ useLimit: 10 })
    const [unproven, unheard, pending, suspended, draining, retired] = [
      await join(broker, key, "x-unproven"),
      await join(broker, key, "x-unheard"),
      await serving(broker, await broker.key({ approval: true }), "x-pending"),
      await serving(broker, key, "x-suspended"),
      await serving(broker, key, "x-draining"),
      await serving(broker, key, "x-retired")
    ]
    await unproven.beat()
    await unheard.prove()
    await procedure(broker, "mutation", "servers.suspend", { id: suspended.id, reason: "x" }, cookie)
    await draining.ask("PATCH", "/api/v1/servers/self", { body: { duty: "draining" } })
    await retired.ask("DELETE", "/api/v1/servers/self")
    await eventually("none is listed", async () => (await found("q=x-")).length === 0, { withinMs: 3_000 })
    for (const { id } of [unproven, unheard, pending, suspended, draining, retired]) {
      const one = await me.ask("GET", `${servers}/${id}`)
      assert.strictEqual(told(one), "404 server_not_found")
      assert.deepStrictEqual(undeclared(document, "GET", `${servers}/${id}`, one), [])
    }
  })
})

describe("GET /api/v1/servers/{id}", () => {
  it("answers one", async () => {
    const path = `${servers}/${fleet.get("fra-1")?.id}`
    const answer = await me.ask("GET", path)
    assert.strictEqual(answer.status, 200)
    assert.deepStrictEqual(undeclared(document, "GET", path, answer), [])
    assert.deepInclude(answer.json, { name: "fra-1", id: fleet.get("fra-1")?.id })
  })

  it("404 for what is not there, 400 for what is no id; and self is the server's own", async () => {
    assert.strictEqual(
      told(await me.ask("GET", `${servers}/019845e1-682f-7b02-a706-3b2422d13aec`)),
      "404 server_not_found"
    )
    for (const id of ["nonsense", "019845E1-682F-7B02-A706-3B2422D13AEC"]) {
      const answer = await me.ask("GET", `${servers}/${id}`)
      assert.strictEqual(told(answer), "400 validation_failed", id)
      assert.deepStrictEqual(pointers(answer), ["/path/id"])
    }
    assert.strictEqual(told(await me.ask("GET", `${servers}/self`)), "401 wrong_credential_kind")
    assert.strictEqual((await fleet.get("fra-1")?.ask("GET", `${servers}/self`))?.status, 200)
  })
})

describe("entity tags (RFC 9110)", () => {
  const kept = async (path: string) => {
    const answer = await me.ask("GET", path)
    assert.strictEqual(answer.status, 200)
    assert.strictEqual(answer.headers.get("cache-control"), "private, no-cache")
    return answer.headers.get("etag") ?? assert.fail("no tag")
  }

  const conditionally = (path: string, tag: string) => me.ask("GET", path, { headers: { "if-none-match": tag } })

  it.each(["list", "one"] as const)("%s: 304 without a body for whoever has it", async (which) => {
    const path = which === "list" ? `${servers}?tag=eu` : `${servers}/${fleet.get("fra-1")?.id}`
    const etag = await kept(path)
    assert.match(etag, /^W\/"[!#-~]+"$/)
    const strong = etag.slice(2)
    for (const tag of [etag, strong, `"other", ${etag}`, `W/"a,b" , ${strong},"c"`, "*"]) {
      const answer = await conditionally(path, tag)
      assert.strictEqual(`${answer.status} ${answer.text}`, "304 ", tag)
      assert.deepStrictEqual(undeclared(document, "GET", path, answer), [])
      assert.strictEqual(answer.headers.get("etag"), etag)
      assert.strictEqual(answer.headers.get("cache-control"), "private, no-cache")
      assert.isNotNull(answer.headers.get("x-request-id"))
    }
    for (const tag of ['"other"', 'W/"other"', strong.slice(1, -1), `"${strong.slice(1, -2)}"`, "", "nonsense", '"']) {
      assert.strictEqual((await conditionally(path, tag)).status, 200, tag)
    }
  })

  it("holds while servers are only heard of, and not once one changes", async () => {
    const etag = await kept(servers)
    const gateway = fleet.get("zrh-1")
    await gateway?.beat()
    await gateway?.beat()
    assert.strictEqual((await conditionally(servers, etag)).status, 304)
    await gateway?.ask("PATCH", `${servers}/self`, { body: { labels: { rack: "z9", moved: "yes" } } })
    const changed = await eventually("it is new", async () => {
      const answer = await conditionally(servers, etag)
      return answer.status === 200 && answer
    })
    assert.notStrictEqual(changed.headers.get("etag"), etag)
    assert.include(changed.text, '"moved":"yes"')
  })

  it("differs between questions", async () => {
    const tags = await Promise.all(["", "?limit=1", "?limit=2", "?sort=-name", "?tag=eu"].map((q) => kept(servers + q)))
    assert.strictEqual(new Set(tags).size, tags.length)
  })

  it("F8: a change at one node is told at the other within 1 s", async () => {
    await using shared = await sharedDatabase()
    const options = { database: shared.database, audience: "http://broker.test" }
    await using a = await start(options)
    await using b = await start(options)
    const gateway = await serving(a, await a.key(), "seen")
    const { key } = await a.user("Ada")
    const client = await present(b, key)
    await eventually("it is found at b", async () => items(await client.ask("GET", servers)).length === 1)
    await gateway.ask("PATCH", `${servers}/self`, { body: { duty: "draining" } })
    const changed = performance.now()
    await eventually("and gone", async () => items(await client.ask("GET", servers)).length === 0, { everyMs: 5 })
    assert.isBelow(performance.now() - changed, 1_000)
  })
})
