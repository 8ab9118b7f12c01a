/** The page of the HTTP API, call by call; and each answer is held against the OpenAPI document. */

import { createHash, randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Document, describe as describedAt, undeclared } from "./Described.ts"
import { type Gateway, heartbeat, identity, idOf, join, member, register, registration, respelled } from "./Gateway.ts"
import { type Answer, type Ask, type Json, start, type Wire } from "./Wire.ts"

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const inUtc = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/
const serverToken = /^brk_srv_[A-Za-z0-9_-]{60}$/

let broker: Wire
let document: Document

beforeAll(async () => {
  broker = await start()
  document = await describedAt(broker.url)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

/** Holds of every answer to a call of the contract. */
const declared = (method: string, path: string, answer: Answer) => {
  assert.deepStrictEqual(undeclared(document, method, path, answer), [])
  assert.match(answer.headers.get("x-request-id") ?? "", uuidV7)
  return answer
}

const calling = async (method: string, path: string, given: Ask = {}) =>
  declared(method, path, await broker.ask(method, path, given))

const registering = async (key: string, body: unknown, given: Ask = {}) =>
  declared("POST", "/api/v1/servers", await register(broker, key, body, given))

const assertProblem = (answer: Answer, status: number, code: string, instance?: string) => {
  assert.strictEqual(`${answer.status} ${answer.json["code"]}`, `${status} ${code}`, answer.text)
  assert.strictEqual(answer.headers.get("content-type"), "application/problem+json")
  assert.strictEqual(answer.json["type"], `/problems/${code}`)
  assert.strictEqual(answer.json["status"], status)
  assert.strictEqual(answer.json["requestId"], answer.headers.get("x-request-id"))
  assert.isString(answer.json["title"])
  assert.isString(answer.json["detail"])
  if (instance !== undefined) assert.strictEqual(answer.json["instance"], instance)
}

const pointers = (answer: Answer) =>
  (answer.json["errors"] as ReadonlyArray<{ readonly pointer: string }>).map(({ pointer }) => pointer)

const server = async (name: string, given: Json = {}) => join(broker, await broker.key(), name, given)

const calls = [
  ["GET", "/api/v1/servers/self"],
  ["PATCH", "/api/v1/servers/self", {}],
  ["DELETE", "/api/v1/servers/self"],
  ["POST", "/api/v1/servers/self/heartbeat", heartbeat()],
  [
    "POST",
    "/api/v1/servers/self/challenges/019845e1-682f-7b02-a706-3b2422d13aec",
    { signature: identity().sign("nothing") }
  ],
  ["POST", "/api/v1/servers/self/token"],
  [
    "PUT",
    "/api/v1/servers/self/public-key",
    {
      publicKey: identity().publicKey,
      timestamp: new Date().toISOString(),
      signature: identity().sign("a"),
      proof: identity().sign("b")
    }
  ]
] as const

describe("POST /api/v1/servers", () => {
  const given = {
    version: "1.4.2",
    endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 51820 }],
    capabilities: { vpn: { ipv6: true }, lan: {} },
    tags: ["eu"],
    labels: { rack: "b2" },
    location: { latitude: 50.11, longitude: 8.68 }
  }

  it("answers 201 with the server, its token and a challenge", async () => {
    const key = await broker.key({ tags: ["lab"] })
    const by = identity()
    const answer = await registering(key, registration(broker, key, "fra-1", by, given))
    assert.strictEqual(answer.status, 201)
    const { challenge, heartbeatIntervalSeconds, server, token, ...rest } = answer.json as Record<string, Json>
    assert.deepStrictEqual(rest, {})
    const { id, registeredAt, ...known } = server ?? {}
    assert.match(String(id), uuidV7)
    assert.match(String(registeredAt), inUtc)
    assert.deepStrictEqual(known, {
      ...given,
      name: "fra-1",
      admission: "approved",
      liveness: "never_seen",
      duty: "serving",
      verified: false,
      publicKey: by.publicKey,
      tags: ["lab", "eu"],
      group: null,
      publicAddress: "127.0.0.1",
      lastSeenAt: null
    })
    assert.match(String(token), serverToken)
    assert.strictEqual(heartbeatIntervalSeconds as unknown, 30)
    assert.sameMembers(Object.keys(challenge ?? {}), ["id", "nonce", "expiresAt"])
    assert.match(String(challenge?.["id"]), uuidV7)
    assert.lengthOf(Buffer.from(String(challenge?.["nonce"]), "base64url"), 32)
    const left = Date.parse(String(challenge?.["expiresAt"])) - Date.now()
    assert.isTrue(left > 50_000 && left <= 60_000)
  })

  it("takes the four fields that it needs, and fills in the others", async () => {
    const { joined } = await server("lonely")
    assert.deepInclude(joined.json["server"] as Json, {
      version: null,
      endpoints: [],
      capabilities: {},
      tags: [],
      labels: {},
      location: null
    })
  })

  it("answers 200 to the same key pair again, with the same identity and a fresh token (B2)", async () => {
    const key = await broker.key()
    const by = identity()
    const body = registration(broker, key, "again", by)
    const first = member(broker, by, body, await registering(key, body))
    const again = await registering(key, body)
    assert.strictEqual(again.status, 200)
    const second = member(broker, by, body, again)
    assert.strictEqual(second.id, first.id)
    assert.notStrictEqual(second.token, first.token)
    assertProblem(await first.ask("GET", "/api/v1/servers/self"), 401, "unknown_credential")
    assert.strictEqual((await second.ask("GET", "/api/v1/servers/self")).status, 200)
  })

  it("goes by the Idempotency-Key: the same body repeats, another is refused", async () => {
    const key = await broker.key({ useLimit: 2 })
    const by = identity()
    const headers = { "idempotency-key": randomUUID() }
    const body = registration(broker, key, "once", by)
    const first = await registering(key, body, { headers })
    const again = await registering(key, body, { headers })
    assert.deepStrictEqual([first.status, again.status], [201, 201])
    assert.strictEqual((again.json["server"] as Json)["id"], (first.json["server"] as Json)["id"])
    const other = registration(broker, key, "once-more", identity())
    assertProblem(await registering(key, other, { headers }), 422, "idempotency_key_reused")
    const odd = await registering(key, other, { headers: { "idempotency-key": "with space" } })
    assertProblem(odd, 400, "validation_failed")
    assert.deepStrictEqual(pointers(odd), ["/headers/idempotency-key"])
  })

  it("registration_key_refused: unknown, misspelled, exhausted and expired alike (B7)", async () => {
    const spent = await broker.key()
    await join(broker, spent, "spender")
    const expired = await broker.key()
    await broker.sql(
      `update registration_keys set expires_at = now() - interval '1 second' where id = '${idOf(expired)}'`
    )
    const revoked = await broker.key()
    await broker.sql(`update registration_keys set revoked_at = now() where id = '${idOf(revoked)}'`)
    const unknown = await broker.key()
    await broker.sql(`delete from registration_keys where id = '${idOf(unknown)}'`)
    const misspelled = `${spent.slice(0, -1)}${spent.endsWith("A") ? "B" : "A"}`
    const bodies = new Set<string>()
    for (const key of [spent, expired, revoked, unknown, misspelled]) {
      const answer = await registering(key, registration(broker, key, `refused-${bodies.size}`))
      assertProblem(answer, 403, "registration_key_refused", "/api/v1/servers")
      bodies.add(JSON.stringify({ ...answer.json, requestId: null }))
    }
    assert.strictEqual(bodies.size, 1)
  })

  it("name_taken: compared after NFKC, trim and case folding (B3)", async () => {
    await server("Straße 1")
    const key = await broker.key()
    for (const name of ["straße 1", "STRASSE 1", " Straße 1 ", "Ｓtraße 1"]) {
      assertProblem(await registering(key, registration(broker, key, name)), 409, "name_taken")
    }
    assert.strictEqual((await registering(key, registration(broker, key, "Straße 2"))).status, 201, "the use came back")
  })

  it("public_key_in_use: under another name, or of a retired server (B5)", async () => {
    const gateway = await server("keeper")
    const key = await broker.key()
    const body = registration(broker, key, "another", gateway.identity)
    assertProblem(await registering(key, body), 409, "public_key_in_use")
    assert.strictEqual((await gateway.ask("DELETE", "/api/v1/servers/self")).status, 204)
    const late = registration(broker, key, "keeper", gateway.identity)
    assertProblem(await registering(key, late), 409, "public_key_in_use")
  })

  it("invalid_signature, and says by which audience to sign (B4)", async () => {
    const key = await broker.key()
    const elsewhere = { ...broker, audience: "https://other.example" }
    const answer = await registering(key, registration(elsewhere, key, "elsewhere"))
    assertProblem(answer, 403, "invalid_signature")
    assert.include(String(answer.json["detail"]), broker.audience)
    const tampered = { ...registration(broker, key, "tampered"), name: "tampered-with" }
    assertProblem(await registering(key, tampered), 403, "invalid_signature")
  })

  it("invalid_public_key: low order, or no canonical point (B10)", async () => {
    const key = await broker.key()
    const lowOrder = Buffer.alloc(32)
    const beyond = Buffer.alloc(32, 0xff)
    for (const bytes of [lowOrder, beyond]) {
      const body = registration(broker, key, "weak", identity(), { publicKey: bytes.toString("base64url") })
      assertProblem(await registering(key, body), 422, "invalid_public_key")
    }
  })

  it("timestamp_out_of_range: five minutes either way (B4)", async () => {
    const key = await broker.key()
    for (const off of [-301_000, 301_000]) {
      const timestamp = new Date(Date.now() + off).toISOString()
      const body = registration(broker, key, "late", identity(), { timestamp })
      assertProblem(await registering(key, body), 422, "timestamp_out_of_range")
    }
    const near = new Date(Date.now() - 290_000).toISOString()
    const body = registration(broker, key, "in-time", identity(), { timestamp: near })
    assert.strictEqual((await registering(key, body)).status, 201)
  })

  it("validation_failed: names every value that is wrong", async () => {
    const key = await broker.key()
    const answer = await registering(key, {
      ...registration(broker, key, "wrong"),
      name: "",
      tags: ["a", "a"],
      version: 7
    })
    assertProblem(answer, 400, "validation_failed", "/api/v1/servers")
    assert.sameMembers([...pointers(answer)], ["/name", "/tags", "/version"])
  })

  it("body_too_large: beyond 64 KiB, and not before", async () => {
    const key = await broker.key()
    const body = JSON.stringify(registration(broker, key, "large"))
    const padded = (bytes: number) => body + " ".repeat(bytes - body.length)
    assertProblem(await registering(key, padded(65_537)), 413, "body_too_large")
    assert.strictEqual((await registering(key, padded(65_536))).status, 201)
  })

  it("malformed_json and unsupported_media_type", async () => {
    const key = await broker.key()
    assertProblem(await registering(key, "{"), 400, "malformed_json")
    const headers = { "content-type": "text/plain" }
    assertProblem(await registering(key, "{}", { headers }), 415, "unsupported_media_type")
  })

  it("a key that asks for approval lets in as pending (B11)", async () => {
    const gateway = await join(broker, await broker.key({ approval: true }), "waiting")
    assert.strictEqual((gateway.joined.json["server"] as Json)["admission"], "pending")
    const beat = await gateway.beat()
    assert.deepInclude(beat.json, { admission: "pending", liveness: "online" })
  })
})

