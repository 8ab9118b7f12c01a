/**
 * What guessing is worth: whether the work for a wrong guess tells what was wrong with it, counted in statements and
 * hashes rather than in time; and how many guesses a minute are heard at all, by two brokers on one database.
 */

import { RateLimitsPolicy } from "@broker/core/rate-limits/RateLimitsPolicy"
import type { Tracer } from "effect"
import { Duration } from "effect"
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "vitest"
import { browser, enrolTotp } from "../wire/Browser.ts"
import { signIn } from "../wire/Client.ts"
import { procedure } from "../wire/Dashboard.ts"
import { registration, respelled } from "../wire/Gateway.ts"
import { type Answer, ask, start, type Wire } from "../wire/Wire.ts"

const password = "violet tractor hums at noon"

/** Another secret under the id of a credential. */
const wrongSecret = (credential: string, prefix: string) =>
  respelled(`${credential.slice(0, 30)}${"A".repeat(32)}`, prefix)

/** A credential that nobody was given. */
const unknown = (prefix: string) => respelled(`${prefix}${"A".repeat(54)}`, prefix)

describe("the work for a refusal, counted in statements and hashes (A3, B7)", () => {
  const spans: Array<Tracer.Span> = []
  let broker: Wire
  beforeAll(async () => {
    broker = await start({ onSpan: (span) => spans.push(span) })
    await broker.admin("Ada", password)
  })
  afterAll(() => broker?.[Symbol.asyncDispose]())
  beforeEach(() => broker.sql("delete from sign_in_failures"))

  /** The names of what one request did, in order; a statement by its text. */
  const work = async (request: () => Promise<Answer>) => {
    spans.length = 0
    const answer = await request()
    const id = answer.headers.get("x-request-id")
    const root = spans.find((span) => span.attributes.get("http.request.id") === id || span.kind === "server")
    const own = spans.filter(({ traceId }) => traceId === root?.traceId)
    return {
      status: answer.status,
      text: answer.text,
      steps: own.map((span) => {
        const statement = span.attributes.get("db.query.text")
        return typeof statement === "string" ? statement.replaceAll(/\s+/g, " ").trim() : span.name
      })
    }
  }

  const told = ({ status, text }: { readonly status: number; readonly text: string }) =>
    `${status} ${text.replaceAll(/"(requestId|instance)":"[^"]*"/g, "")}`

  /** All are answered alike, by the same steps. */
  const alike = async (cases: Readonly<Record<string, () => Promise<Answer>>>, least: number) => {
    const done: Array<readonly [string, Awaited<ReturnType<typeof work>>]> = []
    for (const [name, request] of Object.entries(cases)) {
      // What is remembered after the first is not what is compared.
      await request()
      await broker.sql("delete from sign_in_failures")
      done.push([name, await work(request)])
      await broker.sql("delete from sign_in_failures")
    }
    const [first] = done
    if (first === undefined) return
    assert.isAtLeast(first[1].steps.length, least, "the spans of a request were not seen")
    for (const [name, each] of done) {
      assert.strictEqual(told(each), told(first[1]), name)
      assert.deepStrictEqual(each.steps, first[1].steps, `${name} is not like ${first[0]}`)
    }
  }

  const enter = (name: string, cookie?: string) => () =>
    broker.ask("POST", "/rpc/session", {
      body: { name, password: "not this one at all" },
      headers: { "sec-fetch-site": "same-origin", ...(cookie === undefined ? {} : { cookie }) }
    })

  it("of an admin: for a name that is known and one that is not", async () => {
    await alike({ known: enter("Ada"), "in another case": enter("ADA"), unknown: enter("Mallory") }, 8)
  })

  it("of an admin: also by a browser that says it was there before", async () => {
    const cookie = `broker_browser=${"A".repeat(43)}`
    await alike({ known: enter("Ada", cookie), unknown: enter("Mallory", cookie) }, 8)
  })

  it("of an admin who is disabled: like one who is not there", async () => {
    await broker.admin("Former", password, "viewer")
    await broker.sql(
      "update memberships set disabled_at = now() where admin_id = (select id from admins where name = 'Former')"
    )
    await alike({ disabled: enter("Former"), unknown: enter("Mallory") }, 8)
  })

  it("of a personal key: unknown and with a wrong secret are answered alike", async () => {
    const { key } = await broker.user("Guessed")
    const entering = (bearer: string) => () => broker.ask("POST", "/api/v1/sessions", { bearer, body: signIn() })
    const [nobody, somebody] = [
      await work(entering(unknown("brk_usr_"))),
      await work(entering(wrongSecret(key, "brk_usr_")))
    ]
    assert.strictEqual(told(nobody), told(somebody))
  })

  it("of a registration key: unknown, revoked and with a wrong secret are answered alike", async () => {
    const key = await broker.key({ name: "guessed" })
    const revoked = await broker.key({ name: "revoked" })
    await broker.sql("update registration_keys set revoked_at = now() where name = 'revoked'")
    const joining = (bearer: string) => () =>
      broker.ask("POST", "/api/v1/servers", { bearer, body: registration(broker, bearer, "guesser") })
    const answers: Array<string> = []
    for (const bearer of [unknown("brk_reg_"), wrongSecret(key, "brk_reg_"), revoked]) {
      answers.push(told(await work(joining(bearer))))
    }
    assert.lengthOf([...new Set(answers)], 1, answers.join())
  })
})

