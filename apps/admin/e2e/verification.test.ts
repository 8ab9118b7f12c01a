/** Who is asked to prove who they are, and what came of it. */
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration } from "effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, type Look, password } from "./Page.ts"

describe("verification", () => {
  let browser: Browser
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({
      policy: { heartbeatInterval: Duration.seconds(2), sweepEvery: Duration.millis(250) }
    })
    await broker.admin("ada", password)
    await Promise.all(["ams-1", "fra-1", "nyc-1"].map((name) => broker.agent({ name })))
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  const signedIn = (path: string, look?: Look) => enter(browser, broker, path, look)

  it("shows who passed and who is next, and keeps the list in the URL (V3)", async () => {
    const { complaints, page } = await signedIn("/verification")
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    await page.getByRole("button", { name: "Passed", exact: true }).click()
    await page.waitForURL(/list=passed/)
    await page.getByRole("row", { name: /ams-1.*Passed/ }).waitFor()
    await page.getByRole("img", { name: /Questions of the last 24 hours by the hour: 3 passed/ }).waitFor()
    await page.getByRole("button", { name: "Failed", exact: true }).click()
    await page.getByText(/Nobody has failed/).waitFor()
    assert.deepStrictEqual(complaints, [])
  })

  it("asks one now, and several at once", async () => {
    const { page } = await signedIn("/verification?list=passed")
    await page.getByRole("button", { name: "Verify now: fra-1" }).click()
    await page.getByText("fra-1 is asked to prove its key").waitFor()
    await page.getByRole("checkbox", { name: "Select ams-1" }).click()
    await page.getByRole("checkbox", { name: "Select nyc-1" }).click()
    await page.getByRole("region", { name: "Selected" }).getByRole("button", { name: "Verify now…" }).click()
    const dialog = page.getByRole("dialog", { name: "Verify 2 servers?" })
    await dialog.getByText("ams-1, nyc-1").waitFor()
    await dialog.getByRole("button", { name: "Verify 2 servers" }).click()
    await page.getByRole("region", { name: "Bulk actions" }).getByText("2 changed").waitFor()

    const { id } = await broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, "nyc-1")))
    await page.goto(`/servers/${id}?tab=verification`)
    await page.getByText("Asked for by an admin").first().waitFor()
    await page.getByText("Asked next").waitFor()
    await page.getByText("Passed").nth(1).waitFor()
    await page.getByRole("button", { name: "Change its key pair" }).click()
    await page.getByText("nyc-1 is told to change its key pair").waitFor()
  })

  it("is reached by keyboard", async () => {
    const { page } = await signedIn("/servers")
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("v")
    await page.waitForURL(/\/verification$/)
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await page.getByText("1 selected").waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("w")
    await page.waitForURL(/\/maintenance$/)
  })

  it("is accessible in light and dark, on narrow screens and wide ones", async () => {
    const { complaints, page } = await signedIn("/verification")
    for (const list of ["due", "passed", "failed"]) {
      await page.goto(`/verification?list=${list}`)
      await page.getByRole("heading", { name: "Verification", exact: true }).waitFor()
      await assertFits(page, list)
    }
    await page.getByRole("button", { name: "Show as table" }).click()
    await page.getByRole("columnheader", { name: "Pass rate" }).waitFor()
    await assertAccessible(page, "hours as a table")
    assert.deepStrictEqual(complaints, [])
  }, 60_000)
})
