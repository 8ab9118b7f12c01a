/** What an admin does with groups: makes a tree of them, gives it a policy, puts servers into it, and takes it away. */
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration } from "effect"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, type Look, password } from "./Page.ts"

describe("groups", () => {
  let browser: Browser
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({ policy: { heartbeatInterval: Duration.seconds(2) } })
    await broker.admin("ada", password)
    await Promise.all(["ams-1", "fra-1"].map((name) => broker.agent({ name })))
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  const signedIn = (look: Look = {}, path = "/groups") => enter(browser, broker, path, look)

  const create = async (page: Page, name: string) => {
    const dialog = page.getByRole("dialog", { name: "Create group" })
    await dialog.getByLabel("Name").fill(name)
    await dialog.getByRole("button", { name: "Create group" }).click()
    await page.getByRole("row", { name: new RegExp(name) }).waitFor()
    await dialog.waitFor({ state: "detached" })
  }

  const tree = () => broker.run(Groups.use((groups) => groups.tree(defaultOrganizationId)))

  it("makes a tree, and says what its policy would touch before it is saved", async () => {
    const { complaints, page } = await signedIn()
    await page.getByRole("button", { name: "Create group" }).first().click()
    await create(page, "eu")
    await page.getByRole("button", { name: "Actions for eu" }).click()
    await page.getByRole("menuitem", { name: "Create group in it…" }).click()
    await create(page, "frankfurt")

    await page.getByRole("button", { name: "Actions for eu" }).click()
    await page.getByRole("menuitem", { name: "Edit…" }).click()
    const edit = page.getByRole("dialog", { name: "Edit eu" })
    await edit.getByLabel("Connections each", { exact: true }).selectOption("own")
    await edit.getByLabel("Connections each, its own").fill("lots")
    await edit.getByRole("button", { name: "Save group" }).click()
    await edit.getByText(/^Connection limit must/).waitFor()
    await edit.getByLabel("Connections each, its own").fill("250")
    await edit.getByText("No server is told anything else.").waitFor()
    await assertAccessible(page, "edit group")
    await edit.getByRole("button", { name: "Save group" }).click()
    await edit.waitFor({ state: "detached" })

    await page.getByRole("link", { name: "frankfurt", exact: true }).click()
    await page.getByRole("heading", { name: "eu/frankfurt" }).waitFor()
    await page.getByText("from eu").waitFor()
    assert.deepStrictEqual(
      (await tree()).map(({ effectiveConnectionLimit, path }) => [path, effectiveConnectionLimit]).toSorted(),
      [
        ["eu", 250],
        ["eu/frankfurt", 250]
      ]
    )
    assert.deepStrictEqual(complaints, [])
  })

  it("names what is in the way of deleting a group, and deletes one that is empty", async () => {
    const [eu, frankfurt] = (await tree()).toSorted((one, other) => one.path.localeCompare(other.path))
    assert(eu !== undefined && frankfurt !== undefined)
    const { page } = await signedIn({}, `/groups/${eu.id}`)
    await page.getByRole("button", { name: "Delete…" }).click()
    const dialog = page.getByRole("dialog", { name: "Delete eu?" })
    await dialog.getByRole("link", { name: "frankfurt" }).click()
    await page.getByRole("heading", { name: "eu/frankfurt" }).waitFor()
    await page.getByRole("button", { name: "Delete…" }).click()
    await page.getByRole("button", { name: "Delete group" }).click()
    await page.getByText("eu/frankfurt is deleted").waitFor()
    assert.deepStrictEqual(
      (await tree()).map(({ path }) => path),
      ["eu"]
    )
  })

  it("moves servers into a group, and shows them there", async () => {
    const { page } = await signedIn({}, "/servers")
    await page.getByRole("checkbox", { name: "Select fra-1" }).click()
    await page.getByRole("button", { name: "Move…" }).click()
    const dialog = page.getByRole("dialog", { name: "Move 1 server?" })
    await dialog.getByLabel("Group").selectOption({ label: "eu" })
    await dialog.getByText("fra-1").waitFor()
    await dialog.getByRole("button", { name: "Move 1 server" }).click()
    await page.getByRole("region", { name: "Bulk actions" }).getByText("1 changed").waitFor()
    const server = await broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, "fra-1")))
    assert.strictEqual(server.group, "eu")

    await page.getByRole("button", { name: "Group", exact: true }).click()
    await page.getByRole("option", { name: /eu/ }).click()
    await page.waitForURL(/group=/)
    await page.getByRole("row", { name: /ams-1/ }).waitFor({ state: "detached" })
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
  })

  it("has charts on a page of each group, and of the fleet, and is accessible in light and dark, narrow and wide", async () => {
    const { complaints, page } = await signedIn()
    await page.getByRole("link", { name: "eu", exact: true }).waitFor()
    await assertFits(page, "groups")
    await page.getByRole("link", { name: "eu", exact: true }).click()
    await page.getByRole("heading", { name: "eu", exact: true }).waitFor()
    // Minutes of groups are summed up some time later: there may be none yet.
    const metrics = page.getByRole("region", { name: "Metrics" })
    await metrics.getByText(/Nothing was measured in this time|Lines are means/).waitFor()
    await page.getByText("Available", { exact: true }).waitFor()
    await assertFits(page, "a group")
    await page.getByRole("link", { name: "Show its servers" }).click()
    await page.getByRole("row", { name: /fra-1/ }).waitFor()
    await page.goto("/groups")
    await page.getByRole("link", { name: "Charts of the fleet" }).click()
    await page.getByRole("heading", { name: "The whole fleet" }).waitFor()
    await metrics.getByText(/Nothing was measured in this time|Lines are means/).waitFor()
    assert.deepStrictEqual(complaints, [])
  }, 60_000)
})
