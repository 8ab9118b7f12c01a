/** Who may do what, and a log that proves it: invited, changed, limited, shut out, found out, in a real browser. */
import { readFile } from "node:fs/promises"
import { Admins } from "@broker/core/admins/Admins"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { AdminName, NewPassword } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { type BuiltInRole, builtInPermissions } from "@broker/domain/Permission"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { Effect, Exit, type Redacted, Schema, Scope } from "effect"
import { SqlClient } from "effect/sql"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, enter, type Look, openTab, password, signIn } from "./Page.ts"

describe("access", { timeout: 120_000 }, () => {
  const scope = Scope.makeUnsafe()
  let browser: Browser
  let database: Redacted.Redacted
  let broker: RunningBroker

  beforeAll(async () => {
    browser = await launch()
    database = await Effect.runPromise(Scope.provide(TestDatabase.createDatabase, scope))
    broker = await startBroker({ database })
    await broker.admin("ada", password)
  })
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
    await Effect.runPromise(Scope.close(scope, Exit.void))
  })

  const admin = (name: string, role: BuiltInRole) =>
    broker.run(
      Admins.use((admins) =>
        admins.create({
          organizationId: defaultOrganizationId,
          name: AdminName.make(name),
          password: Schema.decodeSync(NewPassword)(password),
          role
        })
      ).pipe(
        Effect.provideService(Actor, byBroker),
        Effect.map(({ id }) => id)
      )
    )

  const signedIn = (path: string, as = "ada", look: Look = {}) => enter(browser, broker, path, { ...look, as })

  const act = async (page: Page, on: string, item: string) => {
    await page.getByRole("button", { name: `Actions for ${on}` }).click()
    await page.getByRole("menuitem", { name: item }).click()
  }

  /** A permission's box in the form of a role. */
  const tick = (page: Page, meaning: string) => page.getByRole("checkbox", { name: new RegExp(`^${meaning}`) }).click()

  it("invites by a link that is shown once, and lets whoever opens it in", async () => {
    const { complaints, page } = await signedIn("/access/admins")
    await page.getByText("You are alone here").waitFor()
    await assertAccessible(page, "alone")

    // Given an invitation, at the second try
    await page.getByRole("button", { name: "Invite admin" }).first().click()
    await page.waitForURL(/invite=1/)
    await page.getByRole("button", { name: "Invite", exact: true }).click()
    await page.getByText("Name must be 2 to 64 characters.").waitFor()
    await page.getByLabel("Name or e-mail address").fill("grace@example.com")
    await page.getByRole("dialog").getByLabel("Role").selectOption("operator")
    await page.getByText(/may do \d+ things/).click()
    await page.getByText("Drain servers and put them back to serving").waitFor()
    await assertAccessible(page, "invite")
    await page.getByRole("button", { name: "Invite", exact: true }).click()
    await page.getByRole("heading", { name: "grace@example.com is invited" }).waitFor()
    const link = (await page.getByText(/\/link#/).textContent()) ?? ""
    await assertAccessible(page, "invited")
    await page.getByRole("button", { name: "I have sent it" }).click()
    await page.getByRole("heading", { name: "Open invitations" }).waitFor()
    assert.strictEqual(await page.getByText(link).count(), 0)
    await assertAccessible(page, "open invitations")

    // When somebody opens it elsewhere
    const other = await openTab(browser, broker)
    await other.page.goto(link)
    await other.page.getByLabel("Password", { exact: true }).fill(password)
    await other.page.getByLabel("Repeat the password").fill(password)
    await other.page.locator("button[type=submit]").click()

    // Then they are in, see nothing of who guards the place, and the list knows them
    await other.page.getByRole("heading", { name: "Overview" }).waitFor()
    assert.strictEqual(await other.page.getByRole("link", { name: "Admins" }).count(), 0)
    await other.page.goto("/access/admins")
    await other.page.getByRole("heading", { name: "Your role does not let you see this" }).waitFor()
    await other.page.getByText(/Owners, admins and auditors have it/).waitFor()
    await assertAccessible(other.page, "not for this role")
    await page.reload()
    await page.getByRole("row", { name: /grace@example.com/ }).waitFor()
    assert.strictEqual(await page.getByRole("heading", { name: "Open invitations" }).count(), 0)
    assert.deepStrictEqual([...complaints, ...other.complaints], [])
  })

  it("withdraws an invitation, whose link is dead then", async () => {
    const { page } = await signedIn("/access/admins?invite=1")
    await page.getByLabel("Name or e-mail address").fill("nobody")
    await page.keyboard.press("Enter")
    await page.getByRole("heading", { name: "nobody is invited" }).waitFor()
    const link = (await page.getByText(/\/link#/).textContent()) ?? ""
    await page.getByRole("button", { name: "I have sent it" }).click()
    await page.getByRole("button", { name: "Withdraw the invitation of nobody" }).click()
    await page.getByText("The invitation of nobody is withdrawn").waitFor()
    const other = await openTab(browser, broker)
    await other.page.goto(link)
    await other.page.getByRole("heading", { name: "This link is no longer valid" }).waitFor()
  })

  it("A4 previews what a change of role comes to, and ends their sessions with it", async () => {
    await admin("carl", "viewer")
    const carl = await signedIn("/servers", "carl")
    const { page } = await signedIn("/access/admins")
    await act(page, "carl", "Change role…")
    await page.getByText("Choose another role to see what changes for them.").waitFor()
    await page.getByRole("dialog").getByLabel("Role").selectOption("operator")
    await page.getByText("1 session ends.").waitFor()
    const { operator, viewer } = builtInPermissions
    const gained = [...operator].filter((permission) => !viewer.has(permission))
    await page.getByText(`Gains ${gained.length} permissions`).waitFor()
    await assertAccessible(page, "change role")
    await page.getByRole("dialog").getByLabel("Role").selectOption("auditor")
    await page.getByText("See admins, their roles and whether they have a second factor").waitFor()
    await page.getByRole("button", { name: "Change role" }).click()
    await page.getByText("carl is auditor now").waitFor()
    await page.getByRole("row", { name: /carl.*auditor/ }).waitFor()
    await carl.page.goto("/servers")
    await carl.page.waitForURL(/\/sign-in/)
  })

  it("A5 lets a role of one's own limit what a person sees, and names who keeps it from being deleted (A7)", async () => {
    const { page } = await signedIn("/access/roles")
    await page.getByRole("table", { name: "Permissions by role" }).waitFor()
    await assertAccessible(page, "roles")
    await page.getByRole("link", { name: "Create role" }).click()
    await page.getByLabel("Name", { exact: true }).fill("Log keeper")
    await page.getByRole("button", { name: "Create role" }).click()
    await page.getByText("A role must hold at least one permission.").waitFor()
    await tick(page, "Read the audit log")
    await tick(page, "See servers")
    // All of it in sight: the bars that stay where they are cover nothing then.
    await page.setViewportSize({ width: 1440, height: 2_400 })
    await assertAccessible(page, "create role")
    await page.setViewportSize({ width: 1440, height: 900 })
    await page.getByRole("button", { name: "Create role" }).click()
    await page.getByRole("heading", { name: "Log keeper" }).waitFor()

    // Given somebody who has it
    await admin("dora", "viewer")
    await page.goto("/access/admins")
    await act(page, "dora", "Change role…")
    await page.getByRole("dialog").getByLabel("Role").selectOption({ label: "Log keeper" })
    await page.getByText(/^Loses \d+ permissions/).waitFor()
    await page.getByRole("button", { name: "Change role" }).click()
    await page.getByText("dora is Log keeper now").waitFor()

    // Then they start at the first page they may see, and there is nothing else
    const dora = await openTab(browser, broker)
    await dora.page.goto("/sign-in")
    await signIn(dora.page, "dora", password)
    await dora.page.waitForURL(`${broker.url}/servers`)
    const links = await dora.page.getByRole("navigation", { name: "Main" }).getByRole("link").allTextContents()
    assert.deepStrictEqual(
      links.map((words) => words.trim()),
      ["Servers", "Audit log"]
    )
    await dora.page.goto("/users")
    await dora.page.getByRole("heading", { name: "Your role does not let you see this" }).waitFor()
    await dora.page.goto("/audit")
    await dora.page.getByRole("row", { name: /dora/ }).first().waitFor()
    assert.strictEqual(await dora.page.getByRole("button", { name: /Verify|Export/ }).count(), 0)

    // And the role stays as long as she has it
    await page.goto("/access/roles")
    await page.getByRole("list").getByRole("link", { name: "Log keeper" }).click()
    await page.getByRole("button", { name: "Delete…" }).click()
    await page.getByRole("heading", { name: "Log keeper is in use" }).waitFor()
    await page.getByRole("list", { name: "Who has it" }).getByText("dora").waitFor()
    await assertAccessible(page, "role in use")
    await page.getByRole("button", { name: "Close" }).last().click()
    await page.getByRole("link", { name: "Duplicate" }).click()
    await page.getByRole("button", { name: "Create role" }).click()
    await page.getByRole("heading", { name: "Log keeper copy" }).waitFor()
    await page.getByRole("button", { name: "Delete…" }).click()
    await page.getByRole("button", { name: "Delete role" }).click()
    await page.getByText("Log keeper copy is deleted").waitFor()
  })

  it("A5 locks what one does not hold, and turns actions off with the reason", async () => {
    await admin("emil", "admin")
    const { page } = await signedIn("/access/roles/new", "emil")
    assert.isTrue(await page.getByRole("checkbox", { name: /^Change the organization's security policy/ }).isDisabled())
    await page.getByText("Only owners have it.").first().waitFor()
    await assertAccessible(page, "create role as an admin")
    await page.goto("/access/admins")
    await page.getByRole("link", { name: "ada" }).click()
    await page.getByText(/^Their role holds 2 permissions that yours does not/).waitFor()
    assert.isTrue(await page.getByRole("button", { name: "Change role…" }).isDisabled())
    await page.goto("/access/admins")
    await page.getByRole("link", { name: "emil" }).click()
    await page.getByText(/^This is you\./).waitFor()
    assert.isTrue(await page.getByRole("button", { name: "Disable…" }).isDisabled())
    await page.goto("/settings/security")
    await page.getByText(/You can look, but not change anything/).waitFor()
    assert.isTrue(await page.getByRole("checkbox", { name: "Require a second factor" }).isDisabled())
  })

  it("disables by name, which ends their session, and lets them in again", async () => {
    await admin("finn", "viewer")
    const finn = await signedIn("/servers", "finn")
    const { page } = await signedIn("/access/admins")
    await act(page, "finn", "Disable…")
    await page.getByText("1 session ends.").waitFor()
    await page.getByText("They have no API token in use.").waitFor()
    const disable = page.getByRole("button", { name: "Disable admin" })
    assert.isTrue(await disable.isDisabled())
    await page.getByLabel("Type finn to confirm").fill("finn")
    await assertAccessible(page, "disable")
    await disable.click()
    await page.getByText("finn is disabled").waitFor()
    await page.getByRole("row", { name: /finn.*Disabled/ }).waitFor()
    await finn.page.goto("/servers")
    await finn.page.waitForURL(/\/sign-in/)
    await act(page, "finn", "Enable")
    await page.getByText("finn can sign in again").waitFor()

    // And a new password comes by a link that only they see
    await act(page, "finn", "Reset password…")
    await page.getByRole("button", { name: "Make a reset link" }).click()
    await page.getByRole("heading", { name: "Reset link for finn" }).waitFor()
    await assertAccessible(page, "reset link")
    await page.getByRole("button", { name: "I have sent it" }).click()
  })

  it("A6 shows who did what to what, field by field, with filters in the URL", async () => {
    await broker.user("Audited")
    const { complaints, page } = await signedIn("/audit")
    await page.getByLabel("Filter entries by name, action, id, address or request").fill("finn")
    await page.waitForURL(/q=finn/)
    await page.getByLabel("Action", { exact: true }).selectOption("admins:disable")
    await page.waitForURL(/action=admins:disable/)
    const row = page.getByRole("row", { name: /ada.*Disabled an admin.*finn/ })
    await row.waitFor()
    await page.getByLabel("Outcome").selectOption("refused")
    await page.getByText("No entry matches").waitFor()
    await page.getByLabel("Outcome").selectOption("done")
    await page.getByRole("button", { name: "24 h" }).click()
    await page.waitForURL(/range=24h/)
    const link = page.url()
    await page.goto("/")
    await page.goto(link)
    await row.getByRole("link", { name: "Disabled an admin" }).click()
    await page.waitForURL(/entry=\d+/)
    const dialog = page.getByRole("dialog")
    await dialog.getByText("Membership changed").waitFor()
    await dialog.getByRole("row", { name: /Disabled at.*Added/ }).waitFor()
    await assertAccessible(page, "entry")
    await dialog.getByRole("tab", { name: "JSON" }).click()
    await dialog.getByText('"action": "admins:disable"').waitFor()
    await dialog.getByRole("button", { name: "Close" }).click()

    // An entry has a link of its own, whatever the list shows.
    const open = new URL(link)
    open.searchParams.set("entry", "1")
    await page.goto(open.href)
    await page.getByRole("dialog").getByText("Place in the log").waitFor()
    await page.keyboard.press("Escape")
    await page.waitForURL((url) => !url.searchParams.has("entry"))
    assert.deepStrictEqual(complaints, [])
  })

  it("A6 exports what the filters match, with its proof", async () => {
    const { page } = await signedIn("/audit?action=admins:disable")
    const save = async (format: "CSV" | "JSON") => {
      const download = page.waitForEvent("download")
      await page.getByRole("button", { name: "Export" }).click()
      await page.getByRole("menuitem", { name: `Export ${format}` }).click()
      return readFile(await (await download).path(), "utf8")
    }
    const csv = await save("CSV")
    assert.match(csv, /admins:disable/)
    assert.notMatch(csv, /admins:create/)
    assert.match(await save("JSON"), /"hash"/)
  })

  it("A6 finds what somebody changed in the database behind the broker's back", async () => {
    const { page } = await signedIn("/audit")
    await page.getByRole("button", { name: "Verify" }).click()
    await page.getByRole("heading", { name: "The log is intact" }).waitFor()
    await assertAccessible(page, "intact")

    await Effect.runPromise(
      SqlClient.SqlClient.use((sql) =>
        sql.withTransaction(
          Effect.andThen(
            sql`set local session_replication_role = replica`,
            sql`update audit_entries set actor_name = 'mallory' where organization_id = ${defaultOrganizationId}::uuid and seq = 3`
          )
        )
      ).pipe(Effect.provide(TestServer.connect(database)))
    )
    await page.getByRole("button", { name: "Verify" }).click()
    await page.getByRole("heading", { name: "The log was tampered with: 1 fault" }).waitFor()
    await assertAccessible(page, "tampered with")
    await page.getByRole("link", { name: "Entry 3" }).click()
    await page.getByRole("dialog").getByText("mallory").waitFor()
  })

  it("A3 tells who has to wait, and lets them try again", async () => {
    // Before the failures, for which everybody at this address may have to wait a moment.
    const { page } = await signedIn("/audit", "ada")
    const tries = Array.from({ length: 6 }, () =>
      fetch(`${broker.url}/rpc/session`, {
        method: "POST",
        headers: { "content-type": "application/json", origin: broker.url },
        body: JSON.stringify({ name: "emil", password: "not this one at all" })
      })
    )
    await Promise.all(tries)
    await page.goto("/access/sign-ins")
    await page.getByRole("row", { name: /emil/ }).waitFor()
    await assertAccessible(page, "sign-ins")
    await page.getByRole("button", { name: "Let them try again: emil" }).click()
    await page.getByText("emil may try again").waitFor()
    await page.getByRole("row", { name: /emil/ }).waitFor({ state: "detached" })
  })

  it("says what a second factor for all would come to, and saves what was chosen", async () => {
    const { page } = await signedIn("/settings/security")
    await page.getByRole("checkbox", { name: "Require a second factor" }).click()
    await page.getByText(/\d of \d admins have none and will have to add one/).waitFor()
    await page.getByText(/^Everybody needs a second factor/).waitFor()
    await page.getByRole("button", { name: "Discard" }).click()
    await page.getByLabel("Ends without use after").selectOption({ label: "30 minutes" })
    await page.getByText(/a session ends after 30 minutes without use/).waitFor()
    await page.getByRole("button", { name: "Save" }).click()
    await page.getByText("The security settings are saved").waitFor()
    await page.reload()
    assert.strictEqual(await page.getByLabel("Ends without use after").inputValue(), "1800")
  })

  it("nudges an owner without a second factor, and goes by keyboard", async () => {
    const { page } = await signedIn("/")
    await page.getByText("You have no second factor.").waitFor()
    await page.keyboard.press("g")
    await page.keyboard.press("l")
    await page.waitForURL(`${broker.url}/audit`)
    await page.getByRole("table", { name: "Audit entries" }).waitFor()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.waitForURL(/entry=\d+/)
    await page.keyboard.press("Escape")
    await page.waitForURL(`${broker.url}/audit`)
    await page.getByRole("dialog").waitFor({ state: "detached" })
    await page.keyboard.press("Control+k")
    await page.keyboard.type("invite")
    await page.keyboard.press("Enter")
    await page.waitForURL(/\/access\/admins\?invite=1/)
  })

  it.each([
    ["light", 1440],
    ["dark", 390]
  ] as const)("is accessible in %s at %i px", async (colorScheme, width) => {
    const { complaints, page } = await signedIn("/access/admins", "ada", { colorScheme, width })
    const shots = process.env["SHOTS"]
    for (const [path, sign] of [
      ["/access/admins", "Last sign-in"],
      ["/access/admins?q=nobody-at-all", "No admin matches"],
      ["/access/admins?invite=1", "What they sign in by."],
      ["/access/roles", "Read the audit log"],
      ["/access/roles/owner", "It comes with the broker"],
      ["/access/roles/new", "A role of your organization's own."],
      ["/access/api-tokens", "No API tokens yet"],
      ["/access/sign-ins", "Whoever fails to sign in too often"],
      ["/audit", "Audit log"],
      ["/audit?q=nothing-at-all", "No entry matches"],
      ["/audit?entry=5", "Place in the log"],
      ["/settings/security", "What your organization asks of its admins"]
    ] as const) {
      await page.goto(path)
      await page.getByText(sign).filter({ visible: true }).first().waitFor()
      if (shots !== undefined) {
        await page.screenshot({ path: `${shots}/${colorScheme}-${width}${path.replaceAll(/[/?=]/g, "_")}.png` })
      }
      await assertAccessible(page, path)
      const overflow = await page.evaluate<boolean>("document.documentElement.scrollWidth > window.innerWidth")
      assert.isFalse(overflow, `${path} is wider than the screen`)
    }
    assert.deepStrictEqual(complaints, [])
  })
})
