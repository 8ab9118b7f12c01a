/**
 * Whatever is sent in the place of whatever value: a refusal that names the value, nothing written, and nothing told
 * of the inside. The cases follow from the schemas, so a new field is attacked by itself.
 */
import { Duration, Schema } from "effect"
import { OpenApi } from "effect/http-api"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { SessionsApi } from "../../src/http/SessionsApi.ts"
import { type Client, granted, present, signIn } from "./Client.ts"
import { procedures } from "./Dashboard.ts"
import { type Document, describe as describedAt, type JsonSchema } from "./Described.ts"
import { type Gateway, heartbeat, identity, registration, serving } from "./Gateway.ts"
import { bodies, type Case, cases } from "./Hostile.ts"
import { type Answer, type Json, start, type Wire } from "./Wire.ts"

const password = "correct horse battery staple"

let broker: Wire
let document: Document
let gateway: Gateway
let client: Client
let connectionId: string
let key: string
let personalKey: string
let cookie: string
let secrets: ReadonlyArray<string>

beforeAll(async () => {
  const long = Duration.minutes(30)
  // Nothing expires meanwhile, so that whatever changes was changed by a request.
  broker = await start({
    policy: { challengeLifetime: long, heartbeatInterval: long },
    connections: { sessionLifetime: long, intentLifetime: long, grantLifetime: long, settlement: long }
  })
  document = await describedAt(broker.url)
  await broker.admin("ada", password)
  const signedIn = await broker.ask("POST", "/rpc/session", { body: { name: "ada", password } })
  cookie = signedIn.headers.getSetCookie()[0]?.split(";")[0] ?? ""
  gateway = await serving(broker, await broker.key(), "target")
  const user = await broker.user("Target")
  personalKey = user.key
  client = await present(broker, personalKey)
  const { grant, id } = granted(await client.connect({ serverId: gateway.id }))
  connectionId = id
  key = await broker.key({ useLimit: 1_000 })
  secrets = [password, cookie.split("=")[1] ?? "", gateway.token, key, personalKey, client.token, grant]
})
afterAll(() => broker?.[Symbol.asyncDispose]())

interface Target {
  readonly name: string
  readonly schema: JsonSchema
  readonly document: Document
  readonly sample: Json
  readonly send: (body: string | Uint8Array) => Promise<Answer>
  /** The pointers that an answer names. */
  readonly named: (answer: Answer) => ReadonlyArray<string>
}

const problemPointers = (answer: Answer) =>
  ((answer.json["errors"] ?? []) as ReadonlyArray<{ readonly pointer: string }>).map(({ pointer }) => pointer)

/** A subscription is refused in its stream. */
const refusalIn = (answer: Answer): Answer => {
  const [, data] = /event: serialized-error\ndata: (.*)/.exec(answer.text) ?? []
  if (data === undefined) return answer
  return { headers: answer.headers, text: answer.text, status: 400, json: { error: JSON.parse(data) } }
}

const rpcPointers = (answer: Answer) => {
  const { data } = answer.json["error"] as { readonly data: { readonly issues: ReadonlyArray<{ path: string[] }> } }
  return data.issues.map(({ path }) => path.map((segment) => `/${segment}`).join(""))
}

const full: Json = {
  version: "1.4.2",
  endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 51820 }],
  capabilities: { vpn: { ipv6: true } },
  tags: ["eu", "lab"],
  labels: { rack: "b2" },
  location: { latitude: 50.11, longitude: 8.68 }
}

const uuid = "019845e1-682f-7b02-a706-3b2422d13aec"

const apiTarget = (method: string, path: string, bearer: string, sample: Json, template = path): Target => {
  const operation = document.paths[template]?.[method.toLowerCase()]
  const schema = operation?.requestBody?.content["application/json"]?.schema
  if (schema === undefined) throw new Error(`${method} ${template} takes no body`)
  return {
    name: `${method} ${template}`,
    schema,
    document,
    sample,
    send: (body) => broker.ask(method, path, { bearer, body }),
    named: problemPointers
  }
}

