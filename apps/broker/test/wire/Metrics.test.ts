/** The fleet in numbers, as a monitoring system scrapes it with an API token. */
import { parse } from "@broker/testing/Exposition"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { procedure, signIn } from "./Dashboard.ts"
import { describe as describedAt } from "./Described.ts"
import { heartbeat, serving } from "./Gateway.ts"
import { start, type Wire } from "./Wire.ts"

const password = "violet tractor hums at noon"

let broker: Wire
let cookie: string
beforeAll(async () => {
  broker = await start()
  await broker.admin("Ada", password)
  cookie = await signIn(broker, "Ada", password)
})
afterAll(() => broker?.[Symbol.asyncDispose]())

const token = async (...scopes: ReadonlyArray<string>) => {
  const request = { name: "prometheus", scopes, networks: [], expiresInSeconds: 3_600 }
  const answer = await procedure(broker, "mutation", "account.createApiToken", request, cookie)
  assert.strictEqual(answer.status, 200, answer.text)
  return (answer.json["result"] as { readonly data: { readonly token: string } }).data.token
}

const path = "/api/v1/metrics"

describe("GET /api/v1/metrics", () => {
  it("is the fleet in the text format 0.0.4", async () => {
    const gateway = await serving(broker, await broker.key(), "frankfurt-1")
    const beat = heartbeat({ seq: 1_000, activeConnections: 4, metrics: { cpu: 0.25, rxBytes: 1_000, "my.own": 7 } })
    const heard = await broker.ask("POST", "/api/v1/servers/self/heartbeat", { bearer: gateway.token, body: beat })
    assert.strictEqual(heard.status, 200, heard.text)
    const answer = await broker.ask("GET", path, { bearer: await token("metrics:read") })
    assert.strictEqual(answer.status, 200, answer.text)
    assert.strictEqual(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
    const { paths } = await describedAt(broker.url)
    const declared = paths[path]?.["get"]?.responses["200"]?.content ?? {}
    assert.deepStrictEqual(Object.keys(declared), [answer.headers.get("content-type")])
    const families = parse(answer.text)
    const labels = { server: "frankfurt-1", id: gateway.id, group: "" }
    const told = (name: string) => families.get(name)?.samples
    assert.deepStrictEqual(told("broker_server_up"), [{ name: "broker_server_up", labels, value: 1 }])
    assert.deepStrictEqual(told("broker_server_status"), [
      { name: "broker_server_status", labels: { ...labels, status: "online" }, value: 1 }
    ])
    assert.deepStrictEqual(told("broker_server_connections")?.[0]?.value, 4)
    assert.deepStrictEqual(told("broker_metric_cpu")?.[0]?.value, 0.25)
    assert.deepStrictEqual(told("broker_metric_my_own")?.[0]?.value, 7)
    assert.strictEqual(families.get("broker_metric_rx_bytes_total")?.type, "counter")
  })

  it("is for API tokens with the scope metrics:read", async () => {
    const refused = await broker.ask("GET", path, { bearer: await token("servers:read") })
    assert.deepStrictEqual([refused.status, refused.json["code"]], [403, "permission_missing"])
    assert.strictEqual((await broker.ask("GET", path)).status, 401)
  })
})
