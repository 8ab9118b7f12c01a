/**
 * Every example of the OpenAPI document, sent to a running broker in the order of a story: the answer has to be what
 * the example says, and what the document declares.
 */
import { execFile, spawn } from "node:child_process"
import { readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Api } from "@broker/api/Api"
import { Example, type ExampleCall, sample } from "@broker/api/Example"
import { Context, Effect, Option } from "effect"
import { HttpApi, HttpApiMiddleware } from "effect/http-api"
import { IpNetwork } from "effect/net"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Document, describe as describedAt, faults, undeclared } from "../wire/Described.ts"
import { identity, registration, serving } from "../wire/Gateway.ts"
import { type Answer, type Ask, eventually, freePort, start, type Wire } from "../wire/Wire.ts"
import { missingLines, translated, unlike } from "./Likeness.ts"
import { begin, isCredentialKind, type Story } from "./Story.ts"

interface Told {
  readonly name: string
  readonly method: string
  readonly path: string
  readonly credential: string | undefined
  readonly call: ExampleCall | undefined
}

const endpoints: Array<Told> = []
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint, middleware }) => {
    endpoints.push({
      name: `${endpoint.method} ${endpoint.path}`,
      method: endpoint.method,
      path: endpoint.path,
      credential: [...middleware]
        .flatMap((key) => (HttpApiMiddleware.isSecurity(key) ? Object.keys(key.security) : []))
        .find(isCredentialKind),
      call: Option.getOrUndefined(Context.getOption(endpoint.annotations, Example))
    })
  }
})

/** As they are declared; whatever deletes comes last. */
const inOrder = endpoints.toSorted((a, b) => Number(a.method === "DELETE") - Number(b.method === "DELETE"))

let broker: Wire
let story: Story
let document: Document

beforeAll(async () => {
  // Nobody listens where the examples send: that is not what they are about. A guide's receiver listens on this machine.
  broker = await start({
    resolve: () => Effect.succeed(["127.0.0.1"]),
    webhooks: { allowedNetworks: [IpNetwork.fromStringUnsafe("127.0.0.0/8")], http: true }
  })
  story = await begin(broker)
  document = await describedAt(broker.url)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

/** A second server joins in the story, with a key pair of its own. */
const joining = identity()
const rotated = identity()
let joined: Answer | undefined

/** What has to be signed, or of this moment, and so cannot be sent as it stands in a document. */
const fresh: Readonly<Record<string, () => Ask>> = {
  "POST /api/v1/servers": () => {
    const { body } = told("POST /api/v1/servers")
    const { bearers } = story
    const { name, publicKey: _, signature: __, timestamp: ___, ...said } = body as Readonly<Record<string, unknown>>
    return { body: registration(broker, bearers.registrationKey, String(name), joining, said) }
  },
  "POST /api/v1/servers/self/heartbeat": () => {
    const { body } = told("POST /api/v1/servers/self/heartbeat")
    const beat = translated(body as Readonly<Record<string, unknown>>, story.names)
    return { body: { ...beat, sentAt: new Date().toISOString() } }
  },
  "POST /api/v1/servers/self/challenges/:id": () => {
    const { challenge, server, token } = (joined ?? assert.fail("nobody joined")).json as unknown as {
      readonly server: { readonly id: string }
      readonly token: string
      readonly challenge: { readonly id: string; readonly nonce: string; readonly expiresAt: string }
    }
    const lines = [server.id, challenge.id, challenge.nonce, challenge.expiresAt]
    return { bearer: token, body: { signature: joining.sign("broker-challenge-v1", broker.audience, ...lines) } }
  },
  "PUT /api/v1/servers/self/public-key": () => {
    const timestamp = new Date().toISOString()
    const lines = ["broker-rotate-v1", broker.audience, story.gateway.id, rotated.publicKey, timestamp]
    const signature = story.gateway.identity.sign(...lines)
    return { body: { publicKey: rotated.publicKey, timestamp, signature, proof: rotated.sign(...lines) } }
  }
}

/** What is there only once the broker has made it. */
const made = new Set(["GET /api/v1/report-runs/:id/files/:format"])

const told = (name: string) => endpoints.find((endpoint) => endpoint.name === name)?.call ?? assert.fail(name)

const addressOf = (path: string, call: ExampleCall) => {
  const query = new URLSearchParams()
  for (const [name, given] of Object.entries(call.query ?? {})) {
    for (const value of [given].flat()) query.append(name, value)
  }
  const filled = path.replace(/:(\w+)/g, (_, name: string) => call.path?.[name] ?? assert.fail(`no ${name}`))
  return translated(query.size === 0 ? filled : `${filled}?${query}`, story.names)
}

/** The first event, of an answer that does not end. */
const firstOf = async (path: string, bearer: string): Promise<Answer> => {
  const leaving = new AbortController()
  const response = await fetch(`${broker.url}${path}`, {
    headers: { authorization: `Bearer ${bearer}` },
    signal: leaving.signal
  })
  let text = ""
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    if (/^data: .*\n\n/m.test(text)) break
  }
  leaving.abort()
  return { status: response.status, headers: response.headers, text, json: {} }
}

const streams = (name: string) => {
  const [method = "", path = ""] = name.split(" ")
  const operation = document.paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()]
  return Object.values(operation?.responses ?? {}).some(({ content }) => content?.["text/event-stream"] !== undefined)
}

