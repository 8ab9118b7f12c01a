/** What an admin does with reports: looks at one, has files made of it, and saves one that comes by itself. */
import { createHash, randomUUID } from "node:crypto"
import { readFile } from "node:fs/promises"
import { Admins } from "@broker/core/admins/Admins"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Reports } from "@broker/core/reports/Reports"
import { AdminName, NewPassword } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { builtInPermissions } from "@broker/domain/Permission"
import { ReportId } from "@broker/domain/Report"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Effect, ManagedRuntime, Redacted, Schema } from "effect"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Post, parse, password as passwordOfMail } from "../../../packages/core/test/reports/post.ts"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, password } from "./Page.ts"

describe("reports", () => {
  let browser: Browser
  let broker: RunningBroker
  /** A mail server that really listens. */
  const mailing = ManagedRuntime.make(Post.layer)

  beforeAll(async () => {
    browser = await launch()
    const port = await mailing.runPromise(Post.useSync(({ port }) => port))
    broker = await startBroker({
      mail: {
        url: Redacted.make(`smtp://broker:${encodeURIComponent(passwordOfMail)}@127.0.0.1:${port}`),
        from: "Broker <broker@example.com>"
      }
    })
    await broker.admin("ada", password)
    await Promise.all(["ams-1", "fra-1", "fra-2"].map((name) => broker.agent({ name })))
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
    await mailing.dispose()
  })

  const today = () => new Date().toISOString().slice(0, 10)
  const reader = { organizationId: defaultOrganizationId, permissions: builtInPermissions.owner }
  const saved = () => broker.run(Reports.use((reports) => reports.list(reader)))
  /** What is saved by a click that says so. */
  const downloaded = async (page: Page, act: () => Promise<void>) => {
    const download = page.waitForEvent("download")
    await act()
    const file = await download
    const bytes = await readFile(await file.path())
    return { name: file.suggestedFilename(), bytes, sha256: createHash("sha256").update(bytes).digest("hex") }
  }

  it("shows one that stands in the URL, and makes files of it that are proven by their hashes", async () => {
    const { complaints, page } = await enter(browser, broker, "/reports")
    // Ranges by name end yesterday, and the fleet is of today.
    await page.getByText("Nothing to tell of this time").waitFor()
    await page.getByRole("button", { name: "Inventory", exact: true }).click()
    await page.waitForURL(/kind=inventory/)
    await page.getByRole("button", { name: "Include today" }).click()
    await page.waitForURL(new RegExp(`to=${today()}`))
    const servers = page.getByRole("table").filter({ hasText: "fra-1" }).first()
    await servers.waitFor()
    await page.getByText(/^Compared with/).waitFor()
    await assertFits(page, "a report")

    const name = servers.getByRole("columnheader").first()
    await name.getByRole("link").click()
    await page.waitForURL(/sort=/)
    assert.strictEqual(await name.getAttribute("aria-sort"), "ascending")
    await page.goBack()
    await page.getByRole("button", { name: "Compare" }).click()
    await page.waitForURL(/compare=no/)
    await page.getByText(/^Compared with/).waitFor({ state: "detached" })

    const make = (format: string) => async () => {
      await page.getByRole("button", { name: "Download" }).click()
      await page.getByRole("menuitem", { name: format }).click()
    }
    const dialog = page.getByRole("dialog")
    const pdf = await downloaded(page, make("PDF"))
    assert.strictEqual(pdf.bytes.subarray(0, 5).toString(), "%PDF-")
    assert.match(pdf.name, /\.pdf$/)
    await dialog.getByText(pdf.sha256).waitFor()
    await assertAccessible(page, "a file that was made")
    await dialog.getByRole("button", { name: "Done", exact: true }).click()
    const csv = await downloaded(page, make("CSV"))
    assert.include(csv.bytes.toString("utf8"), "fra-1")
    await dialog.getByText(csv.sha256).waitFor()
    await page.keyboard.press("Escape")

    // What was made is kept, and is the same bytes.
    await page.getByRole("tab", { name: "Made" }).click()
    const made = page.getByRole("list", { name: "Reports that were made" }).getByRole("listitem")
    await made.getByText(pdf.sha256).waitFor()
    const again = await downloaded(page, () => made.getByRole("link", { name: "PDF" }).click())
    assert.strictEqual(again.sha256, pdf.sha256)
    await assertAccessible(page, "reports that were made")
    assert.deepStrictEqual(complaints, [])
  }, 60_000)

  it("saves one with a schedule, runs it, changes it and deletes it by its name", async () => {
    const { complaints, page } = await enter(browser, broker, "/reports?tab=saved")
    await page.getByText("No report is saved yet").waitFor()
    await page.getByRole("button", { name: "New report…" }).first().click()
    const form = page.getByRole("dialog", { name: "New report" })
    const addresses = form.getByLabel("E-mail to (optional)")
    await addresses.fill("ops@example.com, at home")
    await form.getByRole("button", { name: "Save report" }).click()
    await form.getByText(/^Name must/).waitFor()
    await form.getByText("Each address must be an e-mail address.").waitFor()
    await addresses.fill("ops@example.com\nada@example.com")
    await form.getByLabel("Name").fill("Weekly inventory")
    await form.getByLabel("Kind").selectOption({ label: "Inventory" })
    await form.getByLabel("Time", { exact: true }).selectOption({ label: "Last week" })
    await form.getByLabel("Made by itself").selectOption({ label: "Every week" })
    await form.getByLabel("At", { exact: true }).fill("06:30")
    await form.getByLabel("Time zone").selectOption("America/New_York")
    await form.getByText("Every Monday at 06:30, America/New York").waitFor()
    await form.getByText(/^Next: Mon, .* · Mon, .* · Mon, /).waitFor()
    await form.getByLabel("Made by itself").selectOption({ label: "Own schedule (cron)…" })
    await form.getByLabel("Cron").fill("0 7 30 2 *")
    await form.getByText("This is no time that ever comes").waitFor()
    await form.getByRole("button", { name: "Save report" }).click()
    await form.getByText(/The schedule never comes due/).waitFor()
    await form.getByLabel("Made by itself").selectOption({ label: "Every week" })
    await form.getByRole("checkbox", { name: "CSV" }).click()
    await assertFits(page, "the form of a report")
    await form.getByRole("button", { name: "Save report" }).click()

    await page.getByRole("heading", { name: "Weekly inventory" }).waitFor()
    await page.getByText("It was not made yet").waitFor()
    const [report] = await saved()
    assert.deepStrictEqual(
      [report?.schedule, report?.formats.toSorted()],
      [{ cron: "30 6 * * 1", timeZone: "America/New_York" }, ["csv", "pdf"]]
    )
    await page.getByRole("button", { name: "Run now" }).first().click()
    const files = page.getByRole("list", { name: "Files of Weekly inventory" })
    await files.waitFor()
    const pdf = await downloaded(page, () => files.getByRole("link", { name: "PDF" }).click())
    assert.strictEqual(pdf.bytes.subarray(0, 5).toString(), "%PDF-")
    await files.getByText(pdf.sha256).waitFor()
    await page.getByText("ops@example.com, ada@example.com").waitFor()
    // Only what is asked to be sent is, as by the schedule: not what somebody wants to look at.
    await broker.run(
      Reports.use((reports) =>
        reports
          .runSaved(reader, report?.id ?? ReportId.make(randomUUID()), { send: true })
          .pipe(
            Effect.andThen(reports.makeDue),
            Effect.andThen(reports.sendDue),
            Effect.provideService(Actor, byBroker)
          )
      )
    )
    await page.reload()
    await page.getByText("Sent to 2 addresses").waitFor()
    const [letter, ...others] = await mailing.runPromise(Post.use(({ received }) => received))
    assert.deepStrictEqual([letter?.to, others], [["ops@example.com", "ada@example.com"], []])
    assert.include(
      parse(letter?.raw ?? "").attachments.map(({ sha256 }) => sha256),
      pdf.sha256
    )
    await assertFits(page, "a saved report")

    await page.getByRole("link", { name: "Reports", exact: true }).first().click()
    await page.getByRole("tab", { name: "Saved" }).click()
    const row = page.getByRole("row", { name: /Weekly inventory/ })
    await row.getByText("Every Monday at 06:30, America/New York").waitFor()
    await row.getByText("Done").waitFor()
    await assertFits(page, "saved reports")
    await page.setViewportSize({ width: 1440, height: 900 })
    await page.getByRole("button", { name: "Actions for Weekly inventory" }).click()
    await page.getByRole("menuitem", { name: "Edit…" }).click()
    const edit = page.getByRole("dialog", { name: "Edit Weekly inventory" })
    await edit.getByLabel("Name").fill("Monthly inventory")
    await edit.getByLabel("Made by itself").selectOption({ label: "Every month" })
    await edit.getByRole("button", { name: "Save report" }).click()
    await edit.waitFor({ state: "detached" })
    await page.getByRole("row", { name: /On the 1st of every month at 06:30/ }).waitFor()

    await page.getByRole("link", { name: "Monthly inventory" }).click()
    await page.getByRole("button", { name: "Delete…" }).click()
    const doom = page.getByRole("dialog", { name: "Delete Monthly inventory?" })
    const confirm = doom.getByRole("button", { name: "Delete report" })
    assert.isTrue(await confirm.isDisabled())
    await doom.getByLabel("Type Monthly inventory to confirm").fill("Monthly inventory")
    await confirm.click()
    await page.getByText("No report is saved yet").waitFor()
    assert.deepStrictEqual(await saved(), [])
    assert.deepStrictEqual(complaints, [])
  }, 60_000)

  it("shows a viewer what there is, and offers nothing that would be refused", async () => {
    await broker.run(
      Admins.use((admins) =>
        admins.create({
          organizationId: defaultOrganizationId,
          name: AdminName.make("grace"),
          password: Schema.decodeSync(NewPassword)(password),
          role: "viewer"
        })
      ).pipe(Effect.provideService(Actor, byBroker))
    )
    const { page } = await enter(browser, broker, "/reports", { as: "grace" })
    await page.getByText("Nothing to tell of this time").waitFor()
    assert.isFalse(await page.getByRole("button", { name: "Download" }).isVisible())
    assert.isFalse(await page.getByRole("button", { name: "Save report…" }).isVisible())
    await page.keyboard.press("g")
    await page.keyboard.press("o")
    await page.waitForURL(`${broker.url}/`)
    await page.keyboard.press("g")
    await page.keyboard.press("n")
    await page.waitForURL(`${broker.url}/reports`)
    await page.getByRole("tab", { name: "Saved" }).click()
    await page.getByText("No report is saved yet").waitFor()
    assert.isFalse(await page.getByRole("button", { name: "New report…" }).isVisible())
  }, 60_000)
})
