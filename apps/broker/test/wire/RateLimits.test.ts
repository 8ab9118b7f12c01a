/** H10: whoever asks too much is told so and when to come back, starves nobody else, and spends no one else's budget. */
import { Api } from "@broker/api/Api"
import { SpentBudget } from "@broker/api/RateLimiting"
import { RateLimitsPolicy, unlimited } from "@broker/core/rate-limits/RateLimitsPolicy"
import { Context, Duration } from "effect"
import { HttpApi, type HttpApiGroup } from "effect/http-api"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { SessionsApi } from "../../src/http/SessionsApi.ts"
import { enter, present } from "./Client.ts"
import { failure, procedure, signIn } from "./Dashboard.ts"
import { type Gateway, respelled, serving } from "./Gateway.ts"
import { type Answer, ask, freePort, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

const defaults = RateLimitsPolicy.defaultValue()

/** Addresses may take four times as much as one credential. */
const limits = (quotas: Partial<typeof unlimited>): Partial<typeof defaults> => ({
  quotas: { ...unlimited, ...quotas },
  perAddress: { heartbeats: 4, "sign-in": 4, registration: 4, dashboard: 4, api: 4, pages: 4 }
})

const proxied = { trustedProxies: ["127.0.0.1/32"] }
let hosts = 0
/** An address that nobody else comes from. */
const elsewhere = () => ({ "x-forwarded-for": `198.51.100.${++hosts}` })

const repeat = async (times: number, what: () => Promise<Answer>) => {
  const answers: Array<Answer> = []
  for (let n = 0; n < times; n++) answers.push(await what())
  return answers
}

const statuses = (answers: ReadonlyArray<Answer>) => answers.map(({ status }) => status)
const count = (answers: ReadonlyArray<Answer>, status: number) =>
  answers.filter((answer) => answer.status === status).length

describe("every endpoint", () => {
  const endpoints: Array<readonly [name: string, budget: string | undefined]> = []
  const walk = <Id extends string, Groups extends HttpApiGroup.Constraint>(api: HttpApi.HttpApi<Id, Groups>) =>
    HttpApi.reflect(api, {
      onGroup: () => {},
      onEndpoint: ({ endpoint, middleware }) => {
        const isLimited = [...middleware].some(({ key }) => key === "@broker/api/RateLimiting")
        const budget = Context.getOrUndefined(endpoint.annotations, SpentBudget)
        endpoints.push([`${endpoint.method} ${endpoint.path}`, isLimited ? budget : undefined])
      }
    })

  it("names its budget", () => {
    walk(Api)
    walk(SessionsApi)
    assert.isAbove(endpoints.length, 30)
    assert.deepStrictEqual(
      endpoints.filter(([, budget]) => budget === undefined),
      []
    )
  })

  it("shares that of heartbeats with none", () => {
    assert.deepStrictEqual(
      endpoints.filter(([, budget]) => budget === "heartbeats").map(([name]) => name),
      ["POST /api/v1/servers/self/heartbeat"]
    )
  })
})

describe("servers", () => {
  let broker: Wire
  let gateway: Gateway
  beforeAll(async () => {
    broker = await start({ limits: limits({ heartbeats: 10, api: 6, pages: 10 }), ...proxied })
    gateway = await serving(broker, await broker.key(), "fra-1")
  })
  afterAll(() => broker?.[Symbol.asyncDispose]())

  const self = (headers: Readonly<Record<string, string>>, token = gateway.token) =>
    broker.ask("GET", "/api/v1/servers/self", { bearer: token, headers })
  const beat = (headers: Readonly<Record<string, string>>, token = gateway.token) =>
    broker.ask("POST", "/api/v1/servers/self/heartbeat", { bearer: token, headers, body: {} })

  it("are told where they stand, and when to come back; other budgets go on", async () => {
    const headers = elsewhere()
    // One of six was its answer to the challenge that it began with.
    const [first, ...rest] = await repeat(6, () => self(headers))
    assert.strictEqual(first?.headers.get("ratelimit-policy"), '"api";q=6;w=60')
    assert.match(first?.headers.get("ratelimit") ?? "", /^"api";r=4;t=(60|5\d)$/)
    assert.deepStrictEqual(statuses(rest), [200, 200, 200, 200, 429])
    const refused = rest.at(-1)
    assert.strictEqual(refused?.json["code"], "rate_limited")
    assert.strictEqual(refused?.json["budget"], "api")
    assert.match(refused?.headers.get("ratelimit") ?? "", /^"api";r=0;t=\d+$/)
    const wait = Number(refused?.headers.get("retry-after"))
    assert.strictEqual(wait, refused?.json["retryAfterSeconds"])
    const resets = Number(/t=(\d+)/.exec(refused?.headers.get("ratelimit") ?? "")?.[1])
    assert.isAtLeast(wait, resets)
    assert.isAtMost(wait, resets + 8)

    // Heartbeats are of another budget, of which one is taken as well. What they say to a body without anything does not matter here.
    const beats = await repeat(9, () => beat(headers))
    assert.strictEqual(count(beats, 429), 0)
    assert.match(beats[0]?.headers.get("ratelimit-policy") ?? "", /^"heartbeats";q=10;w=60$/)
    assert.strictEqual((await beat(headers)).status, 429)
  })

  it("come back at different times", async () => {
    const waits = new Set((await repeat(30, () => self(elsewhere()))).map(({ headers }) => headers.get("retry-after")))
    assert.isAbove(waits.size, 3)
  })

  it("lose nothing to whoever knows their id and not their secret", async () => {
    const other = await serving(broker, await broker.key(), "fra-2")
    const forged = respelled(`${other.token.slice(0, 30)}${"A".repeat(32)}`, "brk_srv_")
    const headers = elsewhere()
    // The address has 40 of heartbeats.
    const answers = await repeat(45, () => beat(headers, forged))
    assert.deepStrictEqual([count(answers, 401), count(answers, 429)], [40, 5])
    const own = await repeat(9, () => beat(elsewhere(), other.token))
    assert.strictEqual(count(own, 429), 0)
  })

  it("are refused by address before anything is looked up", async () => {
    const headers = elsewhere()
    const answers = await repeat(29, () => broker.ask("GET", "/api/v1/servers/self", { headers }))
    assert.deepStrictEqual([count(answers, 401), count(answers, 429)], [24, 5])
    assert.strictEqual((await broker.ask("GET", "/api/v1/servers/self", { headers: elsewhere() })).status, 401)
  })

  it("are taken for one where they share an IPv6 network of 64 bits", async () => {
    let host = 0
    const answers = await repeat(29, () =>
      broker.ask("GET", "/api/v1/servers/self", { headers: { "x-forwarded-for": `2001:db8::${++host}` } })
    )
    assert.deepStrictEqual([count(answers, 401), count(answers, 429)], [24, 5])
  })

  it("and anybody are turned away from pages only when they flood", async () => {
    const headers = elsewhere()
    for (const path of ["/healthz", "/docs", "/problems/rate_limited", "/.well-known/jwks.json", "/favicon.ico"]) {
      const answers = await repeat(7, () => broker.ask("GET", path, { headers }))
      assert.strictEqual(count(answers, 429), 0, path)
    }
    const answers = await repeat(10, () => broker.ask("GET", "/healthz", { headers }))
    assert.deepStrictEqual([count(answers, 200), count(answers, 429)], [5, 5])
    assert.strictEqual(answers.at(-1)?.json["code"], "rate_limited")
    assert.isAtLeast(Number(answers.at(-1)?.headers.get("retry-after")), 1)
  })
})

describe("secrets that could be guessed", () => {
  let broker: Wire
  beforeAll(async () => {
    broker = await start({ limits: limits({ "sign-in": 5, registration: 3, api: 5 }), ...proxied })
    await broker.admin("Ada", password)
  })
  afterAll(() => broker?.[Symbol.asyncDispose]())

  it("of clients: a key has its budget wherever it comes from, and nobody else spends it", async () => {
    const { key } = await broker.user("Many devices")
    const forged = respelled(`${key.slice(0, 30)}${"A".repeat(32)}`, "brk_usr_")
    await repeat(10, () => enter(broker, forged, {}, { headers: elsewhere() }))
    const device = { fingerprint: "11111111-1111-4111-8111-111111111111" }
    const answers = await repeat(7, () => enter(broker, key, device, { headers: elsewhere() }))
    assert.deepStrictEqual(statuses(answers), [200, 200, 200, 200, 200, 429, 429])
    assert.strictEqual(answers.at(-1)?.headers.get("ratelimit-policy"), '"sign-in";q=5;w=60')
  })

  it("of admins: an address has its budget, in front of the password", async () => {
    const headers = elsewhere()
    const entering = () => broker.ask("POST", "/rpc/session", { body: { name: "Ada", password }, headers })
    const answers = await repeat(22, entering)
    assert.deepStrictEqual([count(answers, 204), count(answers, 429)], [20, 2])
    assert.strictEqual(answers.at(-1)?.json["code"], "rate_limited")
  })

  it("of servers that join", async () => {
    const key = await broker.key({ useLimit: 10 })
    const joining = (bearer: string, headers: Readonly<Record<string, string>>) =>
      broker.ask("POST", "/api/v1/servers", { bearer, body: {}, headers })
    assert.deepStrictEqual(statuses(await repeat(4, () => joining(key, elsewhere()))), [400, 400, 400, 429])
    const headers = elsewhere()
    const answers = await repeat(13, async () => joining(await broker.key(), headers))
    assert.deepStrictEqual([count(answers, 400), count(answers, 429)], [12, 1])
  })

  it("a client's requests count for its key, whichever session it has", async () => {
    const { key } = await broker.user("Many sessions")
    const device = { fingerprint: "22222222-2222-4222-8222-222222222222" }
    const sessions = [await present(broker, key, device), await present(broker, key, device)]
    const answers = await repeat(
      6,
      () => sessions[hosts % 2]?.ask("GET", "/api/v1/me", { headers: elsewhere() }) ?? fail()
    )
    assert.deepStrictEqual(statuses(answers), [200, 200, 200, 200, 200, 429])
    const discovery = await sessions[0]?.ask("GET", "/api/v1/servers", { headers: elsewhere() })
    assert.strictEqual(discovery?.status, 429, "whatever else it asks")
    assert.strictEqual(discovery?.json["code"], "rate_limited")
  })
})

const fail = (): never => assert.fail("there is one")

describe("the dashboard", () => {
  it("hears of it in tRPC's shape, per admin and per address", async () => {
    await using broker = await start({ limits: limits({ dashboard: 5 }), ...proxied })
    await broker.admin("Ada", password)
    const cookie = await signIn(broker, "Ada", password)
    const current = (headers: Readonly<Record<string, string>>, by: string | undefined = cookie) =>
      procedure(broker, "query", "session.current", undefined, by, { headers })
    const answers = await repeat(6, () => current(elsewhere()))
    assert.deepStrictEqual(statuses(answers), [200, 200, 200, 200, 200, 429])
    assert.strictEqual(answers[0]?.headers.get("ratelimit"), '"dashboard";r=4;t=60')
    const refused = answers.at(-1)
    assert.deepInclude(failure(refused ?? fail()), { problem: "rate_limited", httpStatus: 429 })
    assert.match(refused?.headers.get("ratelimit") ?? "", /^"dashboard";r=0;t=\d+$/)
    assert.isAtLeast(Number(refused?.headers.get("retry-after")), 50)

    const headers = elsewhere()
    const strangers = await repeat(21, () => current(headers, `broker_session=${"A".repeat(43)}`))
    assert.deepStrictEqual([count(strangers, 401), count(strangers, 429)], [20, 1])
  })
})

describe("batches of the dashboard", () => {
  const batch = (broker: Wire, calls: number, cookie: string, comma = ",") =>
    broker.ask("GET", `/rpc/${Array.from({ length: calls }, () => "session.current").join(comma)}?batch=1&input={}`, {
      headers: { cookie, ...elsewhere() }
    })

  it("H10 count each of their calls", async () => {
    await using broker = await start({ limits: limits({ dashboard: 10 }), ...proxied })
    await broker.admin("Ada", password)
    const cookie = await signIn(broker, "Ada", password)
    const answers = [
      await batch(broker, 4, cookie),
      await batch(broker, 4, cookie, "%2C"),
      await batch(broker, 4, cookie)
    ]
    assert.deepStrictEqual(
      answers.map(({ headers }) => headers.get("ratelimit")?.split(";")[1]),
      ["r=6", "r=2", "r=0"]
    )
    assert.deepStrictEqual(statuses(answers), [200, 200, 429])
  })

  it("H10 of more than twenty calls are refused, in tRPC's shape", async () => {
    await using broker = await start()
    await broker.admin("Ada", password)
    const cookie = await signIn(broker, "Ada", password)
    assert.strictEqual((await batch(broker, 20, cookie)).status, 200)
    const refused = await batch(broker, 21, cookie)
    assert.strictEqual(refused.status, 400)
    assert.include(refused.text, "Batch call exceeds maximum size")
    assert.include(refused.text, "BAD_REQUEST")
  })
})

describe("several nodes", () => {
  it("count together", async () => {
    const port = await freePort()
    const options = {
      audience: `http://127.0.0.1:${port}`,
      limits: { ...limits({ api: 20, "sign-in": 4 }), exchangeEvery: Duration.millis(50) },
      ...proxied
    }
    await using one = await start({ ...options, port })
    await using other = await start({ ...options, database: one.database })
    const gateway = await serving(one, await one.key(), "fra-3")
    const self = (at: Wire) =>
      ask(at.url, "GET", "/api/v1/servers/self", { bearer: gateway.token, headers: elsewhere() })
    // Its proof was the first.
    let taken = 1
    for (let n = 1; n < 100 && taken === n; n++) {
      if ((await self(n % 2 === 0 ? one : other)).status === 200) taken++
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.isAtLeast(taken, 20)
    assert.isAtMost(taken, 28, "a few more while they had not told each other")

    const { key } = await one.user("Two nodes")
    const device = { fingerprint: "33333333-3333-4333-8333-333333333333" }
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => enter(n % 2 === 0 ? one : other, key, device, { headers: elsewhere() }))
    )
    assert.strictEqual(count(answers, 200), 4)
    assert.strictEqual(count(answers, 429), 16)
  })
})