const send = async ({ credential, method, name, path }: Told, call: ExampleCall) => {
  const bearer = story.bearers[isCredentialKind(credential ?? "") ? (credential as keyof Story["bearers"]) : "apiToken"]
  const address = addressOf(path, call)
  if (streams(name)) return firstOf(address, bearer)
  return broker.ask(method, address, {
    bearer,
    headers: call.headers ?? {},
    ...(call.body === undefined ? {} : { body: translated(call.body, story.names) }),
    ...fresh[name]?.()
  })
}

/** What takes the broker a moment. */
const patiently = (endpoint: Told, call: ExampleCall) =>
  eventually(endpoint.name, async () => {
    const answer = await send(endpoint, call)
    return answer.status === 404 ? undefined : answer
  }).catch(() => send(endpoint, call))

const isJson = (answer: Answer) => answer.headers.get("content-type")?.includes("json") === true

/** Headers that clients go by: each is there if, and only if, the document says so. */
const headersAmiss = ({ method, path }: Told, { headers, status }: Answer): ReadonlyArray<string> => {
  const operation = document.paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()]
  const declared = Object.keys(operation?.responses[status]?.headers ?? {})
  return [
    ...declared.filter((name) => !headers.has(name) && !name.startsWith("RateLimit")).map((name) => `lacks ${name}`),
    ...["ETag", "Location"].filter((name) => headers.has(name) && !declared.includes(name)).map((name) => `has ${name}`)
  ]
}

/** What of the answer is not as the example and the document say. */
const complaints = ({ method, path }: Told, call: ExampleCall, answer: Answer): ReadonlyArray<string> => {
  if (answer.status >= 400) return [`${answer.status} ${answer.text}`]
  if (call.status !== undefined && call.status !== answer.status) return [`is ${answer.status}, not ${call.status}`]
  if (typeof call.answer === "string") {
    const missing = missingLines(call.answer, answer.text)
    return missing.map((line) => `has no line like ${line}; it is ${answer.text.slice(0, 2_000)}`)
  }
  if (!isJson(answer)) return call.answer === undefined ? [] : [`is no JSON: ${answer.text.slice(0, 200)}`]
  if (call.answer === undefined) return [`is not in the example: ${answer.text}`]
  return [
    ...unlike(call.answer, answer.json, { names: story.names, varies: new Set(call.varies) }),
    ...undeclared(
      document,
      method,
      path.replace(/:(\w+)/g, (_, name: string) => call.path?.[name] ?? name),
      answer
    )
  ]
}

describe("the examples", () => {
  it("are there for every endpoint", () => {
    assert.deepStrictEqual(
      endpoints.filter(({ call }) => call === undefined).map(({ name }) => name),
      []
    )
  })

  it("are of the documented shape themselves", () => {
    const found = endpoints.flatMap(({ call, method, name, path }) => {
      const operation = document.paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()]
      if (call === undefined || operation === undefined) return []
      const body = operation.requestBody?.content["application/json"]?.schema
      const success = Object.entries(operation.responses).filter(([status]) => status.startsWith("2"))
      const [, response] = success.find(([status]) => Number(status) === call.status) ?? success[0] ?? []
      const answer = response?.content?.["application/json"]?.schema
      return [
        ...(body === undefined ? [] : faults(document, body, call.body, "body")),
        // What a file holds is told in words.
        ...(answer === undefined || answer.format === "binary" ? [] : faults(document, answer, call.answer, "answer"))
      ].map((fault) => `${name}: ${fault}`)
    })
    assert.deepStrictEqual(found, [])
  })

  it("are answered as they say", async () => {
    const found: Array<string> = []
    for (const endpoint of inOrder) {
      const { call, name } = endpoint
      if (call === undefined) continue
      const answer = await (made.has(name) ? patiently : send)(endpoint, call)
      if (name === "POST /api/v1/servers") joined = answer
      const amiss = [...complaints(endpoint, call, answer), ...headersAmiss(endpoint, answer)]
      found.push(...amiss.map((complaint) => `${name} ${complaint}`))
    }
    assert.deepStrictEqual(found, [])
    assert.strictEqual(story.names.get(sample.server), story.gateway.id)
  })
})

/** What a guide shows in one language, block by block. */
const blocks = (guide: string, language: string) => {
  const text = readFileSync(new URL(`../../../../docs/guides/${guide}.md`, import.meta.url), "utf8")
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, named, block = ""]) =>
    named === language ? [block] : []
  )
}

/** The same as one program. */
const program = (guide: string, language: string) => blocks(guide, language).join("\n")

const surroundings = (variables: Readonly<Record<string, string>>) => ({
  PATH: process.env["PATH"],
  BROKER_URL: broker.url,
  BROKER_API_TOKEN: story.bearers.apiToken,
  ...variables
})

