/** How the dashboard's session is given, kept and taken, and who may bring it. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { cookieOf, failure, procedure, signIn } from "./Dashboard.ts"
import { type Answer, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
beforeAll(async () => {
  broker = await start()
  await broker.admin("Ada", password)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const attributes = (answer: Answer) => {
  const [pair = "", ...rest] = (answer.headers.getSetCookie()[0] ?? "").split("; ")
  const [name, value = ""] = pair.split("=")
  return { name, value, rest: rest.map((each) => each.split("=")[0] ?? "").sort(), all: rest }
}

const entering = (on: Wire, headers: Readonly<Record<string, string>> = {}) =>
  on.ask("POST", "/rpc/session", { body: { name: "Ada", password }, headers })

const current = (cookie: string | undefined) => procedure(broker, "query", "session.current", undefined, cookie)

describe("the cookie", () => {
  it("over http: kept from scripts and other sites, and said to last a day", async () => {
    const answer = await entering(broker)
    assert.strictEqual(`${answer.status} ${answer.text}`, "204 ")
    const { all, name, rest, value } = attributes(answer)
    assert.strictEqual(name, "broker_session")
    assert.match(value, /^[A-Za-z0-9_-]{43}$/)
    assert.deepStrictEqual(rest, ["Expires", "HttpOnly", "Path", "SameSite"])
    assert.includeMembers(all, ["Path=/", "SameSite=Strict"])
    const expires = all.find((each) => each.startsWith("Expires="))?.slice(8) ?? ""
    assert.approximately(Date.parse(expires) - Date.now(), 86_400_000, 60_000)
    assert.isNull(answer.headers.get("strict-transport-security"))
  })

  it("over https: bound to the host and never sent in clear", async () => {
    await using secure = await start({ audience: "https://broker.example" })
    await secure.admin("Ada", password)
    const answer = await entering(secure, { origin: "https://broker.example" })
    assert.strictEqual(answer.status, 204)
    const { all, name, rest, value } = attributes(answer)
    assert.strictEqual(name, "__Host-broker_session")
    assert.deepStrictEqual(rest, ["Expires", "HttpOnly", "Path", "SameSite", "Secure"])
    assert.include(all, "Path=/")
    assert.match(answer.headers.get("strict-transport-security") ?? "", /^max-age=\d+/)
    const here = await procedure(secure, "query", "session.current", undefined, `__Host-broker_session=${value}`)
    assert.strictEqual(here.status, 200)
    const plain = await procedure(secure, "query", "session.current", undefined, `broker_session=${value}`)
    assert.strictEqual(plain.status, 401, "a cookie of the other name counts for nothing")
  })

  it("is a new one each time", async () => {
    assert.notStrictEqual(await signIn(broker, "Ada", password), await signIn(broker, "Ada", password))
  })
})

describe("signing in and out", () => {
  it("takes the name in any case, and tells who is signed in", async () => {
    const answer = await current(await signIn(broker, "ADA", password))
    assert.strictEqual(answer.status, 200)
    const { data } = answer.json["result"] as { readonly data: Record<string, Record<string, unknown>> }
    assert.deepInclude(data["admin"], { name: "Ada", role: "owner" })
    assert.deepInclude(data["broker"], { version: "test", audience: broker.audience, clientAddress: "127.0.0.1" })
  })

  it("gives one answer for a wrong name and a wrong password (A3)", async () => {
    const told = new Set<string>()
    for (const [name, secret] of [
      ["Ada", "wrong horse battery staple"],
      ["Nobody", password],
      ["Ada", ""],
      ["", password]
    ]) {
      const answer = await broker.ask("POST", "/rpc/session", { body: { name, password: secret } })
      assert.strictEqual(`${answer.status} ${answer.json["code"]}`, "401 sign_in_refused")
      assert.lengthOf(answer.headers.getSetCookie(), 0)
      told.add(JSON.stringify({ ...answer.json, requestId: null }))
    }
    assert.strictEqual(told.size, 1)
    const rows = await broker.sql(
      "select details from audit_entries where action = 'admins:sign-in' and outcome = 'refused'"
    )
    assert.lengthOf(rows, 4)
  })

  it("out: the session is worth nothing from then on, and the cookie is taken", async () => {
    const cookie = await signIn(broker, "Ada", password)
    const other = await signIn(broker, "Ada", password)
    const answer = await broker.ask("DELETE", "/rpc/session", { headers: { cookie } })
    assert.strictEqual(answer.status, 204)
    const { all, value } = attributes(answer)
    assert.strictEqual(value, "")
    const expires = all.find((each) => each.startsWith("Expires="))?.slice(8)
    assert.isTrue(all.includes("Max-Age=0") || Date.parse(expires ?? "") < Date.now())
    assert.strictEqual(failure(await current(cookie)).problem, "not_signed_in")
    assert.strictEqual((await current(other)).status, 200, "only this session")
    assert.strictEqual((await broker.ask("DELETE", "/rpc/session", { headers: { cookie } })).status, 204, "again")
    assert.strictEqual((await broker.ask("DELETE", "/rpc/session")).status, 204, "without any")
  })

  it("ends a session that is a day old, or idle for two hours", async () => {
    for (const change of ["expires_at = now()", "last_used_at = now() - interval '2 hours'"]) {
      // Not asked for before: a node keeps for some seconds what it read.
      const cookie = await signIn(broker, "Ada", password)
      await broker.sql(`update admin_sessions set ${change}`)
      assert.strictEqual((await current(cookie)).status, 401, change)
    }
  })
})

describe("requests from elsewhere", () => {
  const sites: ReadonlyArray<readonly [headers: Readonly<Record<string, string>>, reads: boolean, writes: boolean]> = [
    [{}, true, true],
    [{ "sec-fetch-site": "same-origin" }, true, true],
    [{ "sec-fetch-site": "none" }, true, false],
    [{ "sec-fetch-site": "same-site" }, false, false],
    [{ "sec-fetch-site": "cross-site" }, false, false],
    [{ "sec-fetch-site": "" }, false, false],
    [{ origin: "null" }, false, false],
    [{ origin: "https://evil.example" }, false, false],
    [{ origin: "http://127.0.0.1:1" }, false, false],
    [{ "sec-fetch-site": "cross-site", origin: "OURS" }, false, false]
  ]

  it("never do anything, nor read anything, with the cookie", async () => {
    const cookie = await signIn(broker, "Ada", password)
    const input = { name: "x", useLimit: 1, expiresInSeconds: 60, tags: [], approval: false, replacesServerId: null }
    for (const [given, reads, writes] of sites) {
      const ours = given["origin"] === "OURS" ? { origin: broker.audience } : {}
      const headers = { ...given, ...ours }
      const label = JSON.stringify(headers)
      const before = await broker.snapshot()
      const read = await procedure(broker, "query", "session.current", undefined, cookie, { headers })
      assert.strictEqual(read.status, reads ? 200 : 403, label)
      const create = await procedure(broker, "mutation", "registrationKeys.create", input, cookie, { headers })
      assert.strictEqual(create.status, writes ? 200 : 403, label)
      if (writes) continue
      const answers = [
        create,
        await entering(broker, headers),
        await broker.ask("DELETE", "/rpc/session", { headers: { cookie, ...headers } }),
        await broker.ask("POST", "/rpc/setup", { body: { token: "x", name: "Eve", password }, headers })
      ]
      for (const answer of answers)
        assert.strictEqual(`${answer.status} ${answer.json["code"]}`, "403 cross_site_request")
      assert.deepStrictEqual(await broker.snapshot(), before, label)
    }
    assert.strictEqual((await current(cookie)).status, 200)
  })

  it("with our own origin are our own, by the audience and by the host", async () => {
    for (const origin of [broker.audience, broker.url])
      assert.strictEqual((await entering(broker, { origin })).status, 204)
  })

  it("as forms can send them are refused for their type", async () => {
    const cookie = await signIn(broker, "Ada", password)
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
      const headers = { cookie, "content-type": type }
      const answer = await broker.ask("POST", "/rpc/servers.retire", { body: "{}", headers })
      assert.strictEqual(answer.status, 415, type)
    }
  })
})

describe("the first run (A1)", () => {
  it("of 20 at once one wins, and it is closed for ever after", async () => {
    await using fresh = await start()
    assert.deepStrictEqual((await fresh.ask("GET", "/rpc/setup")).json, { open: true })
    const [token, another] = [await fresh.setupTicket(), await fresh.setupTicket()]
    const setup = (token: string, name: string) =>
      fresh.ask("POST", "/rpc/setup", { body: { token, name, password: `${password} ${name}` } })
    const guess = await setup("A".repeat(43), "mallory")
    assert.strictEqual(`${guess.status} ${guess.json["code"]}`, "409 setup_closed")

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => setup(at % 2 === 0 ? token : another, `admin-${at}`))
    )
    const winners = answers.filter(({ status }) => status === 204)
    const losers = answers.filter(({ status }) => status !== 204)
    assert.lengthOf(winners, 1)
    for (const loser of losers) {
      assert.strictEqual(`${loser.status} ${loser.json["code"]}`, "409 setup_closed")
      assert.lengthOf(loser.headers.getSetCookie(), 0)
    }
    const admins = await fresh.sql("select a.name, m.role from admins a join memberships m on m.admin_id = a.id")
    assert.lengthOf(admins, 1)
    assert.strictEqual(admins[0]?.["role"], "owner")
    assert.lengthOf(await fresh.sql("select * from admin_sessions"), 1)

    const [winner] = winners
    assert.isDefined(winner)
    const signedIn = await procedure(fresh, "query", "session.current", undefined, winner && cookieOf(winner))
    assert.strictEqual(signedIn.status, 200)
    assert.deepStrictEqual((await fresh.ask("GET", "/rpc/setup")).json, { open: false })
    assert.strictEqual((await setup(another, "late")).json["code"], "setup_closed")
  })
})