describe("guesses that are heard, of all that are made (A3, H10)", () => {
  let one: Wire
  let two: Wire
  beforeAll(async () => {
    const limits = { quotas: RateLimitsPolicy.defaultValue().quotas, exchangeEvery: Duration.millis(50) }
    const trustedProxies = ["127.0.0.1/32"]
    one = await start({ limits, trustedProxies })
    two = await start({ limits, trustedProxies, database: one.database, audience: one.audience })
    await one.admin("Ada", password)
    await one.admin("Grace", password)
    await one.admin("Joan", password)
  })
  afterAll(async () => {
    await two?.[Symbol.asyncDispose]()
    await one?.[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    await one.sql("delete from sign_in_failures")
    await one.sql("delete from rate_limits")
  })

  let hosts = 0
  /** An address that nobody else comes from. */
  const elsewhere = () => ({ "x-forwarded-for": `203.0.${113 + Math.floor(hosts / 250)}.${++hosts % 250}` })

  const guess = (at: Wire, name: string, headers: Readonly<Record<string, string>>) =>
    ask(at.url, "POST", "/rpc/session", { body: { name, password: "not this one at all" }, headers })

  /** Lets so many seconds pass for those who have to wait. */
  const pass = (seconds: number) =>
    one.sql(`
      update sign_in_failures
         set next_at = next_at - interval '${seconds} seconds', last_at = last_at - interval '${seconds} seconds'`)

  it("of a password, from as many addresses as one likes: five at once, then about two a minute, on both brokers together", async () => {
    const burst = await Promise.all(
      Array.from({ length: 40 }, (_, n) => guess(n % 2 === 0 ? one : two, "Ada", elsewhere()))
    )
    const heard = burst.filter(({ status }) => status === 401).length
    // Counted before it is tried: however many come at once, on whichever broker.
    assert.strictEqual(heard, 5)
    let later = 0
    for (let second = 0; second < 300; second += 5) {
      await pass(5)
      const answers = [await guess(one, "Ada", elsewhere()), await guess(two, "Ada", elsewhere())]
      later += answers.filter(({ status }) => status === 401).length
    }
    // Five minutes: 2 + 4 + 8 + 16 seconds first, and half a minute from then on.
    assert.isAtMost(later, 16)
    assert.isAtLeast(later, 8)
  }, 120_000)

  it("of a password, from one address at whatever names: ever fewer", async () => {
    const headers = elsewhere()
    let heard = 0
    for (let second = 0; second < 120; second += 2) {
      await pass(2)
      for (const at of [one, two]) heard += Number((await guess(at, `Nobody ${hosts++}`, headers)).status === 401)
    }
    assert.isAtLeast(heard, 5)
    assert.isAtMost(heard, 14, "two minutes")
  }, 120_000)

  it("never keep the admin out of a browser in which they signed in before", async () => {
    const own = browser(one)
    assert.strictEqual((await own.post("session", { name: "Grace", password }, { headers: elsewhere() })).status, 204)
    for (let n = 0; n < 12; n++) await guess(n % 2 === 0 ? one : two, "Grace", elsewhere())
    const stranger = await ask(one.url, "POST", "/rpc/session", {
      body: { name: "Grace", password },
      headers: elsewhere()
    })
    assert.strictEqual(stranger.status, 429)
    assert.strictEqual((await own.post("session", { name: "Grace", password }, { headers: elsewhere() })).status, 204)
  })

  it("of a code or a recovery code by somebody who knows the password: five, then ever fewer, whatever they do in between", async () => {
    const own = browser(one)
    await own.post("session", { name: "Joan", password }, { headers: elsewhere() })
    await enrolTotp(own)
    for (const answer of [
      { kind: "totp", code: "000000" },
      { kind: "recovery-code", code: "2222a-3333b" }
    ]) {
      await one.sql("delete from sign_in_failures")
      let heard = 0
      for (let n = 0; n < 30; n++) {
        await pass(1)
        const thief = browser(n % 2 === 0 ? one : two)
        const first = await thief.post("session", { name: "Joan", password }, { headers: elsewhere() })
        if (first.status !== 200) continue
        heard += Number((await thief.post("session/factor", answer, { headers: elsewhere() })).status === 401)
      }
      // Half a minute, of a million codes of which three are right.
      assert.isAtMost(heard, 12, answer.kind)
      assert.isAtLeast(heard, 4, answer.kind)
    }
  }, 120_000)

  it("of links, tokens and keys, which nobody guesses: as many as the address may ask at all", async () => {
    const quotas = { "sign-in": 4, registration: 4, api: 4, dashboard: 4 }
    await using strict = await start({
      limits: {
        quotas: { ...RateLimitsPolicy.defaultValue().quotas, ...quotas },
        perAddress: { heartbeats: 1, "sign-in": 1, registration: 1, dashboard: 1, api: 1, pages: 1 }
      },
      trustedProxies: ["127.0.0.1/32"]
    })
    const tries: Readonly<Record<string, (headers: Readonly<Record<string, string>>) => Promise<Answer>>> = {
      link: (headers) => strict.ask("POST", "/rpc/links/look", { body: { token: "A".repeat(43) }, headers }),
      "use of a link": (headers) =>
        strict.ask("POST", "/rpc/links", { body: { token: "A".repeat(43), password }, headers }),
      setup: (headers) =>
        strict.ask("POST", "/rpc/setup", { body: { token: "A".repeat(43), name: "Mallory", password }, headers }),
      "personal key": (headers) =>
        strict.ask("POST", "/api/v1/sessions", { bearer: unknown("brk_usr_"), body: signIn(), headers }),
      "registration key": (headers) =>
        strict.ask("POST", "/api/v1/servers", { bearer: unknown("brk_reg_"), body: {}, headers }),
      "API token": (headers) => strict.ask("GET", "/api/v1/servers", { bearer: unknown("brk_api_"), headers }),
      "server token": (headers) => strict.ask("GET", "/api/v1/servers/self", { bearer: unknown("brk_srv_"), headers }),
      session: (headers) =>
        procedure(strict, "query", "session.current", undefined, `broker_session=${"A".repeat(43)}`, { headers })
    }
    for (const [name, guessing] of Object.entries(tries)) {
      const headers = elsewhere()
      const statuses: Array<number> = []
      for (let n = 0; n < 8; n++) statuses.push((await guessing(headers)).status)
      assert.deepStrictEqual(
        statuses.map((status) => status === 429),
        [false, false, false, false, true, true, true, true],
        `${name} ${statuses}`
      )
      assert.isFalse(statuses.includes(200), name)
    }
  })
})
