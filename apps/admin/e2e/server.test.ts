/** What an admin sees of one server, tab by tab, and how maintenance is announced. */
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration } from "effect"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, type Look, password } from "./Page.ts"

const tabs = ["metrics", "timeline", "connections", "verification", "audit", "notes", "settings"] as const

describe("a server's page", () => {
  let browser: Browser
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({
      policy: { heartbeatInterval: Duration.seconds(2), sweepEvery: Duration.millis(250) }
    })
    await broker.admin("ada", password)
    await Promise.all(["ams-1", "fra-1"].map((name) => broker.agent({ name, tags: [name.slice(0, 3)] })))
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  const signedIn = (path: string, look?: Look) => enter(browser, broker, path, look)

  const find = (name: string) => broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, name)))
  const pageOf = async (name: string, tab?: string) =>
    `/servers/${(await find(name)).id}${tab === undefined ? "" : `?tab=${tab}`}`

  const tab = (page: Page, name: string | RegExp) => page.getByRole("tab", { name })

  it("keeps the open tab in the URL, and comes back to it", async () => {
    const { complaints, page } = await signedIn(await pageOf("fra-1"))
    await page.getByText("Key fingerprint").waitFor()
    await tab(page, "Notes").click()
    await page.waitForURL(/tab=notes/)
    await page.reload()
    await page.getByRole("button", { name: "Add note" }).waitFor()
    await page.goBack()
    await page.getByText("Key fingerprint").waitFor()
    assert.deepStrictEqual(complaints, [])
  })

  it("gives tags and labels, and tells who did on the timeline and in the audit log (A6)", async () => {
    const { page } = await signedIn(await pageOf("ams-1", "settings"))
    await page.getByLabel("Tags", { exact: true }).fill("rack-2, blue")
    await page.getByLabel("Labels", { exact: true }).fill("site=ams")
    await page.getByRole("button", { name: "Save" }).click()
    await page.getByText("ams-1 is changed").waitFor()
    assert.deepStrictEqual([...(await find("ams-1")).tags].toSorted(), ["ams", "blue", "rack-2"])

    await tab(page, "Timeline").click()
    await page.getByText(/Assigned tags: none → /).waitFor()
    await page.getByRole("button", { name: "Outages of the broker" }).click()
    await page.waitForURL(/show=outages/)
    await page.getByText(/Assigned tags/).waitFor({ state: "detached" })

    await tab(page, "Audit").click()
    await page.getByText("by ada").first().waitFor()
    await tab(page, "Summary").click()
    await page.getByText("site=ams").waitFor()
  })

  it("refuses a tag that is none, under its field", async () => {
    const { page } = await signedIn(await pageOf("ams-1", "settings"))
    await page.getByLabel("Tags", { exact: true }).fill("!!")
    await page.getByRole("button", { name: "Save" }).click()
    await page.getByText(/Each tag must be a word/).waitFor()
    await assertAccessible(page, "refused tag")
  })

  it("takes the limit of a server back to what is inherited", async () => {
    const { page } = await signedIn(await pageOf("fra-1", "settings"))
    await page.getByText(/the default, as it is in no group/).waitFor()
    await page.getByRole("button", { name: "Change limit…" }).click()
    await page.getByLabel("Limit").fill("7")
    await page.getByRole("button", { name: "Change limit", exact: true }).click()
    await page.getByText("It takes 7 at once: a limit of its own.").waitFor()
    await page.getByRole("button", { name: "Change limit…" }).click()
    await page.getByLabel("Limit").fill("")
    await page.getByRole("button", { name: "Change limit", exact: true }).click()
    await page.getByText(/the default, as it is in no group/).waitFor()
    assert.isNull((await find("fra-1")).ownConnectionLimit)
  })

  it("keeps notes, and offers one that was deleted again", async () => {
    const { page } = await signedIn(await pageOf("fra-1", "notes"))
    await page.getByLabel("Note", { exact: true }).fill("Fan replaced in May")
    await page.getByRole("button", { name: "Add note" }).click()
    await page.getByRole("listitem").filter({ hasText: "Fan replaced in May" }).waitFor()
    await page.getByRole("button", { name: "Delete the note of ada" }).click()
    await page.getByRole("listitem").filter({ hasText: "Fan replaced in May" }).waitFor({ state: "detached" })
    await page.getByRole("button", { name: "Write it again" }).click()
    await page.getByRole("listitem").filter({ hasText: "Fan replaced in May" }).waitFor()
  })

  it("draws metrics, as a table too, over a time that stands in the URL (H9)", async () => {
    const { page } = await signedIn(await pageOf("fra-1", "metrics"))
    await page.getByRole("img", { name: /^Processor\. Processor: last / }).waitFor()
    await page.getByRole("button", { name: "6 h" }).click()
    await page.waitForURL(/range=6h/)
    await page.keyboard.press("[")
    await page.waitForURL(/end=/)
    await page.getByText(/Nothing was measured in this time/).waitFor()
    await page.keyboard.press("]")
    await page.waitForURL((url) => !url.search.includes("end="))
    await page.getByRole("img", { name: /^Processor\. Processor: last / }).waitFor()
    await page.getByRole("button", { name: "Show as table" }).click()
    await page.getByRole("columnheader", { name: "Processor" }).waitFor()

    await page.getByRole("button", { name: "Show as charts" }).click()
    const chart = page.getByRole("img", { name: /^Processor\./ })
    await chart.waitFor()
    const box = await chart.boundingBox()
    assert(box !== null)
    await page.mouse.move(box.x + box.width * 0.5, box.y + 40)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.8, box.y + 40, { steps: 5 })
    await page.mouse.up()
    await page.waitForURL(/from=.*to=/)
  })

  it("announces maintenance of one server, says what that leaves out, and calls it off (H5)", async () => {
    const { page } = await signedIn(await pageOf("fra-1", "settings"))
    await page.getByRole("button", { name: "Announce…" }).click()
    await page.getByLabel("Reason (optional)").fill("Kernel update")
    await page.getByText(/For 1 h, time in which fra-1 is down is left out/).waitFor()
    await assertAccessible(page, "announce")
    await page.getByRole("button", { name: "Announce maintenance" }).click()
    await page.getByText("Maintenance is announced").waitFor()

    await page.goto("/maintenance")
    const window = page.getByRole("list", { name: "Maintenance windows" }).getByRole("listitem")
    await window.filter({ hasText: "Kernel update" }).waitFor()
    await page.getByRole("button", { name: "Call off the maintenance of fra-1" }).click()
    await page.getByText(/nothing is left out for it/).waitFor()
    await page.getByRole("button", { name: "Call off", exact: true }).click()
    await page.getByText("No maintenance is announced").waitFor()
  })

  it("announces maintenance of the whole fleet, and tells availability by group over a chosen time", async () => {
    const { complaints, page } = await signedIn("/maintenance")
    await page.getByRole("button", { name: "Announce maintenance" }).first().click()
    await page.getByRole("button", { name: "Fleet" }).click()
    await page.getByText(/any server of the fleet is down is left out/).waitFor()
    await page.getByRole("dialog").getByRole("button", { name: "Announce maintenance" }).click()
    await page.getByRole("list", { name: "Maintenance windows" }).getByText("The whole fleet").waitFor()
    await page.getByRole("button", { name: "7 d", exact: true }).click()
    await page.waitForURL(/range=7d/)
    await page.getByRole("row", { name: /The whole fleet/ }).waitFor()
    assert.deepStrictEqual(complaints, [])
  })

  it("is accessible in light and dark, on narrow screens and wide ones, in every tab", async () => {
    const { complaints, page } = await signedIn(await pageOf("fra-1"))
    await page.getByRole("img", { name: /^Last 90 days:/ }).waitFor()
    // Minutes are summed up some time later: there may be none yet.
    const charts = page.getByRole("region", { name: "Last 24 hours" })
    await charts
      .getByText(/Processor|Nothing of this time/)
      .first()
      .waitFor()
    await assertFits(page, "summary")
    for (const tab of tabs) {
      await page.goto(await pageOf("fra-1", tab))
      await page.getByRole("tabpanel").locator("section, ul, p").first().waitFor()
      await assertFits(page, tab)
    }
    await page.goto("/maintenance")
    await page.getByRole("heading", { name: "Outages of the broker" }).waitFor()
    await assertFits(page, "maintenance")
    assert.deepStrictEqual(complaints, [])
  }, 90_000)
})
