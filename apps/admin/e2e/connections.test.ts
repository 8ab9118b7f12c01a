/** Who is connected where: watched, cut and counted, in a real browser with a real agent process and real clients. */
import { readFile } from "node:fs/promises"
import { Analytics } from "@broker/core/analytics/Analytics"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Connections } from "@broker/core/connections/Connections"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { startClient } from "@broker/testing/Parties"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration, Effect, Schedule } from "effect"
import type { Browser, Page } from "playwright-core"
import { afterAll, afterEach, assert, beforeAll, describe, it } from "vitest"
import { type AgentProcess, startAgentProcess } from "./AgentProcess.ts"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, type Look, password } from "./Page.ts"

const mebibyte = 2 ** 20

type Client = Awaited<ReturnType<typeof startClient>>

describe("connections", { timeout: 60_000 }, () => {
  let browser: Browser
  let broker: RunningBroker
  let agent: AgentProcess
  let client: Client

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({
      policy: { heartbeatInterval: Duration.seconds(1), sweepEvery: Duration.millis(250) },
      connections: { sweepEvery: Duration.millis(250), settlement: Duration.seconds(5) }
    })
    await broker.admin("ada", password)
    agent = await startAgentProcess({
      url: broker.url,
      key: await broker.registrationKey(),
      name: "fra-1",
      takesConnections: true
    })
    const { key } = await broker.personalKey(await broker.user("Grace Hopper"))
    client = await startClient(broker, key, { name: "grace's laptop", platform: "linux" })
    await broker.run(
      Effect.suspend(() => Servers.use((servers) => servers.find(defaultOrganizationId, "fra-1"))).pipe(
        Effect.repeat({ until: ({ available }) => available, schedule: Schedule.spaced("100 millis") }),
        Effect.retry({ schedule: Schedule.spaced("100 millis"), times: 100 })
      )
    )
  })
  afterAll(async () => {
    await browser.close()
    await client[Symbol.asyncDispose]()
    await agent[Symbol.asyncDispose]()
    await broker[Symbol.asyncDispose]()
  })

  /** What a test leaves open counts towards the limits that the next one meets. */
  const opened: Array<() => Promise<void>> = []
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((hangUp) => hangUp()))
  })

  const signedIn = (path: string, look?: Look) => enter(browser, broker, path, look)

  /** Connects, hands the grant to the gateway, and sends bytes both ways as both sides count them. */
  const connect = async () => {
    const connection = await client.connect({ select: {} }, { everySeconds: 1 })
    const endpoint = connection.server.endpoints.find(({ protocol }) => protocol === "demo")
    const gateway = `http://${endpoint?.host}:${endpoint?.port}`
    const post = (path: string, body: object) =>
      fetch(`${gateway}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body)
      })
    const accepted = await post("/connect", { grant: connection.grant })
    assert.strictEqual(accepted.status, 200)
    const hangUp = async () => {
      await connection.end("done")
      await fetch(`${gateway}/connections/${connection.id}`, { method: "DELETE" })
    }
    opened.push(hangUp)
    return {
      ...connection,
      hangUp,
      exchange: async (received: number, sent: number) => {
        await post(`/connections/${connection.id}/traffic`, { received, sent })
        await connection.report({ rxBytes: received, txBytes: sent, rttMs: 23 })
      }
    }
  }

  const figure = (page: Page, label: string) => page.getByRole("link", { name: new RegExp(`^${label} `) })

  it("C6 shows a connection come, cuts it, and tells how long the server took", async () => {
    // Given an admin who looks at an empty list
    const { complaints, page } = await signedIn("/connections")
    await page.getByText("Nobody is connected now").waitFor()
    await assertAccessible(page, "no connections")

    // When a client connects, then its row comes by itself; a second one is announced, as rows do not jump
    const connection = await connect()
    const rows = page.getByRole("row", { name: /Grace Hopper/ })
    await rows.getByText("Active").waitFor()
    const other = await connect()
    await page.getByRole("button", { name: "1 new: show" }).click()
    await rows.nth(1).waitFor()
    await figure(page, "Active").getByText("2", { exact: true }).waitFor()

    // Then progress changes the row
    await connection.exchange(5 * mebibyte, mebibyte)
    const row = page.getByRole("row").filter({ has: page.locator(`a[href="/connections/${connection.id}"]`) })
    await row.getByText("5.0 MiB").waitFor()
    await row.getByText("23 ms").waitFor()
    await assertAccessible(page, "connections")

    // When the admin disconnects it on its page
    await row.getByRole("link", { name: connection.id.slice(-8) }).click()
    await page.getByRole("heading", { name: "Grace Hopper to fra-1" }).waitFor()
    await page.getByText("Accepted it").waitFor()
    await assertAccessible(page, "connection")
    await page.getByRole("button", { name: "Disconnect…" }).click()
    await page.getByText("grace's laptop loses its connection to fra-1").waitFor()
    await assertAccessible(page, "disconnect")
    await page.getByRole("button", { name: "Disconnect", exact: true }).click()

    // Then the agent's next heartbeat confirms the cut, and the page shows the time it took
    await page.getByText("Confirmed the cut").waitFor()
    await page
      .getByText(/^\d+\.\d s$/)
      .first()
      .waitFor()
    await page.getByText("ordered by ada").waitFor()
    assert.strictEqual((await connection.over).reason, "admin_disconnected")

    // And once the client told its end too, both accounts are compared
    await connection.end("disconnected", { rxBytes: 5 * mebibyte, txBytes: mebibyte })
    await page.getByText("Confirmed", { exact: true }).waitFor()
    await page.getByText("Both sides told its end").waitFor()
    await assertAccessible(page, "settled connection")

    // And the act stands among the cuts
    await page.goto("/connections?tab=cuts")
    const cut = page.getByRole("row").filter({ hasText: connection.id.slice(-8) })
    await cut.getByText("Confirmed").waitFor()
    await cut.getByText("1 of 1").first().waitFor()
    await assertAccessible(page, "cuts")

    // And analytics count both
    await other.hangUp()
    await broker.run(Analytics.use(({ rollUp }) => rollUp))
    await page.goto("/analytics?range=24h&by=user")
    await page.getByRole("row", { name: /Grace Hopper/ }).waitFor()
    await page
      .getByRole("figure")
      .filter({ hasText: "Connections opened" })
      .getByText("2", { exact: true })
      .first()
      .waitFor()
    await page.getByRole("button", { name: "Show as table" }).click()
    await page.getByRole("table", { name: "Figures by step" }).waitFor()
    await assertAccessible(page, "analytics as a table")
    assert.deepStrictEqual(complaints, [])
  }, 90_000)

  it("disconnects many at once, with the progress on screen", async () => {
    const { page } = await signedIn("/connections")
    const doomed = [await connect(), await connect(), await connect()]
    await page.goto("/connections")
    await page
      .getByRole("row", { name: /Grace Hopper/ })
      .nth(2)
      .waitFor()
    await page.getByRole("checkbox", { name: "Select all connections of this page" }).click()
    await page.getByRole("button", { name: "Disconnect…" }).click()
    await page.getByText("3 connections of 1 user on 1 server end.").waitFor()
    await assertAccessible(page, "disconnect many")
    await page.getByRole("button", { name: "Disconnect 3" }).click()
    await page.getByText("3 connections disconnected").waitFor()
    for (const { over } of doomed) assert.strictEqual((await over).reason, "admin_disconnected")
    assert.strictEqual(await page.getByRole("row", { name: /Ended/ }).count(), 3)
    assert.strictEqual(await page.getByText("3 selected").count(), 0)
  })

  it("keeps filters in the URL, and exports what they leave", async () => {
    for (const { id } of [await connect(), await connect()]) {
      await broker.run(
        Connections.use((connections) => connections.disconnect(defaultOrganizationId, id)).pipe(
          Effect.provideService(Actor, byBroker)
        )
      )
    }
    const { page } = await signedIn("/connections")
    await page.getByRole("button", { name: "Over", exact: true }).click()
    await page.waitForURL(/scope=over/)
    await page.getByLabel("End reason").selectOption("admin_disconnected")
    await page.waitForURL(/reason=admin_disconnected/)
    await page.getByRole("button", { name: "User", exact: true }).click()
    await page.getByPlaceholder("Find a user").fill("grace")
    await page.getByRole("option", { name: /Grace Hopper/ }).click()
    await page.waitForURL(/user=/)
    await page
      .getByRole("row", { name: /disconnected by an admin/ })
      .nth(1)
      .waitFor()
    await assertAccessible(page, "filtered connections")

    const link = page.url()
    await page.goto("/")
    await page.goto(link)
    await page.getByRole("button", { name: /Remove the user Grace Hopper/ }).waitFor()
    await page
      .getByRole("row", { name: /disconnected by an admin/ })
      .nth(1)
      .waitFor()

    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export CSV" }).click()
    ])
    const lines = (await readFile(await download.path(), "utf8")).trim().split("\r\n")
    assert.strictEqual(lines.length - 1, await page.getByRole("row", { name: /disconnected by an admin/ }).count())
    assert.isTrue(lines.slice(1).every((line) => line.includes(",admin_disconnected,")))
  })

  it("shows a server's connections on its page", async () => {
    const { id } = await broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, "fra-1")))
    const { page } = await signedIn(`/servers/${id}?tab=connections`)
    await page.getByText("Nobody is connected to it now").waitFor()
    const connection = await connect()
    await page
      .getByRole("row", { name: /Grace Hopper/ })
      .getByText("Active")
      .waitFor()
    await page.getByRole("tab", { name: "Connections 1" }).waitFor()
    await page.getByText("1 of 1,000").waitFor()
    await assertAccessible(page, "connections of a server")
    await page.getByRole("button", { name: "Change limit…" }).click()
    await page.getByLabel("Limit").fill("many")
    await page.getByRole("button", { name: "Change limit", exact: true }).click()
    await page.getByText(/^Limit must be/).waitFor()
    await page.getByLabel("Limit").fill("500")
    await assertAccessible(page, "limit")
    await page.getByRole("button", { name: "Change limit", exact: true }).click()
    await page.getByText("1 of 500").waitFor()
    await connection.hangUp()
    await page.getByRole("row", { name: /Ended/ }).waitFor()
  })

  it("goes everywhere by keyboard, and finds a connection by its id", async () => {
    const connection = await connect()
    const { page } = await signedIn("/")
    await page.getByRole("heading", { name: "Overview" }).waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("c")
    await page.waitForURL(/\/connections$/)
    await page.getByRole("row", { name: /Grace Hopper/ }).waitFor()
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await page.getByText("1 selected").waitFor()
    await page.keyboard.press("Enter")
    await page.waitForURL(`${broker.url}/connections/${connection.id}`)

    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await page.waitForURL(/\/analytics$/)
    await page.getByRole("button", { name: "The time before" }).waitFor()
    await page.keyboard.press("[")
    await page.waitForURL(/end=/)
    await page.keyboard.press("]")
    await page.waitForURL(/\/analytics$/)

    await page.keyboard.press("Control+k")
    await page.keyboard.type(connection.id)
    await page.getByRole("option", { name: /Grace Hopper to fra-1/ }).waitFor()
    await assertAccessible(page, "palette with a connection")
    await page.keyboard.press("Enter")
    await page.getByRole("heading", { name: "Grace Hopper to fra-1" }).waitFor()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("grace")
    await page.getByRole("option", { name: /Grace Hopper/ }).waitFor()
    await page.keyboard.press("Enter")
    await page.waitForURL(/\/users\//)
  })

  it("is accessible in light and dark, on narrow screens and wide ones", async () => {
    const connection = await connect()
    await connection.exchange(3 * mebibyte, mebibyte)
    await broker.run(Analytics.use(({ rollUp }) => rollUp))
    const { complaints, page } = await signedIn("/connections")
    const paths = [
      "/connections",
      "/connections?scope=all",
      "/connections?tab=cuts",
      `/connections/${connection.id}`,
      "/analytics",
      "/analytics?range=30d&by=platform",
      "/analytics?from=2026-01-01&to=2026-01-31"
    ]
    for (const path of paths) {
      await page.goto(path)
      await page.getByRole("heading", { level: 1 }).first().waitFor()
      await assertFits(page, path)
    }
    await connection.hangUp()
    assert.deepStrictEqual(complaints, [])
  }, 90_000)
})
