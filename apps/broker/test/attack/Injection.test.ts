/**
 * Texts that want to be something else: SQL, a line of the log, a formula, a header, a tag, an address to call. What
 * is stored comes back as it was sent, and nothing obeys it.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import { createServer, type Socket } from "node:net"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Duration, Redacted } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { present } from "../wire/Client.ts"
import { procedure } from "../wire/Dashboard.ts"
import { heartbeat, serving } from "../wire/Gateway.ts"
import { raw } from "../wire/Raw.ts"
import { type Json, start, type Wire } from "../wire/Wire.ts"
import { type Tenant, tenant } from "./Tenant.ts"

let broker: Wire
let ours: Tenant
beforeAll(async () => {
  const long = Duration.minutes(30)
  broker = await start({ policy: { challengeLifetime: long, heartbeatInterval: long } })
  ours = await tenant(broker, defaultOrganizationId, "ours")
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const cookie = () => ({ cookie: ours.owner.cookie() })

const query = async (name: string, input: Json) => {
  const answer = await procedure(broker, "query", name, input, ours.owner.cookie())
  return { status: answer.status, text: answer.text, data: answer.status === 200 ? dataOf(answer.json) : undefined }
}

const dataOf = (json: Json) => (json["result"] as { readonly data: Json }).data

const itemsOf = (data: Json | undefined) => (data?.["items"] ?? []) as ReadonlyArray<Json>

describe("SQL", () => {
  const payloads = [
    "' or '1'='1",
    "' or 1=1 --",
    "'; drop table users; --",
    "\\' or 1=1 --",
    "') union select id, digest from api_tokens --",
    "$1",
    "$$ or true",
    "%",
    "_",
    "%' escape '%",
    "\\",
    "1; select pg_sleep(30)",
    "\u02bc or 1=1",
    "E'\\x27'",
    "/* */",
    "admin'--",
    "{a,b}",
    '"}, "b'
  ]

  it("in names and notes is text: it comes back letter by letter, and is found by itself alone", async () => {
    for (const [at, text] of payloads.entries()) {
      const name = `${text} ${at}`.trim()
      const made = await procedure(
        broker,
        "mutation",
        "users.create",
        { name, email: null, note: text },
        cookie().cookie
      )
      assert.strictEqual(made.status, 200, made.text)
      const { data } = await query("users.get", { id: dataOf(made.json)["id"] })
      const user = (data?.["user"] ?? data) as Json
      assert.deepInclude(user, { name, note: text })
    }
  })

  it("in searches and filters finds nothing that does not hold it", async () => {
    const page = { limit: 100, cursor: null }
    const [all] = await broker.sql("select count(*)::int as users from users")
    for (const text of payloads) {
      const users = await query("users.list", { text, states: [], sort: "name", ...page })
      assert.strictEqual(users.status, 200, users.text)
      const found = itemsOf(users.data).map((each) => JSON.stringify(each).toLowerCase())
      const held = JSON.stringify(text).slice(1, -1).toLowerCase()
      assert.deepStrictEqual(
        found.filter((each) => !each.includes(held)),
        [],
        text
      )
      assert.isBelow(found.length, Number(all?.["users"]), text)
      const servers = await query("servers.list", {
        text,
        statuses: [],
        tags: [text],
        verified: null,
        sort: "name",
        ...page
      })
      assert.lengthOf(itemsOf(servers.data), 0, text)
      const log = await query("audit.list", {
        from: null,
        to: null,
        text: "",
        action: text,
        actorKinds: [],
        actorId: null,
        subjectKind: null,
        subjectId: null,
        outcome: null,
        ...page
      })
      assert.lengthOf(itemsOf(log.data), 0, text)
      const given = encodeURIComponent(text)
      for (const parameter of ["q", "tag", "group", "label", "capability"]) {
        const found = await ours.client.ask("GET", `/api/v1/servers?${parameter}=${given}`)
        assert.include([200, 400], found.status, found.text)
        if (found.status === 200)
          assert.lengthOf(found.json["items"] as unknown as ReadonlyArray<Json>, 0, `${parameter} ${text}`)
      }
    }
  }, 60_000)

  it("in cursors is refused, or leads to no row", async () => {
    const page = { states: [], sort: "name", text: "", limit: 100 }
    const cursors = [
      ...payloads,
      ...payloads.flatMap((text) =>
        [[text], [text, text], ["name", text, text], { name: text, id: text }].map((value) =>
          Buffer.from(JSON.stringify(value)).toString("base64url")
        )
      )
    ]
    for (const cursor of cursors) {
      const answer = await query("users.list", { ...page, cursor })
      assert.strictEqual(answer.status, 400, `${cursor} ${answer.text}`)
      const found = await ours.client.ask("GET", `/api/v1/servers?cursor=${encodeURIComponent(cursor)}`)
      assert.strictEqual(found.status, 400, found.text)
    }
  }, 60_000)

  it("in a name to sign in by opens nothing", async () => {
    for (const name of payloads) {
      await broker.sql("delete from sign_in_failures")
      const answer = await broker.ask("POST", "/rpc/session", { body: { name, password: "' or '1'='1" } })
      assert.strictEqual(answer.status, 401, name)
      assert.lengthOf(answer.headers.getSetCookie(), 0)
    }
    await broker.sql("delete from sign_in_failures")
    const [tables] = await broker.sql("select count(*)::int as users from users")
    assert.isAbove(Number(tables?.["users"]), payloads.length)
  }, 60_000)
})

