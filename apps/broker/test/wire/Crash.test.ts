/** F1, J2: a broker is killed while clients and servers are at work; whatever it said had happened, has. */
import { assert, describe, it } from "vitest"
import { type Client, granted, present } from "./Client.ts"
import { type Gateway, heartbeat, serving } from "./Gateway.ts"
import { serve } from "./Process.ts"
import { type Answer, ask, eventually, query, sharedDatabase, start } from "./Wire.ts"

const gatewayCount = 4
const userCount = 12

/** What the brokers said of a connection: how far it has come at least. */
interface Promised {
  readonly id: string
  readonly serverId: string
  reached: "intent" | "active" | "ended"
}

describe("kill -9 mid-flow", { timeout: 120_000 }, () => {
  it("F1 J2: every acknowledged intent, start and end is there, nothing is half done, and the loads are right", async () => {
    await using shared = await sharedDatabase()
    const audience = "http://broker.test"
    const seed = await start({ database: shared.database, audience })
    const joinKey = await seed.key({ useLimit: gatewayCount })
    const gateways = await Promise.all(
      Array.from({ length: gatewayCount }, (_, n) => serving(seed, joinKey, `crash-${n}`))
    )
    const clients: ReadonlyArray<Client> = await Promise.all(
      Array.from({ length: userCount }, async (_, n) =>
        present(seed, (await seed.user(`User ${n}`, { connectionLimit: 1_000 })).key)
      )
    )
    await query(shared.database, "update devices set connection_limit = 1000")
    await seed[Symbol.asyncDispose]()

    const brief = { HEARTBEAT_INTERVAL: "30s", SESSION_LIFETIME: "1h" }
    await using doomed = await serve(shared.database, brief)
    await using survivor = await serve(shared.database, brief)

    const promised = new Map<string, Promised>()
    const complaints: Array<string> = []
    /** None when the broker died over it: then it may or may not have happened. */
    const asking = (call: Promise<Answer>) => call.catch(() => undefined)
    let isOver = false

    const flow = async (client: Client, gateway: Gateway, n: number) => {
      // Each starts on the node that will die, and goes on to the other once it is gone.
      let node: { readonly url: string } = n % 3 === 2 ? survivor : doomed
      const moved = (answer: Answer | undefined) => {
        if (answer === undefined) node = survivor
        return answer
      }
      const put = async (id: string, body: unknown) =>
        moved(
          await asking(ask(node.url, "PUT", `/api/v1/servers/self/connections/${id}`, { bearer: gateway.token, body }))
        )
      for (let round = 0; !isOver; round++) {
        const key = `${client.deviceId}-${round}`
        const intent = () =>
          asking(client.at(node).connect({ serverId: gateway.id }, { headers: { "idempotency-key": key } }))
        // An answer that was lost is asked for again by the same key.
        const answer = moved(await intent()) ?? moved(await intent())
        if (answer === undefined) continue
        if (answer.status !== 201) {
          complaints.push(`connect ${answer.status} ${answer.text}`)
          continue
        }
        const { id } = granted(answer)
        if (promised.has(id)) complaints.push(`${id} was given twice`)
        const promise: Promised = { id, serverId: gateway.id, reached: "intent" }
        promised.set(id, promise)
        if (round % 4 === 3) continue
        const active = await put(id, { status: "active" })
        if (active === undefined) continue
        if (active.status !== 200) complaints.push(`active ${active.status} ${active.text}`)
        promise.reached = "active"
        if (round % 4 === 2) continue
        const ended =
          round % 2 === 0
            ? moved(await asking(client.at(node).report(id, { status: "ended", reason: "done" })))
            : await put(id, { status: "ended", reason: "done" })
        if (ended === undefined) continue
        if (ended.status !== 200) complaints.push(`ended ${ended.status} ${ended.text}`)
        promise.reached = "ended"
      }
    }

    const flows = clients.map((client, n) => flow(client, gateways[n % gatewayCount] ?? assert.fail(), n))
    await eventually("plenty is under way", () => promised.size >= 150, { withinMs: 20_000 })
    const before = promised.size
    doomed.child.kill("SIGKILL")
    assert.strictEqual(await doomed.exited, "SIGKILL")
    await eventually("the other one serves them all", () => promised.size >= before + 150, { withinMs: 20_000 })
    isOver = true
    await Promise.all(flows)
    assert.deepStrictEqual(complaints, [])

    const rows = await query(
      shared.database,
      "select id, server_id as server, status, active_at is not null as began, ended_at is not null as over, end_reason as reason from connections"
    )
    const stored = new Map(rows.map((row) => [String(row["id"]), row]))
    const rank: Readonly<Record<string, number>> = { intent: 0, active: 1, ended: 2 }
    const lost = [...promised.values()].filter(({ id, reached, serverId }) => {
      const row = stored.get(id)
      return (
        row === undefined || row["server"] !== serverId || (rank[String(row["status"])] ?? -1) < (rank[reached] ?? 0)
      )
    })
    assert.deepStrictEqual(lost, [])
    console.log(
      `${promised.size} connections acknowledged, ${before} before the kill; ${stored.size} in the database, none lost`
    )
    // Whatever died with the broker was done wholly, or not at all: at most one write of each flow is in doubt.
    const unheard = rows.filter((row) => !promised.has(String(row["id"])))
    assert.isAtMost(unheard.length, userCount)
    for (const row of rows) {
      const { began, over, reason, status } = row
      assert.deepStrictEqual(
        { began, over, reason },
        {
          intent: { began: false, over: false, reason: null },
          active: { began: true, over: false, reason: null },
          ended: { began: true, over: true, reason: "done" }
        }[String(status)]
      )
    }
    const loads = await query(
      shared.database,
      `select l.server_id as server, l.live as counted,
              (select count(*)::int from connections c where c.server_id = l.server_id and c.status in ('intent', 'active')) as live
         from server_loads l order by 1`
    )
    assert.lengthOf(loads, gatewayCount)
    for (const { counted, live } of loads) assert.strictEqual(counted, live)
    const keys = await query(shared.database, "select count(*)::int as n from idempotency_keys")
    assert.strictEqual(keys[0]?.["n"], stored.size, "no key without its connection")

    // And it all goes on: what is live is listed, kept, and ended.
    for (const gateway of gateways) {
      const open = rows.filter((row) => row["server"] === gateway.id && row["status"] === "active").map(({ id }) => id)
      const beat = await ask(survivor.url, "POST", "/api/v1/servers/self/heartbeat", {
        bearer: gateway.token,
        body: heartbeat({ connections: open.slice(0, 1_500) })
      })
      assert.deepInclude(beat.json["cuts"], { connections: [] }, beat.text)
    }
  })
})