const apiTargets = (): ReadonlyArray<Target> => {
  const key32 = identity()
  const self = "/api/v1/servers/self"
  return [
    apiTarget("POST", "/api/v1/servers", key, { ...registration(broker, key, "hostile"), ...full }),
    apiTarget("PATCH", self, gateway.token, { ...full, duty: "draining" }),
    apiTarget("POST", `${self}/heartbeat`, gateway.token, heartbeat({ connections: [uuid], cutCursor: "17" })),
    apiTarget(
      "POST",
      `${self}/challenges/${uuid}`,
      gateway.token,
      { signature: key32.sign("x") },
      `${self}/challenges/{id}`
    ),
    apiTarget("PUT", `${self}/public-key`, gateway.token, {
      publicKey: key32.publicKey,
      timestamp: new Date().toISOString(),
      signature: key32.sign("x"),
      proof: key32.sign("x")
    }),
    apiTarget(
      "PUT",
      `${self}/connections/${connectionId}`,
      gateway.token,
      { status: "active", reason: "because", metrics },
      `${self}/connections/{id}`
    ),
    apiTarget("POST", "/api/v1/sessions", personalKey, signIn({ publicKey: key32.publicKey })),
    apiTarget("POST", "/api/v1/connections", client.token, { serverId: gateway.id }),
    apiTarget("POST", "/api/v1/connections", client.token, {
      select: {
        status: ["online"],
        group: "lab",
        tag: ["eu", "lab"],
        label: ["rack:b2"],
        capability: ["vpn"],
        q: "tar",
        minVersion: "1.4",
        near: { latitude: 50.11, longitude: 8.68 },
        sort: "nearest"
      }
    }),
    apiTarget(
      "PATCH",
      `/api/v1/connections/${connectionId}`,
      client.token,
      { status: "ended", reason: "because", metrics },
      "/api/v1/connections/{id}"
    )
  ]
}

const metrics: Json = { rttMs: 12.5, lossRatio: 0.01, rxBytes: 123, txBytes: 456 }

const sessionTargets = (): ReadonlyArray<Target> => {
  const sessions = OpenApi.fromApi(SessionsApi) as unknown as Document
  const target = (path: string, sample: Json): Target => {
    const schema = sessions.paths[path]?.["post"]?.requestBody?.content["application/json"]?.schema
    if (schema === undefined) throw new Error(`${path} takes no body`)
    return {
      name: `POST ${path}`,
      schema,
      document: sessions,
      sample,
      send: (body) => broker.ask("POST", path, { body }),
      named: problemPointers
    }
  }
  return [
    target("/rpc/session", { name: "nobody", password: "not this one" }),
    target("/rpc/setup", { token: "x", name: "mallory", password: "a long enough one" })
  ]
}

const rpcSamples: Readonly<Record<string, Json>> = {
  "analytics.report": {
    from: "2026-11-01T00:00:00Z",
    to: "2026-11-08T00:00:00Z",
    timeZone: "Europe/Berlin",
    step: "day",
    by: "server",
    serverId: uuid,
    userId: uuid,
    deviceId: uuid,
    platform: "linux"
  },
  "connections.list": {
    scope: "live",
    text: "ada",
    statuses: ["active"],
    stale: false,
    verdicts: ["confirmed"],
    reasons: ["key_revoked"],
    userId: uuid,
    deviceId: uuid,
    serverId: uuid,
    personalKeyId: uuid,
    limit: 10,
    cursor: null
  },
  "connections.get": { id: uuid },
  "connections.disconnect": { id: uuid },
  "connections.cuts": { subjectId: uuid, limit: 10 },
  "connections.cutPreview": { kind: "user", id: uuid },
  "devices.list": { userId: uuid },
  "devices.block": { id: uuid, reason: "because" },
  "devices.unblock": { id: uuid },
  "devices.remove": { id: uuid },
  "personalKeys.list": { userId: uuid },
  "personalKeys.create": { userId: uuid, name: "laptop", expiresInSeconds: 3_600, connectionLimit: 3 },
  "personalKeys.rotate": { id: uuid, overlapSeconds: 60 },
  "personalKeys.revoke": { id: uuid, reason: "because" },
  "users.list": { text: "ada", states: ["active"], sort: "name", limit: 10, cursor: null },
  "users.get": { id: uuid },
  "users.activity": { id: uuid },
  "users.create": { name: "Ada", email: "ada@example.com", note: "keeps two laptops" },
  "users.update": { id: uuid, patch: { name: "Ada", email: "ada@example.com", note: "" } },
  "users.suspend": { id: uuid, reason: "because" },
  "users.resume": { id: uuid },
  "users.delete": { id: uuid },
  "fleet.live": { overview: true, servers: [uuid], joining: true, connections: [uuid], connecting: true },
  "registrationKeys.list": { states: ["active"], limit: 10, cursor: null },
  "registrationKeys.members": { id: uuid },
  "registrationKeys.create": {
    name: "lab",
    useLimit: 5,
    expiresInSeconds: 3_600,
    tags: ["eu"],
    approval: false,
    replacesServerId: null
  },
  "registrationKeys.revoke": { id: uuid },
  "servers.list": {
    text: "",
    statuses: ["online"],
    tags: ["eu"],
    verified: null,
    sort: "name",
    limit: 10,
    cursor: null
  },
  "servers.get": { id: uuid },
  "servers.history": { id: uuid },
  "servers.approve": { id: uuid },
  "servers.suspend": { id: uuid, reason: "because" },
  "servers.setDuty": { id: uuid, duty: "serving" },
  "servers.limitConnections": { id: uuid, limit: 100 },
  "servers.verify": { id: uuid },
  "servers.retire": { id: uuid, reason: "because" }
}

