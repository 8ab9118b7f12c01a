/**
 * Whatever is sent in the place of whatever value: a refusal that names the value, nothing written, and nothing told
 * of the inside. The cases follow from the schemas, so a new field is attacked by itself.
 */
import { Duration } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { Client } from "./Client.ts"
import { type Document, resolve } from "./Described.ts"
import { type Gateway, heartbeat, identity, registration } from "./Gateway.ts"
import { type Attacked, bodies, type Case, cases } from "./Hostile.ts"
import {
  apiTargets,
  complaintOf,
  faultyLines,
  inParallel,
  problemPointers,
  rpcTargets,
  type Stage,
  sessionTargets,
  setUp,
  type Target,
  uuid
} from "./Targets.ts"
import { type Answer, start, type Wire } from "./Wire.ts"

let stage: Stage
let broker: Wire
let document: Document
let gateway: Gateway
let client: Client
let connectionId: string
let key: string

beforeAll(async () => {
  const long = Duration.minutes(30)
  // Nothing expires meanwhile, so that whatever changes was changed by a request.
  broker = await start({
    policy: { challengeLifetime: long, heartbeatInterval: long },
    connections: { sessionLifetime: long, intentLifetime: long, grantLifetime: long, settlement: long }
  })
  stage = await setUp(broker)
  ;({ client, connectionId, document, gateway, key } = stage)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const complaint = (answer: Answer) => complaintOf(answer, stage.secrets)

/** Of a refused value: that it is refused, and by name. */
const verdict = (target: Target, { pointer }: Case, answer: Answer): string | undefined => {
  const wrong = complaint(answer)
  if (wrong !== undefined) return wrong
  // Node refuses what does not fit its headers, before there is any request.
  if (answer.status === 431) return undefined
  if (answer.status !== 400) return `${answer.status}: ${answer.text.slice(0, 300)}`
  const named = target.named(answer)
  // Which of the choices of a body was meant can't be told without what tells them apart.
  const choices = resolve(target.document, target.schema).anyOf !== undefined && pointer === "/kind"
  const choice = choices ? "" : /\/(_tag|kind)$/.test(pointer) ? pointer.slice(0, pointer.lastIndexOf("/")) : undefined
  const isNamed = named.some((each) => each === pointer || each.startsWith(`${pointer}/`) || each === choice)
  return isNamed ? undefined : `names ${JSON.stringify(named)}`
}

/** Who is signed in is noted once a minute, whatever they ask for; so is the use of a token. */
const written = async () => ({ ...(await broker.snapshot()), admin_sessions: undefined, api_tokens: undefined })

const attack = async (targets: ReadonlyArray<Target>) => {
  const before = await written()
  const complaints: Array<string> = []
  let sent = 0
  const attacked: Attacked = new Map()
  const refused = targets.flatMap((target) => {
    const all = cases(target.document, target.schema, target.sample, attacked)
    return all.refused.map((each) => [target, each] as const)
  })
  await inParallel(refused, async ([target, each]) => {
    sent += 1
    const wrong = verdict(target, each, await target.send(each.text))
    if (wrong !== undefined) complaints.push(`${target.name} ${each.pointer} ${each.label} ${wrong}`)
  })
  assert.deepStrictEqual(complaints.slice(0, 20), [])
  assert.deepStrictEqual(await written(), before, "something was written")
  return sent
}

/** What the schemas allow may be done, but never ends in a fault. */
const disturb = async (targets: ReadonlyArray<Target>) => {
  const complaints: Array<string> = []
  const attacked: Attacked = new Map()
  const strange = targets.flatMap((target) =>
    cases(target.document, target.schema, target.sample, attacked).strange.map((each) => [target, each] as const)
  )
  await inParallel(strange, async ([target, each]) => {
    if (target.name === "fleet.live") return
    const wrong = complaint(await target.send(each.text))
    if (wrong !== undefined) complaints.push(`${target.name} ${each.pointer} ${each.label} ${wrong}`)
  })
  assert.deepStrictEqual(complaints.slice(0, 20), [])
  return strange.length
}

/** Bodies that are no request at all. */
const garble = async (targets: ReadonlyArray<Target>) => {
  const before = await written()
  const complaints: Array<string> = []
  const all = targets.flatMap((target) => bodies.map((each) => [target, each] as const))
  await inParallel(all, async ([target, [label, body]]) => {
    // A patch asks for nothing in particular, so an object without a known field is one.
    if (target.name.startsWith("PATCH") && /key|prototype|objects/.test(label)) return
    const answer = await target.send(body)
    const wrong = complaint(answer) ?? (answer.status < 400 ? `was taken: ${answer.status}` : undefined)
    if (wrong !== undefined) complaints.push(`${target.name} ${label} ${wrong}`)
  })
  assert.deepStrictEqual(complaints.slice(0, 20), [])
  assert.deepStrictEqual(await written(), before, "something was written")
}

describe("bodies", { timeout: 180_000 }, () => {
  it("of the public API", async () => {
    const targets = apiTargets(stage)
    const sent = await attack(targets)
    await garble(targets)
    assert.isAbove(sent, 1_000)
  })

  it("of sign-in and setup", async () => {
    const targets = sessionTargets(stage)
    assert.isAbove(await attack(targets), 100)
    await garble(targets)
  })

  it("of the dashboard's procedures", async () => {
    const targets = rpcTargets(stage)
    assert.isAbove(await attack(targets), 1_000)
    await garble(
      targets.filter(({ name }) => !/list|get|members|history|live|report|cuts|[Pp]review|activity/.test(name))
    )
  })

  it("that the schemas allow", async () => {
    assert.isAbove(await disturb([...apiTargets(stage), ...sessionTargets(stage), ...rpcTargets(stage)]), 400)
    assert.strictEqual((await gateway.ask("GET", "/api/v1/servers/self")).status, 200)
    assert.strictEqual((await client.ask("GET", "/api/v1/me")).status, 200)
  })
})

describe("everything beside bodies", { timeout: 60_000 }, () => {
  const self = "/api/v1/servers/self"

  it("path parameters", async () => {
    const before = await broker.snapshot()
    const asked: ReadonlyArray<(id: string) => Promise<Answer>> = [
      (id) => gateway.ask("POST", `${self}/challenges/${id}`, { body: { signature: identity().sign("x") } }),
      (id) => gateway.ask("PUT", `${self}/connections/${id}`, { body: { status: "active" } }),
      (id) => client.ask("GET", `/api/v1/servers/${id}`),
      (id) => client.read(id),
      (id) => client.report(id, { status: "ended" })
    ]
    const ids = [
      "x",
      "%00",
      `${uuid}%00`,
      uuid.toUpperCase(),
      `${uuid}x`,
      "%ff",
      "%ed%a0%80",
      "..%2f..%2fself",
      "null",
      "'--",
      "%F0%9F%98%80",
      "a".repeat(5_000),
      `{${uuid}}`,
      "0".repeat(36),
      "__proto__",
      "%"
    ]
    for (const [id, ask] of ids.flatMap((id) => asked.map((ask) => [id, ask] as const))) {
      const answer = await ask(id)
      assert.isUndefined(complaint(answer), id)
      assert.include([400, 404], answer.status, id)
      if (answer.status === 400) assert.deepStrictEqual(problemPointers(answer), ["/path/id"], id)
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
  })

  it("query parameters", async () => {
    const before = await broker.snapshot()
    const queries = [
      "a=1",
      "=1",
      "__proto__=1",
      "constructor=1",
      "a[]=1",
      "a=1&a=2",
      "%00=1",
      "a=%00",
      "%ff=1",
      "a=%ed%a0%80",
      "&&a",
      `${"a".repeat(5_000)}=1`,
      "a=%",
      "toString=x",
      "hasOwnProperty=1"
    ]
    for (const [{ ask }, method, path, body] of [
      [gateway, "GET", self],
      [gateway, "DELETE", self],
      [gateway, "POST", `${self}/heartbeat`, heartbeat()],
      [gateway, "POST", `${self}/token`],
      [gateway, "PUT", `${self}/connections/${connectionId}`, { status: "active" }],
      [client, "DELETE", "/api/v1/sessions/current"],
      [client, "GET", "/api/v1/me"],
      [client, "GET", "/api/v1/servers"],
      [client, "GET", `/api/v1/servers/${gateway.id}`],
      [client, "POST", "/api/v1/connections", { serverId: gateway.id }],
      [client, "GET", `/api/v1/connections/${connectionId}`],
      [client, "PATCH", `/api/v1/connections/${connectionId}`, { status: "ended" }]
    ] as const) {
      for (const query of queries) {
        const answer = await ask(method, `${path}?${query}`, { body })
        assert.isUndefined(complaint(answer), query)
        assert.strictEqual(answer.status, 400, `${method} ${path}?${query} ${answer.text}`)
        assert.isTrue(
          problemPointers(answer).every((pointer) => pointer.startsWith("/query/")),
          answer.text
        )
      }
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
  })

  it("values of the parameters of discovery", async () => {
    const before = await broker.snapshot()
    const parameters = document.paths["/api/v1/servers"]?.["get"]?.parameters ?? []
    const names = parameters.filter((parameter) => parameter.in === "query").map(({ name }) => name)
    assert.isAbove(names.length, 10)
    const values = [
      "",
      "%20",
      "%00",
      "%ff",
      "%ed%a0%80",
      "%",
      "-1",
      "1e400",
      "NaN",
      "9007199254740993",
      "true",
      "null",
      "[]",
      "{}",
      "__proto__",
      "'; drop table servers; --",
      "%25_\\",
      "x:",
      ":x",
      "a:b:c",
      "1.2.3.4.5",
      "99999999999.0",
      "91,181",
      "0,0",
      "-0,-0",
      "me,me",
      "%F0%9F%98%80",
      "x".repeat(3_000),
      "e30",
      "WyIiLCIiXQ",
      "WyJ4Iiwibm8gaWQiXQ"
    ]
    const queries = names.flatMap((name) => [
      ...values.flatMap((value) => [`${name}=${value}`, `${name}=${value}&${name}=${value}`, `${name}[]=${value}`]),
      `${name}[x]=1`,
      Array.from({ length: 300 }, (_, n) => `${name}=t${n}`).join("&")
    ])
    const complaints: Array<string> = []
    await inParallel(queries, async (query) => {
      const answer = await client.ask("GET", `/api/v1/servers?${query}`)
      const fine = [200, 400].includes(answer.status) || answer.status === 431
      const wrong = complaint(answer) ?? (fine ? undefined : `${answer.status}: ${answer.text.slice(0, 300)}`)
      if (wrong !== undefined) complaints.push(`${query.slice(0, 100)} ${wrong}`)
    })
    assert.deepStrictEqual(complaints.slice(0, 20), [])
    assert.deepStrictEqual(await broker.snapshot(), before)
  })

  it("headers", async () => {
    const before = await broker.snapshot()
    const body = registration(broker, key, "headers")
    for (const value of ["a".repeat(129), "a b", "é", "ÿ".repeat(64), "a\tb", '"a b"', "a".repeat(5_000)]) {
      const answer = await broker.ask("POST", "/api/v1/servers", {
        bearer: key,
        body,
        headers: { "idempotency-key": value }
      })
      assert.isUndefined(complaint(answer), value)
      assert.strictEqual(answer.status, 400, value)
      assert.deepStrictEqual(problemPointers(answer), ["/headers/idempotency-key"])
      const connecting = await client.connect({ serverId: gateway.id }, { headers: { "idempotency-key": value } })
      assert.strictEqual(connecting.status, 400, value)
      const conditional = await client.ask("GET", "/api/v1/servers", { headers: { "if-none-match": value } })
      assert.strictEqual(conditional.status, 200, value)
    }
    for (const authorization of [
      "Bearer",
      "Bearer ",
      `Bearer  ${gateway.token}`,
      gateway.token,
      `Bearer ${gateway.token} x`,
      "Bearer \u00ff",
      `Bearer ${"brk_srv_".repeat(600)}`,
      `Token ${gateway.token}`,
      "Bearer null",
      "Bearer undefined",
      ","
    ]) {
      const answer = await broker.ask("GET", self, { headers: { authorization } })
      assert.isUndefined(complaint(answer), authorization)
      assert.include([401, 200], answer.status, authorization)
      if (answer.status === 200) assert.strictEqual(authorization, `Bearer  ${gateway.token}`)
    }
    for (const [name, value] of [
      ["content-type", "text/plain"],
      ["content-type", "application/x-www-form-urlencoded"],
      ["content-type", "application/json; charset=utf-16"],
      ["content-encoding", "gzip"]
    ] as const) {
      const answer = await gateway.ask("POST", `${self}/heartbeat`, { body: heartbeat(), headers: { [name]: value } })
      assert.strictEqual(`${answer.status} ${answer.json["code"]}`, "415 unsupported_media_type")
    }
    for (const value of [
      "broker_session=",
      `broker_session=${"x".repeat(5_000)}`,
      "broker_session=%00",
      "=;;=",
      "ÿ=ÿ"
    ]) {
      const answer = await broker.ask("GET", "/rpc/session.current", { headers: { cookie: value } })
      assert.strictEqual(answer.status, 401, value)
      assert.isUndefined(complaint(answer), value)
    }
    assert.deepStrictEqual(await broker.snapshot(), before)
  })
})

describe("the log of all this", () => {
  it("has no fault, no stack and no secret", () => {
    assert.deepStrictEqual(faultyLines(stage).slice(0, 5), [])
  })
})
