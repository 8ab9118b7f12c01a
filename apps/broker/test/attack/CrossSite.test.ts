/**
 * A page of another site in the admin's browser: it can have the browser send requests with the cookies, show our
 * pages in frames, and lead people to addresses of its choice. What tells such requests apart is in `wire/Csrf.test.ts`;
 * here every route is asked.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { dashboardRoutes } from "../../src/http/PermissionsPage.ts"
import { browser } from "../wire/Browser.ts"
import { procedures } from "../wire/Dashboard.ts"
import { describe as describedAt } from "../wire/Described.ts"
import { raw } from "../wire/Raw.ts"
import { rpcSamples, sessionSamples, uuid } from "../wire/Targets.ts"
import { ask, type Json, start, type Wire } from "../wire/Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
let cookie: string
beforeAll(async () => {
  broker = await start()
  await broker.admin("Ada", password)
  const own = browser(broker)
  await own.post("session", { name: "Ada", password })
  cookie = own.cookie()
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const foreign: ReadonlyArray<Readonly<Record<string, string>>> = [
  { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
  { origin: "null", "sec-fetch-site": "cross-site" },
  { "sec-fetch-site": "same-site", origin: "http://other.127.0.0.1.example" },
  { origin: "https://evil.example", "x-forwarded-host": "evil.example", host: "evil.example" },
  { origin: "null", "x-http-method-override": "GET" }
]

/** What a form can send without asking first. */
const formTypes = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]

