/** Who is told what happens: made, tested, looked into, sent again, and paused when nothing gets through. */
import { webhookVerifier } from "@broker/client/Webhook"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration } from "effect"
import { IpNetwork } from "effect/net"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, password } from "./Page.ts"
import { openReceiver, type Receiver } from "./Receiver.ts"

describe("webhooks", () => {
  let browser: Browser
  let broker: RunningBroker
  let receiver: Receiver
  let secret = ""

  beforeAll(async () => {
    browser = await launch()
    receiver = await openReceiver()
    broker = await startBroker({
      policy: { heartbeatInterval: Duration.seconds(2), sweepEvery: Duration.millis(250) },
      webhooks: {
        allowedNetworks: [IpNetwork.fromStringUnsafe("127.0.0.0/8")],
        http: true,
        every: Duration.millis(100),
        backOff: [Duration.millis(100)],
        rests: [Duration.millis(100)],
        failuresTolerated: 2,
        tryFor: Duration.seconds(1)
      }
    })
    await broker.admin("ada", password)
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
    await receiver[Symbol.asyncDispose]()
  })

  /** The page of the one webhook that there is. */
  const open = async (page: Page) => {
    await page.goto("/webhooks")
    await page.getByRole("link", { name: "Ticket system" }).click()
    await page.getByRole("heading", { name: "Ticket system" }).waitFor()
  }
  const choose = async (page: Page, action: string) => {
    await page.getByRole("button", { name: "More actions for Ticket system" }).click()
    await page.getByRole("menuitem", { name: action }).click()
  }

  it("are made by hand, with a secret that is shown once and signs (W1, W2)", async () => {
    const { complaints, page } = await enter(browser, broker, "/webhooks")
    await page.getByText("A webhook tells another system what happens").waitFor()
    await assertFits(page, "no webhooks")
    await page.setViewportSize({ width: 1440, height: 900 })
    await page.keyboard.press("Control+k")
    await page.getByRole("combobox").fill("webhook")
    await page.getByRole("option", { name: "Create webhook…" }).click()
    const dialog = page.getByRole("dialog", { name: "Create webhook" })
    await dialog.getByLabel("Name").fill("Ticket system")
    await dialog.getByLabel("URL").fill("ftp://example.com")
    await dialog.getByRole("button", { name: "Create webhook" }).click()
    await dialog.getByText("URL must be an address such as https://example.com/events.").waitFor()
    await dialog.getByText("A webhook must hold at least one type of event.").waitFor()
    await dialog.getByRole("checkbox", { name: /^Registered/ }).click()
    await dialog.getByRole("checkbox", { name: /^Duty changed/ }).click()
    // Where the broker does not connect, it does not send.
    await dialog.getByLabel("URL").fill("http://10.0.0.1/events")
    await dialog.getByRole("button", { name: "Create webhook" }).click()
    await dialog.getByText(/10\.0\.0\.1 is not an address on the public internet/).waitFor()
    await dialog.getByLabel("URL").fill(receiver.url)
    await dialog.getByRole("button", { name: "Create webhook" }).click()

    const ready = page.getByRole("dialog", { name: "Ticket system is ready" })
    secret = (await ready.getByText(/^whsec_/).textContent()) ?? ""
    await ready.getByText("webhookVerifier").waitFor()
    const guide = await ready.getByRole("link", { name: "Read how to receive webhooks" }).getAttribute("href")
    assert.include(await (await fetch(`${broker.url}${guide}`)).text(), "<h1>Receive webhooks")
    await assertAccessible(page, "a secret")
    await ready.getByRole("button", { name: "I have stored it" }).click()
    await page.waitForURL(/\/webhooks\/[0-9a-f-]{36}$/)
    assert.notInclude(await page.content(), secret)

    await page.getByRole("button", { name: "Send test event" }).first().click()
    const test = page.getByRole("dialog", { name: "Test Ticket system" })
    await test.getByText(/answered 200 in \d+ ms/).waitFor()
    await test.getByText('"taken": true').waitFor()
    const { body, headers } = await receiver.received(({ body }) => body.includes("webhook.test"))
    assert.strictEqual((await webhookVerifier(secret)(headers, body)).type, "webhook.test")
    await test.getByRole("button", { name: "Done" }).click()
    assert.deepStrictEqual(complaints, [])
  }, 60_000)

  it("tell what was sent and answered, and send it again, alone or a range, with how many that is", async () => {
    await broker.agent({ name: "fra-1" })
    const sent = await receiver.received(({ body }) => body.includes("server.registered"))
    const { complaints, page } = await enter(browser, broker, "/webhooks")
    await page.getByRole("row", { name: /Ticket system.*127\.0\.0\.1.*Active.*100 %/ }).waitFor()
    await open(page)
    await page.getByRole("row", { name: /Delivered.*server\.registered.*fra-1/ }).waitFor()
    await page.getByRole("button", { name: "Given up" }).click()
    await page.waitForURL(/state=gave_up/)
    await page.getByText("No delivery matches").waitFor()
    await page.getByRole("link", { name: "Show all deliveries" }).click()
    await page.getByRole("link", { name: "server.registered" }).click()
    await page.waitForURL(/delivery=/)
    const delivery = page.getByRole("dialog", { name: "Delivery" })
    await delivery.getByText(/webhook-signature: v1,/).waitFor()
    await delivery.getByText(/Answered 200 after \d+ ms/).waitFor()
    await assertFits(page, "a delivery")
    await page.setViewportSize({ width: 1440, height: 900 })
    await delivery.getByRole("button", { name: "Send again" }).click()
    await page.getByText("It is sent again").waitFor()
    const id = sent.headers["webhook-id"]
    const again = () => receiver.requests.filter(({ headers }) => headers["webhook-id"] === id).length
    await page.keyboard.press("Escape")
    await page
      .getByRole("row", { name: /Delivered.*server\.registered/ })
      .nth(1)
      .waitFor()
    assert.strictEqual(again(), 2)

    await choose(page, "Send a range again…")
    const range = page.getByRole("dialog", { name: "Send a range again" })
    await range.getByText("1 event is sent again.").waitFor()
    await range.getByRole("button", { name: "Send 1 event again" }).click()
    await page
      .getByRole("row", { name: /Delivered.*server\.registered/ })
      .nth(2)
      .waitFor()
    assert.strictEqual(again(), 3)
    assert.deepStrictEqual(complaints, [])
  }, 60_000)

  it("are paused by the broker when nothing gets through, which the overview tells, and go on when resumed", async () => {
    receiver.answer(503, "down for repairs")
    await broker.agent({ name: "ams-1" })
    const { complaints, page } = await enter(browser, broker, "/webhooks?state=failing")
    await page.getByRole("row", { name: /Ticket system.*Paused by the broker.*503/ }).waitFor()
    await page.goto("/")
    await page.getByRole("link", { name: "See why: Webhook: Ticket system" }).click()
    await page.getByRole("heading", { name: "Ticket system" }).waitFor()
    await page.getByText(/nothing got through for/).waitFor()
    await assertFits(page, "a webhook that was paused")
    await page.setViewportSize({ width: 1440, height: 900 })
    await page.getByRole("link", { name: "server.registered" }).first().click()
    await page.getByRole("dialog", { name: "Delivery" }).getByText("down for repairs").first().waitFor()
    await page.keyboard.press("Escape")
    receiver.answer(204)
    await page.getByRole("button", { name: "Resume" }).click()
    await page.getByText("Ticket system is sent events again").waitFor()
    await page.getByText("Events are sent as they come.").waitFor()
    await page.getByRole("button", { name: "Pause" }).click()
    await page.getByText("What happens is kept for it, for 30 days.").waitFor()
    await page.getByRole("listitem").filter({ hasText: "is paused" }).getByRole("button", { name: "Undo" }).click()
    await page.getByText("Events are sent as they come.").waitFor()
    assert.deepStrictEqual(complaints, [])
  }, 60_000)

  it("change their secret with both signing for a while, and what they listen to; and go by name", async () => {
    const { complaints, page } = await enter(browser, broker, "/webhooks")
    await open(page)
    await choose(page, "Rotate secret…")
    await page.getByRole("button", { name: "Rotate secret" }).click()
    const rotated = page.getByRole("dialog", { name: "New secret of Ticket system" })
    const next = (await rotated.getByText(/^whsec_/).textContent()) ?? ""
    assert.notStrictEqual(next, secret)
    await rotated.getByRole("button", { name: "I have stored it" }).click()
    await page.getByText(/stops in/).waitFor()

    await choose(page, "Edit…")
    const edit = page.getByRole("dialog", { name: "Edit Ticket system" })
    await edit.getByRole("checkbox", { name: "All of Fleet guard" }).click()
    await edit.getByRole("button", { name: "Save" }).click()
    await page.getByText("Ticket system is saved").waitFor()
    await page.getByText("fleet_guard.began", { exact: true }).waitFor()

    await broker.agent({ name: "nyc-1" })
    const { body, headers } = await receiver.received(({ body }) => body.includes("nyc-1"))
    await Promise.all([secret, next].map((each) => webhookVerifier(each)(headers, body)))

    await choose(page, "Delete…")
    const doom = page.getByRole("dialog", { name: "Delete Ticket system?" })
    assert.isTrue(await doom.getByRole("button", { name: "Delete webhook" }).isDisabled())
    await doom.getByLabel("Type Ticket system to confirm").fill("Ticket system")
    await doom.getByRole("button", { name: "Delete webhook" }).click()
    await page.waitForURL(/\/webhooks$/)
    await page.getByText("No webhooks yet").waitFor()
    assert.deepStrictEqual(complaints, [])
  }, 60_000)
})