describe("credentials", () => {
  it("unknown_credential: none, of no kind, misspelled, of nobody, of another scheme", async () => {
    const { token } = await server("bearer")
    const nobody = respelled(`brk_srv_${Buffer.alloc(16, 7).toString("base64url")}${token.slice(30)}`, "brk_srv_")
    const forged = respelled(`${token.slice(0, 30)}${"A".repeat(32)}${token.slice(62)}`, "brk_srv_")
    for (const [method, path, body] of calls) {
      for (const bearer of ["", "nonsense", `${token.slice(0, -1)}!`, `${token}A`, nobody, forged, "brk_srv_"]) {
        assertProblem(await calling(method, path, { bearer, body }), 401, "unknown_credential", path)
      }
      assertProblem(await calling(method, path, { body }), 401, "unknown_credential", path)
      const headers = { authorization: `Basic ${btoa(token)}` }
      assertProblem(await calling(method, path, { headers, body }), 401, "unknown_credential", path)
    }
    for (const bearer of [undefined, "", "nonsense"]) {
      assertProblem(await calling("POST", "/api/v1/servers", { bearer, body: {} }), 401, "unknown_credential")
    }
  })

  it("wrong_credential_kind: any other of the five kinds", async () => {
    const { token } = await server("kinds")
    const key = await broker.key()
    for (const prefix of ["brk_reg_", "brk_usr_", "brk_ses_", "brk_api_"]) {
      for (const [method, path, body] of calls) {
        const answer = await calling(method, path, { bearer: respelled(token, prefix), body })
        assertProblem(answer, 401, "wrong_credential_kind", path)
      }
    }
    for (const prefix of ["brk_srv_", "brk_usr_", "brk_ses_", "brk_api_"]) {
      const answer = await registering(respelled(key, prefix), registration(broker, key, "kinds-2"))
      assertProblem(answer, 401, "wrong_credential_kind")
    }
  })

  it("takes the scheme in any case, and says which it wants", async () => {
    const { token } = await server("scheme")
    const answer = await calling("GET", "/api/v1/servers/self", { headers: { authorization: `bearer ${token}` } })
    assert.strictEqual(answer.status, 200)
    const none = await calling("GET", "/api/v1/servers/self")
    assert.match(none.headers.get("www-authenticate") ?? "", /^Bearer/)
  })

  it("judges the credential before the rest of the request", async () => {
    assertProblem(
      await calling("POST", "/api/v1/servers", { bearer: "nonsense", body: { name: 7 } }),
      401,
      "unknown_credential"
    )
    const answer = await calling("POST", "/api/v1/servers/self/heartbeat", { bearer: "nonsense", body: [] })
    assertProblem(answer, 401, "unknown_credential")
  })
})

