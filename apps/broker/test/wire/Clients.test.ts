/** How clients sign in and out, what they are refused for, and how soon a revoked one is out everywhere. */

import { randomUUID } from "node:crypto"
import { Duration } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { client, enter, present, signIn } from "./Client.ts"
import { procedure, signIn as signInAdmin } from "./Dashboard.ts"
import { type Document, describe as describedAt, undeclared } from "./Described.ts"
import { identity, join, respelled, serving } from "./Gateway.ts"
import { type Answer, type Ask, ask, eventually, type Json, sharedDatabase, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"
const sessions = "/api/v1/sessions"

let broker: Wire
let document: Document
let cookie: string

beforeAll(async () => {
  broker = await start({ trustedProxies: ["127.0.0.0/8"], connections: { devicesPerUser: 3 } })
  document = await describedAt(broker.url)
  await broker.admin("ada", password)
  cookie = await signInAdmin(broker, "ada", password)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

let addresses = 0
/** An address that nobody had before, as failures are counted by address. */
const elsewhere = () => {
  addresses += 1
  return { "x-forwarded-for": `198.51.${Math.floor(addresses / 250)}.${1 + (addresses % 250)}` }
}

const signingIn = async (key: string | undefined, given: Json = {}, asked: Ask = {}) => {
  const answer = await ask(broker.url, "POST", sessions, {
    bearer: key,
    body: signIn(given),
    headers: elsewhere(),
    ...asked
  })
  assert.deepStrictEqual(undeclared(document, "POST", sessions, answer), [])
  return answer
}

const calling = async (method: string, path: string, given: Ask = {}) => {
  const answer = await broker.ask(method, path, given)
  assert.deepStrictEqual(undeclared(document, method, path, answer), [])
  return answer
}

const told = (answer: Answer) => `${answer.status} ${answer.json["code"]}`

const act = async (name: string, input: unknown, at: Wire = broker, by: string = cookie) => {
  const answer = await procedure(at, "mutation", name, input, by)
  assert.strictEqual(answer.status, 200, answer.text)
}

const misspelled = (key: string) => `${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`

describe("POST /api/v1/sessions", () => {
  it("answers 200 with a token, its end, the user and the device", async () => {
    const { key, userId } = await broker.user("Ada")
    const answer = await signingIn(key, { fingerprint: "f-1", name: "Ada's laptop", platform: "Linux" })
    assert.strictEqual(answer.status, 200)
    const { device, expiresAt, token, user, ...rest } = answer.json as Record<string, Json>
    assert.deepStrictEqual(rest, {})
    assert.match(String(token), /^brk_ses_[\w-]+\.[\w-]+\.[\w-]+$/)
    const left = Date.parse(String(expiresAt)) - Date.now()
    assert.isTrue(left > 890_000 && left <= 901_000, `${left} ms`)
    assert.deepStrictEqual(user, { id: userId, name: "Ada", email: null })
    const { createdAt, id, ...stated } = device ?? {}
    assert.match(String(createdAt), /Z$/)
    assert.match(String(id), /^[0-9a-f-]{36}$/)
    assert.deepStrictEqual(stated, { fingerprint: "f-1", name: "Ada's laptop", platform: "linux", publicKey: null })
    assert.notInclude(answer.text, key)
  })

  it("knows a device again by its fingerprint, and by nobody else's", async () => {
    const ada = await broker.user("Ada")
    const bob = await broker.user("Bob")
    const device = { fingerprint: "the same" }
    const first = client(broker, await signingIn(ada.key, device))
    const again = client(broker, await signingIn(ada.key, { ...device, name: "renamed" }))
    const other = client(broker, await signingIn(bob.key, device))
    assert.strictEqual(again.deviceId, first.deviceId)
    assert.notStrictEqual(again.token, first.token)
    assert.notStrictEqual(other.deviceId, first.deviceId)
    const me = await first.ask("GET", "/api/v1/me")
    assert.deepInclude(me.json["device"] as Json, { id: first.deviceId, name: "renamed" })
  })

  it("device_limit, device_blocked, device_key_mismatch and invalid_public_key", async () => {
    const { key } = await broker.user("Ada")
    const by = identity()
    const bound = client(broker, await signingIn(key, { fingerprint: "bound", publicKey: by.publicKey }))
    assert.strictEqual((await signingIn(key, { fingerprint: "bound", publicKey: by.publicKey })).status, 200)
    const stolen = await signingIn(key, { fingerprint: "bound", publicKey: identity().publicKey })
    assert.strictEqual(told(stolen), "409 device_key_mismatch")
    const weak = await signingIn(key, { publicKey: Buffer.alloc(32).toString("base64url") })
    assert.strictEqual(told(weak), "422 invalid_public_key")

    await present(broker, key)
    await present(broker, key)
    assert.strictEqual(told(await signingIn(key)), "409 device_limit")
    assert.strictEqual((await signingIn(key, { fingerprint: "bound", publicKey: by.publicKey })).status, 200)

    await act("devices.block", { id: bound.deviceId, reason: "lost" })
    const blocked = await signingIn(key, { fingerprint: "bound", publicKey: by.publicKey })
    assert.strictEqual(told(blocked), "403 device_blocked")
  })

  it("personal_key_refused: unknown, misspelled, expired, revoked, and of a suspended user alike", async () => {
    const make = (name: string) => broker.user(name)
    const [unknown, typo, expired, revoked, suspended] = [
      await make("Unknown"),
      await make("Typo"),
      await make("Expired"),
      await make("Revoked"),
      await make("Suspended")
    ]
    await broker.sql(`delete from personal_keys where id = '${unknown.keyId}'`)
    await broker.sql(
      `update personal_keys set created_at = now() - interval '2 days', expires_at = now() - interval '1 second'
        where id = '${expired.keyId}'`
    )
    await act("personalKeys.revoke", { id: revoked.keyId, reason: "lost" })
    await act("users.suspend", { id: suspended.userId, reason: "gone" })
    const bodies = new Set<string>()
    for (const key of [unknown.key, misspelled(typo.key), expired.key, revoked.key, suspended.key]) {
      const answer = await signingIn(key)
      assert.strictEqual(told(answer), "401 personal_key_refused")
      assert.strictEqual(answer.headers.get("www-authenticate"), "Bearer")
      bodies.add(JSON.stringify({ ...answer.json, requestId: null }))
    }
    assert.strictEqual(bodies.size, 1)
    assert.strictEqual((await signingIn(typo.key)).status, 200, "spelled right")
  })

  it("validation_failed: names every value that is wrong", async () => {
    const { key } = await broker.user("Ada")
    const answer = await signingIn(key, { fingerprint: "", name: 7, platform: "x".repeat(65), publicKey: "short" })
    assert.strictEqual(told(answer), "400 validation_failed")
    assert.sameMembers(
      (answer.json["errors"] as ReadonlyArray<Json>).map(({ pointer }) => pointer),
      ["/device/fingerprint", "/device/name", "/device/platform", "/device/publicKey"]
    )
  })
})

describe("failures slow down (A3)", () => {
  const retryAfter = (answer: Answer) => Number(answer.headers.get("retry-after"))

  /** Until it has to wait; none after that many tries means that nothing slows down. */
  const failUntilSlow = async (attempt: (n: number) => Promise<Answer>) => {
    for (let n = 0; n < 100; n++) {
      const answer = await attempt(n)
      if (answer.status === 429) return answer
      assert.strictEqual(told(answer), "401 personal_key_refused")
    }
    throw new Error("nothing slows down")
  }

  /** The key with another secret, spelled right. */
  const guess = (key: string) => respelled(`${key.slice(0, 30)}${"A".repeat(32)}`, "brk_usr_")

  it("a key's id, wherever they come from; and never whoever has the key", async () => {
    const { key } = await broker.user("Guessed")
    const slow = await failUntilSlow(() => signingIn(guess(key)))
    assert.strictEqual(told(slow), "429 too_many_attempts")
    assert.isAtLeast(retryAfter(slow), 1)
    assert.strictEqual(retryAfter(slow), Math.max(1, Math.ceil(Number(slow.json["retryAfterSeconds"]))))
    assert.strictEqual(slow.headers.get("ratelimit-policy"), '"sign-in";q=5;w=900')
    assert.strictEqual(slow.headers.get("ratelimit"), `"sign-in";r=0;t=${retryAfter(slow)}`)
    const declared = document.paths[sessions]?.["post"]?.responses["429"]?.headers
    assert.containsAllKeys(declared, ["Retry-After", "RateLimit", "RateLimit-Policy"])
    assert.strictEqual((await signingIn(key)).status, 200, "the right one")
  })

  it("an address, whatever key they are of; others go on, and so does next door whoever has their key", async () => {
    const from = { headers: elsewhere() }
    const keys = await Promise.all(Array.from({ length: 20 }, (_, n) => broker.user(`Guessed ${n}`)))
    const slow = await failUntilSlow((n) => signingIn(guess(keys[n % keys.length]?.key ?? ""), {}, from))
    assert.isAtLeast(retryAfter(slow), 1)
    const { key } = await broker.user("Neighbour")
    assert.strictEqual(told(await signingIn(guess(key), {}, from)), "429 too_many_attempts")
    assert.strictEqual(told(await signingIn(guess(key))), "401 personal_key_refused", "from elsewhere")
    assert.strictEqual((await signingIn(key, {}, from)).status, 200, "with the right key")
    await broker.sql(
      "update sign_in_failures set next_at = now() - interval '1 hour', last_at = now() - interval '1 hour'"
    )
    assert.strictEqual(told(await signingIn(guess(key), {}, from)), "401 personal_key_refused", "once it is over")
  })

  it("G1: an X-Forwarded-For of a stranger's does not help", async () => {
    await using strict = await start()
    const keys = await Promise.all(Array.from({ length: 20 }, (_, n) => strict.user(`Guessed ${n}`)))
    await failUntilSlow((n) => enter(strict, guess(keys[n % keys.length]?.key ?? ""), {}, { headers: elsewhere() }))
    const subjects = await strict.sql("select subject from sign_in_failures where subject like 'address:%'")
    assert.deepStrictEqual(subjects, [{ subject: "address:127.0.0.1" }])
  })
})

describe("a session", () => {
  it("GET /api/v1/me: the user, the device, the limits and what is live", async () => {
    const { key, userId } = await broker.user("Ada", { connectionLimit: 7 })
    const me = await present(broker, key)
    const answer = await calling("GET", "/api/v1/me", { bearer: me.token })
    assert.strictEqual(answer.status, 200)
    assert.deepInclude(answer.json["user"] as Json, { id: userId, name: "Ada" })
    assert.deepInclude(answer.json["device"] as Json, { id: me.deviceId })
    assert.deepStrictEqual(answer.json["limits"] as Json, {
      connectionsPerKey: 7,
      connectionsPerDevice: 5,
      devicesPerUser: 3
    })
    assert.deepStrictEqual(answer.json["connections"] as unknown, [])
  })

  it("DELETE /api/v1/sessions/current: 204, and it is over at once; others of the device go on", async () => {
    const { key } = await broker.user("Ada")
    const device = { fingerprint: randomUUID() }
    const [one, other] = [await present(broker, key, device), await present(broker, key, device)]
    const out = await calling("DELETE", `${sessions}/current`, { bearer: one.token })
    assert.strictEqual(`${out.status} ${out.text}`, "204 ")
    assert.strictEqual(told(await calling("GET", "/api/v1/me", { bearer: one.token })), "401 unknown_credential")
    assert.strictEqual(
      told(await calling("DELETE", `${sessions}/current`, { bearer: one.token })),
      "401 unknown_credential"
    )
    assert.strictEqual((await other.ask("GET", "/api/v1/me")).status, 200)
  })

  it("ends by itself", async () => {
    await using brief = await start({ connections: { sessionLifetime: Duration.seconds(1) } })
    const { key } = await brief.user("Ada")
    const me = await present(brief, key)
    assert.strictEqual((await me.ask("GET", "/api/v1/me")).status, 200)
    const over = await eventually("it is over", async () => {
      const answer = await me.ask("GET", "/api/v1/me")
      return answer.status !== 200 && answer
    })
    assert.strictEqual(told(over), "401 unknown_credential")
  })

  it("is of this broker alone, whatever its token says", async () => {
    await using other = await start()
    const { key } = await other.user("Ada")
    const { token: foreign } = await present(other, key)
    const { token } = await present(broker, (await broker.user("Ada")).key)
    const [header = "", claims = "", signature = ""] = token.slice("brk_ses_".length).split(".")
    const as = (...parts: ReadonlyArray<string>) => `brk_ses_${parts.join(".")}`
    const encode = (value: Json) => Buffer.from(JSON.stringify(value)).toString("base64url")
    const decoded = JSON.parse(Buffer.from(claims, "base64url").toString()) as Json
    const strange = [
      foreign,
      as(header, claims),
      as(header, claims, ""),
      as(header, claims, `${signature.slice(0, -4)}AAAA`),
      as(header, encode({ ...decoded, exp: 4_102_444_800 }), signature),
      as(encode({ alg: "none", typ: "session+jwt" }), claims, ""),
      as(encode({ alg: "HS256", typ: "session+jwt" }), claims, signature),
      "brk_ses_",
      `brk_ses_${"A".repeat(60)}`,
      `brk_ses_${"A".repeat(3_000)}`
    ]
    for (const bearer of strange) {
      assert.strictEqual(told(await calling("GET", "/api/v1/me", { bearer })), "401 unknown_credential", bearer)
    }
    assert.strictEqual((await broker.ask("GET", "/api/v1/me", { bearer: token })).status, 200)
  })
})

describe("wrong_credential_kind", () => {
  it("every kind of credential at every place of another's", async () => {
    const { key } = await broker.user("Ada")
    const { token: session } = await present(broker, key)
    const registration = await broker.key()
    const { token: server } = await join(broker, await broker.key(), "kinds")
    const id = randomUUID()
    const asClient = [
      ["DELETE", `${sessions}/current`],
      ["GET", "/api/v1/me"],
      ["GET", "/api/v1/servers"],
      ["GET", `/api/v1/servers/${id}`],
      ["POST", "/api/v1/connections", { serverId: id }],
      ["GET", `/api/v1/connections/${id}`],
      ["PATCH", `/api/v1/connections/${id}`, {}]
    ] as const
    for (const [method, path, body] of asClient) {
      for (const bearer of [key, registration, server]) {
        assert.strictEqual(told(await calling(method, path, { bearer, body })), "401 wrong_credential_kind", path)
      }
      // Machines look for servers and connections too: there a token is only not a known one.
      const isRead = method === "GET" && path !== "/api/v1/me"
      const machine = isRead ? "unknown_credential" : "wrong_credential_kind"
      const bearer = `brk_api_${"A".repeat(60)}`
      assert.strictEqual(told(await calling(method, path, { bearer, body })), `401 ${machine}`, path)
      for (const bearer of [undefined, "nonsense"]) {
        assert.strictEqual(told(await calling(method, path, { bearer, body })), "401 unknown_credential", path)
      }
    }
    for (const bearer of [session, registration, server]) {
      assert.strictEqual(told(await signingIn(bearer)), "401 wrong_credential_kind")
    }
    for (const bearer of [undefined, "nonsense"]) {
      assert.strictEqual(told(await signingIn(bearer)), "401 unknown_credential")
    }
    for (const bearer of [session, key]) {
      const put = `/api/v1/servers/self/connections/${id}`
      assert.strictEqual(told(await calling("GET", "/api/v1/servers/self", { bearer })), "401 wrong_credential_kind")
      assert.strictEqual(
        told(await calling("PUT", put, { bearer, body: { status: "active" } })),
        "401 wrong_credential_kind"
      )
    }
  })
})

describe("F8: out on every node within 1 s", () => {
  const revocations: ReadonlyArray<
    readonly [name: string, input: (of: { userId: string; keyId: string; deviceId: string }) => Json]
  > = [
    ["personalKeys.revoke", ({ keyId }) => ({ id: keyId, reason: "lost" })],
    ["devices.block", ({ deviceId }) => ({ id: deviceId, reason: "lost" })],
    ["devices.remove", ({ deviceId }) => ({ id: deviceId })],
    ["users.suspend", ({ userId }) => ({ id: userId, reason: "gone" })],
    ["users.delete", ({ userId }) => ({ id: userId })]
  ]

  it("by whichever act, on the node that did it at once", async () => {
    await using shared = await sharedDatabase()
    const options = { database: shared.database, audience: "http://broker.test" }
    await using a = await start(options)
    await using b = await start(options)
    await a.admin("ada", password)
    const by = await signInAdmin(b, "ada", password)
    await serving(a, await a.key(), "there")
    for (const [name, input] of revocations) {
      const user = await a.user(name)
      const one = await present(a, user.key)
      const other = one.at(b)
      for (const client of [one, other, one]) assert.strictEqual((await client.ask("GET", "/api/v1/me")).status, 200)
      await act(name, input({ ...user, deviceId: one.deviceId }), b, by)
      const done = performance.now()
      assert.strictEqual(told(await other.ask("GET", "/api/v1/servers")), "401 unknown_credential", name)
      const refused = await eventually(
        name,
        async () => {
          const answer = await one.ask("GET", "/api/v1/servers")
          return answer.status !== 200 && answer
        },
        { everyMs: 5 }
      )
      assert.isBelow(performance.now() - done, 1_000, name)
      assert.strictEqual(told(refused), "401 unknown_credential", name)
    }
  })

  it("and signed out at one, refused at the other", async () => {
    await using shared = await sharedDatabase()
    const options = { database: shared.database, audience: "http://broker.test" }
    await using a = await start(options)
    await using b = await start(options)
    const { key } = await a.user("Ada")
    const one = await present(a, key)
    assert.strictEqual((await one.at(b).ask("GET", "/api/v1/me")).status, 200)
    assert.strictEqual((await one.ask("DELETE", `${sessions}/current`)).status, 204)
    const done = performance.now()
    await eventually("refused at b", async () => (await one.at(b).ask("GET", "/api/v1/me")).status === 401)
    assert.isBelow(performance.now() - done, 1_000)
  })
})
