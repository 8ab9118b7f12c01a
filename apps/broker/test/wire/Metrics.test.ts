/** The fleet in numbers, as a monitoring system scrapes it with an API token. */
import { defaultOrganizationId } from "@broker/domain/Organization"
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

/** So many that their text is more than sockets hold between a broker and who does not read. */
const servers = 6_000

const fleet = (broker: Wire, metrics: number) => {
  const measured = JSON.stringify(Object.fromEntries(Array.from({ length: metrics }, (_, n) => [`own${n}`, n])))
  return broker.sql(`
    with many as (
      insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                           public_key, endpoints, capabilities, tags, labels, registered_at)
      select gen_random_uuid(), '${defaultOrganizationId}', 'of-many-' || n, 'of-many-' || n, 'approved', now(),
             'serving', now(), sha256(n::text::bytea), '[]', '{}', '{}', '{}', now()
        from generate_series(1, ${servers}) as n
      returning id)
    insert into server_presence (server_id, liveness, liveness_since, last_seen_at, metrics)
    select id, 'online', now(), now(), '${measured}' from many`)
}

/** A scrape of which something has come, and no more is read yet. */
const begun = async (broker: Wire, bearer: string) => {
  const answer = await fetch(`${broker.url}${path}`, { headers: { authorization: `Bearer ${bearer}` } })
  assert.strictEqual(answer.status, 200)
  const reader = answer.body?.getReader()
  if (reader === undefined) return assert.fail("has no body")
  const decoder = new TextDecoder()
  let text = decoder.decode((await reader.read()).value, { stream: true })
  const rest = async () => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return text
      text += decoder.decode(value, { stream: true })
    }
  }
  return { rest }
}

const failed = (promise: Promise<unknown>) =>
  promise.then(
    () => false,
    () => true
  )

describe("a scrape is the whole fleet or no answer", () => {
  it("when the database fails, before it or midway", async () => {
    await fleet(broker, 40)
    const bearer = await token("metrics:read")
    const scrape = await begun(broker, bearer)
    await broker.sql("alter view fleet_servers rename to fleet_servers_away")
    try {
      assert.isTrue(await failed(scrape.rest()))
      assert.strictEqual((await broker.ask("GET", path, { bearer })).status, 500)
    } finally {
      await broker.sql("alter view fleet_servers_away rename to fleet_servers")
    }
    const families = parse(await (await begun(broker, bearer)).rest())
    assert.lengthOf(families.get("broker_metric_own39")?.samples ?? [], servers)
  }, 60_000)

  it("when the broker stops: who reads gets all of it, and who does not is cut off", async () => {
    const other = await start()
    await other.admin("Ada", password)
    const cookie = await signIn(other, "Ada", password)
    const request = { name: "prometheus", scopes: ["metrics:read"], networks: [], expiresInSeconds: 3_600 }
    const answer = await procedure(other, "mutation", "account.createApiToken", request, cookie)
    const bearer = (answer.json["result"] as { readonly data: { readonly token: string } }).data.token
    await fleet(other, 24)
    const [read, unread] = [await begun(other, bearer), await begun(other, bearer)]
    const stopped = other[Symbol.asyncDispose]()
    while (!(await failed(fetch(`${other.url}/healthz`))));
    const families = parse(await read.rest())
    assert.lengthOf(families.get("broker_server_up")?.samples ?? [], servers)
    assert.lengthOf(families.get("broker_metric_own23")?.samples ?? [], servers)
    await stopped
    assert.isTrue(await failed(unread.rest()))
  }, 60_000)
})
