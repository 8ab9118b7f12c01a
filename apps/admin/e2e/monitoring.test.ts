/** What an admin sees of the fleet at a glance, of its past, of mass silence, and of the broker itself. */
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Groups } from "@broker/core/groups/Groups"
import { Monitoring } from "@broker/core/monitoring/Monitoring"
import { Servers } from "@broker/core/servers/Servers"
import { GroupName } from "@broker/domain/Group"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { Duration, Effect, Exit, type Redacted, Scope } from "effect"
import { SqlClient } from "effect/sql"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, expect, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, enter, type Look, password } from "./Page.ts"

describe("monitoring", () => {
  let browser: Browser
  let broker: RunningBroker
  let database: Redacted.Redacted
  const scope = Scope.makeUnsafe()
  /** One server was there then. */
  let early = ""
  const stops: Array<() => Promise<void>> = []

  beforeAll(async () => {
    browser = await launch()
    database = await Effect.runPromise(Scope.provide(TestDatabase.createDatabase, scope))
    broker = await startBroker({
      database,
      policy: { heartbeatInterval: Duration.seconds(2), sweepEvery: Duration.millis(250) }
    })
    await broker.admin("ada", password)
    await broker.agent({ name: "ams-1", tags: [] })
    early = new Date().toISOString()
    await (await broker.agent({ name: "gone-1", tags: [] })).stop()
    await Promise.all(
      ["ams-2", "ams-3", "ams-4", "fra-1", "fra-2", "fra-3", "fra-4"].map(async (name) => {
        const { stop } = await broker.agent({ name, tags: [] })
        stops.push(stop)
      })
    )
    await broker.run(
      Effect.gen(function* () {
        const groups = yield* Groups
        const servers = yield* Servers
        const policy = { heartbeatIntervalSeconds: null, verificationPeriodSeconds: null, connectionLimit: null }
        const made = { parentId: null, name: GroupName.make("europe"), ...policy }
        const europe = yield* groups.create(defaultOrganizationId, made)
        const below = { parentId: europe.id, name: GroupName.make("rack 1"), ...policy }
        const rack = yield* groups.create(defaultOrganizationId, below)
        for (const [name, groupId] of [
          ["fra-1", europe.id],
          ["fra-2", europe.id],
          ["fra-3", rack.id]
        ] as const) {
          const { id } = yield* servers.find(defaultOrganizationId, name)
          yield* servers.assign(defaultOrganizationId, id, { groupId })
        }
        // Gone, and counted by nothing.
        const gone = yield* servers.find(defaultOrganizationId, "gone-1")
        yield* servers.assign(defaultOrganizationId, gone.id, { groupId: europe.id })
        yield* servers.retire(defaultOrganizationId, gone.id, "It left")
        const monitoring = yield* Monitoring
        yield* monitoring.note
      }).pipe(Effect.provideService(Actor, byBroker))
    )
  }, 90_000)
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  const write = <A, E>(statement: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
    Effect.runPromise(SqlClient.SqlClient.use(statement).pipe(Effect.provide(TestServer.connect(database))))

  const signedIn = (path: string, look?: Look) => enter(browser, broker, path, look)

  it("shows groups, versions and figures, each of which leads to its servers", async () => {
    const { complaints, page } = await signedIn("/")
    await page.getByText("Nothing needs you now").waitFor()
    await page.getByText("8 of 8", { exact: false }).first().waitFor()
    await page.getByText("Versions in use").waitFor()
    await assertAccessible(page, "overview")
    // Each link leads to as many servers as its number says.
    for (const [name, servers] of [
      [/europe: 2 of 2 up/, ["fra-1", "fra-2"]],
      [/europe\/rack 1: 1 of 1 up/, ["fra-3"]],
      [/No group: 5 of 5 up/, ["ams-1", "ams-2", "ams-3", "ams-4", "fra-4"]]
    ] as const) {
      await page.getByRole("link", { name }).click()
      await page.waitForURL(/\/servers\?q=/)
      await page.getByText(servers[0]).first().waitFor()
      const names = () =>
        page
          .getByRole("link", { name: /^(ams|fra|gone)-\d$/ })
          .allTextContents()
          .then((texts) => texts.map((text) => text.trim()).toSorted())
      await expect.poll(names).toEqual([...servers])
      await page.goBack()
      await page.getByText("Versions in use").waitFor()
    }
    assert.deepStrictEqual(complaints, [])
  })

  it("shows the fleet as it was, clearly as the past, by link and by keys, and goes back to live", async () => {
    const { complaints, page } = await signedIn(`/?at=${early}`)
    await page.getByText(/The past: as of/).waitFor()
    assert.match(await page.title(), /Overview as of/)
    await page.getByText("of 1", { exact: true }).first().waitFor()
    assert.strictEqual(await page.getByText("Nothing needs you now").count(), 0)
    await assertAccessible(page, "overview of the past")

    await page.getByRole("button", { name: "Back to live" }).click()
    await page.waitForURL(`${broker.url}/`)
    await page.getByText("of 8", { exact: true }).first().waitFor()

    const slider = page.getByRole("slider", { name: "Instant that is shown" })
    await slider.focus()
    await page.keyboard.press("ArrowLeft")
    await page.waitForURL(/\?at=/)
    await page.getByText(/The past: as of/).waitFor()
    const once = page.url()
    await page.evaluate("document.activeElement.blur()")
    // Pressed faster than the page follows, each press counts.
    for (let times = 0; times < 3; times++) await page.keyboard.press("[")
    const earlier = Date.parse(new URL(once).searchParams.get("at") ?? "") - 3 * 5 * 60_000
    await page.waitForURL(({ searchParams }) => Date.parse(searchParams.get("at") ?? "") === earlier)
    await page.getByRole("button", { name: "Back to live" }).click()
    await page.getByText("Live", { exact: true }).first().waitFor()
    assert.deepStrictEqual(complaints, [])
  })

  for (const [colorScheme, width] of [
    ["light", 1440],
    ["dark", 390]
  ] as const) {
    it(`is accessible in ${colorScheme} at ${width}, live and in the past, and so is the broker's page`, async () => {
      const { complaints, page } = await signedIn("/", { colorScheme, width })
      await page.getByText("Versions in use").waitFor()
      await assertAccessible(page, `overview, ${colorScheme}`)
      await page.goto(`/?at=${early}`)
      await page.getByText(/The past: as of/).waitFor()
      await assertAccessible(page, `overview of the past, ${colorScheme}`)
      await page.goto("/broker")
      await page.getByText("Biggest tables").waitFor()
      await assertAccessible(page, `broker, ${colorScheme}`)
      const overflow = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth")
      assert.isAtMost(overflow, 0)
      assert.deepStrictEqual(complaints, [])
    }, 60_000)
  }

  it("shows nodes, jobs and the database, by a shortcut, and keeps them current", async () => {
    const { complaints, page } = await signedIn("/")
    await page.getByText("Versions in use").waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("b")
    await page.waitForURL(`${broker.url}/broker`)
    await page.getByText("Leader", { exact: true }).waitFor()
    const row = page.getByRole("row", { name: /Notice silent servers/ })
    await row.getByText("Done").waitFor()
    const before = await row.textContent()
    await expect.poll(() => row.textContent(), { timeout: 15_000 }).not.toBe(before)
    await page.getByRole("heading", { name: "Slow statements now" }).waitFor()
    assert.deepStrictEqual(complaints, [])
  }, 60_000)

  it("goes on showing what it has where it cannot be brought up to date, and says so", async () => {
    const { page } = await signedIn("/broker")
    await page.getByText("Biggest tables").waitFor()
    await page.getByText("Not holding").waitFor()
    await page.getByText("It has never held.").waitFor()
    await page.route(/monitoring\.broker/, (route) => route.fulfill({ status: 502, body: "no" }))
    await page.getByText("This page could not be brought up to date.").waitFor()
    assert.isTrue(await page.getByText("Biggest tables").isVisible())
    await assertAccessible(page, "a page that is old")
    await page.unroute(/monitoring\.broker/)
    await page.getByText("This page could not be brought up to date.").waitFor({ state: "detached" })
    assert.isTrue(await page.getByText("Biggest tables").isVisible())
  }, 60_000)

  it("shows an overdue job among what needs attention", async () => {
    const { complaints, page } = await signedIn("/")
    await page.getByText("Nothing needs you now").waitFor()
    await write(
      (sql) => sql`
          insert into job_runs
          select 'a-job-of-old', 1, 1, 0, now(), 1, 'done', null, null, now() - interval '1 day'`
    )
    const overdue = page.getByRole("listitem").filter({ hasText: "Job: a-job-of-old" }).getByText("Overdue")
    // How jobs do is told from memory for two seconds.
    await page.waitForTimeout(2_100)
    await page.reload()
    await overdue.waitFor()
    assert.strictEqual(await page.getByText("Nothing needs you now").count(), 0)
    await assertAccessible(page, "an overdue job")
    await page.getByRole("link", { name: "See jobs: Job: a-job-of-old" }).click()
    await page.waitForURL(`${broker.url}/broker`)
    await write((sql) => sql`delete from job_runs where job = 'a-job-of-old'`)
    assert.deepStrictEqual(complaints, [])
  }, 60_000)

  it("puts mass silence first, and lets an admin say that the servers are really gone", async () => {
    const { complaints, page } = await signedIn("/")
    await page.getByText("Versions in use").waitFor()
    await Promise.all(stops.map((stop) => stop()))
    await page.getByText("The fleet guard holds 7 servers as unknown").waitFor({ timeout: 30_000 })
    await assertAccessible(page, "guard")
    await page.getByRole("button", { name: "Really gone…" }).click()
    const dialog = page.getByRole("dialog")
    await dialog.getByText("7 servers that are held as unknown become offline now.").waitFor()
    const gone = dialog.getByRole("button", { name: "They are gone" })
    assert.isTrue(await gone.isDisabled())
    assert.strictEqual(await page.getByText("Nothing needs you now").count(), 0)
    await assertAccessible(page, "really gone")
    await dialog.getByRole("textbox").fill("7")
    await gone.click()
    await dialog.waitFor({ state: "detached" })
    await page.getByText("The fleet guard holds").waitFor({ state: "detached" })
    const other = await signedIn("/broker")
    await other.page.getByText("Not holding").waitFor()
    await other.page.getByRole("row", { name: /Said to be gone by ada/ }).waitFor()
    await assertAccessible(other.page, "the broker's page with a guard of the past")
    await page.getByRole("listitem").filter({ hasText: "fra-1" }).getByText("Offline").first().waitFor()
    assert.deepStrictEqual(complaints, [])
  }, 90_000)
})
