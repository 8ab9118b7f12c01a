/** Connections over the wire: granted, accepted, followed, ended and cut, by all who have a part in them (C1–C6). */

import { randomUUID } from "node:crypto"
import { Duration } from "effect"
import { createRemoteJWKSet, jwtVerify } from "jose"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Client, granted, present } from "./Client.ts"
import { procedure, signIn } from "./Dashboard.ts"
import { type Document, describe as describedAt, undeclared } from "./Described.ts"
import { type Gateway, identity, serving } from "./Gateway.ts"
import { type Answer, type Ask, eventually, type Json, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
let document: Document
let cookie: string
let key: string

beforeAll(async () => {
  broker = await start({ connections: { liveSetGrace: Duration.zero } })
  document = await describedAt(broker.url)
  await broker.admin("ada", password)
  cookie = await signIn(broker, "ada", password)
  key = await broker.key({ useLimit: 1_000 })
})
afterAll(() => broker?.[Symbol.asyncDispose]())

let names = 0

/** A tag that no other server has. */
const tagOfItsOwn = () => `t-${randomUUID().slice(-12)}`

const gateway = (given: Json = {}, name?: string) => {
  names += 1
  return serving(broker, key, name ?? `server-${names}`, given)
}

const person = async (...given: Parameters<Wire["user"]> extends [string, ...infer Rest] ? Rest : never) => {
  const user = await broker.user(`Person ${++names}`, ...given)
  return { ...user, device: (statement: Json = {}) => present(broker, user.key, statement) }
}

const declared = (method: string, path: string, answer: Answer) => {
  assert.deepStrictEqual(undeclared(document, method, path, answer), [])
  return answer
}

const connecting = async (client: Client, body: unknown, given: Ask = {}) =>
  declared("POST", "/api/v1/connections", await client.connect(body, given))

const reporting = async (client: Client, id: string, body: unknown) =>
  declared("PATCH", `/api/v1/connections/${id}`, await client.report(id, body))

const putting = async (server: Gateway, id: string, body: unknown) => {
  const path = `/api/v1/servers/self/connections/${id}`
  return declared("PUT", path, await server.ask("PUT", path, { body }))
}

const told = (answer: Answer) => `${answer.status} ${answer.json["code"]}`

const asAdmin = async (type: "query" | "mutation", name: string, input: unknown) => {
  const answer = await procedure(broker, type, name, input, cookie)
  assert.strictEqual(answer.status, 200, answer.text)
  return (answer.json["result"] as { readonly data: Json }).data
}

const ledger = (id: string) => asAdmin("query", "connections.get", { id })

/** How many are live on a server: as the server's row counts, and as they are. */
const loadOf = async (id: string) => {
  const [row] = await broker.sql(
    `select live as counted, (select count(*)::int from connections
       where server_id = '${id}' and status in ('intent', 'active')) as live from server_loads where server_id = '${id}'`
  )
  assert.strictEqual(row?.["counted"], row?.["live"])
  return Number(row?.["live"])
}

/** As whoever wrote another server would check a grant: by what the broker publishes, and nothing else (C3). */
const outsider = async (grant: string) => {
  const statement = (await broker.ask("GET", "/.well-known/broker")).json
  const keys = createRemoteJWKSet(new URL(String(statement["jwksUrl"])))
  return jwtVerify(grant, keys, {
    issuer: String(statement["audience"]),
    audience: String(statement["audience"]),
    algorithms: ["EdDSA"],
    typ: "grant+jwt"
  })
}

describe("a connection", () => {
  it("C1 C3 from the intent to the end, as both sides tell it", async () => {
    const server = await gateway({ tags: ["story"] })
    const user = await person()
    const by = identity()
    const client = await user.device({ publicKey: by.publicKey })

    const answer = await connecting(client, { serverId: server.id })
    assert.strictEqual(answer.status, 201)
    const { connection, explanation, grant, id, server: shown } = granted(answer)
    assert.isUndefined(explanation)
    assert.deepInclude(connection, {
      status: "intent",
      userId: user.userId,
      deviceId: client.deviceId,
      serverId: server.id,
      activeAt: null,
      endedAt: null,
      endReason: null
    })
    assert.deepInclude(shown, { id: server.id, publicKey: server.identity.publicKey })
    const lifetime = (until: string) =>
      Date.parse(String(connection[until])) - Date.parse(String(connection["createdAt"]))
    assert.strictEqual(lifetime("expiresAt"), 60_000)
    assert.strictEqual(lifetime("grantExpiresAt"), 120_000)

    const { payload, protectedHeader } = await outsider(grant)
    assert.strictEqual(protectedHeader.alg, "EdDSA")
    assert.deepInclude(payload, {
      iss: broker.audience,
      aud: broker.audience,
      sub: user.userId,
      jti: id,
      connection: id,
      device: client.deviceId,
      server: server.id
    })
    assert.deepStrictEqual(payload["cnf"], { jwk: { kty: "OKP", crv: "Ed25519", x: by.publicKey } })
    assert.closeTo(Number(payload.exp) - Number(payload.iat), 120, 1)

    const active = await putting(server, id, { status: "active", metrics: { rxBytes: 0, txBytes: 0 } })
    assert.strictEqual(active.status, 200)
    assert.deepInclude(active.json, { status: "active" })
    for (const beats of [1, 2]) {
      const beat = await server.beat({ connections: [id], activeConnections: beats })
      assert.deepStrictEqual(beat.json["cuts"] as Json, { cursor: "0", connections: [] })
    }
    const progress = await reporting(client, id, {
      metrics: { rttMs: 12.5, lossRatio: 0.01, rxBytes: 5_000, txBytes: 1_000 }
    })
    assert.deepInclude(progress.json, { status: "active", rxBytes: 0, rttMs: 12.5, lossRatio: 0.01 })
    const live = (await client.ask("GET", "/api/v1/me")).json["connections"] as ReadonlyArray<Json>
    assert.deepStrictEqual(
      live.map((each) => each["id"]),
      [id]
    )

    const final = { rxBytes: 900_000, txBytes: 100_000 }
    const ended = await reporting(client, id, { status: "ended", reason: "done", metrics: final })
    assert.deepInclude(ended.json, { status: "ended", endedBy: "client", endReason: "done" })
    const account = await putting(server, id, {
      status: "ended",
      reason: "closed",
      metrics: { rxBytes: 100_000, txBytes: 900_000 }
    })
    assert.deepInclude(account.json, { status: "ended", endedBy: "client", endReason: "done", rxBytes: 900_000 })
    const read = declared("GET", `/api/v1/connections/${id}`, await client.read(id))
    assert.deepStrictEqual(read.json, account.json)
    assert.deepInclude(await ledger(id), { verdict: "confirmed", clientReason: "done", serverReason: "closed" })
    assert.strictEqual(told(await putting(server, id, { status: "active" })), "409 connection_over")
    assert.strictEqual(await loadOf(server.id), 0)
  })

  it("C1 refused: over for both", async () => {
    const server = await gateway()
    const client = await (await person()).device()
    const { id } = granted(await connecting(client, { serverId: server.id }))
    const refused = await putting(server, id, { status: "refused", reason: "full" })
    assert.deepInclude(refused.json, { status: "refused", endedBy: "server", endReason: "full" })
    assert.strictEqual(told(await putting(server, id, { status: "active" })), "409 connection_over")
    const late = { metrics: { rxBytes: 1 } }
    assert.strictEqual(told(await reporting(client, id, late)), "409 connection_over")
    assert.strictEqual(await loadOf(server.id), 0)
  })

  it("C1 one that is active can't be refused any more", async () => {
    const server = await gateway()
    const client = await (await person()).device()
    const { id } = granted(await connecting(client, { serverId: server.id }))
    assert.strictEqual((await putting(server, id, { status: "active" })).status, 200)
    assert.strictEqual(told(await putting(server, id, { status: "refused" })), "409 connection_conflict")
    assert.strictEqual((await putting(server, id, { status: "active", metrics: { rxBytes: 7 } })).json["txBytes"], 7)
  })

  it("C2 expires when its server does not report it in time", async () => {
    await using brief = await start({ connections: { intentLifetime: Duration.seconds(1) } })
    const server = await serving(brief, await brief.key(), "slow")
    const client = await present(brief, (await brief.user("Ada")).key)
    const { id } = granted(await client.connect({ serverId: server.id }))
    const over = await eventually("it has expired", async () => {
      const answer = await client.read(id)
      return answer.json["status"] !== "intent" && answer.json
    })
    assert.deepInclude(over, { status: "expired", endedBy: "broker", endReason: "intent_expired" })
    const late = await server.ask("PUT", `/api/v1/servers/self/connections/${id}`, { body: { status: "active" } })
    assert.strictEqual(told(late), "409 connection_over")
  })

  it("C4 ends when its server lists it no more", async () => {
    const server = await gateway()
    const client = await (await person()).device()
    const ids = await Promise.all([1, 2].map(async () => granted(await connecting(client, { serverId: server.id })).id))
    for (const id of ids) await putting(server, id, { status: "active" })
    const [kept, gone] = ids
    await eventually("the other one has ended", async () => {
      await server.beat({ connections: [kept] })
      return (await client.read(gone ?? "")).json["status"] === "ended"
    })
    assert.deepInclude((await client.read(kept ?? "")).json, { status: "active" })
    assert.strictEqual(await loadOf(server.id), 1)
    const stranger = randomUUID()
    const beat = await server.beat({ connections: [kept, gone, stranger] })
    const { connections } = beat.json["cuts"] as unknown as { readonly connections: ReadonlyArray<Json> }
    assert.sameMembers(
      connections.map(({ id }) => id),
      [gone, stranger],
      "and is told to cut what it goes on with, or made up"
    )
  })
})

describe("Idempotency-Key", () => {
  it("C2 the same body gives the same connection and the same grant, another body 422", async () => {
    const [server, other] = [await gateway(), await gateway()]
    const user = await person()
    const client = await user.device()
    const headers = { "idempotency-key": "once" }
    const first = granted(await connecting(client, { serverId: server.id }, { headers }))
    const again = granted(await connecting(client, { serverId: server.id }, { headers }))
    assert.strictEqual(again.id, first.id)
    assert.strictEqual(again.grant, first.grant)
    assert.strictEqual(
      told(await connecting(client, { serverId: other.id }, { headers })),
      "422 idempotency_key_reused"
    )
    assert.strictEqual(told(await connecting(client, { select: {} }, { headers })), "422 idempotency_key_reused")
    assert.strictEqual(await loadOf(server.id), 1)
    const elsewhere = granted(await connecting(await user.device(), { serverId: server.id }, { headers }))
    assert.notStrictEqual(elsewhere.id, first.id, "keys are a device's own")
  })

  it("C2 50 at once make one connection", async () => {
    const server = await gateway()
    const client = await (await person()).device()
    const headers = { "idempotency-key": randomUUID() }
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => client.connect({ serverId: server.id }, { headers }))
    )
    assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [201], answers.map(told).join())
    assert.strictEqual(new Set(answers.map((answer) => granted(answer).id)).size, 1)
    assert.strictEqual(await loadOf(server.id), 1)
  })

  it("a choice is made once, though the best server is another by then", async () => {
    const tag = tagOfItsOwn()
    await gateway({ tags: [tag] })
    await gateway({ tags: [tag] })
    const client = await (await person()).device()
    const headers = { "idempotency-key": "choose" }
    const body = { select: { tag: [tag], sort: "load" } }
    const first = granted(await connecting(client, body, { headers }))
    const again = granted(await connecting(client, body, { headers }))
    assert.strictEqual(again.id, first.id)
    assert.strictEqual(again.server.id, first.server.id)
    await broker.sql(`update servers set duty = 'draining' where '${tag}' = any (tags)`)
    const late = granted(await connecting(client, body, { headers }))
    assert.strictEqual(late.id, first.id, "nor that none is left")
  })
})

