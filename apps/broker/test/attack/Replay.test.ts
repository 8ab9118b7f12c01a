/**
 * What was overheard or kept is sent again, also where it was not meant for: nothing counts twice, and nothing counts
 * for two things. That each counts once where it belongs is in `wire/SignIn.test.ts`, of single sign-on in
 * `wire/SingleSignOn.test.ts`, and under races in the tests of the core.
 */
import { authenticator, totpCode } from "@broker/testing/Authenticator"
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "vitest"
import { type Browser, browser as browserOf, enrolTotp, nextCode, status } from "../wire/Browser.ts"
import { granted, present } from "../wire/Client.ts"
import { identity, join, register, registration, serving } from "../wire/Gateway.ts"
import { type Json, start, type Wire } from "../wire/Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
beforeAll(async () => {
  broker = await start()
})
afterAll(() => broker?.[Symbol.asyncDispose]())
// All come from one address here, which would have to wait.
beforeEach(() => broker.sql("delete from sign_in_failures"))

let admins = 0
const entered = async () => {
  const name = `Ada ${++admins}`
  await broker.admin(name, password)
  const own = browserOf(broker)
  assert.strictEqual((await own.post("session", { name, password })).status, 204)
  return { name, own }
}

/** A browser that has given the password, and is asked for a factor. */
const half = async (name: string) => {
  const browser = browserOf(broker)
  const answer = await browser.post("session", { name, password })
  assert.strictEqual(answer.status, 200, answer.text)
  return { browser, asked: answer.json }
}

const answerOf = (own: Browser, path: string, body: Json) => own.post(path, body).then(status)

describe("a code of an authenticator app (A2)", () => {
  it("that signed somebody in proves no step-up, and the other way round", async () => {
    const { name, own } = await entered()
    const { code, secret } = await enrolTotp(own)
    const { browser } = await half(name)
    assert.strictEqual(await answerOf(own, "session/step-up", { kind: "totp", code }), "401 factor_refused")
    const fresh = nextCode(secret, code)
    assert.strictEqual(await answerOf(browser, "session/factor", { kind: "totp", code: fresh }), "204")
    assert.strictEqual(await answerOf(own, "session/step-up", { kind: "totp", code: fresh }), "401 factor_refused")
  })

  it("of long ago, of long hence, and of another admin's app opens nothing", async () => {
    const [mine, theirs] = [await entered(), await entered()]
    const { secret } = await enrolTotp(mine.own)
    const other = await enrolTotp(theirs.own)
    const { browser } = await half(mine.name)
    const codes = [-120_000, -90_000, 90_000, 120_000].map((ahead) => totpCode(secret, Date.now() + ahead))
    for (const code of [...codes, nextCode(other.secret, other.code)]) {
      await broker.sql("delete from sign_in_failures")
      assert.strictEqual(await answerOf(browser, "session/factor", { kind: "totp", code }), "401 factor_refused")
    }
  })
})

describe("a recovery code (A2)", () => {
  it("that proved a step-up signs nobody in; and new ones end the old", async () => {
    const { name, own } = await entered()
    const { recoveryCodes } = await enrolTotp(own)
    const [first = "", second = ""] = recoveryCodes
    assert.strictEqual(await answerOf(own, "session/step-up", { kind: "recovery-code", code: first }), "204")
    const { browser } = await half(name)
    const used = await answerOf(browser, "session/factor", { kind: "recovery-code", code: first })
    assert.strictEqual(used, "401 factor_refused")
    assert.strictEqual((await own.post("account/recovery-codes")).status, 200)
    const old = await answerOf(browser, "session/factor", { kind: "recovery-code", code: second })
    assert.strictEqual(old, "401 factor_refused")
  })
})

describe("an answer of a passkey (A2)", () => {
  it("is good for the one question that it answers: not for another browser's, a step-up, or a second enrolment", async () => {
    const { name, own } = await entered()
    const key = authenticator(broker.audience)
    const options = await own.post("account/passkeys/options")
    const made = key.create(options.json)
    assert.strictEqual(await answerOf(own, "account/passkeys", { name: "Laptop", response: made }), "200 undefined")
    const again = await answerOf(own, "account/passkeys", { name: "Laptop", response: made })
    assert.strictEqual(again, "422 factor_unconfirmed")

    const { asked, browser } = await half(name)
    const response = key.get(asked["passkey"] as Json)
    await own.post("session/step-up/options")
    for (const [at, path] of [
      [own, "session/step-up"],
      [own, "session/factor"]
    ] as const) {
      assert.strictEqual(await answerOf(at, path, { kind: "passkey", response }), "401 factor_refused", path)
    }
    const stranger = browserOf(broker)
    await stranger.post("session/passkey/options")
    assert.strictEqual(await answerOf(stranger, "session/passkey", { response }), "401 factor_refused")
    assert.strictEqual(await answerOf(browser, "session/factor", { kind: "passkey", response }), "204")
    const thief = await half(name)
    assert.strictEqual(
      await answerOf(thief.browser, "session/factor", { kind: "passkey", response }),
      "401 factor_refused"
    )
  })
})