describe("with a server's token", () => {
  it("GET self: the server, as it registered", async () => {
    const gateway = await server("self")
    const answer = await calling("GET", "/api/v1/servers/self", { bearer: gateway.token })
    assert.strictEqual(answer.status, 200)
    assert.deepStrictEqual(answer.json, gateway.joined.json["server"])
  })

  it("PATCH self: changes what is given, keeps the rest", async () => {
    const gateway = await server("patched", { tags: ["old"], labels: { rack: "a" } })
    const patch = {
      version: "2.0.0",
      endpoints: [{ protocol: "quic", host: "gw.example", port: 443 }],
      capabilities: { exit: { countries: ["de"] } },
      tags: ["new"],
      location: { latitude: -1.5, longitude: 179.25 },
      duty: "draining"
    }
    const answer = await calling("PATCH", "/api/v1/servers/self", { bearer: gateway.token, body: patch })
    assert.strictEqual(answer.status, 200)
    assert.deepInclude(answer.json, { ...patch, labels: { rack: "a" }, name: "patched" })
    const unlocated = await calling("PATCH", "/api/v1/servers/self", {
      bearer: gateway.token,
      body: { location: null }
    })
    assert.strictEqual(unlocated.json["location"], null)
    const same = await calling("PATCH", "/api/v1/servers/self", { bearer: gateway.token, body: {} })
    assert.deepStrictEqual(same.json, unlocated.json)
  })

  it("PATCH self: what only the broker writes is ignored like any unknown field", async () => {
    const gateway = await server("modest")
    const body = { name: "boss", admission: "approved", verified: true, liveness: "online", id: randomUUID(), other: 1 }
    const answer = await calling("PATCH", "/api/v1/servers/self", { bearer: gateway.token, body })
    assert.deepStrictEqual(answer.json, gateway.joined.json["server"])
  })

  it("DELETE self: 204, then 410 for everything", async () => {
    const gateway = await server("leaver")
    const gone = await calling("DELETE", "/api/v1/servers/self", { bearer: gateway.token })
    assert.strictEqual(`${gone.status} ${gone.text}`, "204 ")
    for (const [method, path, body] of calls) {
      assertProblem(await calling(method, path, { bearer: gateway.token, body }), 410, "server_retired", path)
    }
  })

  it("heartbeat: the answer says where it stands and when to come again", async () => {
    const gateway = await server("beating")
    const answer = declared("POST", "/api/v1/servers/self/heartbeat", await gateway.beat({ cutCursor: "17" }))
    assert.strictEqual(answer.status, 200)
    const { nextHeartbeatSeconds, time, ...rest } = answer.json
    assert.isTrue(Number(nextHeartbeatSeconds) >= 27 && Number(nextHeartbeatSeconds) <= 33)
    assert.match(String(time), inUtc)
    assert.deepStrictEqual(rest, {
      liveness: "online",
      admission: "approved",
      challenge: gateway.challenge,
      cuts: { cursor: "17", connections: [] },
      notices: []
    })
    const self = await gateway.ask("GET", "/api/v1/servers/self")
    assert.deepInclude(self.json, { liveness: "online" })
    assert.match(String(self.json["lastSeenAt"]), inUtc)
  })

  it("heartbeat: 64 metrics of any name, none more (H9)", async () => {
    const gateway = await server("measured")
    const metrics = Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`disk.sda${at}_used`, at / 3]))
    assert.strictEqual((await gateway.beat({ metrics })).status, 200)
    const [row] = await broker.sql(`select metrics from server_presence where server_id = '${gateway.id}'`)
    assert.deepStrictEqual(row?.["metrics"], metrics)
    const more = declared(
      "POST",
      "/api/v1/servers/self/heartbeat",
      await gateway.beat({ metrics: { ...metrics, cpu: 1 } })
    )
    assertProblem(more, 400, "validation_failed")
    assert.deepStrictEqual(pointers(more), ["/metrics"])
  })

  it("heartbeat: late and repeated ones answer 200 and change nothing (H3)", async () => {
    const gateway = await server("late")
    const bootId = randomUUID()
    for (const [seq, activeConnections] of [
      [5, 50],
      [5, 99],
      [4, 40]
    ]) {
      assert.strictEqual((await gateway.beat({ bootId, seq, activeConnections })).status, 200)
    }
    const [row] = await broker.sql(
      `select seq::int, active_connections as n from server_presence where server_id = '${gateway.id}'`
    )
    assert.deepStrictEqual(row, { seq: 5, n: 50 })
  })

  it("challenges: verifies once; late, used and foreign ones are gone (V1)", async () => {
    const gateway = await server("proving")
    const path = `/api/v1/servers/self/challenges/${gateway.challenge.id}`
    const proved = declared("POST", path, await gateway.prove())
    assert.strictEqual(proved.status, 200)
    assert.sameMembers(Object.keys(proved.json), ["verified", "verifiedAt"])
    assert.strictEqual(proved.json["verified"], true)
    assert.match(String(proved.json["verifiedAt"]), inUtc)
    assertProblem(declared("POST", path, await gateway.prove()), 410, "challenge_gone", path)
    assert.strictEqual((await gateway.beat()).json["challenge"], null)
    assert.strictEqual((await gateway.ask("GET", "/api/v1/servers/self")).json["verified"], true)

    const other = await server("proving-2")
    assertProblem(await gateway.prove(other.challenge), 410, "challenge_gone")
    const unknown = { ...gateway.challenge, id: "019845e1-682f-7b02-a706-3b2422d13aec" }
    assertProblem(await gateway.prove(unknown), 410, "challenge_gone")
    await broker.sql(`update challenges set expires_at = now() - interval '1 s' where id = '${other.challenge.id}'`)
    assertProblem(await other.prove(), 410, "challenge_gone")
  })

  it("challenges: a wrong signature answers challenge_failed, and suspends (V2)", async () => {
    const gateway = await server("impostor")
    const path = `/api/v1/servers/self/challenges/${gateway.challenge.id}`
    const body = { signature: identity().sign("broker-challenge-v1") }
    const failed = await calling("POST", path, { bearer: gateway.token, body })
    assertProblem(failed, 403, "challenge_failed", path)
    for (const [method, to, body] of calls) {
      assertProblem(await calling(method, to, { bearer: gateway.token, body }), 403, "server_suspended", to)
    }
  })

  it("token: the old one works until the new one is first used", async () => {
    const gateway = await server("rotating")
    const rotated = await calling("POST", "/api/v1/servers/self/token", { bearer: gateway.token })
    assert.strictEqual(rotated.status, 200)
    assert.deepStrictEqual(Object.keys(rotated.json), ["token"])
    const token = String(rotated.json["token"])
    assert.match(token, serverToken)
    assert.strictEqual((await gateway.ask("GET", "/api/v1/servers/self")).status, 200)
    assert.strictEqual((await broker.ask("GET", "/api/v1/servers/self", { bearer: token })).status, 200)
    assertProblem(await gateway.ask("GET", "/api/v1/servers/self"), 401, "unknown_credential")
  })

  const rotation = (gateway: Gateway, to = identity(), given: Json = {}) => {
    const timestamp = new Date().toISOString()
    const signed = { publicKey: to.publicKey, timestamp, ...given }
    const lines = ["broker-rotate-v1", broker.audience, gateway.id, String(signed.publicKey), String(signed.timestamp)]
    return { ...signed, signature: gateway.identity.sign(...lines), proof: to.sign(...lines), ...given }
  }
  const rotating = (gateway: Gateway, body: unknown) =>
    calling("PUT", "/api/v1/servers/self/public-key", { bearer: gateway.token, body })

  it("public-key: both keys work until the new one is first used (V4)", async () => {
    const gateway = await server("rekeyed")
    const to = identity()
    const answer = await rotating(gateway, rotation(gateway, to))
    assert.strictEqual(answer.status, 200)
    assert.strictEqual(answer.json["id"], gateway.id)
    const renewed = member(broker, to, gateway.sent, gateway.joined)
    assert.strictEqual((await renewed.prove()).status, 200)
    assert.strictEqual((await gateway.ask("GET", "/api/v1/servers/self")).json["publicKey"], to.publicKey)
  })

  it("public-key: its refusals have codes", async () => {
    const gateway = await server("rekeying")
    const unproven = { ...rotation(gateway), proof: gateway.identity.sign("nothing") }
    assertProblem(await rotating(gateway, unproven), 403, "invalid_signature")
    const unsigned = { ...rotation(gateway), signature: gateway.identity.sign("nothing") }
    assertProblem(await rotating(gateway, unsigned), 403, "invalid_signature")
    const weak = rotation(gateway, identity(), { publicKey: Buffer.alloc(32).toString("base64url") })
    assertProblem(await rotating(gateway, weak), 422, "invalid_public_key")
    const late = rotation(gateway, identity(), { timestamp: new Date(Date.now() - 400_000).toISOString() })
    assertProblem(await rotating(gateway, late), 422, "timestamp_out_of_range")
    const other = await server("rekeying-2")
    assertProblem(await rotating(gateway, rotation(gateway, other.identity)), 409, "public_key_in_use")
    assert.strictEqual((await gateway.ask("GET", "/api/v1/servers/self")).json["publicKey"], gateway.identity.publicKey)
  })

  it("unknown fields are ignored, at every depth", async () => {
    const key = await broker.key()
    const by = identity()
    const sent = {
      ...registration(broker, key, "chatty", by),
      endpoints: [{ protocol: "webrtc", host: "h", port: 1, weight: 5 }],
      location: { latitude: 1, longitude: 2, altitude: 3 },
      unknown: { deep: [1] }
    }
    const answer = await registering(key, sent)
    assert.strictEqual(answer.status, 201)
    const joined = answer.json["server"] as Json
    assert.deepStrictEqual(joined["endpoints"], [{ protocol: "webrtc", host: "h", port: 1 }])
    assert.deepStrictEqual(joined["location"], { latitude: 1, longitude: 2 })
    assert.notProperty(joined, "unknown")
    const beat = await member(broker, by, sent, answer).beat({ unknown: true })
    assert.strictEqual(beat.status, 200)
  })

  it("unknown query parameters answer 400, on every call", async () => {
    const gateway = await server("asking")
    const key = await broker.key()
    const all = [...calls, ["POST", "/api/v1/servers", registration(broker, key, "asking-2")]] as const
    for (const [method, path, body] of all) {
      const bearer = path === "/api/v1/servers" ? key : gateway.token
      const answer = await calling(method, `${path}?verbose=1`, { bearer, body })
      assertProblem(answer, 400, "validation_failed", path)
      assert.deepStrictEqual(pointers(answer), ["/query/verbose"])
    }
    assert.strictEqual((await gateway.ask("GET", "/api/v1/servers/self")).status, 200, "nothing was done")
  })
})

