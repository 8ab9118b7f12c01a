/** F4, J3: PostgreSQL goes and comes back under a broker whose gateways do not stop to report. */

import { spawn } from "node:child_process"
import { mkdtemp } from "node:fs/promises"
import { Socket } from "node:net"
import { tmpdir } from "node:os"
import { join as joinPath } from "node:path"
import { fileURLToPath } from "node:url"
import * as Cluster from "@broker/core/embedded-postgres/Cluster"
import { Duration, Effect, Option } from "effect"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type Live, signIn, watch } from "./Dashboard.ts"
import { type Gateway, join } from "./Gateway.ts"
import { type Answer, eventually, start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"
const self = "/api/v1/servers/self"

let cluster: Cluster.Cluster
let broker: Wire
let gateways: ReadonlyArray<Gateway>
let cookie: string
let stream: Live

/** Removes the server even if this process is killed. */
const guard = (dataDir: string) => {
  const script = fileURLToPath(import.meta.resolve("@broker/testing/serverGuard"))
  const child = spawn(process.execPath, [script, dataDir], { detached: true, stdio: ["pipe", "ignore", "ignore"] })
  child.unref()
  if (child.stdin instanceof Socket) child.stdin.unref()
}

beforeAll(async () => {
  const dataDir = await mkdtemp(joinPath(tmpdir(), "broker-restart-"))
  guard(dataDir)
  cluster = await Effect.runPromise(
    Effect.tap(Cluster.open(dataDir, { fsync: "off", full_page_writes: "off" }), Cluster.initialise)
  )
  const port = await Effect.runPromise(Cluster.start(cluster))
  broker = await start({ database: Cluster.url(cluster, port), policy: { heartbeatInterval: Duration.seconds(1) } })
  await broker.admin("ada", password)
  cookie = await signIn(broker, "ada", password)
  const key = await broker.key({ useLimit: 20 })
  gateways = await Promise.all(Array.from({ length: 20 }, (_, n) => join(broker, key, `steady-${n}`)))
  const until = performance.now() + 300
  await eventually("all are known", async () => {
    await Promise.all(gateways.map((gateway) => gateway.beat()))
    return performance.now() > until
  })
  stream = await watch(broker, cookie, {
    overview: false,
    servers: gateways.map(({ id }) => id),
    joining: false,
    connections: [],
    connecting: false
  })
  await stream.next("the snapshot", () => true)
})

afterAll(async () => {
  await broker?.[Symbol.asyncDispose]()
  if (cluster !== undefined) await Effect.runPromise(Effect.andThen(Cluster.stop(cluster), Cluster.remove(cluster)))
})

interface Heard {
  readonly at: number
  readonly what: string
  readonly answer: Answer
}

/** Asks all the time, each asker as soon as it was answered, until told to stop. */
const traffic = () => {
  const heard: Array<Heard> = []
  let going = true
  const asking = async (what: string, call: () => Promise<Answer>) => {
    while (going) {
      const answer = await call()
      heard.push({ at: performance.now(), what, answer })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  let connections = 0
  const [first] = gateways
  if (first === undefined) throw new Error("no gateways")
  const all = [
    ...gateways.map((gateway) =>
      asking("heartbeat", () => {
        connections += 1
        return gateway.beat({ activeConnections: connections })
      })
    ),
    asking("self", () => first.ask("GET", self)),
    asking("update", () => first.ask("PATCH", self, { body: { version: `${connections}` } })),
    asking("session", () => broker.ask("GET", "/rpc/session.current", { headers: { cookie } })),
    asking("readyz", () => broker.ask("GET", "/readyz")),
    asking("healthz", () => broker.ask("GET", "/healthz"))
  ]
  return {
    heard,
    stop: async () => {
      going = false
      await Promise.all(all)
      return heard
    }
  }
}

const codeOf = ({ json }: Answer) =>
  json["code"] ?? (json["error"] as { readonly data: { readonly problem: string } } | undefined)?.data.problem

/** Takes the database away for a while, in traffic, and looks at all that was answered. */
const without = async (label: string, stop: () => Promise<void>) => {
  const { heard, stop: end } = traffic()
  await eventually("traffic", () => heard.length > 100)
  const gone = performance.now()
  await stop()
  const since = (at: number, what: string, status: number) =>
    heard.find((each) => each.at > at && each.what === what && each.answer.status === status)
  await eventually("not ready", () => since(gone, "readyz", 503), { withinMs: 8_000 })
  await eventually("updates are refused", () => since(gone, "update", 503))
  const away = performance.now()
  await eventually("heartbeats go on meanwhile", () => {
    const beats = heard.filter(({ at, what }) => at > away && what === "heartbeat")
    return beats.length > 60
  })
  await Effect.runPromise(Cluster.start(cluster))
  const back = performance.now()
  const healed = await eventually("updates are taken", () => since(back, "update", 200))
  const ready = await eventually("ready", () => since(back, "readyz", 200))
  await eventually("traffic as before", () => heard.filter(({ at }) => at > ready.at).length > 100)
  await end()
  console.log(
    `${label}: ${heard.length} answers, away for ${Math.round(back - gone)} ms; ` +
      `updates again ${Math.round(healed.at - back)} ms after its return, ready after ${Math.round(ready.at - back)} ms`
  )

  const wrong = heard.filter(({ answer, what }) => {
    if (what === "healthz" || what === "heartbeat") return answer.status !== 200
    if (answer.status === 200) return false
    const code = what === "readyz" ? "not_ready" : "database_unavailable"
    return answer.status !== 503 || codeOf(answer) !== code || !(Number(answer.headers.get("retry-after")) >= 1)
  })
  assert.deepStrictEqual(
    wrong.map(({ answer, what }) => `${what} ${answer.status} ${answer.text}`).slice(0, 5),
    [],
    `${wrong.length} of ${heard.length}`
  )
  assert.isBelow(healed.at - back, 2_000)
  assert.isBelow(ready.at - back, 3_000)
  const faults = broker.log.filter((line) => JSON.parse(line).level === "ERROR")
  assert.deepStrictEqual(faults.slice(0, 3), [])
}

describe("the database", () => {
  it("is restarted: typed 503s, heartbeats accepted, healed in a moment", async () => {
    await without("fast restart", () => Effect.runPromise(Cluster.stop(cluster)))
  })

  it("is killed: the same", async () => {
    await without("kill -9", async () => {
      const running = await Effect.runPromise(Cluster.running(cluster))
      if (Option.isSome(running)) process.kill(running.value.pid, "SIGKILL")
    })
  })

  it("has blamed no server, and has what the last heartbeat said", async () => {
    await Promise.all(gateways.map((gateway) => gateway.beat({ activeConnections: 4_242 })))
    const rows = await broker.sql(
      `select p.active_connections as n, (select count(*)::int from server_transitions t
         where t.server_id = p.server_id and t.axis = 'liveness' and t.after = 'offline') as falls
         from server_presence p`
    )
    assert.deepStrictEqual(
      rows,
      gateways.map(() => ({ n: 4_242, falls: 0 }))
    )
  })

  it("has ended no stream: the dashboard goes on by itself", async () => {
    await stream.next("what came after", ({ servers }) => JSON.stringify(servers).includes('"activeConnections":4242'))
    stream.close()
  })
})
