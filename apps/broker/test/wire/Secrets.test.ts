/** B9: what is secret stands in the one answer that hands it out, and nowhere else, whatever happens. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { client as clientOf, enter, granted } from "./Client.ts"
import { cookieOf, procedure } from "./Dashboard.ts"
import { identity, join, member, register, registration } from "./Gateway.ts"
import { type Answer, start, type Wire } from "./Wire.ts"

let broker: Wire
beforeAll(async () => {
  broker = await start()
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const password = "violet tractor hums at noon"
const wrongPassword = "wrong horse battery staple"

/** By what it is; each with the answers that may hold it. */
const secrets = new Map<string, string>()
const told: Array<readonly [allowed: ReadonlyArray<string>, answer: Answer]> = []

const telling = (answer: Answer, ...allowed: ReadonlyArray<string>) => {
  told.push([allowed, answer])
  return answer
}

/** All that a broker is asked in its life, the mistakes included. */
const story = async () => {
  const ticket = await broker.setupTicket()
  secrets.set("setup ticket", ticket)
  secrets.set("password", password)
  secrets.set("wrong password", wrongPassword)
  const body = { token: ticket, name: "ada", password }
  const first = telling(await broker.ask("POST", "/rpc/setup", { body }), "first session")
  secrets.set("first session", cookieOf(first).split("=")[1] ?? "")
  telling(await broker.ask("POST", "/rpc/setup", { body }))
  telling(await broker.ask("POST", "/rpc/session", { body: { name: "ada", password: wrongPassword } }))
  telling(await broker.ask("POST", "/rpc/session", { body: { name: password, password } }))
  telling(await broker.ask("POST", "/rpc/session", { body: { name: "ada", password: [password] } }))
  telling(await broker.ask("POST", "/rpc/session", { body: `{"name":"ada","password":"${password}"` }))
  const second = telling(
    await broker.ask("POST", "/rpc/session", { body: { name: "ada", password } }),
    "second session"
  )
  const cookie = cookieOf(second)
  secrets.set("second session", cookie.split("=")[1] ?? "")

  const request = { name: "lab", useLimit: 5, expiresInSeconds: 600, tags: [], approval: false, replacesServerId: null }
  const created = telling(
    await procedure(broker, "mutation", "registrationKeys.create", request, cookie),
    "registration key"
  )
  const { data } = created.json["result"] as { readonly data: { readonly key: string; readonly id: string } }
  secrets.set("registration key", data.key)

  const by = identity()
  const sent = registration(broker, data.key, "secretive", by)
  telling(await register(broker, data.key, { ...sent, name: "forged" }))
  telling(await register(broker, data.key, { ...sent, name: 7 }))
  telling(await register(broker, `${data.key}x`, sent))
  const joined = telling(await register(broker, data.key, sent), "first token")
  const gateway = member(broker, by, sent, joined)
  secrets.set("first token", gateway.token)
  telling(await gateway.beat())
  telling(await gateway.ask("GET", "/api/v1/servers/self"))
  telling(await gateway.ask("GET", `/api/v1/servers/self?token=${gateway.token}`))
  telling(await broker.ask("POST", "/api/v1/servers", { bearer: gateway.token, body: sent }))
  telling(await broker.ask("GET", "/api/v1/servers/self", { bearer: data.key }))
  telling(await gateway.prove())
  const rotated = telling(await gateway.ask("POST", "/api/v1/servers/self/token"), "second token")
  secrets.set("second token", String(rotated.json["token"]))
  telling(await broker.ask("GET", "/api/v1/servers/self", { bearer: String(rotated.json["token"]) }))
  telling(await gateway.beat())
  const again = telling(await register(broker, data.key, sent), "third token")
  secrets.set("third token", String(again.json["token"]))

  const impostor = await join(broker, data.key, "impostor")
  secrets.set("fourth token", impostor.token)
  telling(
    await impostor.ask("POST", `/api/v1/servers/self/challenges/${impostor.challenge.id}`, {
      body: { signature: identity().sign("wrong") }
    })
  )
  telling(await impostor.beat())

  const user = telling(
    await procedure(broker, "mutation", "users.create", { name: "Ada", email: null, note: "" }, cookie)
  )
  const userId = (user.json["result"] as { readonly data: { readonly id: string } }).data.id
  const wanted = { userId, name: "laptop", expiresInSeconds: null, connectionLimit: null }
  const handed = telling(await procedure(broker, "mutation", "personalKeys.create", wanted, cookie), "personal key")
  const personal = (handed.json["result"] as { readonly data: { readonly id: string; readonly key: string } }).data
  secrets.set("personal key", personal.key)
  const renewed = telling(
    await procedure(broker, "mutation", "personalKeys.rotate", { id: personal.id, overlapSeconds: 600 }, cookie),
    "second personal key"
  )
  const successor = (renewed.json["result"] as { readonly data: { readonly id: string; readonly key: string } }).data
  secrets.set("second personal key", successor.key)
  telling(await enter(broker, `${personal.key}x`))
  telling(await enter(broker, personal.key, { fingerprint: 7 }))
  telling(await broker.ask("GET", "/api/v1/me", { bearer: personal.key }))
  const device = { fingerprint: "the laptop", publicKey: identity().publicKey }
  const entered = telling(await enter(broker, personal.key, device), "client session")
  const client = clientOf(broker, entered)
  secrets.set("client session", client.token)
  telling(await client.ask("GET", "/api/v1/me"))
  telling(await client.ask("GET", `/api/v1/me?token=${client.token}`))
  telling(await client.ask("GET", `/api/v1/servers?q=${encodeURIComponent("x")}`))
  telling(await broker.ask("GET", "/api/v1/servers/self", { bearer: client.token }))
  const intent = { headers: { "idempotency-key": "intent" } }
  const connected = telling(await client.connect({ serverId: gateway.id }, intent), "grant")
  const { grant, id: connectionId } = granted(connected)
  secrets.set("grant", grant)
  telling(await client.connect({ serverId: gateway.id }, intent), "grant")
  telling(await client.read(connectionId))
  for (const body of [{ status: "active" }, { grant }]) {
    const path = `/api/v1/servers/self/connections/${connectionId}`
    telling(await broker.ask("PUT", path, { bearer: String(again.json["token"]), body }))
  }
  telling(await client.report(connectionId, { metrics: { rxBytes: 1 } }))
  telling(await broker.ask("GET", "/.well-known/jwks.json"))
  telling(await procedure(broker, "query", "users.activity", { id: userId }, cookie))
  telling(await procedure(broker, "query", "personalKeys.list", { userId }, cookie))
  telling(await procedure(broker, "query", "connections.get", { id: connectionId }, cookie))

  for (const name of ["servers.get", "servers.history"]) {
    telling(await procedure(broker, "query", name, { id: gateway.id }, cookie))
  }
  telling(await procedure(broker, "query", "registrationKeys.list", { states: [], limit: 10, cursor: null }, cookie))
  telling(await procedure(broker, "query", "registrationKeys.members", { id: data.id }, cookie))
  telling(await procedure(broker, "query", "fleet.overview", undefined, cookie))
  telling(await procedure(broker, "mutation", "registrationKeys.revoke", { id: data.id }, cookie))

  // Faults: what a statement was given must not come out with what was wrong with it.
  await broker.sql("alter table audit_entries rename to audit_entries_gone")
  await broker.sql("alter table server_tokens rename to server_tokens_gone")
  telling(await broker.ask("POST", "/rpc/session", { body: { name: "ada", password } }))
  telling(await broker.ask("POST", "/rpc/session", { body: { name: password, password: wrongPassword } }))
  telling(await procedure(broker, "mutation", "registrationKeys.create", { ...request, name: "lost" }, cookie))
  telling(await register(broker, data.key, registration(broker, data.key, "lost")))
  telling(await broker.ask("POST", "/api/v1/servers/self/token", { bearer: String(again.json["token"]) }))
  await broker.sql("alter table client_sessions rename to client_sessions_gone")
  await broker.sql("alter table connections rename to connections_gone")
  telling(await enter(broker, personal.key, device))
  telling(await client.connect({ serverId: gateway.id }))
  await broker.sql("alter table connections_gone rename to connections")
  await broker.sql("alter table client_sessions_gone rename to client_sessions")
  await broker.sql("alter table audit_entries_gone rename to audit_entries")
  await broker.sql("alter table server_tokens_gone rename to server_tokens")

  telling(await procedure(broker, "mutation", "personalKeys.revoke", { id: successor.id, reason: "lost" }, cookie))
  telling(await enter(broker, successor.key))
  telling(await client.ask("DELETE", "/api/v1/sessions/current"))
  telling(await broker.ask("DELETE", "/rpc/session", { headers: { cookie } }))
  telling(await broker.ask("GET", "/metrics"))
}

