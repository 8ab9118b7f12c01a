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

  it("offers words of the search by keyboard, and marks what is not understood", async () => {
    const { complaints, page } = await signedIn()
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    const field = page.getByRole("combobox", { name: "Search servers" })
    await page.keyboard.press("/")
    await page.keyboard.type("tag:am")
    await page.getByRole("option", { name: "ams" }).waitFor()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    assert.strictEqual(await field.inputValue(), "tag:ams ")
    await page.waitForURL(/q=tag:ams/)
    await page.getByRole("row", { name: /fra-1/ }).waitFor({ state: "detached" })
    await page.getByRole("row", { name: /ams-2/ }).waitFor()

    await field.fill("stauts:online")
    await page.getByRole("alert").getByText("Did you mean status:?").waitFor()
    await assertAccessible(page, "a search that is not understood")
    await page.getByRole("button", { name: "What can be searched for" }).click()
    await page.getByRole("dialog", { name: "Search servers" }).getByText("tag:eu,us").waitFor()
    assert.deepStrictEqual(complaints, [])
  })

  it("keeps a view under a name, and shows it as the title", async () => {
    const { page } = await signedIn({}, "/servers?q=tag:ams")
    await page.getByRole("button", { name: "Views" }).click()
    await page.getByRole("button", { name: "Save this view…" }).click()
    const dialog = page.getByRole("dialog", { name: "Save this view" })
    await dialog.getByLabel("Name").fill("In Amsterdam")
    await dialog.getByRole("button", { name: "Save view" }).click()
    await page.getByRole("heading", { name: "In Amsterdam" }).waitFor()
    await page.goto("/servers")
    await page.getByRole("heading", { name: "Servers" }).waitFor()
    await page.getByRole("button", { name: "Views" }).click()
    await page.getByRole("link", { name: "In Amsterdam" }).click()
    await page.getByRole("heading", { name: "In Amsterdam" }).waitFor()
    assert.match(page.url(), /q=tag:ams/)
  })

  it("tags many servers after showing what that touches, and undoes it from any page", async () => {
    const { page } = await signedIn()
    await page.getByRole("checkbox", { name: "Select ams-1" }).click()
    await page.getByRole("checkbox", { name: "Select fra-1" }).click({ modifiers: ["Shift"] })
    await page.getByText("3 selected").waitFor()
    await page.getByRole("button", { name: "Tag…" }).click()
    const dialog = page.getByRole("dialog", { name: "Tag 3 servers?" })
    await dialog.getByLabel("Tags to add").fill("spare")
    await dialog.getByText("ams-1, ams-2, fra-1").waitFor()
    await assertAccessible(page, "tag many servers")
    await dialog.getByRole("button", { name: "Tag 3 servers" }).click()
    const panel = page.getByRole("region", { name: "Bulk actions" })
    await panel.getByText("3 changed").waitFor()
    assert.include((await find("fra-1")).tags, "spare")

    await page.getByRole("link", { name: "Users" }).click()
    await page.getByRole("heading", { name: "Users" }).waitFor()
    await assertAccessible(page, "bulk actions")
    await panel.getByRole("button", { name: "Undo" }).click()
    await panel.getByText("Undone.").waitFor()
    await panel.getByText("3 changed").nth(1).waitFor()
    assert.notInclude((await find("fra-1")).tags, "spare")
  })

  it("walks, ticks and opens rows by keyboard, and remembers columns", async () => {
    const { page } = await signedIn()
    await page.getByRole("row", { name: /ams-1/ }).waitFor()
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.locator("[data-row]:focus").getByText("ams-2").waitFor()
    await page.keyboard.press("x")
    await page.getByText("1 selected").waitFor()

    await page.getByRole("button", { name: "Columns and density" }).click()
    await page.getByRole("checkbox", { name: "Public address" }).click()
    await page.getByRole("button", { name: "Dense" }).click()
    await page.getByRole("columnheader", { name: "Public address" }).waitFor()
    await page.reload()
    await page.getByRole("columnheader", { name: "Public address" }).waitFor()
    await page.keyboard.press("j")
    await page.locator("[data-row]:focus").waitFor()
    await page.keyboard.press("Enter")
    await page.getByRole("heading", { name: "ams-1" }).waitFor()
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