describe("whose it is", () => {
  it("another device's is not there, nor is another server's", async () => {
    const [server, other] = [await gateway(), await gateway()]
    const user = await person()
    const [client, sibling] = [await user.device(), await user.device()]
    const stranger = await (await person()).device()
    const { id } = granted(await connecting(client, { serverId: server.id }))
    for (const nosy of [sibling, stranger]) {
      assert.strictEqual(
        told(declared("GET", `/api/v1/connections/${id}`, await nosy.read(id))),
        "404 connection_not_found"
      )
      assert.strictEqual(told(await reporting(nosy, id, { status: "ended" })), "404 connection_not_found")
    }
    for (const status of ["active", "ended", "refused"]) {
      assert.strictEqual(told(await putting(other, id, { status })), "404 connection_not_found")
    }
    assert.strictEqual(told(await putting(server, randomUUID(), { status: "active" })), "404 connection_not_found")
    for (const wrong of ["nonsense", id.toUpperCase()]) {
      assert.strictEqual(told(await reporting(client, wrong, {})), "400 validation_failed")
      assert.strictEqual(told(await putting(server, wrong, { status: "active" })), "400 validation_failed")
    }
    assert.deepInclude((await client.read(id)).json, { status: "intent" })
  })
})

describe("select", () => {
  it("takes the filters of discovery, and explains the choice", async () => {
    const tag = tagOfItsOwn()
    const near = await gateway({
      tags: [tag],
      labels: { rack: "b2" },
      capabilities: { vpn: {} },
      version: "2.0.0",
      location: { latitude: 50.11, longitude: 8.68 }
    })
    const far = await gateway({ tags: [tag], location: { latitude: 40.71, longitude: -74.01 } })
    const client = await (await person({ connectionLimit: 20 })).device()
    const nearest = { tag: [tag], near: { latitude: 50, longitude: 8 } }
    for (const select of [nearest, { ...nearest, near: "50,8" }]) {
      const { explanation, id, server } = granted(await connecting(client, { select }))
      assert.strictEqual(server.id, near.id)
      assert.deepInclude(explanation ?? {}, { sort: "nearest", passedOver: [] })
      assert.closeTo(Number(explanation?.["distanceKm"]), 50, 10)
      await reporting(client, id, { status: "ended" })
    }
    const wanted = { tag: [tag], label: ["rack:b2"], capability: ["vpn"], minVersion: "1.9", status: ["online"] }
    assert.strictEqual(granted(await connecting(client, { select: wanted })).server.id, near.id)
    const byLoad = granted(await connecting(client, { select: { tag: [tag] } }))
    assert.strictEqual(byLoad.server.id, far.id, "whoever carries least")
    assert.deepInclude(byLoad.explanation ?? {}, { sort: "load" })
  })

  it("no_server_matches, and validation of what is asked for", async () => {
    const client = await (await person()).device()
    assert.strictEqual(told(await connecting(client, { select: { tag: [tagOfItsOwn()] } })), "404 no_server_matches")
    for (const [body, pointer] of [
      [{}, ""],
      [{ serverId: "fra-1" }, "/serverId"],
      [{ select: { sort: "size" } }, "/select/sort"],
      [{ select: { tag: ["ok", ""] } }, "/select/tag/1"],
      [{ select: { near: "nowhere" } }, "/select/near"]
    ] as const) {
      const answer = await connecting(client, body)
      assert.strictEqual(told(answer), "400 validation_failed")
      const named = (answer.json["errors"] as ReadonlyArray<Json>).map((each) => String(each["pointer"]))
      assert.isTrue(
        named.some((each) => each.startsWith(pointer)),
        `${pointer} in ${named}`
      )
    }
  })

  it("passes over a server that is full, and says so", async () => {
    const tag = tagOfItsOwn()
    const small = await gateway({ tags: [tag], location: { latitude: 50, longitude: 8 } })
    const large = await gateway({ tags: [tag], location: { latitude: 40, longitude: 8 } })
    await broker.sql(`update servers set connection_limit = 1 where id = '${small.id}'`)
    const client = await (await person()).device()
    const select = { tag: [tag], near: "50,8" }
    assert.strictEqual(granted(await connecting(client, { select })).server.id, small.id)
    assert.strictEqual(granted(await connecting(client, { select })).server.id, large.id)
    const answer = await connecting(client, { serverId: small.id })
    assert.strictEqual(told(answer), "409 connection_limit")
    assert.strictEqual(answer.json["scope"], "server")
  })
})

