/** What an admin does with servers, by mouse and by keyboard. */
import * as Database from "@broker/core/Database"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { bigFleet } from "@broker/testing/BigFleet"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { Duration, Effect, Exit, Scope } from "effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, knock, type Look, password } from "./Page.ts"

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

  const signedIn = (look: Look = {}, path = "/servers") => enter(browser, broker, path, look)

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

  it("is accessible in light and dark, on narrow screens and wide ones", async () => {
    const { complaints, page } = await signedIn({}, "/")
    await page.getByText("Needs attention").waitFor()
    await assertFits(page, "overview")
    for (const path of ["/servers", `/servers/${(await find("fra-1")).id}`, "/registration-keys", "/nowhere"]) {
      await page.goto(path)
      await page.getByRole("heading").first().waitFor()
      await assertFits(page, path)
    }
    assert.deepStrictEqual(complaints, [])
  }, 90_000)
})

describe("more servers than a page holds", () => {
  let browser: Browser
  let broker: RunningBroker
  const scope = Scope.makeUnsafe()

  beforeAll(async () => {
    browser = await launch()
    const database = await Effect.runPromise(Scope.provide(TestDatabase.createDatabase, scope))
    // Slowly enough for somebody to stop it.
    broker = await startBroker({ database, bulkActs: { serversPerRun: 5 } })
    await Effect.runPromise(
      bigFleet(120).pipe(
        Effect.provide(Database.layer({ url: database, maxConnections: 1, unaudited: "written" })),
        Effect.orDie
      )
    )
    await broker.admin("ada", password)
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  it("are counted, selected at once as a search finds them, and left alone when the act is stopped", async () => {
    const { complaints, page } = await knock(browser, broker, "/servers?q=cap:vpn")
    await page.getByText("120 servers", { exact: true }).waitFor()
    await page.getByRole("checkbox", { name: "Select all servers that are loaded" }).click()
    await page.getByRole("button", { name: "Select all 120 found" }).click()
    await page.getByText("All 120 servers that this list finds are selected.").waitFor()
    await page.getByRole("button", { name: "Drain…" }).click()
    const dialog = page.getByRole("dialog", { name: "Drain 120 servers?" })
    await dialog.getByRole("button", { name: /^Drain 1\d\d servers$/ }).click()
    const panel = page.getByRole("region", { name: "Bulk actions" })
    await panel.getByText(/^[1-9]\d* of 1\d\d$/).waitFor()
    await panel.getByRole("button", { name: "Stop" }).click()
    await panel.getByText(/^Stopped, \d+ changed/).waitFor()

    // A page that is loaded anew still offers the way back.
    await page.reload()
    await panel.getByRole("button", { name: "Undo" }).click()
    await panel.getByText("Undone.").waitFor()
    assert.deepStrictEqual(complaints, [])
  }, 60_000)
})
