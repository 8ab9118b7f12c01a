/**
 * How long a client waits for its grant: `node bench/connections.ts [intents per second] [seconds] [whole]`.
 *
 * A broker of its own, with a database that keeps what it is told, asked over HTTP at an even pace whether it keeps up
 * or not. With `whole`, each connection is taken by its server and ended by its client as well, so that the broker
 * answers three requests for each intent; only the first one is timed.
 */
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { loadavg, tmpdir } from "node:os"
import { join } from "node:path"
import { type Client, granted, present } from "../apps/broker/test/wire/Client.ts"
import { procedure, signIn } from "../apps/broker/test/wire/Dashboard.ts"
import { type Gateway, serving } from "../apps/broker/test/wire/Gateway.ts"
import { type Answer, eventually, freePort } from "../apps/broker/test/wire/Wire.ts"
import { percentile } from "./measure.ts"

const [rate = 200, seconds = 30] = process.argv.slice(2, 4).map(Number)
const isWhole = process.argv[4] === "whole"
const users = 400
const servers = 40

const admin = { name: "bench", password: "violet tractor hums at noon" }
const port = await freePort()
const home = { url: `http://localhost:${port}`, audience: `http://localhost:${port}` }
const directory = await mkdtemp(join(tmpdir(), "broker-bench-"))
const program = new URL("../apps/broker/src/main.ts", import.meta.url).pathname

const broker = spawn(process.execPath, [program, "serve", "--port", String(port), "--data-dir", directory], {
  env: {
    PATH: process.env["PATH"],
    ADMIN_NAME: admin.name,
    ADMIN_PASSWORD: admin.password,
    LOG_LEVEL: "warn",
    // All of them come from one address.
    RATE_LIMIT_API: "0",
    RATE_LIMIT_SIGN_IN: "0",
    RATE_LIMIT_REGISTRATION: "0",
    RATE_LIMIT_DASHBOARD: "0",
    RATE_LIMIT_PAGES: "0",
    RATE_LIMIT_HEARTBEATS: "0",
    // Intents that are left alone live for a minute.
    CONNECTIONS_PER_DEVICE: "1000",
    // Its embedded PostgreSQL runs as another user where this is root.
    HOME: process.env["HOME"]
  },
  stdio: ["ignore", "inherit", "inherit"]
})

const line = (label: string, times: ReadonlyArray<number>) => {
  const [p50, p90, p99, worst] = [0.5, 0.9, 0.99, 1].map((share) => percentile(times, share).toFixed(1).padStart(8))
  console.log(`${label.padEnd(28)} ${String(times.length).padStart(6)} ${p50} ${p90} ${p99} ${worst}`)
}

const dataOf = (answer: Answer) => {
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
  return (answer.json["result"] as { readonly data: { readonly id: string; readonly key: string } }).data
}

try {
  // The first admin is made in the moment after it first answers.
  const cookie = await eventually(
    "the broker lets us in",
    () =>
      signIn(home, admin.name, admin.password).then(
        (cookie) => cookie,
        () => undefined
      ),
    { withinMs: 60_000, everyMs: 200 }
  )
  const act = async (name: string, input: unknown) => dataOf(await procedure(home, "mutation", name, input, cookie))

  const { key } = await act("registrationKeys.create", {
    name: "bench",
    useLimit: servers,
    expiresInSeconds: 3_600,
    tags: [],
    approval: false,
    replacesServerId: null
  })
  const gateways: Array<Gateway> = []
  for (let n = 0; n < servers; n++) {
    gateways.push(await serving(home, key, `bench-${n}`, { tags: [n % 2 === 0 ? "even" : "odd"] }))
  }
  const byId = new Map(gateways.map((gateway) => [gateway.id, gateway]))
  const clients: Array<Client> = []
  for (let n = 0; n < users; n++) {
    const { id: userId } = await act("users.create", { name: `User ${n}`, email: null, note: "" })
    const personal = await act("personalKeys.create", {
      userId,
      name: "bench",
      expiresInSeconds: null,
      connectionLimit: 1_000
    })
    clients.push(await present(home, personal.key))
  }
  console.log(`${servers} servers, ${users} users; ${rate} intents/s for ${seconds} s`)

  const times = { named: [] as number[], selected: [] as number[] }
  const refusals = new Map<string, number>()
  const refused = (what: string) => refusals.set(what, (refusals.get(what) ?? 0) + 1)
  const one = async (n: number) => {
    const client = clients[(n * 7) % users]
    const gateway = gateways[(n * 13) % servers]
    if (client === undefined || gateway === undefined) return
    const isNamed = n % 2 === 0
    const asked = performance.now()
    const answer = await client.connect(isNamed ? { serverId: gateway.id } : { select: { tag: ["even"] } })
    const took = performance.now() - asked
    if (answer.status !== 201) {
      refused(`${answer.status} ${answer.json["code"]} ${answer.json["scope"] ?? ""}`)
      return
    }
    // The first seconds warm the broker up.
    if (n >= rate * 3) (isNamed ? times.named : times.selected).push(took)
    if (!isWhole) return
    const { id, server } = granted(answer)
    await byId.get(server.id)?.ask("PUT", `/api/v1/servers/self/connections/${id}`, { body: { status: "active" } })
    await client.report(id, { status: "ended", reason: "done", metrics: { rxBytes: 1_000, txBytes: 1_000 } })
  }

  const began = performance.now()
  const all: Array<Promise<void>> = []
  for (let n = 0; n < rate * (seconds + 3); n++) {
    const due = began + (n * 1_000) / rate
    const early = due - performance.now()
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early))
    all.push(one(n).catch((error: unknown) => void refused(String(error))))
  }
  await Promise.all(all)
  console.log(
    `${"intent → grant, ms".padEnd(28)} ${"count".padStart(6)} ${["p50", "p90", "p99", "worst"].map((each) => each.padStart(8)).join(" ")}`
  )
  line("of a server by name", times.named)
  line("of the best by a tag", times.selected)
  line("all", [...times.named, ...times.selected])
  for (const [refusal, count] of refusals) console.log(`${count} × ${refusal}`)
  console.log(
    `load of the machine: ${loadavg()
      .map((each) => each.toFixed(1))
      .join(", ")}`
  )
} finally {
  broker.kill("SIGTERM")
  await new Promise((resolve) => broker.once("exit", resolve))
  await rm(directory, { recursive: true, force: true })
}