describe("who may not", () => {
  it("server_unavailable: draining, suspended, retired, unknown", async () => {
    const client = await (await person()).device()
    const [draining, suspended, retired] = [await gateway(), await gateway(), await gateway()]
    await draining.ask("PATCH", "/api/v1/servers/self", { body: { duty: "draining" } })
    await asAdmin("mutation", "servers.suspend", { id: suspended.id, reason: "" })
    await retired.ask("DELETE", "/api/v1/servers/self")
    for (const serverId of [draining.id, suspended.id, retired.id, randomUUID()]) {
      assert.strictEqual(told(await connecting(client, { serverId })), "409 server_unavailable")
    }
  })

  it("C2 connection_limit: of the key over its devices, and of the device; one that ends makes room", async () => {
    const server = await gateway()
    const user = await person({ connectionLimit: 6 })
    const [one, two] = [await user.device(), await user.device()]
    const open: Array<string> = []
    for (let n = 0; n < 5; n++) open.push(granted(await connecting(one, { serverId: server.id })).id)
    const device = await connecting(one, { serverId: server.id })
    assert.strictEqual(`${told(device)} ${device.json["scope"]}`, "409 connection_limit device")
    open.push(granted(await connecting(two, { serverId: server.id })).id)
    const byKey = await connecting(two, { serverId: server.id })
    assert.strictEqual(`${told(byKey)} ${byKey.json["scope"]}`, "409 connection_limit personal-key")
    assert.strictEqual((await reporting(one, open[0] ?? "", { status: "ended" })).status, 200)
    assert.strictEqual((await connecting(two, { serverId: server.id })).status, 201)
    assert.strictEqual(await loadOf(server.id), 6)
  })
})

