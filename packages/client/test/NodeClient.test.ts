/** Client and gateway without Effect, as `docs/client-sdk.md` shows them: a real broker, real HTTP. */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { webhookVerifier } from "@broker/client/Webhook"
import { blocksOf, strangeLines } from "@broker/testing/PageExamples"
import { startBroker } from "@broker/testing/TestBroker"
import { Duration } from "effect"
import { Webhook } from "standardwebhooks"
import { assert, describe, it } from "vitest"
import { startGateway } from "../src/NodeAgent.ts"
import { startClient } from "../src/NodeClient.ts"
import { grantChecker } from "../src/NodeGrantCheck.ts"

const directory = async () => {
  const path = await mkdtemp(join(tmpdir(), "broker-client-"))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Asks again until it is so; a deadline instead of a sleep. */
const eventually = async (is: () => Promise<boolean> | boolean) => {
  for (const until = performance.now() + 10_000; !(await is()); ) {
    if (performance.now() > until) assert.fail("not within 10 s")
    await new Promise((resume) => setTimeout(resume, 25))
  }
}

describe("startClient and startGateway", () => {
  it("C1 C3 C4 connect, report and end, and a gateway that stops says so", async () => {
    await using broker = await startBroker({ policy: { heartbeatInterval: Duration.millis(300) } })
    await using clientDir = await directory()
    await using gatewayDir = await directory()
    const { key: personalKey } = await broker.personalKey(await broker.user("Ada"))
    const registrationKey = await broker.registrationKey()
    const url = broker.url
    const verified = Promise.withResolvers<void>()

    const gateway = await startGateway({
      url,
      name: "fra-1",
      key: registrationKey,
      stateDir: gatewayDir.path,
      capabilities: { vpn: {} },
      endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 51_820 }],
      onEvent: (event) => event._tag === "Verified" && verified.resolve(),
      onClosed: (connection, reason) => console.log(`tear down the tunnel of ${connection.id}: ${reason}`)
    })
    await verified.promise

    await using client = await startClient({ url, personalKey, stateDir: clientDir.path })
    const found: Array<string> = []
    for await (const server of client.servers({ capability: "vpn", near: "50.11,8.68" })) {
      console.log(`${server.name}: ${Math.round(server.load * 100)} % busy`)
      found.push(server.name)
    }
    assert.deepStrictEqual(found, ["fra-1"])
    const totals = { rxBytes: 1_200_000, txBytes: 80_000 }
    const connection = await client.connect(
      { select: { capability: ["vpn"], near: "50.11,8.68" } },
      { metrics: () => totals, everySeconds: 1 }
    )
    const { id } = await gateway.accept(connection.grant)
    gateway.progress(id, { rxBytes: 80_000, txBytes: 1_200_000 })
    await eventually(async () => (await connection.read()).status === "active")
    const { by } = await connection.end("done")
    assert.strictEqual(by, "client")
    await gateway.close(id, "client_left")

    const second = await client.connect({ select: {} }, { everySeconds: 1 })
    await gateway.accept(second.grant)
    await eventually(async () => (await second.read()).status === "active")
    await gateway.stop()
    assert.deepStrictEqual(await second.over, { by: "server", reason: "server_stopped" })
    assert.deepStrictEqual((await readdir(clientDir.path)).sort(), ["device.json", "key.pem"])
    assert.strictEqual((await stat(join(clientDir.path, "key.pem"))).mode & 0o077, 0)
  })

  it("C3 grants can be checked without an agent", async () => {
    await using broker = await startBroker({ policy: { heartbeatInterval: Duration.millis(300) } })
    await using clientDir = await directory()
    const { key: personalKey } = await broker.personalKey(await broker.user("Ada"))
    const url = broker.url
    await broker.agent({ name: "fra-1" })
    await using client = await startClient({ url, personalKey, stateDir: clientDir.path })
    await eventually(async () => (await client.discover()).items.length === 1)
    const connection = await client.connect({ select: {} })
    const serverId = connection.server.id

    await using checker = await grantChecker({ url, serverId })
    const { device } = await checker.check(connection.grant)
    assert.strictEqual(device, (await client.me()).device.id)
    const again: unknown = await checker.check(connection.grant).catch((error) => error)
    assert.deepInclude(again, { _tag: "GrantRefused", reason: "used" })
  })
})

describe("webhookVerifier", () => {
  it("W1 believes what either secret signed, while one takes the other's place", async () => {
    const [secret, formerSecret] = [1, 2].map((fill) => `whsec_${Buffer.alloc(32, fill).toString("base64")}`) as [
      string,
      string
    ]
    const id = "0193c0de-0000-7000-8000-000000000001"
    const server = { id: "0193c0de-0000-7000-8000-000000000002", name: "fra-1" }
    const body = JSON.stringify({
      id,
      type: "server.liveness_changed",
      version: 1,
      at: new Date().toISOString(),
      place: "42",
      subject: { kind: "server", ...server },
      data: { server, group: null, before: "online", after: "offline", reason: null }
    })
    const request = {
      headers: {
        "webhook-id": id,
        "webhook-timestamp": String(Math.floor(Date.now() / 1_000)),
        "webhook-signature": new Webhook(formerSecret).sign(id, new Date(), body)
      }
    }
    const verify = webhookVerifier([secret, formerSecret], { toleranceSeconds: 300 })

    const event = await verify(request.headers, body)
    if (event.type === "server.liveness_changed") console.log(event.data.server.name, event.data.after)
    assert.strictEqual(event.type, "server.liveness_changed")
  })
})

describe("docs/client-sdk.md", () => {
  it("shows nothing but what runs here", async () => {
    const page = new URL("../../../docs/client-sdk.md", import.meta.url)
    assert.deepStrictEqual(await strangeLines(blocksOf(page), new URL(import.meta.url)), [])
  })
})
