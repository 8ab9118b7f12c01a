/** Signing in through an identity provider, all of it: a real one, a real broker, and a browser between them. */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { procedure } from "./Dashboard.ts"
import {
  Browser,
  type IdentityProvider,
  type Initiator,
  type Person,
  person,
  start as startProvider
} from "./IdentityProvider.ts"
import { type Json, start, type Wire } from "./Wire.ts"

const password = "lantern gravel orbit mustard"

let provider: IdentityProvider
let broker: Wire
beforeAll(async () => {
  provider = await startProvider()
  broker = await start({ provider: provider.policy })
  provider.configure(`${broker.audience}/rpc/single-sign-on/callback`)
  await broker.admin("root@example.com", password)
})
afterAll(async () => {
  await broker?.[Symbol.asyncDispose]()
  await provider?.[Symbol.asyncDispose]()
})

const email = () => `${randomUUID().slice(-12)}@example.com`

const begin = (to?: string) =>
  `${broker.url}/rpc/single-sign-on${to === undefined ? "" : `?to=${encodeURIComponent(to)}`}`

const isOurs = (url: string) => new URL(url).origin === broker.url && !url.includes("/rpc/")
const isCallback = (url: string) => url.startsWith(`${broker.url}/rpc/single-sign-on/callback`)
const isFinish = (url: string) => url.startsWith(`${broker.url}/rpc/single-sign-on/finish`)

/** Where somebody comes to who signs in there; the path and what is asked. */
const enter = async (who: Person, browser = new Browser(), to?: string) => {
  provider.seat(who)
  const { at } = await browser.follow(begin(to), isOurs)
  const { hash, pathname, search } = new URL(at)
  return { browser, at: pathname + search, hash }
}

const current = async (browser: Browser) => {
  const session = browser.cookies(broker.url).get("broker_session")
  const answer = await procedure(broker, "query", "session.current", undefined, `broker_session=${session}`)
  if (answer.status !== 200) return null
  const { data } = answer.json["result"] as { readonly data: { readonly admin: Json; readonly method: string } }
  return { ...data.admin, method: data.method } as Json
}

const refusals = () =>
  broker.sql(
    "select details from audit_entries where action = 'admins:sign-in' and outcome = 'refused' order by id desc"
  )

const asked = (what: string) => `/sign-in?problem=${what}`

/** Somebody who is an admin here, and has yet to come by the provider. */
const admin = async (name = email()) => {
  await broker.admin(name, password)
  return name
}