describe("C2 races over HTTP", () => {
  const race = async (clients: ReadonlyArray<Client>, serverId: string) => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => clients[n % clients.length]?.connect({ serverId }))
    )
    const scopes = answers.flatMap((answer) => (answer?.status === 409 ? [String(answer.json["scope"])] : []))
    assert.deepStrictEqual(
      answers.filter((answer) => answer?.status !== 201 && answer?.json["code"] !== "connection_limit"),
      []
    )
    return { made: answers.filter((answer) => answer?.status === 201).length, scopes: [...new Set(scopes)] }
  }

  it("50 intents against the limit of a device", async () => {
    const server = await gateway()
    const client = await (await person({ connectionLimit: 40 })).device()
    assert.deepStrictEqual(await race([client], server.id), { made: 5, scopes: ["device"] })
    assert.strictEqual(await loadOf(server.id), 5)
  })

  it("50 intents against the limit of a key, from ten devices", async () => {
    const server = await gateway()
    const user = await person({ connectionLimit: 7 })
    const clients = await Promise.all(Array.from({ length: 10 }, () => user.device()))
    assert.deepStrictEqual(await race(clients, server.id), { made: 7, scopes: ["personal-key"] })
    assert.strictEqual(await loadOf(server.id), 7)
  })

  it("50 intents against the limit of a server, from as many users", async () => {
    const server = await gateway()
    await broker.sql(`update servers set connection_limit = 11 where id = '${server.id}'`)
    const clients = await Promise.all(Array.from({ length: 25 }, async () => (await person()).device()))
    assert.deepStrictEqual(await race(clients, server.id), { made: 11, scopes: ["server"] })
    assert.strictEqual(await loadOf(server.id), 11)
  })

  it("C1 both sides end at once: one end, one reason, one count", async () => {
    const server = await gateway()
    const user = await person({ connectionLimit: 40 })
    const clients = await Promise.all(Array.from({ length: 4 }, () => user.device()))
    const open = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const client = clients[n % 4] ?? assert.fail()
        const { id } = granted(await client.connect({ serverId: server.id }))
        assert.strictEqual((await putting(server, id, { status: "active" })).status, 200)
        return { client, id }
      })
    )
    assert.strictEqual(await loadOf(server.id), 20)
    const answers = await Promise.all(
      open.flatMap(({ client, id }) => [
        reporting(client, id, { status: "ended", reason: "by client" }),
        putting(server, id, { status: "ended", reason: "by server" })
      ])
    )
    assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [200])
    for (const { client, id } of open) {
      const { endReason, endedBy } = (await client.read(id)).json
      assert.strictEqual(endReason, `by ${endedBy}`)
      assert.deepInclude(await ledger(id), {
        clientReason: "by client",
        serverReason: "by server",
        verdict: "confirmed"
      })
    }
    assert.strictEqual(await loadOf(server.id), 0)
  })
})

