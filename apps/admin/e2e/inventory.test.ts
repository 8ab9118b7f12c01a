/** What an admin does with the fleet as a file: exports it, looks at what an import would do, and imports it. */
import { readFile, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Effect } from "effect"
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertFits, enter, password } from "./Page.ts"

describe("inventory", () => {
  let browser: Browser
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker()
    await broker.admin("ada", password)
    await broker.agent({ name: "fra-1", tags: [] })
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  const tree = () => broker.run(Groups.use((groups) => groups.tree(defaultOrganizationId)))
  const server = () => broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, "fra-1")))

  it("goes out as CSV, and comes in once what it would do was looked at", async () => {
    const { complaints, page } = await enter(browser, broker, "/groups")
    await page.getByRole("link", { name: "Export…" }).click()
    const download = page.waitForEvent("download")
    await page.getByRole("link", { name: "Export CSV" }).click()
    const exported = await download
    assert.match(exported.suggestedFilename(), /^inventory-\d{4}-\d{2}-\d{2}\.csv$/)
    const [head = "", ...rows] = (await readFile(await exported.path(), "utf8"))
      .replace("\uFEFF", "")
      .trim()
      .split("\r\n")
    assert.strictEqual(rows.length, 1)
    assert.include(rows[0], "fra-1")
    await assertFits(page, "export of the inventory")

    // A column more or less is nobody's mistake; a limit that is no number is.
    assert.match(head, /^kind,group,name,tags,labels,connectionLimit,/)
    const file = join(tmpdir(), `inventory-${process.pid}.csv`)
    const write = (limit: string) =>
      writeFile(file, `kind,group,name,tags,connectionLimit\r\ngroup,eu,,,${limit}\r\nserver,eu,fra-1,"edge lab",\r\n`)
    await page.getByRole("tab", { name: "Import" }).click()
    await writeFile(file, Buffer.from("kind,group\r\ngroup,m\xfcnchen\r\n", "latin1"))
    await page.getByLabel("Choose a file to import").setInputFiles(file)
    await page.getByRole("alert").getByText("is not in UTF-8").waitFor()
    await write("lots")
    await page.getByLabel("Choose a file to import").setInputFiles(file)
    await page.getByText(/problems? to mend before it can be imported/).waitFor()
    await page.getByRole("list", { name: "Problems" }).getByText("Line 2").waitFor()
    assert.isFalse(await page.getByRole("button", { name: /^Import \d/ }).isVisible())
    assert.deepStrictEqual(await tree(), [])

    await write("250")
    await page.getByLabel("Choose a file to import").setInputFiles(file)
    await page.getByText("It creates 1 group, changes 1 row").waitFor()
    const changes = page.getByRole("list", { name: "Changes" })
    await changes.getByText("edge").waitFor()
    await page.getByText("Nothing is done yet.").waitFor()
    assert.deepStrictEqual(await tree(), [])
    await assertFits(page, "what an import would do")

    // Somebody else gives the server a tag meanwhile: the import would not be what was looked at.
    await broker.run(
      Servers.use((servers) =>
        servers.find(defaultOrganizationId, "fra-1").pipe(
          Effect.flatMap(({ id }) =>
            servers.assign(defaultOrganizationId, id, { tags: { add: ["blue"], remove: [] } })
          ),
          Effect.provideService(Actor, byBroker)
        )
      )
    )
    await page.getByRole("button", { name: "Import 2 changes" }).click()
    await page.getByRole("alert").getByText("is not what was looked at").waitFor()
    assert.deepStrictEqual(await tree(), [])
    await page.getByRole("button", { name: "Look again" }).click()
    await changes.getByText("blue").waitFor()
    await page.getByRole("button", { name: "Import 2 changes" }).click()
    await page.getByText("1 group created, 1 row changed").waitFor()
    const [eu] = await tree()
    assert.deepStrictEqual([eu?.path, eu?.connectionLimit], ["eu", 250])
    assert.strictEqual((await server()).group, "eu")

    await page.getByRole("link", { name: "See it in the audit log" }).click()
    await page.getByRole("row", { name: /Imported the inventory/ }).waitFor()

    // Without a mail server no addresses are asked for.
    await page.goto("/reports?save=1")
    await page.getByText(/this broker has no mail server yet/).waitFor()
    assert.deepStrictEqual(complaints, [])
  }, 60_000)
})
