/** What another site's page makes a browser send does nothing, and what pages may do is said in their headers. */

import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { isSameOrigin } from "../../src/http/SameOrigin.ts"
import { procedure, signIn } from "./Dashboard.ts"
import { start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

const https = "https://broker.example"
const http = "http://broker.example:3000"

describe("a request that changes something, with the cookie", () => {
  const cookie = "__Host-broker_session=x"

  /** What a browser sends, and whether it is taken by a broker at either address. */
  const table: ReadonlyArray<
    readonly [what: string, headers: Readonly<Record<string, string>>, https: boolean, http: boolean]
  > = [
    ["its own page", { "sec-fetch-site": "same-origin", origin: https }, true, true],
    ["its own page, which does not tell its origin", { "sec-fetch-site": "same-origin" }, true, true],
    [
      "another host of the same site",
      { "sec-fetch-site": "same-site", origin: "https://evil.broker.example" },
      false,
      false
    ],
    ["another port", { "sec-fetch-site": "same-site", origin: `${https}:8443` }, false, false],
    ["another site", { "sec-fetch-site": "cross-site", origin: "https://evil.example" }, false, false],
    ["another site that says it is us", { "sec-fetch-site": "cross-site", origin: https }, false, false],
    ["a bookmark, which posts nothing", { "sec-fetch-site": "none" }, false, false],
    ["a word that no browser says", { "sec-fetch-site": "SAME-ORIGIN" }, false, false],
    ["an empty word", { "sec-fetch-site": "", origin: https }, false, false],
    ["an old browser, own page over https", { origin: https, host: "broker.example" }, true, true],
    ["an old browser, own page over http", { origin: http, host: "broker.example:3000" }, false, true],
    ["http for https", { origin: "http://broker.example", host: "broker.example" }, false, true],
    ["a sandboxed frame or a redirect", { origin: "null", host: "broker.example" }, false, false],
    ["nothing at all", { host: "broker.example" }, false, false],
    ["an empty origin", { origin: "", host: "broker.example" }, false, false],
    ["a subdomain", { origin: "https://a.broker.example", host: "broker.example" }, false, false],
    [
      "a name that begins alike",
      { origin: "https://broker.example.evil.example", host: "broker.example" },
      false,
      false
    ],
    ["a name in front of @", { origin: "https://broker.example@evil.example", host: "broker.example" }, false, false],
    ["another port by origin", { origin: "https://broker.example:8443", host: "broker.example" }, false, false],
    ["another kind of page", { origin: "chrome-extension://broker.example", host: "broker.example" }, false, false],
    ["two origins", { origin: `${https} https://evil.example`, host: "broker.example" }, false, false],
    ["a node's own address", { origin: "https://10.0.0.7:3000", host: "10.0.0.7:3000" }, true, true],
    ["a node's own address, over http", { origin: "http://10.0.0.7:3000", host: "10.0.0.7:3000" }, false, true]
  ]

  for (const [what, headers, overHttps, overHttp] of table) {
    it(`${what}: ${overHttps ? "taken" : "refused"} over https, ${overHttp ? "taken" : "refused"} over http`, () => {
      for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
        assert.strictEqual(isSameOrigin({ method, headers: { cookie, ...headers } }, https), overHttps)
        assert.strictEqual(isSameOrigin({ method, headers: { cookie, ...headers } }, http), overHttp)
      }
    })
  }

  it("without a cookie nothing is abused: programs say no origin", () => {
    assert.isTrue(isSameOrigin({ method: "POST", headers: { host: "broker.example" } }, https))
    assert.isTrue(isSameOrigin({ method: "GET", headers: { cookie, host: "broker.example" } }, https))
    assert.isFalse(isSameOrigin({ method: "POST", headers: { origin: "https://evil.example" } }, https))
  })
})

describe("a broker", () => {
  let broker: Wire
  let cookie: string
  beforeAll(async () => {
    broker = await start()
    await broker.admin("Ada", password)
    cookie = await signIn(broker, "Ada", password)
  })
  afterAll(() => broker?.[Symbol.asyncDispose]())

  it("refuses every way to change something that brings the cookie and a foreign origin, or none", async () => {
    const bare = (method: string, path: string, headers: Readonly<Record<string, string>>) =>
      fetch(`${broker.url}${path}`, {
        method,
        headers: { cookie, "content-type": "application/json", ...headers },
        body: "{}"
      })
    const before = await broker.snapshot()
    for (const headers of [
      {},
      { origin: "null" },
      { origin: "https://evil.example" },
      { "sec-fetch-site": "same-site" }
    ]) {
      for (const [method, path] of [
        ["POST", "/rpc/servers.retire"],
        ["POST", "/rpc/registrationKeys.create"],
        ["DELETE", "/rpc/session"]
      ] as const) {
        const answer = await bare(method, path, headers as Readonly<Record<string, string>>)
        assert.strictEqual(answer.status, 403, `${method} ${path} ${JSON.stringify(headers)}`)
      }
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
    assert.strictEqual((await procedure(broker, "query", "session.current", undefined, cookie)).status, 200)
  })

  it("lets no page of its own run foreign scripts, be framed, or ask for more than it needs", async () => {
    for (const path of ["/", "/docs", "/problems/rate_limited", "/healthz", "/api/v1/openapi.json", "/nothing.png"]) {
      const { headers } = await broker.ask("GET", path, { headers: { accept: "text/html" } })
      const policy = new Map(
        (headers.get("content-security-policy") ?? "")
          .split(";")
          .map((part) => part.trim().split(" "))
          .map(([name = "", ...sources]) => [name, sources])
      )
      const scripts = policy.get("script-src") ?? policy.get("default-src")
      assert.isDefined(scripts, path)
      for (const source of scripts ?? [])
        assert.match(source, /^('self'|'none'|'sha256-[A-Za-z0-9+/=]+')$/, `${path}: ${source}`)
      assert.deepStrictEqual(policy.get("frame-ancestors"), ["'none'"], path)
      assert.deepStrictEqual(policy.get("base-uri"), ["'none'"], path)
      assert.strictEqual(headers.get("x-frame-options"), "DENY", path)
      assert.strictEqual(headers.get("x-content-type-options"), "nosniff", path)
      assert.match(headers.get("referrer-policy") ?? "", /^(no-referrer|same-origin)$/, path)
      assert.strictEqual(headers.get("cross-origin-opener-policy"), "same-origin", path)
      assert.strictEqual(headers.get("cross-origin-resource-policy"), "same-origin", path)
      const permissions = headers.get("permissions-policy") ?? ""
      for (const denied of ["camera=()", "geolocation=()", "microphone=()"]) assert.include(permissions, denied, path)
      for (const needed of ["publickey-credentials-create=(self)", "publickey-credentials-get=(self)"])
        assert.include(permissions, needed, path)
      assert.isNull(headers.get("strict-transport-security"), "plain http")
      assert.isNull(headers.get("access-control-allow-origin"), path)
    }
  })

  it("asks for https from then on where it is reached by https", async () => {
    await using secure = await start({ audience: "https://broker.example" })
    for (const path of ["/", "/healthz", "/api/v1/me", "/rpc/setup"]) {
      const { headers } = await secure.ask("GET", path)
      assert.strictEqual(headers.get("strict-transport-security"), "max-age=63072000", path)
    }
  })
})
