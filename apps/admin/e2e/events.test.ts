/** What happened, as it happens: followed, narrowed, kept as a view, and taken away as a file. */
import { readFile } from "node:fs/promises"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import { Servers } from "@broker/core/servers/Servers"
import { Event } from "@broker/domain/Event"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration, Effect, Schema } from "effect"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, password } from "./Page.ts"

describe("events", () => {
  let browser: Browser
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({ policy: { heartbeatInterval: Duration.seconds(2), sweepEvery: Duration.millis(250) } })
    await broker.admin("ada", password)
    await broker.user("=1+1")
    await Promise.all(["ams-1", "fra-1"].map((name) => broker.agent({ name })))
    const alarm = Audit.use((audit) =>
      audit.alarm({
        organizationId: defaultOrganizationId,
        kind: "sign_in_slowed",
        severity: "low",
        serverId: null,
        details: {}
      })
    )
    await broker.run(Effect.provideService(alarm, Actor, byBroker))
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  const download = async (page: Page, name: string) => {
    await page.getByRole("button", { name: "Export", exact: true }).click()
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name }).click()])
    return { name: file.suggestedFilename(), text: await readFile(await file.path(), "utf8") }
  }

  it("come by themselves, and wait while somebody reads", async () => {
    const { complaints, page } = await enter(browser, broker, "/servers")
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("e")
    await page.waitForURL(/\/events$/)
    await page.getByRole("row", { name: /fra-1 sent its first heartbeat/ }).waitFor()
    await page.getByRole("row", { name: /Sign-ins failed so often.*Low/ }).waitFor()

    await broker.user("Grace")
    await page.getByRole("row", { name: /The broker created a user: Grace/ }).waitFor()

    await page.getByRole("link", { name: "fra-1 joined" }).click()
    await page.waitForURL(/event=/)
    const details = page.getByRole("complementary", { name: "Event" })
    await details.getByText("fra-1 joined.").waitFor()
    await details.getByText(/"type": "server\.registered"/).waitFor()
    await details.getByRole("button", { name: "Copy the event as JSON" }).waitFor()
    await broker.user("Edsger")
    await page.getByRole("button", { name: "1 new: show" }).waitFor()
    assert.strictEqual(await page.getByRole("row", { name: /Edsger/ }).count(), 0)
    // What is read is in the link.
    await page.reload()
    await details.getByText("fra-1 joined.").waitFor()
    await details.getByRole("button", { name: "Close" }).click()
    await page.waitForURL(/\/events$/)
    // Whoever closes it is where they opened it.
    assert.strictEqual(await page.evaluate("document.activeElement.textContent.trim()"), "fra-1 joined")
    await page.getByRole("row", { name: /Edsger/ }).waitFor()

    await page.getByRole("button", { name: "Pause" }).click()
    await broker.user("Barbara")
    await page.getByRole("button", { name: "1 new: show" }).click()
    await page.getByRole("row", { name: /Barbara/ }).waitFor()
    assert.deepStrictEqual(complaints, [])
  })

  it("make room for more than a page of new ones, and none is missing: on the next page, nor beside the list", async () => {
    const { complaints, page } = await enter(browser, broker, "/events?limit=25")
    await page.getByRole("link", { name: "fra-1 joined" }).click()
    const details = page.getByRole("complementary", { name: "Event" })
    await details.getByText("fra-1 joined.").waitFor()
    await Promise.all(Array.from({ length: 26 }, (_, at) => broker.user(`visitor ${at}`)))
    await page.getByRole("button", { name: "25+ new: show" }).click()
    await page.getByRole("row", { name: /fra-1 joined/ }).waitFor({ state: "detached" })
    await details.getByText("fra-1 joined.").waitFor()
    await page.keyboard.press("Escape")
    await page.waitForURL(/limit=25$/)
    const visitors = async () => {
      const rows = await page.getByRole("row", { name: /visitor \d+/ }).allInnerTexts()
      return rows.flatMap((text) => /visitor \d+/.exec(text) ?? [])
    }
    const first = await visitors()
    await page.getByRole("button", { name: "Next" }).click()
    await page.waitForURL(/after=/)
    await page.getByRole("row", { name: /fra-1 joined/ }).waitFor()
    const all = [...first, ...(await visitors())]
    assert.deepStrictEqual([all.length, new Set(all).size], [26, 26])
    assert.deepStrictEqual(complaints, [])
  })

  it("are narrowed in the URL, kept as a view, and taken away as CSV and NDJSON (W4)", async () => {
    const { complaints, page } = await enter(browser, broker, "/events")
    await page.getByRole("row", { name: /a user: =1\+1/ }).waitFor()
    await page.getByRole("button", { name: /^Types/ }).click()
    await page.getByRole("checkbox", { name: "All of Servers" }).click()
    await page.waitForURL(/type=server\.registered,/)
    await page.getByRole("button", { name: "Done" }).click()
    await page.getByRole("row", { name: /The broker created/ }).waitFor({ state: "detached" })
    await page.getByRole("searchbox").fill("fra")
    await page.waitForURL(/q=fra/)
    await page.getByRole("row", { name: /ams-1/ }).first().waitFor({ state: "detached" })

    await page.getByRole("button", { name: "Views" }).click()
    await page.getByRole("button", { name: "Save this view…" }).click()
    const dialog = page.getByRole("dialog", { name: "Save this view" })
    await dialog.getByLabel("Name").fill("Frankfurt")
    await dialog.getByRole("button", { name: "Save view" }).click()
    await dialog.waitFor({ state: "detached" })
    await page.goto("/events")
    await page.getByRole("button", { name: "Views" }).click()
    await page.getByRole("link", { name: "Frankfurt", exact: true }).click()
    await page.waitForURL(/q=fra&type=server\.registered,/)
    await page.getByRole("row", { name: /fra-1 joined/ }).waitFor()

    const { name, text } = await download(page, "Export NDJSON")
    assert.match(name, /^events-\d{4}-\d\d-\d\d\.ndjson$/)
    const events = text
      .trimEnd()
      .split("\n")
      .map((line) => Schema.decodeUnknownSync(Schema.fromJsonString(Event))(line))
    assert.isAtLeast(events.length, 2)
    assert.isTrue(events.every(({ subject }) => subject.name === "fra-1"))

    await page.goto("/events?type=audit.recorded")
    await page.getByRole("row", { name: /a user: =1\+1/ }).waitFor()
    const lines = (await download(page, "Export CSV")).text.split("\r\n")
    assert.match(lines[0] ?? "", /^place,id,at,type,severity,message,/)
    assert.isDefined(
      lines.find((line) => line.includes(",The broker created a user: =1+1,user,") && line.includes(",'=1+1,"))
    )
    assert.deepStrictEqual(complaints, [])
  })

  it("are found from the page of what they are about", async () => {
    const { id } = await broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, "ams-1")))
    const { page } = await enter(browser, broker, `/servers/${id}?tab=timeline`)
    await page.getByRole("link", { name: "Show its events" }).click()
    await page.waitForURL(/subject=/)
    await page.getByRole("row", { name: /ams-1 joined/ }).waitFor()
    assert.strictEqual(await page.getByRole("row", { name: /fra-1/ }).count(), 0)
    await page.getByRole("button", { name: "Remove ams-1 from the filter" }).click()
    await page.getByRole("row", { name: /fra-1 joined/ }).waitFor()
  })

  it("are accessible in light and dark, on narrow screens and wide ones", async () => {
    const { complaints, page } = await enter(browser, broker, "/events")
    await page.getByRole("row", { name: /fra-1 joined/ }).waitFor()
    await assertFits(page, "events")
    await page.getByRole("button", { name: /^Types/ }).click()
    await page.getByRole("checkbox", { name: "All of Servers" }).waitFor()
    await assertAccessible(page, "types")
    await page.keyboard.press("Escape")
    await page.getByRole("link", { name: "fra-1 joined" }).click()
    await page.getByText(/"type": "server\.registered"/).waitFor()
    await assertFits(page, "an event")
    assert.deepStrictEqual(complaints, [])
  }, 60_000)
})
