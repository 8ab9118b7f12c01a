/** The whole way of a new installation: the first admin, the first key, the first server, and its end. */
import { Admins } from "@broker/core/admins/Admins"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration, Option, Redacted } from "effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { startAgentProcess } from "./AgentProcess.ts"
import { launch } from "./chromium.ts"
import { assertAccessible, openTab, signIn } from "./Page.ts"

const password = "a long enough password"

describe("first run", () => {
  let browser: Browser
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({
      policy: { heartbeatInterval: Duration.seconds(1), sweepEvery: Duration.millis(250) }
    })
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  it("sets up, mints a key, watches a server come and go", async () => {
    const { complaints, page } = await openTab(browser, broker)
    const ticket = Option.getOrThrow(await broker.run(Admins.use(({ setupTicket }) => setupTicket)))

    // Set-up: the first admin, by the link that the broker printed.
    await page.goto(`/setup#${Redacted.value(ticket)}`)
    await page.getByLabel("Name").fill("ada")
    await page.getByLabel("Password", { exact: true }).fill(password)
    await page.getByLabel("Repeat the password", { exact: true }).fill(password)
    await assertAccessible(page, "first admin")
    await page.getByRole("button", { name: "Create admin" }).click()
    await page.getByRole("heading", { name: "Check the public address" }).waitFor()
    await assertAccessible(page, "public address")
    await page.getByRole("button", { name: "Continue" }).click()
    await page.getByRole("button", { name: "Skip for now" }).click()
    await page.getByRole("heading", { name: "Overview" }).waitFor()
    await assertAccessible(page, "overview without servers")

    // A1: the link opens nothing any more.
    const other = await openTab(browser, broker)
    await other.page.goto(`/setup#${Redacted.value(ticket)}`)
    await other.page.getByRole("heading", { name: "Setup is closed" }).waitFor()

    // Sign-in, back to where one wanted to go.
    await other.page.goto("/registration-keys")
    await other.page.waitForURL(/\/sign-in\?to=/)
    await signIn(other.page, "ada", "not the password")
    await other.page.getByRole("alert").filter({ hasText: "The name or the password is wrong." }).waitFor()
    await assertAccessible(other.page, "sign-in")
    await signIn(other.page, "ada", password)
    await other.page.waitForURL(`${broker.url}/registration-keys`)

    // A key, shown once.
    await page.getByRole("link", { name: "Registration keys" }).first().click()
    await page.getByRole("button", { name: "Create registration key" }).first().click()
    await page.getByLabel("Name").fill("Frankfurt")
    await page.getByLabel("Tags (optional)").fill("eu")
    await assertAccessible(page, "create key")
    await page.getByRole("button", { name: "Create key" }).click()
    const secret = page.getByText(/^brk_reg_[A-Za-z0-9_-]{60}$/).first()
    await secret.waitFor()
    const key = (await secret.textContent()) ?? ""
    await assertAccessible(page, "created key")
    await page.getByRole("button", { name: "I have stored it" }).click()
    assert.strictEqual(await page.getByText(key).count(), 0)

    // A real agent joins, and the table shows it without being asked.
    await page.getByRole("link", { name: "Servers" }).first().click()
    await page.getByRole("heading", { name: "Servers" }).waitFor()
    await using agent = await startAgentProcess({ url: broker.url, key, name: "fra-1" })
    const row = page.getByRole("row", { name: /fra-1/ })
    const announced = page.getByRole("button", { name: /new: show/ })
    await row.or(announced).first().waitFor()
    if (await announced.isVisible()) await announced.click()
    await row.getByText("Online").waitFor()
    await assertAccessible(page, "servers")

    // Its page: identity, timeline, verification.
    await row.getByRole("link", { name: "fra-1" }).click()
    await page.getByRole("heading", { name: "fra-1" }).waitFor()
    await page.getByText("Key fingerprint").waitFor()
    await assertAccessible(page, "server summary")
    await page.getByRole("tab", { name: "Verification" }).click()
    await page.getByText("Passed").first().waitFor()
    await assertAccessible(page, "server verification")
    await page.getByRole("tab", { name: "Timeline" }).click()
    await assertAccessible(page, "server timeline")

    // Killed without a word, it goes offline while one watches.
    await agent.kill()
    await page.getByText("Offline", { exact: true }).first().waitFor()
    await page.getByRole("link", { name: "Overview" }).first().click()
    await page.getByText("Needs attention").waitFor()
    await page.getByRole("link", { name: "fra-1" }).first().waitFor()
    await assertAccessible(page, "overview")

    assert.deepStrictEqual([...complaints, ...other.complaints], [])
  }, 90_000)
})
