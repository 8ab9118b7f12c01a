/** Two brokers on one database: what one does the other knows, one runs the jobs, and either may go. */

import { Duration, type Redacted } from "effect"
import { assert, describe, it } from "vitest"
import { failure, procedure, signIn } from "./Dashboard.ts"
import { type Gateway, heartbeat, join } from "./Gateway.ts"
import { type Serving, serve } from "./Process.ts"
import { type Answer, ask, eventually, hold, type Json, query, sharedDatabase, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"
const self = "/api/v1/servers/self"

const quick = {
  heartbeatInterval: Duration.seconds(1),
  sweepEvery: Duration.millis(200)
} as const

/** The same server, asking another node. */
const at = (node: { readonly url: string }, gateway: Gateway) => ({
  self: () => ask(node.url, "GET", self, { bearer: gateway.token }),
  beat: (given: Json) => ask(node.url, "POST", `${self}/heartbeat`, { bearer: gateway.token, body: heartbeat(given) })
})

const moves = async (database: Redacted.Redacted, axis: string) => {
  const rows = await query(
    database,
    `select server_id as id, after, count(*)::int as n from server_transitions where axis = '${axis}' group by 1, 2`
  )
  return rows.map(({ after, id, n }) => ({ id: String(id), after: String(after), n: Number(n) }))
}

const leads = ({ log }: Wire) => log.some((line) => line.includes("This node runs the jobs now"))

describe("two nodes", () => {
  it("are one broker: registered at A, heard at B, shut out at B, refused at A within 1 s", async () => {
    await using shared = await sharedDatabase()
    const options = { database: shared.database, audience: "http://broker.test", policy: quick }
    await using a = await start(options)
    await using b = await start(options)
    await a.admin("ada", password)
    const cookie = await signIn(b, "ada", password)

    const refusals: ReadonlyArray<readonly [name: string, act: (gateway: Gateway) => Promise<Answer>, code: string]> = [
      [
        "suspend",
        ({ id }) => procedure(b, "mutation", "servers.suspend", { id, reason: "x" }, cookie),
        "server_suspended"
      ],
      ["retire", ({ id }) => procedure(b, "mutation", "servers.retire", { id, reason: "x" }, cookie), "server_retired"],
      ["retire itself", ({ token }) => ask(b.url, "DELETE", self, { bearer: token }), "server_retired"]
    ]
    for (const [name, act, code] of refusals) {
      const gateway = await join(a, await a.key(), name)
      const bootId = "019845e1-682f-7b02-a706-3b2422d13aec"
      const [onA, onB] = [at(a, gateway), at(b, gateway)]
      for (const [seq, node] of [onB, onA, onB, onA].entries()) {
        const beat = await node.beat({ bootId, seq: seq + 1, activeConnections: seq })
        assert.strictEqual(beat.status, 200, beat.text)
        assert.deepInclude(beat.json, { liveness: "online" })
      }
      assert.isBelow((await act(gateway)).status, 300)
      const done = performance.now()
      const refused = await eventually(name, async () => {
        const answer = await onA.self()
        return answer.status !== 200 && answer
      })
      assert.isBelow(performance.now() - done, 1_000)
      assert.strictEqual(refused.json["code"], code)
      assert.strictEqual((await onA.beat({ bootId, seq: 9 })).json["code"], code)
    }

    const out = await broadcastSignOut(a, b)
    assert.strictEqual(failure(out).problem, "not_signed_in")
  })

  it("move each server once, however many look (H2, J1)", async () => {
    await using shared = await sharedDatabase()
    const options = { database: shared.database, audience: "http://broker.test", policy: quick }
    await using a = await start(options)
    await using b = await start(options)
    const key = await a.key({ useLimit: 30 })
    const gateways = await Promise.all(Array.from({ length: 30 }, (_, n) => join(n % 2 === 0 ? a : b, key, `one-${n}`)))
    const bootId = "019845e1-682f-7b02-a706-3b2422d13aec"
    for (const seq of [1, 2, 3]) {
      await Promise.all(
        gateways.flatMap((gateway) => [at(a, gateway).beat({ bootId, seq }), at(b, gateway).beat({ bootId, seq })])
      )
    }
    const silent = performance.now()
    await eventually(
      "all are offline",
      async () => (await moves(shared.database, "liveness")).filter(({ after }) => after === "offline").length === 30,
      { withinMs: 10_000, everyMs: 100 }
    )
    console.log(`30 silent servers offline after ${Math.round(performance.now() - silent)} ms at an interval of 1 s`)
    const all = await moves(shared.database, "liveness")
    for (const { id } of gateways) {
      assert.sameDeepMembers(
        all.filter((move) => move.id === id),
        ["online", "degraded", "offline"].map((after) => ({ id, after, n: 1 }))
      )
    }
    assert.strictEqual([a, b].filter(leads).length, 1, "one leads")
    const swept = [a, b].filter(({ log }) => log.some((line) => line.includes("Gave up on silent servers")))
    assert.deepStrictEqual(swept, [a, b].filter(leads), "and only that one sweeps")
  })
})

/** Signs in at one node and out at another; the first knows at once, as nothing is remembered there. */
const broadcastSignOut = async (a: Wire, b: Wire) => {
  const cookie = await signIn(a, "ada", password)
  assert.strictEqual((await procedure(b, "query", "session.current", undefined, cookie)).status, 200)
  await b.ask("DELETE", "/rpc/session", { headers: { cookie } })
  return procedure(a, "query", "session.current", undefined, cookie)
}

describe("a broker that was away (H5)", () => {
  it("blames nobody who comes back, and gives up after one full time-out on whoever does not", async () => {
    await using shared = await sharedDatabase()
    const options = { database: shared.database, audience: "http://broker.test", policy: quick }
    const before = await start(options)
    const key = await before.key({ useLimit: 10 })
    const gateways = await Promise.all(Array.from({ length: 10 }, (_, n) => join(before, key, `patient-${n}`)))
    await Promise.all(gateways.map((gateway) => gateway.beat()))
    await before[Symbol.asyncDispose]()
    // An hour passes, in which nobody heard anything.
    await query(shared.database, "update nodes set last_seen_at = last_seen_at - interval '1 hour'")
    await query(
      shared.database,
      "update server_presence set last_seen_at = last_seen_at - interval '1 hour', liveness_since = liveness_since - interval '1 hour'"
    )

    await using after = await start(options)
    const started = performance.now()
    const [lost, ...kept] = gateways
    assert.isDefined(lost)
    const bootId = "019845e1-682f-7b02-a706-3b2422d13aec"
    let seq = 0
    const isLost = async () =>
      (await moves(shared.database, "liveness")).some(({ after, id }) => id === lost?.id && after === "offline")
    // The others come back when their next heartbeat is due, and stay.
    await eventually(
      "the one that stays away is offline",
      async () => {
        seq += 1
        const returned = kept.filter((_, n) => performance.now() - started > 100 * n)
        await Promise.all(returned.map((gateway) => at(after, gateway).beat({ bootId, seq })))
        return isLost()
      },
      { withinMs: 12_000, everyMs: 200 }
    )
    // By the database's clock, as the outage ends while the broker still starts.
    const [silence] = await query(
      shared.database,
      `select extract(epoch from t.at - o.ended_at)::float8 as seconds
         from server_transitions t, broker_outages o
        where t.axis = 'liveness' and t.after = 'offline'`
    )
    const took = Number(silence?.["seconds"])
    console.log(`after an outage: offline ${took.toFixed(1)} s after its end, at an interval of 1 s`)
    // Four intervals of 0.9 to 1.1 s each, as this server was told.
    assert.isAtLeast(took, 3.6)
    assert.isBelow(took, 7)
    const all = await moves(shared.database, "liveness")
    assert.deepStrictEqual(
      all.filter(({ after, id }) => after === "offline" && id !== lost?.id),
      []
    )
    const outages = await query(
      shared.database,
      "select ended_at - began_at > interval '59 minutes' as long from broker_outages"
    )
    assert.deepStrictEqual(outages, [{ long: true }])
  })
})

const leader = async (nodes: ReadonlyArray<Serving>) => {
  const [one] = await eventually("a leader", () => {
    const found = nodes.filter(({ log }) => log.some(({ line }) => line["message"] === "This node runs the jobs now"))
    return found.length > 0 && found
  })
  if (one === undefined) throw new Error("nobody leads")
  return one
}

describe("processes", () => {
  it("SIGKILL of the leader: the other takes over within 5 s, and nothing that was answered is lost (J2)", async () => {
    await using shared = await sharedDatabase()
    await using seed = await start({ database: shared.database, audience: "http://broker.test", policy: quick })
    const key = await seed.key({ useLimit: 100 })
    await seed[Symbol.asyncDispose]()
    await using one = await serve(shared.database)
    await using two = await serve(shared.database)
    console.log(
      `started on an existing database in ${Math.round(one.startedInMs)} and ${Math.round(two.startedInMs)} ms`
    )
    assert.isBelow(Math.max(one.startedInMs, two.startedInMs), 15_000)
    const first = await leader([one, two])
    const second = first === one ? two : one
    assert.isFalse(second.log.some(({ line }) => line["message"] === "This node runs the jobs now"))

    const silent = await join(first, key, "silent")
    await silent.beat()
    // Writes under way at the moment of the kill: each that was answered has to be there.
    const acknowledged: Array<string> = []
    let going = true
    const writers = Array.from({ length: 4 }, async (_, n) => {
      for (let count = 0; going && count < 20; count++) {
        const name = `w-${n}-${count}`
        const joined = await join(first, key, name).catch(() => undefined)
        if (joined === undefined) return
        acknowledged.push(name)
      }
    })
    await eventually("some writes", () => acknowledged.length >= 8)
    first.child.kill("SIGKILL")
    const killed = performance.now()
    going = false
    await Promise.all(writers)
    assert.strictEqual(await first.exited, "SIGKILL")
    const took = (await second.said("This node runs the jobs now")) - killed
    console.log(`took over ${Math.round(took)} ms after SIGKILL of the leader`)
    assert.isBelow(took, 5_000)
    const rows = await query(shared.database, "select name from servers")
    const names = new Set(rows.map(({ name }) => name))
    assert.deepStrictEqual(
      acknowledged.filter((name) => !names.has(name)),
      []
    )
    await eventually("the new leader sweeps", async () =>
      (await moves(shared.database, "liveness")).some(({ after, id }) => id === silent.id && after === "offline")
    )
    const all = await moves(shared.database, "liveness")
    assert.isTrue(all.every(({ n }) => n === 1))
  })

  it("SIGTERM: requests end, heartbeats are written, the lease goes over at once, exit 0 within 10 s (J5)", async () => {
    await using shared = await sharedDatabase()
    await using seed = await start({ database: shared.database, audience: "http://broker.test", policy: quick })
    const key = await seed.key({ useLimit: 10 })
    await seed[Symbol.asyncDispose]()
    await using one = await serve(shared.database, { HEARTBEAT_INTERVAL: "30s" })
    await using two = await serve(shared.database, { HEARTBEAT_INTERVAL: "30s" })
    const first = await leader([one, two])
    const second = first === one ? two : one
    const gateway = await join(first, key, "leaving")
    const until = performance.now() + 300
    await eventually("a few heartbeats", async () => (await gateway.beat()).status === 200 && performance.now() > until)

    const letPresence = await hold(shared.database, "server_presence")
    const buffered = await gateway.beat({ activeConnections: 77 })
    assert.strictEqual(buffered.status, 200, "taken into the buffer")
    const letServers = await hold(shared.database, "server_tokens")
    const rotating = gateway.ask("POST", `${self}/token`)
    await eventually("the request waits for the lock", async () => {
      const [row] = await query(shared.database, "select count(*)::int as n from pg_locks where not granted")
      return Number(row?.["n"]) >= 2
    })
    first.child.kill("SIGTERM")
    const asked = performance.now()
    await first.said("Draining")
    await eventually("no new connections", () =>
      first.ask("GET", "/healthz").then(
        () => false,
        () => true
      )
    )
    await Promise.all([letServers(), letPresence()])
    const rotated = await rotating
    assert.strictEqual(rotated.status, 200, rotated.text)
    assert.strictEqual(await first.exited, 0)
    const stopped = performance.now()
    console.log(`stopped ${Math.round(stopped - asked)} ms after SIGTERM`)
    assert.isBelow(stopped - asked, 10_000)
    const over = await second.said("This node runs the jobs now")
    console.log(
      `the lease went over ${Math.round(over - stopped)} ms after the exit, ${Math.round(over - asked)} after SIGTERM`
    )
    assert.isBelow(over - stopped, 1_000)
    const [row] = await query(
      shared.database,
      `select active_connections as n from server_presence where server_id = '${gateway.id}'`
    )
    assert.strictEqual(row?.["n"], 77)
    const renewed = await second.ask("GET", self, { bearer: String(rotated.json["token"]) })
    assert.strictEqual(renewed.status, 200, "the token that was handed out last is good")
  })

  it("start on an existing database", async () => {
    await using shared = await sharedDatabase()
    await using seed = await start({ database: shared.database, audience: "http://broker.test" })
    const key = await seed.key({ useLimit: 50 })
    await Promise.all(Array.from({ length: 50 }, (_, n) => join(seed, key, `there-${n}`)))
    await seed[Symbol.asyncDispose]()
    await using node = await serve(shared.database)
    console.log(`start-up on an existing database: ${Math.round(node.startedInMs)} ms until ready`)
    assert.isBelow(node.startedInMs, 5_000)
  })
})
