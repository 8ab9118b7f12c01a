/**
 * Whatever is sent in the place of whatever value: a refusal that names the value, nothing written, and nothing told
 * of the inside. The cases follow from the schemas, so a new field is attacked by itself.
 */
import { Duration, Schema } from "effect"
import { OpenApi } from "effect/http-api"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { SessionsApi } from "../../src/http/SessionsApi.ts"
import { procedures } from "./Dashboard.ts"
import { type Document, describe as describedAt, type JsonSchema } from "./Described.ts"
import { type Gateway, heartbeat, identity, join, registration } from "./Gateway.ts"
import { bodies, type Case, cases } from "./Hostile.ts"
import { type Answer, type Json, start, type Wire } from "./Wire.ts"

const password = "correct horse battery staple"

let broker: Wire
let document: Document
let gateway: Gateway
let key: string
let cookie: string
let secrets: ReadonlyArray<string>

beforeAll(async () => {
  broker = await start({ policy: { challengeLifetime: Duration.minutes(30) } })
  document = await describedAt(broker.url)
  await broker.admin("ada", password)
  const signedIn = await broker.ask("POST", "/rpc/session", { body: { name: "ada", password } })
  cookie = signedIn.headers.getSetCookie()[0]?.split(";")[0] ?? ""
  gateway = await join(broker, await broker.key(), "target")
  await gateway.beat()
  key = await broker.key({ useLimit: 1_000 })
  secrets = [password, cookie.split("=")[1] ?? "", gateway.token, key]
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
    })
  ]
}

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
  "fleet.live": { overview: true, servers: [uuid], joining: true },
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

const attack = async (targets: ReadonlyArray<Target>) => {
  const before = await broker.snapshot()
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
  assert.deepStrictEqual(await broker.snapshot(), before, "something was written")
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
  const before = await broker.snapshot()
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
  assert.deepStrictEqual(await broker.snapshot(), before, "something was written")
}

describe("bodies", () => {
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
    await garble(targets.filter(({ name }) => !/list|get|members|history|live/.test(name)))
  })

  it("that the schemas allow", async () => {
    assert.isAbove(await disturb([...apiTargets(), ...sessionTargets(), ...rpcTargets()]), 400)
    assert.strictEqual((await gateway.ask("GET", "/api/v1/servers/self")).status, 200)
  })
})

describe("everything beside bodies", () => {
  const self = "/api/v1/servers/self"

  it("path parameters", async () => {
    const before = await broker.snapshot()
    const body = { signature: identity().sign("x") }
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
    for (const id of ids) {
      const answer = await gateway.ask("POST", `${self}/challenges/${id}`, { body })
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
    for (const [method, path, body] of [
      ["GET", self],
      ["DELETE", self],
      ["POST", `${self}/heartbeat`, heartbeat()],
      ["POST", `${self}/token`]
    ] as const) {
      for (const query of queries) {
        const answer = await gateway.ask(method, `${path}?${query}`, { body })
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