describe("a request of another site's page, with the admin's cookies", () => {
  const unsafe = (): ReadonlyArray<readonly [method: string, path: string, body: string]> => [
    ...dashboardRoutes
      .filter(({ method }) => method !== "GET")
      .map(({ method, path }) => {
        const sample = sessionSamples.find(([known]) => known === path)?.[1]
        return [method, path.replace(":id", uuid), JSON.stringify(sample ?? {})] as const
      }),
    ...procedures
      .filter(({ type }) => type === "mutation")
      .map(({ name }) => ["POST", `/rpc/${name}`, JSON.stringify(rpcSamples[name] ?? {})] as const)
  ]

  it("acts on no route that changes anything, and leaves no trace", async () => {
    const before = await broker.snapshot()
    assert.isAbove(unsafe().length, 50)
    for (const [method, path, body] of unsafe()) {
      for (const headers of foreign) {
        const answer = await ask(broker.url, method, path, { body, headers: { cookie, ...headers } })
        assert.strictEqual(answer.status, 403, `${method} ${path} ${JSON.stringify(headers)} ${answer.text}`)
        assert.lengthOf(answer.headers.getSetCookie(), 0, path)
      }
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
  }, 60_000)

  it("as a form is refused on each of them, whatever it says of where it is from", async () => {
    const before = await broker.snapshot()
    for (const [method, path, body] of unsafe()) {
      for (const type of formTypes) {
        const headers = { cookie, "content-type": type, origin: "https://evil.example" }
        const { status } = await ask(broker.url, method, path, { body, headers })
        assert.include([403, 415], status, `${method} ${path} ${type}`)
      }
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
  }, 60_000)

  it("reads nothing: no query and no export is answered, and no answer is shared with another origin", async () => {
    const reads = [
      ...procedures.filter(({ type }) => type !== "mutation").map(({ name }) => `/rpc/${name}`),
      "/rpc/audit/export?format=csv",
      "/rpc/events/export?format=csv",
      "/rpc/inventory/export?format=csv",
      `/rpc/reports/runs/${uuid}/pdf`
    ]
    for (const path of reads) {
      const headers = { cookie, origin: "https://evil.example", "sec-fetch-site": "cross-site" }
      const answer = await broker.ask("GET", path, { headers })
      assert.strictEqual(answer.status, 403, path)
      for (const name of answer.headers.keys()) assert.notMatch(name, /^access-control-/, path)
      const asked = await broker.ask("OPTIONS", path, {
        headers: {
          ...headers,
          "access-control-request-method": "POST",
          "access-control-request-headers": "content-type"
        }
      })
      for (const name of asked.headers.keys()) assert.notMatch(name, /^access-control-/, path)
    }
  })

  it("signs nobody in as somebody else: signing in from another site is refused before the password is looked at", async () => {
    await broker.admin("Mallory", password)
    for (const headers of foreign) {
      const body = { name: "Mallory", password }
      const answer = await ask(broker.url, "POST", "/rpc/session", { body, headers })
      assert.strictEqual(answer.status, 403)
      assert.lengthOf(answer.headers.getSetCookie(), 0)
    }
  })
})

describe("a session", () => {
  it("is never one that somebody else has chosen or had before: the id is new at every step that gives rights", async () => {
    const thief = browser(broker)
    await thief.post("session", { name: "Ada", password })
    const planted = thief.jar.get("broker_session") ?? ""
    const victim = browser(broker)
    victim.jar.set("broker_session", planted)
    victim.jar.set("broker_ceremony", "A".repeat(43))
    await victim.post("session", { name: "Ada", password })
    const entered = victim.jar.get("broker_session")
    assert.notStrictEqual(entered, planted)
    await victim.post("session/step-up", { kind: "password", password })
    const proven = victim.jar.get("broker_session")
    assert.notStrictEqual(proven, entered)
    await victim.post("account/password", { current: password, next: `${password} again` })
    const changed = victim.jar.get("broker_session")
    assert.notStrictEqual(changed, proven)
    for (const former of [planted, entered, proven]) {
      const answer = await broker.ask("GET", "/rpc/session.current", {
        headers: { cookie: `broker_session=${former}` }
      })
      assert.strictEqual(answer.status, 401)
    }
    await victim.post("account/password", { current: `${password} again`, next: password })
    cookie = victim.cookie()
  })

  it("has cookies that no script reads, no other site sends, and no other host gets", async () => {
    await using secure = await start({ audience: "https://broker.example" })
    await secure.admin("Ada", password)
    const answer = await secure.ask("POST", "/rpc/session", {
      body: { name: "Ada", password },
      headers: { origin: "https://broker.example" }
    })
    const set = answer.headers.getSetCookie()
    assert.isAbove(set.length, 1)
    for (const line of set) {
      const parts = line.split("; ")
      assert.match(parts[0] ?? "", /^__Host-broker_(session|ceremony|browser)=/)
      assert.includeMembers(parts, ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"], line)
      assert.isFalse(
        parts.some((part) => /^Domain=/i.test(part)),
        line
      )
    }
  })
})

describe("every answer", () => {
  const paths = async () => [
    ...Object.keys((await describedAt(broker.url)).paths).map((path) => path.replaceAll(/\{\w+\}/g, "x")),
    ...dashboardRoutes.map(({ path }) => path.replace(":id", uuid)),
    ...procedures.filter(({ name }) => name !== "fleet.live").map(({ name }) => `/rpc/${name}`),
    "/",
    "/servers",
    "/sign-in",
    "/docs",
    "/problems",
    "/problems/rate_limited",
    "/healthz",
    "/readyz",
    "/metrics",
    "/.well-known/jwks.json",
    "/rpc/single-sign-on",
    "/rpc/single-sign-on/callback",
    "/rpc/single-sign-on/finish",
    "/nothing",
    "/nothing.js"
  ]

  it("right, wrong or refused, can't be framed, sniffed, or read from elsewhere, and what is private is not kept", async () => {
    for (const path of await paths()) {
      for (const [method, headers] of [
        ["GET", { cookie }],
        ["GET", {}],
        ["POST", { cookie, origin: "https://evil.example" }],
        ["OPTIONS", {}],
        ["TRACE", {}]
      ] as const) {
        if (method === "TRACE") continue
        const answer = await broker.ask(method, path, { headers })
        const label = `${method} ${path} ${answer.status}`
        assert.strictEqual(answer.headers.get("x-content-type-options"), "nosniff", label)
        assert.strictEqual(answer.headers.get("x-frame-options"), "DENY", label)
        assert.include(answer.headers.get("content-security-policy") ?? "", "frame-ancestors 'none'", label)
        assert.strictEqual(answer.headers.get("cross-origin-resource-policy"), "same-origin", label)
        assert.match(answer.headers.get("referrer-policy") ?? "", /^(no-referrer|same-origin)$/, label)
        assert.isNull(answer.headers.get("access-control-allow-origin"), label)
        for (const name of ["server", "x-powered-by", "x-aspnet-version", "via"])
          assert.isNull(answer.headers.get(name), label)
        const isPrivate =
          path.startsWith("/rpc/") || path.startsWith("/api/v1/me") || path.startsWith("/api/v1/servers")
        if (isPrivate) assert.match(answer.headers.get("cache-control") ?? "", /no-store|private, no-cache/, label)
      }
    }
  }, 60_000)

  it("to what is not even HTTP tells nothing of the inside", async () => {
    const { close, send } = raw(broker.url)
    for (const text of [
      "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "\u0016\u0003\u0001\r\n\r\n",
      `GET /${"x".repeat(40_000)} HTTP/1.1\r\nhost: a\r\n\r\n`,
      "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /rpc/session HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    ]) {
      const answer = await send(Buffer.from(text, "latin1"))
      assert.isDefined(answer, text.slice(0, 60))
      assert.isAtLeast(answer?.status ?? 0, 400)
      assert.isBelow(answer?.status ?? 0, 506)
      assert.notMatch(answer?.text ?? "", /node|\.ts|\bat \w+/)
    }
    close()
  })
})

describe("an address that somebody is led to", () => {
  it("sends them to no other site", async () => {
    const { ask, close } = raw(broker.url)
    for (const to of [
      "//evil.example",
      "/.//evil.example",
      "/\\evil.example",
      "https://evil.example",
      "javascript:alert(1)",
      "/%09/evil.example"
    ]) {
      const given = encodeURIComponent(to)
      for (const path of [
        `/rpc/single-sign-on?to=${given}`,
        `/rpc/single-sign-on/finish?to=${given}`,
        `/${to}`,
        `/servers/..${to}`,
        `/docs${to}`,
        to.startsWith("/") ? to : `/${to}`
      ]) {
        for (const site of ["same-origin", "none", "cross-site"]) {
          const answer = await ask({
            method: "GET",
            path,
            headers: [
              ["sec-fetch-site", site],
              ["cookie", cookie]
            ]
          })
          const location = answer?.headers.get("location")
          if (location === null || location === undefined) continue
          assert.strictEqual(new URL(location, broker.url).origin, broker.url, `${path} → ${location}`)
        }
      }
    }
    close()
  })
})

it("no procedure that changes anything is asked by GET", async () => {
  const before = await broker.snapshot()
  for (const { name, type } of procedures) {
    if (type !== "mutation") continue
    const input = encodeURIComponent(JSON.stringify((rpcSamples[name] ?? {}) as Json))
    const answer = await broker.ask("GET", `/rpc/${name}?input=${input}`, { headers: { cookie } })
    assert.strictEqual(answer.status, 405, name)
  }
  assert.deepStrictEqual(await broker.snapshot(), before)
})