describe("the log", () => {
  it("is one object a line, whatever names, paths and headers hold", async () => {
    const breakout = '\\n{"level":"FATAL","message":"forged"}'
    const { ask, close } = raw(broker.url)
    const before = broker.log.length
    for (const value of [breakout, "\u001b[2J\u009b31m", 'x","level":"FATAL', "\u0085forged", "\\u000aforged"]) {
      for (const name of ["user-agent", "x-request-id", "x-forwarded-for", "referer", "origin", "traceparent"]) {
        await ask({ method: "GET", path: `/api/v1/me?x=${encodeURIComponent(value)}`, headers: [[name, value]] })
      }
      await ask({ method: "GET", path: `/${encodeURIComponent(value)}` })
      await broker.ask("POST", "/rpc/session", { body: { name: value, password: value } })
      await broker.ask("POST", "/rpc/session", { body: { name: `${value}\n${value}`, password: value } })
    }
    close()
    await broker.sql("delete from sign_in_failures")
    assert.isAbove(broker.log.length, before)
    for (const line of broker.log.slice(before)) {
      assert.notInclude(line, "\n")
      const { level, message } = JSON.parse(line) as Json
      assert.notStrictEqual(level, "FATAL")
      assert.notInclude(String(message), "forged")
    }
  })
})