const found = (text: string) => [...secrets].filter(([, secret]) => text.includes(secret)).map(([name]) => name)

describe("a whole story", () => {
  it("is told", async () => {
    await story()
    assert.isTrue([...secrets.values()].every((secret) => secret.length > 20))
    assert.isTrue(told.some(([, { status }]) => status === 500))
    assert.isAbove(broker.log.filter((line) => line.includes("Request failed")).length, 2)
  })

  it("leaves no secret in the log, not even at Debug", () => {
    assert.isAbove(broker.log.length, told.length)
    assert.deepStrictEqual(
      broker.log.flatMap((line) => found(line).map((name) => `${name} in ${line}`)),
      []
    )
  })

  it("hands each out once", () => {
    for (const [allowed, { headers, status, text }] of told) {
      const all = `${text} ${[...headers].join(" ")}`
      assert.deepStrictEqual(
        found(all).filter((name) => !allowed.includes(name)),
        [],
        `${status} ${all}`
      )
    }
  })

  it("leaves none in the database, but for names that people chose", async () => {
    for (const name of await broker.tables()) {
      const rows = await broker.sql(`select t::text as row from ${name} t`)
      for (const { row } of rows) {
        const text = String(row)
        // Somebody who types the password where the name belongs is audited under that name.
        const own = name === "audit_entries" && text.includes(`""name"": ""${password}""`) ? ["password"] : []
        assert.deepStrictEqual(
          found(text).filter((each) => !own.includes(each)),
          [],
          `${name} ${text}`
        )
        for (const [each, secret] of secrets) {
          const hex = Buffer.from(secret).toString("hex")
          assert.isFalse(text.includes(hex), `${each} as bytes in ${name}`)
        }
      }
    }
  })
})