describe("discovery of the broker", () => {
  it("/.well-known/broker and the key set", async () => {
    const statement = await broker.ask("GET", "/.well-known/broker")
    assert.strictEqual(statement.status, 200)
    const { time, ...rest } = statement.json
    assert.deepStrictEqual(rest, {
      audience: broker.audience,
      apiVersions: [{ version: "v1", status: "current", sunset: null }],
      jwksUrl: `${broker.audience}/.well-known/jwks.json`,
      docsUrl: `${broker.audience}/docs`
    })
    assert.isBelow(Math.abs(Date.parse(String(time)) - Date.now()), 5_000)
    assert.match(String(time), inUtc)
    const keys = await broker.ask("GET", "/.well-known/jwks.json")
    assert.strictEqual(keys.status, 200)
    assert.match(keys.headers.get("content-type") ?? "", /^application\/json/)
    assert.strictEqual(keys.headers.get("cache-control"), "public, max-age=300")
    const published = keys.json["keys"] as ReadonlyArray<Json>
    assert.isAbove(published.length, 0)
    for (const key of published) {
      assert.sameMembers(Object.keys(key), ["kty", "crv", "x", "kid", "alg", "use"], "nothing private")
      assert.deepInclude(key, { kty: "OKP", crv: "Ed25519", alg: "EdDSA", use: "sig" })
    }
  })

  it("/healthz, /readyz and /metrics", async () => {
    assert.strictEqual((await broker.ask("GET", "/healthz")).status, 200)
    const ready = await broker.ask("GET", "/readyz")
    assert.strictEqual(ready.status, 200)
    const checks = ready.json["checks"] as ReadonlyArray<Json>
    assert.sameMembers(
      checks.map(({ name }) => name),
      ["listener", "database", "clock"]
    )
    assert.isTrue(checks.every(({ ok }) => ok === true))
    const metrics = await broker.ask("GET", "/metrics")
    assert.strictEqual(metrics.status, 200)
    assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain/)
    assert.match(metrics.text, /^broker_http_requests_total\{.*\} \d+$/m)
  })

  it("the document is OpenAPI 3.1, and whole", () => {
    assert.match(document.openapi, /^3\.1\.\d+$/)
    assert.isString(document.info["title"])
    assert.isString(document.info["version"])
    const ids = new Set<string>()
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        const label = `${method} ${path}`
        assert.isFalse(ids.has(operation.operationId), label)
        ids.add(operation.operationId)
        assert.isString(operation.summary, label)
        const inPath = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name)
        const parameters = (operation.parameters ?? []).filter((parameter) => parameter.in === "path")
        assert.deepStrictEqual(
          parameters.map(({ name }) => name),
          inPath,
          label
        )
        for (const requirement of operation.security ?? []) {
          for (const name of Object.keys(requirement)) assert.property(document.components.securitySchemes, name, label)
        }
        for (const [status, { description }] of Object.entries(operation.responses)) {
          assert.match(status, /^[1-5]\d\d$/, label)
          assert.isString(description, label)
        }
        for (const parameter of operation.parameters ?? []) {
          if (parameter.in !== "path") assert.isString(parameter.description, `${label} ${parameter.name}`)
        }
        for (const status of ["400", "413", "415", "500", "503"]) assert.property(operation.responses, status, label)
      }
    }
  })

  it("every reference of the document leads somewhere, and every pattern is one", () => {
    const walk = (value: unknown, path: string) => {
      if (Array.isArray(value)) {
        for (const [at, item] of value.entries()) walk(item, `${path}/${at}`)
        return
      }
      if (typeof value !== "object" || value === null) return
      for (const [key, inner] of Object.entries(value)) {
        if (key === "$ref") assert.property(document.components.schemas, String(inner).split("/").at(-1) ?? "", path)
        if (key === "pattern" && typeof inner === "string") assert.doesNotThrow(() => new RegExp(inner, "u"), path)
        if (key === "additionalProperties") assert.notStrictEqual(inner, false, `${path} refuses what is ignored`)
        walk(inner, `${path}/${key}`)
      }
    }
    walk(document, "")
  })

  it("the document describes what http-api.md lists, and the calls of this file", () => {
    const listed = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`)
    )
    assert.includeMembers(listed, [
      "POST /api/v1/servers",
      "GET /api/v1/servers/self",
      "PATCH /api/v1/servers/self",
      "DELETE /api/v1/servers/self",
      "POST /api/v1/servers/self/heartbeat",
      "POST /api/v1/servers/self/challenges/{id}",
      "POST /api/v1/servers/self/token",
      "PUT /api/v1/servers/self/public-key",
      "PUT /api/v1/servers/self/connections/{id}",
      "POST /api/v1/sessions",
      "DELETE /api/v1/sessions/current",
      "GET /api/v1/me",
      "GET /api/v1/servers",
      "GET /api/v1/servers/{id}",
      "POST /api/v1/connections",
      "GET /api/v1/connections/{id}",
      "PATCH /api/v1/connections/{id}",
      "GET /api/v1/connections",
      "GET /api/v1/users",
      "GET /api/v1/events",
      "GET /api/v1/security-events",
      "GET /api/v1/audit-entries",
      "GET /api/v1/reports",
      "GET /api/v1/webhooks",
      "GET /api/v1/registration-keys",
      "POST /api/v1/registration-keys",
      "PATCH /api/v1/servers/{id}",
      "POST /api/v1/servers/{id}/suspend",
      "POST /api/v1/servers/{id}/approve",
      "POST /api/v1/servers/{id}/verify",
      "GET /api/v1/servers/{id}/verification",
      "POST /api/v1/devices/{id}/block",
      "POST /api/v1/groups",
      "PATCH /api/v1/groups/{id}",
      "DELETE /api/v1/groups/{id}"
    ])
  })

  it("each code that the document declares has its page", async () => {
    const codes = new Set(
      Object.values(document.components.schemas).flatMap(({ properties }) => properties?.["code"]?.enum ?? [])
    )
    assert.isAbove(codes.size, 12)
    for (const code of codes) {
      const page = await broker.ask("GET", `/problems/${code}`)
      assert.strictEqual(page.status, 200, String(code))
      assert.match(page.headers.get("content-type") ?? "", /^text\/html/)
      assert.include(page.text, String(code))
    }
    assertProblem(await broker.ask("GET", "/problems/no_such_code"), 404, "not_found")
  })

  it("/docs needs nothing from outside", async () => {
    const page = await broker.ask("GET", "/docs")
    assert.strictEqual(page.status, 200)
    const policy = page.headers.get("content-security-policy") ?? ""
    assert.include(policy, "default-src 'none'")
    assert.notMatch(policy, /https?:|\*/)
    const tags = page.text.match(/<(?:script|link|img|iframe|source)\b[^>]*>/g) ?? []
    assert.deepStrictEqual(
      tags.filter((tag) => /(?:src|href)="?(?:https?:)?\/\//.test(tag)),
      []
    )
    for (const [, script = ""] of page.text.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)) {
      assert.include(policy, createHash("sha256").update(script).digest("base64"))
    }
  })
})

describe("every answer", () => {
  it("is a problem, with an id, for whatever is not there", async () => {
    assertProblem(await broker.ask("GET", "/api/v1/nothing"), 404, "not_found", "/api/v1/nothing")
    assertProblem(await broker.ask("GET", "/api/v2/servers/self"), 404, "not_found", "/api/v2/servers/self")
    const wrong = await broker.ask("PUT", "/api/v1/servers/self", { body: {} })
    assertProblem(wrong, 405, "method_not_allowed", "/api/v1/servers/self")
    assert.strictEqual(wrong.headers.get("allow"), "GET, HEAD, PATCH, DELETE, OPTIONS")
  })

  it("has ids that differ, and that stand in the log", async () => {
    const first = await broker.ask("GET", "/api/v1/servers/self")
    const second = await broker.ask("GET", "/api/v1/servers/self")
    const id = first.headers.get("x-request-id") ?? ""
    assert.notStrictEqual(id, second.headers.get("x-request-id"))
    assert.isTrue(broker.log.some((line) => line.includes(id)))
  })
})
