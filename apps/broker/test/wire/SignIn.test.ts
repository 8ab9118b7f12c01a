/** How admins prove who they are over HTTP: the second step, passkeys, step-up, and the cookies that carry them. */
import { authenticator } from "@broker/testing/Authenticator"
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "vitest"
import { browser as browserOf, enrolTotp, nextCode, type Browser as Own, status } from "./Browser.ts"
import { procedure } from "./Dashboard.ts"
import { type Answer, type Json, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
beforeAll(async () => {
  broker = await start()
})
afterAll(() => broker?.[Symbol.asyncDispose]())
// All come from one address here, which would have to wait.
beforeEach(() => broker.sql("delete from sign_in_failures"))

const browser = () => browserOf(broker)

let admins = 0
/** A new owner who is signed in. */
const entered = async () => {
  admins += 1
  const name = `Ada ${admins}`
  await broker.admin(name, password)
  const own = browser()
  assert.strictEqual((await own.post("session", { name, password })).status, 204)
  return { name, own }
}

describe("a second factor (A2)", () => {
  it("is asked for after the password, and opens a session that is not the one before", async () => {
    const { name, own } = await entered()
    const before = own.jar.get("broker_session")
    const { code, secret } = await enrolTotp(own)
    assert.notStrictEqual(own.jar.get("broker_session"), before, "the id moves with the factor (A4)")
    const another = browser()
    const asked = await another.post("session", { name, password })
    assert.strictEqual(asked.status, 200)
    assert.deepStrictEqual(asked.json, { methods: ["totp", "recovery-code"], passkey: null })
    assert.isFalse(another.jar.has("broker_session"))
    assert.strictEqual(await another.call("query", "session.current"), "401 not_signed_in")
    const answer = await another.post("session/factor", { kind: "totp", code: nextCode(secret, code) })
    assert.strictEqual(answer.status, 204, answer.text)
    assert.isTrue(another.jar.has("broker_session"))
    assert.isFalse(another.jar.has("broker_ceremony"))
    assert.notStrictEqual(await another.call("query", "session.current"), "401 not_signed_in")
  })

  it("counts once: neither a code nor a ceremony is good for a second session", async () => {
    const { name, own } = await entered()
    const { code, secret } = await enrolTotp(own)
    const another = browser()
    await another.post("session", { name, password })
    const ceremony = another.cookie()
    const fresh = nextCode(secret, code)
    assert.strictEqual(status(await another.post("session/factor", { kind: "totp", code })), "401 factor_refused")
    assert.strictEqual((await another.post("session/factor", { kind: "totp", code: fresh })).status, 204)
    const thief = { headers: { cookie: ceremony } }
    for (const answer of [fresh, "000000"]) {
      const again = await browser().post("session/factor", { kind: "totp", code: answer }, thief)
      assert.strictEqual(status(again), "401 factor_refused")
      assert.lengthOf(again.headers.getSetCookie(), 0)
    }
  })

  it("is refused alike without a password before it, and in another browser than began it", async () => {
    const { name, own } = await entered()
    const { code, secret } = await enrolTotp(own)
    const fresh = nextCode(secret, code)
    await browser().post("session", { name, password })
    assert.strictEqual(
      status(await browser().post("session/factor", { kind: "totp", code: fresh })),
      "401 factor_refused"
    )
  })

  it("may be a recovery code, each of which is good once", async () => {
    const { name, own } = await entered()
    const { recoveryCodes } = await enrolTotp(own)
    assert.lengthOf(recoveryCodes, 10)
    const [code = ""] = recoveryCodes
    for (const expected of ["204", "401 factor_refused"]) {
      const another = browser()
      await another.post("session", { name, password })
      assert.strictEqual(status(await another.post("session/factor", { kind: "recovery-code", code })), expected)
    }
    const { factors } = (await own.call("query", "session.current")) as Record<string, Json>
    assert.deepStrictEqual(factors, { totp: true, passkeys: 0, recoveryCodes: 9 })
  })

  it("slows guesses of it down, however often the password is given in between (A3)", async () => {
    const { name, own } = await entered()
    await enrolTotp(own)
    const guesser = browser()
    const answers: Array<string> = []
    for (let guess = 0; guess < 9; guess++) {
      await guesser.post("session", { name, password })
      answers.push(status(await guesser.post("session/factor", { kind: "totp", code: "000000" })))
    }
    assert.include(answers, "429 too_many_attempts")
  })
})

describe("a passkey (A2)", () => {
  it("signs in by itself, and says itself whose it is", async () => {
    const { name, own } = await entered()
    const key = authenticator(broker.audience)
    const options = await own.post("account/passkeys/options")
    assert.strictEqual(options.status, 200, options.text)
    const enrolled = await own.post("account/passkeys", { name: "Laptop", response: key.create(options.json) })
    assert.strictEqual(enrolled.status, 200, enrolled.text)
    assert.lengthOf(enrolled.json["recoveryCodes"] as unknown as ReadonlyArray<string>, 10)

    const another = browser()
    const asked = await another.post("session/passkey/options")
    const response = key.get(asked.json)
    assert.strictEqual((await another.post("session/passkey", { response })).status, 204)
    const { admin, method } = (await another.call("query", "session.current")) as Record<string, Json>
    assert.deepStrictEqual([admin?.["name"], method], [name, "passkey"] as ReadonlyArray<unknown>)

    const replayed = browser()
    await replayed.post("session/passkey/options")
    assert.strictEqual(status(await replayed.post("session/passkey", { response })), "401 factor_refused")
    const foreign = browser()
    const elsewhere = key.get((await foreign.post("session/passkey/options")).json, { origin: "https://evil.example" })
    assert.strictEqual(status(await foreign.post("session/passkey", { response: elsewhere })), "401 factor_refused")
  })

  it("is asked for after a password too, where there is one", async () => {
    const { name, own } = await entered()
    const key = authenticator(broker.audience)
    const options = await own.post("account/passkeys/options")
    await own.post("account/passkeys", { name: "Laptop", response: key.create(options.json) })
    const another = browser()
    const asked = await another.post("session", { name, password })
    assert.deepStrictEqual(asked.json["methods"], ["passkey", "recovery-code"])
    const response = key.get(asked.json["passkey"] as Json)
    assert.strictEqual((await another.post("session/factor", { kind: "passkey", response })).status, 204)
  })

  it("is refused as a defect never is, whatever comes in its place", async () => {
    const another = browser()
    await another.post("session/passkey/options")
    for (const response of [{}, { id: 1 }, { id: "x", response: { clientDataJSON: "e30" } }, { response: null }]) {
      assert.strictEqual(status(await another.post("session/passkey", { response })), "401 factor_refused")
    }
  })
})

describe("a step-up (A4)", () => {
  const old = (name: string) =>
    broker.sql(`
      update admin_sessions set proven_at = now() - interval '11 minutes'
       where admin_id = (select id from admins where name = '${name}')`)

  it("is asked for what is dangerous after ten minutes, and moves the session to a new id", async () => {
    const { name, own } = await entered()
    const invitation = { name: `invited by ${name}`, role: "viewer" }
    await old(name)
    // Another request made the node read the session before; what it knows is over within seconds.
    const asked = await own.call("mutation", "admins.invite", invitation)
    assert.strictEqual(asked, "403 step_up_required")
    assert.strictEqual(
      status(await own.post("account/password", { current: password, next: `${password} 2` })),
      "403 step_up_required"
    )
    const before = own.jar.get("broker_session")
    const options = await own.post("session/step-up/options")
    assert.deepStrictEqual(options.json, { methods: [], passkey: null })
    assert.strictEqual(
      status(await own.post("session/step-up", { kind: "password", password: "wrong" })),
      "422 wrong_password"
    )
    assert.strictEqual((await own.post("session/step-up", { kind: "password", password })).status, 204)
    assert.notStrictEqual(own.jar.get("broker_session"), before)
    assert.isObject(await own.call("mutation", "admins.invite", invitation))
    const left = await procedure(broker, "query", "session.current", undefined, `broker_session=${before}`)
    assert.strictEqual(left.status, 401, "whoever knew the old id is out")
  })

  it("takes a factor where there is one, and the password no more", async () => {
    const { name, own } = await entered()
    const { code, secret } = await enrolTotp(own)
    await old(name)
    const options = await own.post("session/step-up/options")
    assert.deepStrictEqual(options.json["methods"], ["totp", "recovery-code"])
    assert.strictEqual(status(await own.post("session/step-up", { kind: "password", password })), "401 factor_refused")
    assert.strictEqual((await own.post("session/step-up", { kind: "totp", code: nextCode(secret, code) })).status, 204)
  })

  it("is nobody's without a session", async () => {
    assert.strictEqual(status(await browser().post("session/step-up/options")), "401 not_signed_in")
    assert.strictEqual(
      status(await browser().post("session/step-up", { kind: "password", password })),
      "401 not_signed_in"
    )
  })
})

describe("a change of how one signs in (A4)", () => {
  it("ends the other sessions, and keeps this one under a new id", async () => {
    const { name, own } = await entered()
    const elsewhere = browser()
    await elsewhere.post("session", { name, password })
    const next = "orbiting walnut carpet ninety"
    assert.strictEqual(status(await own.post("account/password", { current: "wrong", next })), "422 wrong_password")
    const weak = await own.post("account/password", { current: password, next: "passwordpassword" })
    assert.strictEqual(status(weak), "422 weak_password")
    assert.strictEqual((await own.post("account/password", { current: password, next })).status, 204)
    assert.strictEqual(await elsewhere.call("query", "session.current"), "401 not_signed_in")
    assert.isObject(await own.call("query", "session.current"))
    assert.strictEqual(status(await browser().post("session", { name, password })), "401 sign_in_refused")
    assert.strictEqual((await browser().post("session", { name, password: next })).status, 204)
  })
})

describe("a factor that goes, and recovery codes that are renewed (A4)", () => {
  /** What it answers, once the session is found under a new id. */
  const moved = async (own: Own, answering: Promise<Answer>) => {
    const before = own.jar.get("broker_session")
    const answer = await answering
    assert.isString(before)
    assert.notStrictEqual(own.jar.get("broker_session"), before)
    assert.isObject(await own.call("query", "session.current"))
    const left = await procedure(broker, "query", "session.current", undefined, `broker_session=${before}`)
    assert.strictEqual(left.status, 401, "whoever knew the old id is out")
    return answer
  }

  it("moves the session to a new id", async () => {
    const { name, own } = await entered()
    const { recoveryCodes } = await enrolTotp(own)
    const renewed = await moved(own, own.post("account/recovery-codes"))
    assert.strictEqual(renewed.status, 200)
    const codes = renewed.json["recoveryCodes"] as ReadonlyArray<string>
    assert.deepStrictEqual([codes.length, codes.some((code) => recoveryCodes.includes(code))], [10, false])
    const options = await own.post("account/passkeys/options")
    const response = authenticator(broker.audience).create(options.json)
    await own.post("account/passkeys", { name: "Laptop", response })
    const [passkey] = (await own.call("query", "account.passkeys")) as unknown as ReadonlyArray<Json>
    const path = `account/passkeys/${passkey?.["id"]}`
    assert.strictEqual((await moved(own, own.remove(path))).status, 204)
    assert.strictEqual(status(await own.remove(path)), "404 passkey_not_found")
    assert.strictEqual((await moved(own, own.remove("account/totp"))).status, 204)
    assert.strictEqual(status(await browser().post("session", { name, password })), "204")
  })
})

describe("cookies", () => {
  it("of a sign-in are kept from scripts and other sites, and a given id is never taken up", async () => {
    const { name } = await entered()
    const fixed = "A".repeat(43)
    const answer = await broker.ask("POST", "/rpc/session", {
      body: { name, password },
      headers: { cookie: `broker_session=${fixed}; broker_browser=${fixed}; broker_ceremony=${fixed}` }
    })
    const lines = answer.headers.getSetCookie()
    assert.isTrue(lines.every((line) => line.includes("HttpOnly") && line.includes("SameSite=Strict")))
    assert.isFalse(lines.some((line) => line.includes(fixed)))
    assert.deepStrictEqual(lines.map((line) => line.split("=")[0]).sort(), [
      "broker_browser",
      "broker_ceremony",
      "broker_session"
    ])
  })
})