describe("a link", () => {
  it("sets one password, and opens one session; to whoever comes later it is like one that never was", async () => {
    const { own } = await entered()
    const made = await own.call("mutation", "admins.invite", { name: "Guest", role: "viewer" })
    if (typeof made === "string") assert.fail(made)
    const token =
      String((made as Json)["url"])
        .split("#")
        .at(-1) ?? ""
    const guest = browserOf(broker)
    assert.strictEqual((await guest.post("links/look", { token })).status, 200)
    assert.strictEqual(await answerOf(guest, "links", { token, password }), "204")
    const never = await browserOf(broker).post("links", { token: "A".repeat(43), password })
    for (const path of ["links", "links/look"]) {
      const thief = browserOf(broker)
      const answer = await thief.post(path, { token, ...(path === "links" ? { password } : {}) })
      assert.strictEqual(status(answer), "410 link_gone")
      assert.strictEqual(status(answer), status(never))
      assert.isFalse(thief.jar.has("broker_session"))
    }
  })

  it("to set the broker up is worth nothing once there is an admin", async () => {
    await using fresh = await start()
    const token = await fresh.setupTicket()
    assert.strictEqual((await fresh.ask("POST", "/rpc/setup", { body: { token, name: "Ada", password } })).status, 204)
    const again = await fresh.ask("POST", "/rpc/setup", { body: { token, name: "Mallory", password } })
    assert.strictEqual(status(again), "409 setup_closed")
    assert.lengthOf(again.headers.getSetCookie(), 0)
    assert.lengthOf(await fresh.sql("select 1 from admins"), 1)
  })
})

describe("what servers and clients have signed or were given", () => {
  it("B4 a registration registers nothing for whoever overheard it, but another token for the same key pair's server", async () => {
    const key = await broker.key({ useLimit: 3 })
    const other = await broker.key({ useLimit: 3 })
    const by = identity()
    const sent = registration(broker, key, "overheard", by)
    assert.strictEqual((await register(broker, key, sent)).status, 201)
    const elsewhere = await register(broker, other, sent)
    assert.strictEqual(status(elsewhere), "401 invalid_signature".replace("401", String(elsewhere.status)))
    const renamed = await register(broker, key, { ...sent, name: "overheard-2" })
    assert.strictEqual(renamed.json["code"], "invalid_signature")
    assert.lengthOf(await broker.sql("select 1 from servers where name like 'overheard%'"), 1)
  })

  it("V1 an answer to a challenge counts once, and for its own server", async () => {
    const [one, two] = [await join(broker, await broker.key(), "one"), await join(broker, await broker.key(), "two")]
    assert.strictEqual((await one.prove()).status, 200)
    assert.strictEqual((await one.prove()).json["code"], "challenge_gone")
    assert.strictEqual((await two.prove(one.challenge)).json["code"], "challenge_gone")
  })

  it("C3 a grant is no credential: it opens nothing at the broker, and brings no connection back that is over", async () => {
    const gateway = await serving(broker, await broker.key(), "granting")
    const user = await broker.user("Granted")
    const client = await present(broker, user.key)
    const { grant, id } = granted(await client.connect({ serverId: gateway.id }))
    for (const bearer of [grant, `brk_ses_${grant}`, `brk_srv_${grant}`, `brk_api_${grant}`]) {
      for (const path of ["/api/v1/me", "/api/v1/servers", "/api/v1/servers/self", "/api/v1/audit-entries"]) {
        assert.strictEqual((await broker.ask("GET", path, { bearer })).status, 401, path)
      }
    }
    const reported = (body: Json) => gateway.ask("PUT", `/api/v1/servers/self/connections/${id}`, { body })
    assert.strictEqual((await reported({ status: "active" })).status, 200)
    assert.strictEqual((await reported({ status: "ended" })).status, 200)
    await reported({ status: "active" })
    const [row] = await broker.sql(`select status from connections where id = '${id}'`)
    assert.strictEqual(row?.["status"], "ended")
  })
})
