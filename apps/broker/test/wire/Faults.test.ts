/** H8: an agent can tell from the answer whether to stop, to wait or to try again. A fault never looks like a refusal. */

import * as TestServer from "@broker/testing/TestServer"
import { Redacted } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Client, enter, granted, present } from "./Client.ts"
import { failure, procedure, signIn } from "./Dashboard.ts"
import { type Gateway, heartbeat, identity, join, registration, serving } from "./Gateway.ts"
import { type Answer, eventually, query, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
let cookie: string
beforeAll(async () => {
  broker = await start()
  await broker.admin("ada", password)
  cookie = await signIn(broker, "ada", password)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const self = "/api/v1/servers/self"

type Call = readonly [name: string, call: () => Promise<Answer>]

/** All that a server may ask, in an order in which each succeeds. */
const asServer = (gateway: Gateway): ReadonlyArray<Call> => {
  const to = identity()
  const timestamp = new Date().toISOString()
  const lines = ["broker-rotate-v1", broker.audience, gateway.id, to.publicKey, timestamp]
  return [
    ["self", () => gateway.ask("GET", self)],
    ["heartbeat", () => gateway.ask("POST", `${self}/heartbeat`, { body: heartbeat() })],
    ["answerChallenge", () => gateway.prove()],
    ["update", () => gateway.ask("PATCH", self, { body: { version: "2" } })],
    [
      "rotateKey",
      () =>
        gateway.ask("PUT", `${self}/public-key`, {
          body: {
            publicKey: to.publicKey,
            timestamp,
            signature: gateway.identity.sign(...lines),
            proof: to.sign(...lines)
          }
        })
    ],
    ["rotateToken", () => gateway.ask("POST", `${self}/token`)]
  ]
}

const asAdmin = ({ id }: Gateway): ReadonlyArray<Call> => {
  const on = (type: "query" | "mutation", name: string, input?: unknown): Call => [
    name,
    () => procedure(broker, type, name, input, cookie)
  ]
  return [
    on("query", "session.current"),
    on("query", "fleet.overview"),
    on("query", "servers.get", { id }),
    on("query", "servers.history", { id }),
    on("query", "servers.list", {
      text: "a",
      statuses: [],
      tags: [],
      verified: null,
      sort: "name",
      limit: 5,
      cursor: null
    }),
    on("query", "registrationKeys.list", { states: [], limit: 5, cursor: null }),
    on("mutation", "registrationKeys.create", {
      name: "faults",
      useLimit: 1,
      expiresInSeconds: 60,
      tags: [],
      approval: false,
      replacesServerId: null
    }),
    on("mutation", "servers.verify", { id }),
    on("mutation", "servers.setDuty", { id, duty: "draining" }),
    on("mutation", "servers.suspend", { id, reason: "" }),
    on("mutation", "servers.approve", { id }),
    on("mutation", "servers.retire", { id, reason: "" }),
    ["signIn", () => broker.ask("POST", "/rpc/session", { body: { name: "ada", password } })],
    ["setupState", () => broker.ask("GET", "/rpc/setup")]
  ]
}

/** All that a client may ask, with a connection of its own that its server has accepted. */
interface Wanderer {
  readonly key: string
  readonly client: Client
  readonly gateway: Gateway
  readonly connectionId: string
}

let wanderers = 0
const wanderer = async (): Promise<Wanderer> => {
  wanderers += 1
  const { key } = await broker.user(`Wanderer ${wanderers}`)
  const gateway = await serving(broker, await broker.key(), `wanderer-${wanderers}`)
  const client = await present(broker, key)
  const { id } = granted(await client.connect({ serverId: gateway.id }))
  return { key, client, gateway, connectionId: id }
}

const asClient = ({ client, connectionId, gateway, key }: Wanderer): ReadonlyArray<Call> => {
  const put = `${self}/connections/${connectionId}`
  return [
    ["sign in", () => enter(broker, key)],
    ["me", () => client.ask("GET", "/api/v1/me")],
    ["discover", () => client.ask("GET", "/api/v1/servers?tag=eu&sort=load")],
    ["discover one", () => client.ask("GET", `/api/v1/servers/${gateway.id}`)],
    ["connect", () => client.connect({ serverId: gateway.id })],
    ["connect to the best", () => client.connect({ select: {} })],
    ["accept", () => gateway.ask("PUT", put, { body: { status: "active" } })],
    ["read", () => client.read(connectionId)],
    ["progress", () => client.report(connectionId, { metrics: { rxBytes: 1 } })],
    ["end", () => client.report(connectionId, { status: "ended" })],
    ["account", () => gateway.ask("PUT", put, { body: { status: "ended" } })],
    ["sign out", () => client.ask("DELETE", "/api/v1/sessions/current")]
  ]
}

const server = async (name: string) => join(broker, await broker.key(), name)

const told = (answer: Answer) => `${answer.status} ${answer.json["code"] ?? failure(answer).problem}`

describe("where a server stands", () => {
  it("has a code of its own on every call", async () => {
    const [suspended, retired, unknown] = [await server("suspended"), await server("retired"), await server("unknown")]
    await procedure(broker, "mutation", "servers.suspend", { id: suspended.id, reason: "x" }, cookie)
    await procedure(broker, "mutation", "servers.retire", { id: retired.id, reason: "x" }, cookie)
    await broker.sql(`update server_tokens set revoked_at = now() where server_id = '${unknown.id}'`)
    for (const [gateway, expected] of [
      [suspended, "403 server_suspended"],
      [retired, "410 server_retired"],
      [unknown, "401 unknown_credential"]
    ] as const) {
      for (const [name, call] of asServer(gateway)) assert.strictEqual(told(await call()), expected, name)
    }
    await procedure(broker, "mutation", "servers.approve", { id: suspended.id }, cookie)
    assert.strictEqual((await suspended.beat()).status, 200, "once approved again")
  })
})

const administer = (statement: string) => query(TestServer.withDatabase(broker.database, "postgres"), statement)

const nameOf = () => new URL(Redacted.value(broker.database)).pathname.slice(1)

describe("the database away", () => {
  it("is 503 to all, but for heartbeats of known servers; and passes (H7, J3)", async () => {
    const [known, stranger] = [await server("known"), await server("stranger")]
    const key = await broker.key()
    const wandering = await wanderer()
    // The first use of a token is written down, and until every node has heard of it the server is looked up again.
    const until = performance.now() + 300
    await eventually("a few heartbeats", async () => (await known.beat()).status === 200 && performance.now() > until)
    const name = nameOf()
    await administer(`alter database ${name} with allow_connections false`)
    try {
      await administer(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
      const body = registration(broker, key, "newcomer")
      const away: ReadonlyArray<Call> = [
        ["register", () => broker.ask("POST", "/api/v1/servers", { bearer: key, body })],
        ...asServer(known).filter(([call]) => call !== "heartbeat"),
        ...asServer(stranger),
        ...asAdmin(known),
        ...asClient(wandering)
      ]
      // What was found a moment ago, or who somebody is, may be told again.
      const isRemembered = (call: string) => call.startsWith("discover") || call === "session.current"
      for (const [call, run] of away) {
        const answer = await run()
        if (isRemembered(call) && answer.status === 200) continue
        assert.strictEqual(told(answer), "503 database_unavailable", `${call} ${answer.text}`)
        assert.isAtLeast(Number(answer.headers.get("retry-after")), 1, call)
      }
      for (const activeConnections of [11, 12, 13]) {
        const beat = await known.beat({ activeConnections })
        assert.strictEqual(beat.status, 200, beat.text)
        assert.deepInclude(beat.json, { admission: "approved" })
      }
      assert.strictEqual((await broker.ask("GET", "/healthz")).status, 200)
      const ready = await eventually("not ready", async () => {
        const answer = await broker.ask("GET", "/readyz")
        return answer.status === 503 && answer
      })
      assert.strictEqual(ready.json["code"], "not_ready")
      assert.isNotNull(ready.headers.get("retry-after"))
    } finally {
      await administer(`alter database ${name} with allow_connections true`)
    }
    const back = performance.now()
    await eventually("healed", async () => (await known.ask("GET", self)).status === 200, { withinMs: 5_000 })
    console.log(`healed ${Math.round(performance.now() - back)} ms after the database let connections in again`)
    await eventually("ready", async () => (await broker.ask("GET", "/readyz")).status === 200)
    assert.strictEqual((await stranger.beat()).status, 200)
    await eventually("the last of the buffered heartbeats is written", async () => {
      const [row] = await broker.sql(
        `select active_connections as n from server_presence where server_id = '${known.id}'`
      )
      return row?.["n"] === 13
    })
  })
})

describe("a fault of the broker's own", { timeout: 240_000 }, () => {
  it("is 500 or does no harm: never 401, 403, 404, 409 or 410", async () => {
    const relations = [
      ...(await broker.tables()).map((name) => ["table", name] as const),
      ["view", "fleet"] as const,
      ["view", "fleet_servers"] as const,
      ["view", "ledger"] as const
    ]
    const complaints: Array<string> = []
    let faults = 0
    for (const [kind, name] of relations) {
      const wandering = await wanderer()
      const gateway = await server(`without-${name}`)
      const key = await broker.key()
      const calls: ReadonlyArray<Call> = [
        ...asServer(gateway),
        [
          "register",
          () => broker.ask("POST", "/api/v1/servers", { bearer: key, body: registration(broker, key, `late-${name}`) })
        ],
        ...asAdmin(gateway),
        ...asClient(wandering)
      ]
      await broker.sql(`alter ${kind} ${name} rename to gone`)
      try {
        for (const [call, run] of calls) {
          const answer = await run()
          if (answer.status >= 500) {
            faults += 1
            if (told(answer) !== "500 internal_error" && told(answer) !== "500 null")
              complaints.push(`${name} ${call} ${told(answer)}`)
            if (/relation|gone|select|\bat /i.test(answer.text)) complaints.push(`${name} ${call} tells ${answer.text}`)
          } else if (answer.status >= 300) {
            complaints.push(`${name} ${call} ${answer.status} ${answer.text.slice(0, 200)}`)
          }
        }
      } finally {
        await broker.sql(`alter ${kind} gone rename to ${name}`)
      }
    }
    assert.deepStrictEqual(complaints, [])
    assert.isAbove(faults, 50)
    for (const [call, run] of [
      ...asServer(await server("healthy")),
      ...asAdmin(await server("healthy-2")),
      ...asClient(await wanderer())
    ]) {
      assert.isBelow((await run()).status, 300, call)
    }
  })
})