const runs = (command: string, args: ReadonlyArray<string>, variables: Readonly<Record<string, string>>) =>
  promisify(execFile)(command, [...args], { env: surroundings(variables) })

/** A program that goes on until it is told to end: what it says, as it comes. */
const going = (code: string, variables: Readonly<Record<string, string>>) => {
  const child = spawn("node", ["--input-type=module", "-e", code], { env: surroundings(variables) })
  let said = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += String(chunk)))
  return {
    says: (line: RegExp) => eventually(String(line), () => line.exec(said)?.[0]).catch(() => assert.match(said, line)),
    said: () => said,
    [Symbol.dispose]: () => child.kill()
  }
}

/** After the examples: what they count stays as it is. */
describe("the guides do what they say", () => {
  const place = join(tmpdir(), `feed-${process.pid}.place`)

  beforeAll(async () => {
    const gateway = await serving(broker, await broker.key(), "fra-9", {
      endpoints: [{ protocol: "webrtc", host: "203.0.113.9", port: 51820 }],
      capabilities: { vpn: {} },
      location: { latitude: 50.11, longitude: 8.68 }
    })
    assert.match(gateway.id, /^[0-9a-f-]{36}$/)
  })
  afterAll(() => rmSync(place, { force: true }))

  it("register a server", async () => {
    const script = `set -euo pipefail\n${program("register-a-server", "bash")}`
    const { stderr, stdout } = await runs("bash", ["--norc", "-c", script], { SERVER_NAME: "fra-9" })
    assert.strictEqual(stderr, "")
    assert.match(stdout, /"key":"brk_reg_/)
    for (const field of ['"name":"fra-9"', '"status":"online"', '"verified":true', '"available":true']) {
      assert.include(stdout, field)
    }
  })

  it("write a client", async () => {
    const { key } = await broker.user("Guided")
    const { stdout } = await runs("node", ["--input-type=module", "-e", program("write-a-client", "js")], {
      BROKER_PERSONAL_KEY: key
    })
    assert.deepStrictEqual(stdout.trim().split("\n").slice(0, 1), ["Signed in as Guided"])
    assert.match(stdout, /^fra-9: 0 km, 0 % busy$/m)
    assert.match(stdout, /^Granted: webrtc to 203\.0\.113\.\d+:51820$/m)
    assert.match(stdout, /^The connection is (ended|expired)$/m)
  })

  it("receive webhooks", async () => {
    const port = await freePort()
    const [make = "", tryIt = "", again = ""] = blocks("receive-webhooks", "bash")
    const bash = async (script: string, variables: Readonly<Record<string, string>>) =>
      (await runs("bash", ["--norc", "-c", `set -euo pipefail\n${script}`], variables)).stdout
    const made = await bash(make, { WEBHOOK_URL: `http://localhost:${port}/` })
    const [, id = assert.fail(made)] = /^export WEBHOOK_ID=(.+)$/m.exec(made) ?? []
    const [, secret = assert.fail(made)] = /^export WEBHOOK_SECRET=(whsec_.+)$/m.exec(made) ?? []
    using receiver = going(program("receive-webhooks", "js"), { WEBHOOK_SECRET: secret, PORT: String(port) })
    await receiver.says(/^Waiting for events$/m)
    const stdout = await bash(`${tryIt}\n${again}`, { WEBHOOK_ID: id })
    assert.match(stdout, /^"state":"delivered"$/m)
    await receiver.says(/^server\.registered: fra-9$/m)
    assert.lengthOf(receiver.said().match(/^webhook\.test: My receiver$/gm) ?? [], 1, "what came again is known")
    const forged = await fetch(`http://localhost:${port}/`, { method: "POST", body: "{}" })
    assert.strictEqual(forged.status, 400)
  })

  it("follow the feed", async () => {
    using follower = going(program("follow-the-feed", "js"), { PLACE_FILE: place })
    await follower.says(/^Following$/m)
    assert.match(follower.said(), /^\d+ server\.registered fra-1$/m)
    const { status } = await broker.ask("PATCH", `/api/v1/servers/${story.gateway.id}`, {
      bearer: story.bearers.apiToken,
      body: { tags: { add: ["followed"], remove: [] } }
    })
    assert.strictEqual(status, 200)
    const line = await follower.says(/^\d+ server\.updated fra-1$(?![\s\S]*Following)/m)
    assert.isAtLeast(Number(readFileSync(place, "utf8")), Number.parseInt(String(line), 10))
  })

  it("read with an API token", async () => {
    const script = `set -euo pipefail\n${program("read-with-an-api-token", "bash")}`
    const { stderr, stdout } = await runs("bash", ["--norc", "-c", script], {})
    assert.include(stdout, '"name":"fra-9"')
    assert.match(stdout, /^still the same: 304$/m)
    assert.match(stdout, /changed: 200$/m)
    assert.match(stdout, /too late: 412$/m)
    assert.match(stderr, /^(curl: \(22\).*412\n?)?$/)
  })
})