describe("single sign-on", () => {
  it("is offered by the name of the provider", async () => {
    const answer = await broker.ask("GET", "/rpc/session/methods")
    assert.deepStrictEqual(answer.json, { singleSignOn: "Example" })
  })

  it("asks the provider by PKCE, with a state and a nonce of its own each time", async () => {
    const seen = new Set<string>()
    for (let time = 0; time < 2; time++) {
      const { next = "", status } = await new Browser().go(begin(), "same-origin")
      const { origin, searchParams } = new URL(next)
      assert.deepStrictEqual([status, origin], [302, provider.issuer])
      assert.deepInclude(Object.fromEntries(searchParams), {
        response_type: "code",
        scope: "openid email profile",
        code_challenge_method: "S256",
        redirect_uri: `${broker.audience}/rpc/single-sign-on/callback`
      })
      for (const name of ["state", "nonce", "code_challenge"]) seen.add(searchParams.get(name) ?? "")
    }
    assert.strictEqual(seen.size, 6)
    for (const value of seen) assert.match(value, /^[\w-]{43}$/)
  })

  it("lets an admin in whose name is their verified e-mail, and knows them by their subject ever after", async () => {
    const name = await admin()
    const ada = person({ email: name.toUpperCase() })
    const first = await enter(ada)
    assert.strictEqual(first.at, "/")
    assert.deepInclude((await current(first.browser)) ?? {}, { name, method: "single-sign-on", role: "owner" })
    const linked = await broker.sql(`select details from audit_entries where action = 'admins:link-identity'`)
    assert.deepInclude(linked.at(-1)?.["details"], { name, subject: ada.subject, issuer: provider.issuer })
    // Whatever becomes of the address.
    const renamed = await enter({ ...ada, email: email(), verified: false })
    assert.deepInclude((await current(renamed.browser)) ?? {}, { name })
  })

  it("keeps what says who it is in cookies that other sites' requests do not bring", async () => {
    const name = await admin()
    const browser = new Browser()
    const { headers } = await browser.go(begin(), "same-origin")
    const [cookie = ""] = headers.getSetCookie()
    for (const part of [/^broker_ceremony=[\w-]{43};/, /HttpOnly/, /SameSite=Strict/, /Path=\//])
      assert.match(cookie, part)
    provider.seat(person({ email: name }))
    const { at } = await browser.follow(begin(), isCallback)
    const bounce = await browser.go(at, "cross-site")
    assert.strictEqual(bounce.status, 200)
    assert.lengthOf(bounce.headers.getSetCookie(), 0)
    assert.match(bounce.headers.get("content-security-policy") ?? "", /^default-src 'none'/)
    assert.strictEqual(bounce.headers.get("cache-control"), "no-store")
    assert.isTrue(isFinish(bounce.next ?? ""))
    assert.notInclude(bounce.text, "<script")
  })

  it("goes on to the page that was asked for, and to no other site's", async () => {
    const known = person({ email: await admin() })
    for (const [to, at] of [
      ["/servers?tag=eu", "/servers?tag=eu"],
      ["https://evil.example/", "/"],
      ["//evil.example/", "/"],
      ["/\\evil.example", "/"],
      ["/.//evil.example", "/"],
      ["/servers/..//evil.example", "/"],
      ["/.\\/evil.example", "/"],
      ["javascript:alert(1)", "/"]
    ] as const) {
      assert.strictEqual((await enter(known, new Browser(), to)).at, at, to)
    }
  })

  it("leaves no code and no state in the log", async () => {
    const browser = new Browser()
    provider.seat(person({ email: await admin() }))
    const { at } = await browser.follow(begin(), isCallback)
    await browser.follow(at, isOurs)
    const { searchParams } = new URL(at)
    for (const name of ["code", "state"]) {
      const value = searchParams.get(name) ?? ""
      assert.isAtLeast(value.length, 20)
      assert.isFalse(broker.log.some((line) => line.includes(value)))
    }
  })
})

describe("whom it lets in", () => {
  it("not somebody whom nobody invited; an owner sees who it was", async () => {
    const stranger = person({ email: email() })
    const { at, browser } = await enter(stranger)
    assert.strictEqual(at, asked("single_sign_on_refused"))
    assert.isNull(await current(browser))
    const [refusal] = await refusals()
    assert.deepInclude(refusal?.["details"], { reason: "unknown", email: stranger.email, subject: stranger.subject })
  })

  it("not by an e-mail address that the provider has not verified, nor without any", async () => {
    const name = await admin()
    for (const claims of [{ email: name, verified: false }, {}]) {
      assert.strictEqual((await enter(person(claims))).at, asked("single_sign_on_refused"))
      assert.deepInclude((await refusals())[0]?.["details"], { reason: "no_verified_email" })
    }
  })

  it("not by the e-mail address of an admin whom the provider knows as somebody else", async () => {
    const name = await admin()
    assert.strictEqual((await enter(person({ email: name }))).at, "/")
    assert.strictEqual((await enter(person({ email: name }))).at, asked("single_sign_on_refused"))
  })

  it("not an admin who is disabled, linked before or not", async () => {
    const name = await admin()
    const known = person({ email: name })
    const disable = (is: string) =>
      broker.sql(
        `update memberships set disabled_at = ${is} where admin_id = (select id from admins where name = '${name}')`
      )
    await disable("now()")
    assert.strictEqual((await enter(known)).at, asked("single_sign_on_refused"))
    assert.deepInclude((await refusals())[0]?.["details"], { reason: "disabled", name })
    await disable("null")
    assert.strictEqual((await enter(known)).at, "/")
    await disable("now()")
    assert.strictEqual((await enter(known)).at, asked("single_sign_on_refused"))
  })

  it("whoever was invited under their e-mail address: with the role of the invitation, and no password", async () => {
    const invited = email()
    const root = (await broker.sql("select id from admins where name = 'root@example.com'"))[0]?.["id"]
    await broker.sql(`
      insert into admin_links
        (id, organization_id, kind, digest, name, name_key, role, created_by, created_by_id, created_at, expires_at)
      select gen_random_uuid(), organization_id, 'invitation', sha256('${invited}'::bytea), '${invited}', '${invited}',
             'auditor', 'root', admin_id, now(), now() + interval '7 days'
        from memberships where admin_id = '${root}'`)
    const guest = person({ email: invited })
    const { at, browser } = await enter(guest)
    assert.strictEqual(at, "/")
    assert.deepInclude((await current(browser)) ?? {}, { name: invited, role: "auditor" })
    const [row] = await broker.sql(`select password_hash from admins where name = '${invited}'`)
    assert.isNull(row?.["password_hash"])
    assert.strictEqual((await enter(guest)).at, "/", "and again")
  })
})

describe("a second factor", () => {
  const enrolled = async () => {
    const name = await admin()
    await broker.sql(`
      update admins set totp_secret = '\\x00', totp_confirmed_at = now() where name = '${name}'`)
    return name
  }

  it("is asked for where there is one: the page is told what to ask, and there is no session", async () => {
    const { at, browser, hash } = await enter(person({ email: await enrolled() }), new Browser(), "/servers")
    assert.strictEqual(at, "/sign-in?step=factor&to=%2Fservers")
    const question = JSON.parse(Buffer.from(hash.slice(1), "base64url").toString())
    assert.deepStrictEqual(question, { methods: ["totp"], passkey: null })
    assert.match(browser.cookies(broker.url).get("broker_ceremony") ?? "", /^[\w-]{43}$/)
    assert.isNull(await current(browser))
  })

  it("is not asked for where the provider has seen one", async () => {
    const name = await enrolled()
    const ada = person({ email: name })
    for (const [amr, isSeen] of [
      [["pwd"], false],
      [["pwd", "mfa"], true],
      [["otp"], true],
      [["hwk"], true],
      [["face"], false]
    ] as const) {
      const { at } = await enter({ ...ada, amr })
      assert.strictEqual(at === "/", isSeen, amr.join(" "))
    }
  })
})

describe("an answer", () => {
  /** Up to the point where the browser would finish. */
  const halfway = async (browser: Browser) => {
    provider.seat(person({ email: await admin() }))
    const { at } = await browser.follow(begin(), isFinish)
    return new URL(at)
  }

  const finish = async (browser: Browser, url: URL, from: Initiator = "same-origin") => {
    const { next = "" } = await browser.go(url.href, from)
    const { pathname, search } = new URL(next)
    return pathname + search
  }

  it("counts once", async () => {
    const browser = new Browser()
    const url = await halfway(browser)
    const ceremony = browser.cookies(broker.url).get("broker_ceremony") ?? ""
    assert.strictEqual(await finish(browser, url), "/")
    assert.strictEqual(await finish(browser, url), asked("single_sign_on_failed"))
    browser.cookies(broker.url).set("broker_ceremony", ceremony)
    assert.strictEqual(await finish(browser, url), asked("single_sign_on_failed"), "with the cookie of then")
  })

  it("counts once, of 20 at once", async () => {
    const browser = new Browser()
    const url = await halfway(browser)
    const answers = await Promise.all(Array.from({ length: 20 }, () => finish(browser, url)))
    assert.lengthOf(
      answers.filter((at) => at === "/"),
      1
    )
  })

  it("is worth nothing in another browser, or sent from another site", async () => {
    const url = await halfway(new Browser())
    const thief = new Browser()
    assert.strictEqual(await finish(thief, url), asked("single_sign_on_failed"))
    await thief.go(begin(), "same-origin")
    assert.strictEqual(await finish(thief, url), asked("single_sign_on_failed"), "with a sign-in of their own")
    const victim = new Browser()
    const theirs = await halfway(victim)
    assert.strictEqual(await finish(victim, theirs, "cross-site"), asked("single_sign_on_failed"))
    assert.strictEqual(await finish(victim, theirs), "/", "which ends nothing")
  })

  it("with another state, or none, is refused, and does not end the sign-in that it is not of", async () => {
    const browser = new Browser()
    const url = await halfway(browser)
    for (const state of [null, "", "x", randomUUID()]) {
      const forged = new URL(url)
      if (state === null) forged.searchParams.delete("state")
      else forged.searchParams.set("state", state)
      assert.strictEqual(await finish(browser, forged), asked("single_sign_on_failed"))
    }
    assert.strictEqual(await finish(browser, url), "/")
  })

  it("with the code of another sign-in is refused: it does not fit the verifier", async () => {
    const other = await halfway(new Browser())
    const browser = new Browser()
    const url = await halfway(browser)
    url.searchParams.set("code", other.searchParams.get("code") ?? "")
    assert.strictEqual(await finish(browser, url), asked("single_sign_on_failed"))
  })

  it("whose token has another nonce is refused", async () => {
    const browser = new Browser()
    const url = await halfway(browser)
    await broker.sql(`update admin_ceremonies set expected = jsonb_set(expected, '{nonce}', '"another"')`)
    assert.strictEqual(await finish(browser, url), asked("single_sign_on_failed"))
  })

  it("that comes after ten minutes is refused", async () => {
    const browser = new Browser()
    const url = await halfway(browser)
    const [row] = await broker.sql(
      "select extract(epoch from expires_at - created_at)::int as lifetime from admin_ceremonies where kind = 'single-sign-on'"
    )
    assert.strictEqual(row?.["lifetime"], 600)
    await broker.sql("update admin_ceremonies set expires_at = now()")
    assert.strictEqual(await finish(browser, url), asked("single_sign_on_failed"))
  })

  it("that says no is told as such", async () => {
    const browser = new Browser()
    const { next = "" } = await browser.go(begin(), "same-origin")
    const state = new URL(next).searchParams.get("state") ?? ""
    const denied = new URL(`${broker.url}/rpc/single-sign-on/finish?error=access_denied&state=${state}`)
    assert.strictEqual(await finish(browser, denied), asked("single_sign_on_failed"))
  })

  it("of a token that somebody else signed is refused", async () => {
    const browser = new Browser()
    const url = await halfway(browser)
    await using other = await startProvider()
    other.configure(`${broker.audience}/rpc/single-sign-on/callback`)
    // The keys are not the ones that signed.
    const restore = provider.replace((request, response) => {
      if (request.url === "/jwks") {
        response.writeHead(200, { "content-type": "application/json" }).end('{"keys":[]}')
        return
      }
      restore()
      response.writeHead(307, { location: `${other.issuer}${request.url}` }).end()
    })
    assert.strictEqual(await finish(browser, url), asked("single_sign_on_failed"))
    restore()
  })
})

describe("a provider that is away", () => {
  it("is told as such within seconds, and all is well when it is back", async () => {
    await using late = await startProvider()
    await using second = await start({ provider: late.policy })
    const at = async () => {
      const { next = "" } = await new Browser().go(`${second.url}/rpc/single-sign-on`, "same-origin")
      return new URL(next)
    }
    const away = await at()
    assert.strictEqual(away.pathname + away.search, asked("single_sign_on_unavailable"))
    const stuck = late.replace(() => {})
    const started = performance.now()
    assert.strictEqual((await at()).search, "?problem=single_sign_on_unavailable")
    assert.isBelow(performance.now() - started, 8_000)
    stuck()
    late.configure(`${second.audience}/rpc/single-sign-on/callback`)
    assert.strictEqual((await at()).origin, late.issuer)
  })

  it("keeps nobody from signing in with a password, nor where there is none from being told so", async () => {
    await using alone = await start()
    await alone.admin("Ada", password)
    assert.deepStrictEqual((await alone.ask("GET", "/rpc/session/methods")).json, { singleSignOn: null })
    const { next = "" } = await new Browser().go(`${alone.url}/rpc/single-sign-on`, "same-origin")
    assert.include(next, "problem=single_sign_on_unavailable")
    assert.strictEqual((await alone.ask("POST", "/rpc/session", { body: { name: "Ada", password } })).status, 204)
  })

  it("gets nobody sent there by another site's link", async () => {
    const { next = "" } = await new Browser().go(begin(), "cross-site")
    assert.strictEqual(next, `${broker.url}/sign-in`)
  })
})