describe("C6 cuts", () => {
  interface Cuts {
    readonly cursor: string
    readonly connections: ReadonlyArray<{ readonly id: string; readonly reason: string }>
  }

  const cutsOf = (beat: Answer) => beat.json["cuts"] as unknown as Cuts

  const opened = async (server: Gateway, client: Client) => {
    const { id } = granted(await connecting(client, { serverId: server.id }))
    assert.strictEqual((await putting(server, id, { status: "active" })).status, 200)
    return id
  }

  const act = async (subjectId: string) => {
    const cuts = (await asAdmin("query", "connections.cuts", {
      subjectId,
      limit: 10
    })) as unknown as ReadonlyArray<Json>
    return cuts[0] ?? assert.fail("nothing was cut")
  }

  it("an order stands in every heartbeat's answer until the live set is without it", async () => {
    const server = await gateway()
    const client = await (await person()).device()
    const [cut, kept] = [await opened(server, client), await opened(server, client)]
    const before = cutsOf(await server.beat({ connections: [cut, kept] }))
    await asAdmin("mutation", "connections.disconnect", { id: cut })
    assert.deepInclude((await client.read(cut)).json, { status: "ended", endedBy: "admin" })
    assert.strictEqual(told(await reporting(client, cut, { metrics: { rxBytes: 1 } })), "409 connection_over")

    const first = cutsOf(await server.beat({ connections: [cut, kept], cutCursor: before.cursor }))
    assert.deepStrictEqual(first.connections, [{ id: cut, reason: "admin_disconnected" }])
    assert.isAbove(Number(first.cursor), Number(before.cursor))
    const lost = cutsOf(await server.beat({ connections: [cut, kept], cutCursor: before.cursor }))
    assert.deepStrictEqual(lost, first, "an answer that was lost comes again")
    assert.deepInclude(await act(cut), { connections: 1, confirmedConnections: 0, servers: 1, confirmedServers: 0 })

    const done = cutsOf(await server.beat({ connections: [kept], cutCursor: first.cursor }))
    assert.deepStrictEqual(done, { cursor: first.cursor, connections: [] })
    const { slowestSeconds, ...settled } = await act(cut)
    assert.deepInclude(settled, { confirmedConnections: 1, confirmedServers: 1, overdueServers: 0 })
    assert.isAbove(Number(slowestSeconds), 0)
    assert.deepInclude((await client.read(kept)).json, { status: "active" })
  })

  it("a revoked key ends all that it opened, on every server, at once", async () => {
    const gateways = [await gateway(), await gateway()]
    const user = await person()
    const [one, two] = [await user.device(), await user.device()]
    const bystander = await (await person()).device()
    const mine: Array<readonly [Gateway, string]> = []
    for (const server of gateways) {
      for (const client of [one, two]) mine.push([server, await opened(server, client)])
    }
    const theirs = await opened(gateways[0] ?? assert.fail(), bystander)
    assert.deepStrictEqual(await asAdmin("query", "connections.cutPreview", { kind: "personal-key", id: user.keyId }), {
      connections: 4,
      servers: 2
    })
    await asAdmin("mutation", "personalKeys.revoke", { id: user.keyId, reason: "lost" })
    assert.strictEqual(told(await connecting(one, { serverId: gateways[0]?.id })), "401 unknown_credential")
    for (const server of gateways) {
      const ids = mine.filter(([each]) => each === server).map(([, id]) => id)
      const { connections } = cutsOf(await server.beat())
      assert.sameMembers(
        connections.map(({ id }) => id),
        ids
      )
      assert.isTrue(connections.every(({ reason }) => reason === "key_revoked"))
      await server.beat({
        connections: server === gateways[0] ? [theirs] : [],
        cutCursor: cutsOf(await server.beat()).cursor
      })
    }
    assert.deepInclude(await act(user.keyId), {
      connections: 4,
      confirmedConnections: 4,
      servers: 2,
      confirmedServers: 2,
      reason: "key_revoked"
    })
    assert.deepInclude((await bystander.read(theirs)).json, { status: "active" })
  })
})