const rpcTargets = (): ReadonlyArray<Target> =>
  procedures.flatMap(({ inputs: [input], name, type }) => {
    if (!Schema.isSchema(input)) return []
    const sample = rpcSamples[name]
    if (sample === undefined) throw new Error(`no sample for the input of ${name}`)
    const { definitions, schema } = Schema.toJsonSchemaDocument(input as Schema.Top)
    const described = { components: { schemas: definitions } } as unknown as Document
    return [
      {
        name,
        schema: schema as JsonSchema,
        document: described,
        sample,
        send: async (body) =>
          type === "mutation"
            ? broker.ask("POST", `/rpc/${name}`, { body, headers: { cookie } })
            : refusalIn(
                await broker.ask("GET", `/rpc/${name}?input=${encodeURIComponent(String(body))}`, {
                  headers: { cookie }
                })
              ),
        named: rpcPointers
      } satisfies Target
    ]
  })

/** So many at once, in order. */
const inParallel = async <A>(items: ReadonlyArray<A>, run: (item: A) => Promise<void>) => {
  const queue = items.values()
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (const item of queue) await run(item)
    })
  )
}

const tells = /\bat [^\s]+ \(?(?:file:|\/|node:)|node_modules|\.ts:\d+|PostgreSQL|SqlError|ECONN|\bselect |insert into/

const complaint = (answer: Answer): string | undefined => {
  if (answer.status >= 500) return `${answer.status}: ${answer.text.slice(0, 300)}`
  if (tells.test(answer.text)) return `tells of the inside: ${answer.text.slice(0, 300)}`
  if (secrets.some((secret) => answer.text.includes(secret))) return "tells a secret"
  if (answer.headers.get("x-request-id") === null) return "has no id"
  return undefined
}

/** Of a refused value: that it is refused, and by name. */
const verdict = (target: Target, { pointer }: Case, answer: Answer): string | undefined => {
  const wrong = complaint(answer)
  if (wrong !== undefined) return wrong
  // Node refuses what does not fit its headers, before there is any request.
  if (answer.status === 431) return undefined
  if (answer.status !== 400) return `${answer.status}: ${answer.text.slice(0, 300)}`
  const named = target.named(answer)
  const isNamed = named.some((each) => each === pointer || each.startsWith(`${pointer}/`))
  return isNamed ? undefined : `names ${JSON.stringify(named)}`
}

/** Who is signed in is noted once a minute, whatever they ask for. */
const written = async () => ({ ...(await broker.snapshot()), admin_sessions: undefined })

const attack = async (targets: ReadonlyArray<Target>) => {
  const before = await written()
  const complaints: Array<string> = []
  let sent = 0
  const refused = targets.flatMap((target) => {
    const all = cases(target.document, target.schema, target.sample)
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
  const strange = targets.flatMap((target) =>
    cases(target.document, target.schema, target.sample).strange.map((each) => [target, each] as const)
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
    const targets = apiTargets()
    const sent = await attack(targets)
    await garble(targets)
    assert.isAbove(sent, 1_000)
  })

  it("of sign-in and setup", async () => {
    const targets = sessionTargets()
    assert.isAbove(await attack(targets), 100)
    await garble(targets)
  })

  it("of the dashboard's procedures", async () => {
    const targets = rpcTargets()
    assert.isAbove(await attack(targets), 1_000)
    await garble(targets.filter(({ name }) => !/list|get|members|history|live|report|cuts|Preview|activity/.test(name)))
  })

  it("that the schemas allow", async () => {
    assert.isAbove(await disturb([...apiTargets(), ...sessionTargets(), ...rpcTargets()]), 400)
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
    const faulty = broker.log.filter((line) => {
      const { level } = JSON.parse(line) as { readonly level: string }
      return level === "ERROR" || level === "FATAL" || /node_modules|\.ts:\d+/.test(line)
    })
    assert.deepStrictEqual(faulty.slice(0, 5), [])
    assert.isFalse(broker.log.some((line) => secrets.some((secret) => line.includes(secret))))
  })
})
