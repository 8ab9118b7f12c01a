/** The people who connect: made, given keys, watched, cut off, in a real browser with real clients and gateways. */
import { readFile } from "node:fs/promises"
import { Admins } from "@broker/core/admins/Admins"
import { Actor, broker as byBroker } from "@broker/core/audit/Actor"
import { Connections } from "@broker/core/connections/Connections"
import { Servers } from "@broker/core/servers/Servers"
import { Users } from "@broker/core/users/Users"
import { AdminName, NewPassword } from "@broker/domain/Admin"
import { defaultOrganizationId } from "@broker/domain/Organization"
import type { UserId } from "@broker/domain/User"
import { startClient, startGateway } from "@broker/testing/Parties"
import { type RunningBroker, startBroker } from "@broker/testing/TestBroker"
import { Duration, Effect, Schedule, Schema } from "effect"
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { launch } from "./chromium.ts"
import { assertAccessible, assertFits, enter, type Look, password } from "./Page.ts"

type Gateway = Awaited<ReturnType<typeof startGateway>>
type Client = Awaited<ReturnType<typeof startClient>>

describe("users", { timeout: 120_000 }, () => {
  let browser: Browser
  let broker: RunningBroker
  let gateways: ReadonlyMap<string, Gateway>

  beforeAll(async () => {
    browser = await launch()
    broker = await startBroker({
      policy: { heartbeatInterval: Duration.seconds(1), sweepEvery: Duration.millis(250) },
      connections: { cutPatience: Duration.seconds(2) }
    })
    await broker.admin("ada", password)
    const names = ["ams-1", "fra-1"]
    gateways = new Map(await Promise.all(names.map(async (name) => [name, await startGateway(broker, name)] as const)))
    // It takes connections, but never tells which it has: what it is told to cut stays unconfirmed.
    await broker.agent({ name: "mute-1" })
    await Promise.all([...names, "mute-1"].map((name) => available(name)))
  })
  afterAll(async () => {
    await browser.close()
    await Promise.all([...gateways.values()].map((gateway) => gateway[Symbol.asyncDispose]()))
    await broker[Symbol.asyncDispose]()
  })

  const serverOf = (name: string) => broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, name)))

  /** Clients are sent to servers that have proven their key. */
  const available = (name: string) =>
    broker.run(
      Servers.use((servers) => servers.find(defaultOrganizationId, name)).pipe(
        Effect.repeat({ until: (server) => server.available, schedule: Schedule.spaced("100 millis") })
      )
    )

  const connect = async (client: Client, name: string) => {
    const connection = await client.connect({ serverId: (await serverOf(name)).id })
    const gateway = gateways.get(name)
    if (gateway !== undefined) await gateway.accept(connection.grant)
    return connection
  }

  /** A connection on the server that never confirms. */
  const connectToMute = async (client: Client) => {
    const server = await serverOf("mute-1")
    const { id } = await client.connect({ serverId: server.id })
    await broker.run(Connections.use((connections) => connections.reportByServer(server, id, { status: "active" })))
  }

  const signedIn = (path: string, look: Look = {}, as = "ada") => enter(browser, broker, path, { ...look, as })

  /** Signs in as `POST /api/v1/sessions` describes it. */
  const knock = (key: string, fingerprint: string) =>
    fetch(`${broker.url}/api/v1/sessions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ device: { fingerprint, name: fingerprint, platform: "linux" } })
    })

  const secretOn = async (page: Page) =>
    (await page
      .getByText(/^brk_usr_[A-Za-z0-9_-]{60}$/)
      .first()
      .textContent()) ?? ""

  const act = async (page: Page, on: string | RegExp, item: string) => {
    await page.getByRole("button", { name: on }).first().click()
    await page.getByRole("menuitem", { name: item }).click()
  }

  const read = (id: UserId) => broker.run(Users.use((users) => users.get(defaultOrganizationId, id)))

  it("leads from nobody to a device that signed in", async () => {
    // Given nobody
    const { complaints, page } = await signedIn("/users")
    await page.getByText("No users yet").waitFor()
    await assertAccessible(page, "no users")

    // When a user is created, at the second try
    await page.getByRole("button", { name: "Create user" }).first().click()
    await page.getByLabel("E-mail (optional)").fill("not an address")
    await page.getByRole("dialog").getByRole("button", { name: "Create user" }).click()
    await page.getByText("Name must be 1 to 128 characters.").waitFor()
    await page.getByText("E-mail must be an e-mail address.").waitFor()
    assert.strictEqual(await page.locator("input:focus").getAttribute("placeholder"), "Grace Hopper")
    await page.getByLabel("Name", { exact: true }).fill("Grace Hopper")
    await page.getByLabel("E-mail (optional)").fill("grace@example.com")
    await assertAccessible(page, "create user")
    await page.getByRole("dialog").getByRole("button", { name: "Create user" }).click()

    // Then the form for a key is next, and the key is shown once
    await page.getByRole("heading", { name: "Create personal key" }).waitFor()
    await assertAccessible(page, "create personal key")
    await page.getByLabel("Name", { exact: true }).fill("Laptop")
    await page.getByRole("button", { name: "Create key" }).click()
    const key = await secretOn(page)
    await page.getByText(`broker connect --url ${broker.url} --key ${key}`).waitFor()
    await assertAccessible(page, "created personal key")

    // And when a client signs in with it, the dialog and the page tell
    await using client = await startClient(broker, key, { name: "grace-laptop", platform: "linux" })
    await client.me()
    await page.getByText("A device signed in with it").waitFor()
    await page.getByRole("button", { name: "I have stored it" }).click()
    await page.getByRole("heading", { name: "Personal keys" }).waitFor()
    assert.strictEqual(await page.getByText(key).count(), 0)
    await page.getByRole("tab", { name: /Devices/ }).click()
    await page.getByRole("row", { name: /grace-laptop/ }).waitFor()
    await assertAccessible(page, "devices")
    assert.deepStrictEqual(complaints, [])
  })

  it("maps an e-mail address that is taken to its field", async () => {
    await broker.run(
      Users.use((users) =>
        users.create(defaultOrganizationId, { name: "Alan" as never, email: "alan@example.com", note: "" })
      ).pipe(Effect.provideService(Actor, byBroker))
    )
    const { page } = await signedIn("/users?create=1")
    await page.getByLabel("Name", { exact: true }).fill("Another Alan")
    await page.getByLabel("E-mail (optional)").fill("Alan@Example.com")
    await page.keyboard.press("Enter")
    await page.getByText("Another user of the organization has this e-mail address.").waitFor()
    assert.strictEqual(await page.getByLabel("E-mail (optional)").getAttribute("aria-invalid"), "true")
  })

  it("edits what was said of a user", async () => {
    const id = await broker.user("Dorothy")
    const { page } = await signedIn(`/users/${id}`)
    await page.getByRole("button", { name: "Edit" }).click()
    await page.getByLabel("Name", { exact: true }).fill("Dorothy Vaughan")
    await page.getByLabel("Note (optional)").fill("West area")
    await page.getByRole("button", { name: "Save" }).click()
    await page.getByRole("heading", { name: "Dorothy Vaughan" }).waitFor()
    await page.getByText("West area").waitFor()
    await page.getByRole("tab", { name: "Activity" }).click()
    await page.getByText("Name: “Dorothy” is now “Dorothy Vaughan”").waitFor()
  })

  it("rotates a key with an overlap in which both sign in", async () => {
    const id = await broker.user("Katherine")
    const old = await broker.personalKey(id, { name: "Tablet" })
    const { page } = await signedIn(`/users/${id}`)
    await act(page, /Actions for Tablet/, "Rotate…")
    await page.getByLabel("The old key ends").selectOption({ label: "After 1 day" })
    await assertAccessible(page, "rotate")
    await page.getByRole("button", { name: "Rotate key" }).click()
    const key = await secretOn(page)
    await page.getByRole("button", { name: "I have stored it" }).click()
    await page.getByText("Replaced by").waitFor()
    await assertAccessible(page, "rotated")
    assert.deepStrictEqual([(await knock(old.key, "a")).status, (await knock(key, "b")).status], [200, 200])
  })

  it("C6 revokes a key: says what it will cut, and shows how far the cut has come", async () => {
    // Given a user with connections on two servers, one of which never confirms
    const id = await broker.user("Edsger")
    const { key } = await broker.personalKey(id, { name: "Desktop" })
    await using client = await startClient(broker, key, { name: "desktop", platform: "windows" })
    await connect(client, "fra-1")
    await connectToMute(client)
    const { page } = await signedIn(`/users/${id}`)

    // When the key is revoked
    await act(page, /Actions for Desktop/, "Revoke…")
    await page.getByText("2 live connections on 2 servers end.").waitFor()
    await assertAccessible(page, "revoke")
    await page.getByRole("button", { name: "Revoke key" }).click()
    await page.getByText("Reason must not be empty.").waitFor()
    await page.getByLabel("Reason").fill("Desktop was stolen")
    await page.getByRole("button", { name: "Revoke key" }).click()

    // Then nobody signs in with it, one server has cut, and the other is called late
    await page.getByText("Desktop was stolen").waitFor()
    await page.getByText(/1 of 2 servers confirmed, [\d.]+ s median, 1 overdue/).waitFor()
    await assertAccessible(page, "revoked")
    assert.deepStrictEqual(gateways.get("fra-1")?.connections(), [])
    assert.strictEqual((await knock(key, "desktop")).status, 401)
  })

  it("C6 blocks a device, unblocks it, and takes that back", async () => {
    const id = await broker.user("Mary")
    const { key } = await broker.personalKey(id)
    await using client = await startClient(broker, key, { name: "mary-phone", platform: "ios" })
    await connect(client, "ams-1")
    const { page } = await signedIn(`/users/${id}?tab=devices`)

    await act(page, "Actions for mary-phone", "Block…")
    await page.getByText("1 live connection on 1 server ends.").waitFor()
    await assertAccessible(page, "block")
    await page.getByLabel("Reason").fill("Lost on a train")
    await page.getByRole("button", { name: "Block device" }).click()
    await page.getByText("Lost on a train").waitFor()
    await page.getByText(/^1 server confirmed/).waitFor()
    await assertAccessible(page, "blocked")

    await act(page, "Actions for mary-phone", "Unblock")
    await page.getByText("Allowed").waitFor()
    await page.getByRole("button", { name: "Undo" }).click()
    await page.getByText("Blocked", { exact: true }).waitFor()
    await page.getByText("Lost on a train").waitFor()

    await act(page, "Actions for mary-phone", "Remove…")
    await page.getByRole("button", { name: "Remove device" }).click()
    await page.getByText("No devices yet").waitFor()
  })

  it("shows connections as they come, move and end", async () => {
    const id = await broker.user("Frances")
    const { key } = await broker.personalKey(id)
    await using client = await startClient(broker, key, { name: "frances-laptop", platform: "linux" })
    const { page } = await signedIn(`/users/${id}?tab=connections`)
    await page.getByText("No connections yet").waitFor()

    const connection = await connect(client, "ams-1")
    const row = page.getByRole("row", { name: /frances-laptop/ })
    await row.getByText("Active").waitFor()
    await assertAccessible(page, "connections")
    await page.getByRole("tab", { name: /^Connections 1$/ }).waitFor()
    await connection.end("done for today")
    await row.getByText("Ended").waitFor()
    await row.getByText("done for today").waitFor()
    // What is read again by itself brings nothing back.
    await page.getByRole("tab", { name: /^Connections 0$/ }).waitFor()
    assert.isTrue(await row.getByText("Ended").isVisible())
    await page.getByRole("button", { name: "Live", exact: true }).click()
    await page.waitForURL(/scope=live/)
    await page.getByText("Not connected now").waitFor()
  })

  it("C6 suspends by name, resumes, takes that back, and deletes by name", async () => {
    const id = await broker.user("Donald Knuth")
    const { key } = await broker.personalKey(id)
    await using client = await startClient(broker, key, { name: "donald-desk", platform: "linux" })
    await connect(client, "fra-1")
    const { page } = await signedIn(`/users/${id}`)

    await act(page, /More actions/, "Suspend…")
    await page.getByText("1 live connection on 1 server ends.").waitFor()
    const suspend = page.getByRole("button", { name: "Suspend user" })
    assert.isTrue(await suspend.isDisabled())
    await page.getByLabel("Reason").fill("Contract ended")
    await page.getByLabel("Type Donald Knuth to confirm").fill("Donald Knuth")
    await assertAccessible(page, "suspend")
    await suspend.click()
    await page.getByText("Contract ended").waitFor()
    await page.getByText(/^1 server confirmed/).waitFor()
    await assertAccessible(page, "suspended")
    assert.strictEqual((await knock(key, "x")).status, 401)

    await page.getByRole("button", { name: "Resume" }).click()
    await page.getByText("Suspended", { exact: true }).waitFor({ state: "detached" })
    await page.getByRole("button", { name: "Undo" }).click()
    await page.getByText("Suspended", { exact: true }).waitFor()
    assert.strictEqual((await read(id)).stateReason, "Contract ended")

    await act(page, /More actions/, "Delete…")
    await page.getByLabel("Type Donald Knuth to confirm").fill("Donald Knuth")
    await assertAccessible(page, "delete")
    await page.getByRole("button", { name: "Delete user" }).click()
    await page.waitForURL(`${broker.url}/users`)
    await page.getByRole("row", { name: /Edsger/ }).waitFor()
    assert.strictEqual(await page.getByRole("row", { name: /Donald Knuth/ }).count(), 0)
    await page.goto(`/users/${id}`)
    await page.getByRole("heading", { name: "There is no such user" }).waitFor()
  })

  it("keeps filter and sort in the URL, goes by keyboard, and exports what is filtered", async () => {
    const barbara = await broker.user("Barbara")
    const { page } = await signedIn("/users")
    await page.getByRole("row", { name: /Barbara/ }).waitFor()
    await page.keyboard.press("/")
    await page.keyboard.type("barb")
    await page.waitForURL(/q=barb/)
    await page.getByRole("row", { name: /Edsger/ }).waitFor({ state: "detached" })
    const link = page.url()
    const download = page.waitForEvent("download")
    await page.getByRole("button", { name: "Export CSV" }).click()
    const csv = await readFile(await (await download).path(), "utf8")
    assert.deepStrictEqual(
      csv
        .trim()
        .split("\r\n")
        .map((row) => row.split(",")[0]),
      ["name", "Barbara"]
    )

    await page.goto("/")
    await page.goto(link)
    await page.getByRole("row", { name: /Barbara/ }).waitFor()
    await page.getByRole("link", { name: "Created" }).click()
    await page.waitForURL(/sort=created/)
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await page.getByRole("button", { name: "Suspend…" }).waitFor()
    await assertAccessible(page, "selected")
    await page.keyboard.press("Enter")
    await page.waitForURL(`${broker.url}/users/${barbara}`)
  })

  it("suspends many at once after their number was typed, and lets them again", async () => {
    await Promise.all([broker.user("Many One"), broker.user("Many Two")])
    const { page } = await signedIn("/users?q=many")
    await page.getByRole("checkbox", { name: "Select all users of this page" }).click()
    await page.getByRole("button", { name: "Suspend…" }).click()
    await page.getByLabel("Reason").fill("Cleaning up")
    await page.getByLabel("Type 2 to confirm").fill("2")
    await page.getByRole("button", { name: "Suspend 2 users" }).click()
    await page.getByText("2 users suspended").waitFor()
    await page.getByRole("button", { name: "Suspended" }).click()
    await page.waitForURL(/state=suspended/)
    await page.getByRole("checkbox", { name: "Select all users of this page" }).click()
    await page.getByRole("button", { name: "Resume" }).click()
    await page.getByText("No user matches").waitFor()
  })

  it("offers a viewer nothing that would be refused", async () => {
    await broker.run(
      Admins.use((admins) =>
        admins.create({
          organizationId: defaultOrganizationId,
          name: AdminName.make("vera"),
          password: Schema.decodeSync(NewPassword)(password),
          role: "viewer"
        })
      ).pipe(Effect.provideService(Actor, byBroker))
    )
    const id = await broker.user("Seen by Vera")
    const { page } = await signedIn("/users", {}, "vera")
    await page.getByRole("link", { name: "Seen by Vera" }).click()
    await page.getByText("Ask an admin for one: your role cannot create keys.").waitFor()
    assert.strictEqual(page.url(), `${broker.url}/users/${id}`)
    assert.strictEqual(await page.getByRole("button", { name: /Edit|Create|Suspend/ }).count(), 0)
    await page.getByRole("button", { name: /More actions/ }).click()
    assert.deepStrictEqual(await page.getByRole("menuitem").allTextContents(), ["Copy id"])
  })

  it("is accessible in light and dark, on narrow screens and wide ones", async () => {
    const edsger = await broker.run(
      Users.use((users) =>
        users.list(defaultOrganizationId, { text: "Edsger", states: [], sort: "name", limit: 1, cursor: null })
      )
    )
    const user = `/users/${edsger.items[0]?.id}`
    const { complaints, page } = await signedIn("/users")
    for (const [path, sign] of [
      ["/users", "Edsger"],
      ["/users?q=nobody", "No user matches"],
      ["/users?create=1", "Two users may share a name."],
      [user, "Desktop was stolen"],
      [`${user}?create=1`, "Leave empty for what is usual here."],
      [`${user}?tab=devices`, "desktop"],
      [`${user}?tab=connections`, "the personal key was revoked"],
      [`${user}?tab=activity`, "Key revoked:"]
    ] as const) {
      await page.goto(path)
      await page.getByText(sign).filter({ visible: true }).first().waitFor()
      await assertFits(page, path)
    }
    assert.deepStrictEqual(complaints, [])
  }, 90_000)

  it("turns pages, and knows the way back", async () => {
    const numbers = Array.from({ length: 51 }, (_, at) => `Paged ${String(at + 1).padStart(2, "0")}`)
    await Promise.all(numbers.map((name) => broker.user(name)))
    const { complaints, page } = await signedIn("/users?q=paged&limit=25")
    const shows = (name: string) => page.getByRole("row", { name: new RegExp(name) }).waitFor()
    const press = (name: string) => page.getByRole("button", { name, exact: true }).click()
    await shows("Paged 25")
    await press("Next")
    await shows("Paged 50")
    await press("Next")
    await shows("Paged 51")
    assert.isTrue(await page.getByRole("button", { name: "Next", exact: true }).isDisabled())
    await press("Previous")
    await shows("Paged 50")
    await press("Previous")
    await shows("Paged 01")
    assert.isTrue(await page.getByRole("button", { name: "Previous", exact: true }).isDisabled())
    await press("Next")
    await shows("Paged 26")
    await press("First page")
    await shows("Paged 01")
    assert.deepStrictEqual(complaints, [])
  })
})
