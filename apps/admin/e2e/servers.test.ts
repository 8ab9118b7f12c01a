/** What an admin does with servers, by mouse and by keyboard. */
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration } from "effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, openTab, signIn } from "./Page.ts"

const password = "a long enough password"

describe("servers", () => {
  let browser: Browser
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({
      policy: { heartbeatInterval: Duration.seconds(2), sweepEvery: Duration.millis(250) }
    })
    await broker.admin("ada", password)
    await Promise.all(
      ["ams-1", "ams-2", "fra-1", "nyc-1"].map((name) => broker.agent({ name, tags: [name.slice(0, 3)] }))
    )
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  const signedIn = async (options: Parameters<typeof openTab>[2] = {}, path = "/servers") => {
    const tab = await openTab(browser, broker, options)
    await tab.page.goto(`/sign-in?to=${encodeURIComponent(path)}`)
    await signIn(tab.page, "ada", password)
    await tab.page.waitForURL(`${broker.url}${path}`)
    return tab
  }

  const find = (name: string) => broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, name)))

  it("keeps filters in the URL, so that a link shows the same", async () => {
    const { complaints, page } = await signedIn()
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    await page.keyboard.press("/")
    await page.keyboard.type("ams")
    await page.waitForURL(/ams/)
    await page.getByRole("row", { name: /fra-1/ }).waitFor({ state: "detached" })

    const link = page.url()
    await page.goto("/")
    await page.goto(link)
    await page.getByRole("row", { name: /ams-2/ }).waitFor()
    assert.strictEqual(await page.getByRole("row", { name: /fra-1/ }).count(), 0)
    assert.deepStrictEqual(complaints, [])
  })

  it("drains without asking, and undoes it", async () => {
    const { page } = await signedIn({}, `/servers/${(await find("ams-1")).id}`)
    await page.getByRole("button", { name: "Drain" }).click()
    await page.getByText("Draining", { exact: true }).first().waitFor()
    await page.getByRole("button", { name: "Undo" }).click()
    await page.getByText("Online", { exact: true }).first().waitFor()
    assert.strictEqual((await find("ams-1")).duty, "serving")
  })

  it("suspends with a reason, and approves again", async () => {
    const { page } = await signedIn({}, `/servers/${(await find("ams-2")).id}`)
    await page
      .getByRole("button", { name: /More|Actions/ })
      .first()
      .click()
    await page.getByRole("menuitem", { name: /Suspend/ }).click()
    await page.getByLabel("Reason").fill("Reported for abuse")
    await assertAccessible(page, "suspend")
    await page.getByRole("button", { name: "Suspend server" }).click()
    await page.getByText("Reported for abuse").first().waitFor()
    assert.strictEqual((await find("ams-2")).admission, "suspended")

    await page
      .getByRole("button", { name: /Approve/ })
      .first()
      .click()
    await page.getByText("Suspended", { exact: true }).first().waitFor({ state: "detached" })
    assert.strictEqual((await find("ams-2")).admission, "approved")
  })

  it("retires only once the name was typed", async () => {
    const { page } = await signedIn({}, `/servers/${(await find("nyc-1")).id}`)
    await page
      .getByRole("button", { name: /More|Actions/ })
      .first()
      .click()
    await page.getByRole("menuitem", { name: /Retire/ }).click()
    const retire = page.getByRole("button", { name: "Retire server" })
    assert.isTrue(await retire.isDisabled())
    await page.getByLabel("Type nyc-1 to confirm").fill("nyc-1")
    await assertAccessible(page, "retire")
    await retire.click()
    await page.getByText("Retired", { exact: true }).first().waitFor()
    assert.strictEqual((await find("nyc-1")).admission, "retired")
  })

  it("asks a server to verify itself, and shows that it did", async () => {
    const { id } = await find("fra-1")
    const { page } = await signedIn({}, `/servers/${id}?tab=verification`)
    await page.getByRole("button", { name: "Verify now" }).first().click()
    await page.getByText("Asked for by an admin").first().waitFor()
    await page.getByText("Passed").nth(1).waitFor()
  })

  it("goes anywhere by keyboard", async () => {
    const { page } = await signedIn()
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("k")
    await page.waitForURL(/registration-keys/)
    await page.keyboard.press("Control+k")
    await page.keyboard.type("fra-1")
    await page.getByRole("option", { name: /fra-1/ }).first().waitFor()
    await assertAccessible(page, "palette")
    await page.keyboard.press("Enter")
    await page.getByRole("heading", { name: "fra-1" }).waitFor()
  })

  it.each([
    ["light", 390],
    ["dark", 390],
    ["dark", 1440]
  ] as const)("is accessible in %s at %i px", async (colorScheme, width) => {
    const { complaints, page } = await signedIn({ colorScheme, width }, "/")
    await page.getByText("Needs attention").waitFor()
    await assertAccessible(page, "overview")
    for (const path of ["/servers", `/servers/${(await find("fra-1")).id}`, "/registration-keys", "/nowhere"]) {
      await page.goto(path)
      await page.getByRole("heading").first().waitFor()
      await assertAccessible(page, path)
      const overflow = await page.evaluate<boolean>("document.documentElement.scrollWidth > window.innerWidth")
      assert.isFalse(overflow, `${path} is wider than the screen`)
    }
    assert.deepStrictEqual(complaints, [])
  })
})