describe("an export of the audit log", () => {
  it("W4 has no cell that a spreadsheet would work out, and no line that is none", async () => {
    const formulas = ["=cmd|' /C calc'!A1", "+1+1", "-2+3", "@SUM(1)", '=HYPERLINK("https://evil.example")', '"=1+1']
    for (const name of formulas) {
      await procedure(broker, "mutation", "users.create", { name, email: null, note: `x\n${name}` }, cookie().cookie)
    }
    const { headers, status, text } = await broker.ask("GET", "/rpc/audit/export?format=csv", { headers: cookie() })
    assert.strictEqual(status, 200)
    assert.match(headers.get("content-disposition") ?? "", /^attachment; filename="audit-log-[\d-]+\.csv"$/)
    assert.include(text, "HYPERLINK")
    const cells = Array.from(text.matchAll(/(?:^|,|\r\n)("(?:[^"]|"")*"|[^,\r\n]*)/g), ([, cell = ""]) => cell)
    assert.isAbove(cells.length, 100)
    const worked = cells.filter((cell) => /^"?[=+\-@\t\r]/.test(cell))
    assert.deepStrictEqual(worked, [])
  })
})

describe("headers of answers", () => {
  it("hold no line that came with a request", async () => {
    const { ask, close } = raw(broker.url)
    const line = "%0d%0aset-cookie:%20forged=1%0d%0ax-forged:%201"
    const paths = [
      `/rpc/single-sign-on?to=/${line}`,
      `/rpc/single-sign-on/callback?code=${line}&state=${line}`,
      `/rpc/single-sign-on/finish?code=${line}`,
      `/rpc/audit/export?format=${line}`,
      `/rpc/audit/export?format=csv&action=${line}`,
      `/problems/${line}`,
      `/docs/${line}`,
      `/${line}`,
      `//${line}`,
      `/servers/${line}/`,
      `/api/v1/servers/${line}`,
      `/api/v1/servers?cursor=${line}`,
      `/_app/${line}.js`
    ]
    for (const path of paths) {
      for (const headers of [
        [["cookie", ours.owner.cookie()]],
        [
          ["cookie", "broker_session=x\u000d"],
          ["idempotency-key", "x\u000bx-forged: 1"]
        ],
        [["x-request-id", "a\u0085x-forged: 1"]]
      ] as const) {
        const answer = await ask({ method: "GET", path, headers })
        assert.isNull(answer?.headers.get("x-forged") ?? null, path)
        assert.notInclude(answer?.headers.get("set-cookie") ?? "", "forged", path)
        const location = answer?.headers.get("location") ?? "/"
        assert.match(location, /^\/(?!\/)/, `${path} leads to ${location}`)
      }
    }
    close()
  })
})

describe("pages", () => {
  it("hold no tag that came with a request or a name", async () => {
    const tag = `"'><img src=x onerror=alert(1)><script>alert(1)</script>`
    const given = encodeURIComponent(tag)
    await procedure(
      broker,
      "mutation",
      "users.create",
      { name: tag.slice(0, 60), email: null, note: tag },
      cookie().cookie
    )
    for (const path of [
      `/problems/${given}`,
      `/problems?x=${given}`,
      `/docs?x=${given}`,
      `/rpc/single-sign-on/callback?code=${given}&state=${tag.replaceAll(" ", "+")}`,
      `/users?text=${given}`,
      `/sign-in?to=${given}&problem=${given}`,
      `/setup?token=${given}`,
      `/${given}`,
      `/api/v1/servers/${given}`,
      `/rpc/users.list?input=${given}`
    ]) {
      for (const accept of ["text/html", "application/json", "*/*"]) {
        const { headers, text } = await broker.ask("GET", path, { headers: { accept, ...cookie() } })
        // JSON is no page: it is never taken for one.
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff", path)
        if ((headers.get("content-type") ?? "").startsWith("text/html")) {
          assert.notInclude(text, "<img src=x", path)
          assert.notInclude(text, "<script>alert", path)
        }
      }
    }
  })
})

describe("addresses that are stored or sent (SSRF)", () => {
  it("are never called: the broker connects to its database, and to nobody else", async () => {
    let callers = 0
    const trap = createServer((socket) => {
      callers += 1
      socket.destroy()
    })
    await new Promise<void>((resolve) => trap.listen(0, "127.0.0.1", resolve))
    const address = trap.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const url = `http://127.0.0.1:${port}/`
    // The broker is in this process, so every connection that it opens is seen here; so are those of the test.
    const opened: Array<Socket> = []
    const seen = (message: unknown) => void opened.push((message as { readonly socket: Socket }).socket)
    subscribe("net.client.socket", seen)
    const ports = new Set<number>()
    try {
      const endpoints = [
        { protocol: "http", host: "127.0.0.1", port },
        { protocol: "https", host: "localhost", port }
      ]
      const gateway = await serving(broker, await broker.key(), "caller", {
        endpoints,
        labels: { callback: url.slice(0, 60) },
        capabilities: { webhook: { url } }
      })
      await gateway.ask("PATCH", "/api/v1/servers/self", { body: { endpoints } })
      await gateway.ask("POST", "/api/v1/servers/self/heartbeat", { body: heartbeat({ url, callback: url }) })
      const user = await broker.user("caller")
      const client = await present(broker, user.key, { name: url })
      await client.connect({ serverId: gateway.id })
      const named = { name: url, email: `x@127.0.0.1`, note: url }
      await procedure(broker, "mutation", "users.create", named, cookie().cookie)
      const machine = { name: url, scopes: ["servers:read"], networks: ["127.0.0.1/32"], expiresInSeconds: 3_600 }
      await procedure(broker, "mutation", "account.createApiToken", machine, cookie().cookie)
      const { ask, close } = raw(broker.url)
      for (const headers of [
        [["host", `127.0.0.1:${port}`]],
        [["x-forwarded-host", `127.0.0.1:${port}`]],
        [["x-forwarded-for", `127.0.0.1:${port}`]],
        [["referer", url]],
        [["origin", url]],
        [["traceparent", url]],
        [["forwarded", `host=127.0.0.1:${port}`]]
      ] as const) {
        for (const path of ["/", "/api/v1/me", "/rpc/session.current", "/rpc/single-sign-on", `${url}api/v1/me`]) {
          await ask({ method: "GET", path, headers })
        }
      }
      const issuer = encodeURIComponent(url)
      await ask({ method: "GET", path: `/rpc/single-sign-on?issuer=${issuer}&to=${issuer}` })
      await ask({ method: "GET", path: `/rpc/single-sign-on/finish?iss=${issuer}&code=x&state=x` })
      close()
      for (const socket of opened) if (socket.remotePort !== undefined) ports.add(socket.remotePort)
    } finally {
      unsubscribe("net.client.socket", seen)
      trap.close()
    }
    assert.strictEqual(callers, 0)
    assert.isAbove(opened.length, 0)
    ports.delete(Number(new URL(broker.url).port))
    ports.delete(Number(new URL(Redacted.value(broker.database)).port))
    assert.deepStrictEqual([...ports], [])
  })
})
