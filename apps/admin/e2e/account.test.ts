/** Admins and their own account: ways to sign in, second factors, sessions, API tokens, in a real browser. */
import type { Browser, Page } from "playwright-core"
import { afterAll, assert, beforeAll, beforeEach, describe, it } from "vitest"
import { type AccountBroker, addAuthenticator, startAccountBroker } from "./Account.ts"
import { launch } from "./chromium.ts"
import { assertAccessible, enter, knock, type Look, openTab, password, signIn } from "./Page.ts"

const looks = [
  { colorScheme: "light", width: 1440 },
  { colorScheme: "dark", width: 390 }
] as const

describe("account", { timeout: 120_000 }, () => {
  let browser: Browser
  let broker: AccountBroker

  beforeAll(async () => {
    browser = await launch()
    broker = await startAccountBroker()
    for (const name of ["ada", "grace", "carol", "edith", "frances", "hedy", "ida", "joan"]) await broker.owner(name)
  })
  beforeEach(() => broker.forgive())
  afterAll(async () => {
    await browser.close()
    await broker[Symbol.asyncDispose]()
  })

  const knocking = (as: string, look: Look = {}, to = "/account") => knock(browser, broker, to, { ...look, as })

  const entered = async (as: string, look: Look = {}, to = "/account") => {
    const tab = await enter(browser, broker, to, { ...look, as })
    await tab.page.getByRole("heading", { level: 1 }).waitFor()
    return tab
  }

  const isOpen = (page: Page) => page.getByRole("heading", { name: "Account" }).waitFor()
  const dialog = (page: Page, name: string | RegExp) => page.getByRole("dialog", { name })

  it.each(looks)("A2 signs in with a code, in $colorScheme at $width px", async (look) => {
    // Given an admin with an authenticator app
    const name = look.colorScheme === "light" ? "grace" : "carol"
    const { code, recoveryCodes } = await broker.enrol(name)
    const { complaints, page } = await knocking(name, look)

    // When the wrong code comes, the factor is asked for on the same card, and says so
    const field = page.getByLabel("Code", { exact: true })
    await field.waitFor()
    assert.strictEqual(await page.locator("input:focus").getAttribute("autocomplete"), "one-time-code")
    await assertAccessible(page, "factor")
    await page.keyboard.type("000 000")
    await page.getByText("The code or passkey is wrong, was used before, or came too late.").waitFor()
    await assertAccessible(page, "wrong code")

    // Then the right one is sent with its last digit, and works once
    const good = await code()
    await field.fill(good)
    await isOpen(page)
    const replay = await knocking(name, look)
    await replay.page.getByLabel("Code", { exact: true }).fill(good)
    await replay.page.getByText("was used before").waitFor()

    // And a recovery code signs in too, once, however it is typed
    const [first = ""] = recoveryCodes
    await replay.page.getByRole("button", { name: "Use a recovery code" }).click()
    await assertAccessible(replay.page, "recovery code")
    await replay.page.keyboard.type(first.replace("-", " ").toUpperCase())
    await replay.page.keyboard.press("Enter")
    await isOpen(replay.page)
    await replay.page.getByText("9 of 10 are left.").waitFor()
    const again = await knocking(name, look)
    await again.page.getByRole("button", { name: "Use a recovery code" }).click()
    await again.page.keyboard.type(first)
    await again.page.keyboard.press("Enter")
    await again.page.getByText("was used before").waitFor()
    await again.page.getByRole("button", { name: "Start again" }).click()
    await again.page.getByLabel("Name").waitFor()
    assert.deepStrictEqual([...complaints, ...replay.complaints, ...again.complaints], [])
  })

  it("A2 sets up an authenticator app, whose codes are stored once, and removes it", async () => {
    const { complaints, page } = await entered("ada")
    await assertAccessible(page, "account")
    await page.getByRole("button", { name: "Set up…" }).click()
    await page.getByRole("img", { name: /QR code/ }).waitFor()
    await assertAccessible(page, "set up an authenticator app")
    const secret = ((await page.locator("[data-secret]").textContent()) ?? "").replace(/\s/g, "")
    const code = page.getByLabel("Code that the app shows")
    await code.fill("000000")
    await page.getByText("The code is not one of this secret").waitFor()
    await code.fill(broker.codeOf(secret))

    await page.getByRole("heading", { name: "Store your recovery codes" }).waitFor()
    await assertAccessible(page, "recovery codes")
    const codes = await page.getByRole("list", { name: "Recovery codes" }).getByRole("listitem").allTextContents()
    assert.strictEqual(codes.length, 10)
    const download = page.waitForEvent("download")
    await page.getByRole("button", { name: "Download" }).click()
    assert.strictEqual((await download).suggestedFilename(), "broker-recovery-codes.txt")
    await page.keyboard.press("Escape")
    await page.getByRole("button", { name: "I have stored them" }).click()
    assert.strictEqual(await page.getByText(codes[0] ?? "").count(), 0)
    await page.getByText("10 of 10 are left.").waitFor()

    await page.getByRole("button", { name: "Remove…" }).click()
    await page.getByText("It is your last second factor").waitFor()
    await assertAccessible(page, "remove the app")
    await page.getByRole("button", { name: "Remove app" }).click()
    await page.getByRole("button", { name: "Set up…" }).waitFor()
    assert.deepStrictEqual(complaints, [])
  })

  it("A2 signs in by a passkey alone, by the button and where names are filled in", async () => {
    // Given a passkey
    const { complaints, page } = await entered("edith")
    await addAuthenticator(page)
    await page.getByRole("button", { name: "Add passkey…" }).click()
    await page.getByLabel("Name").fill("Fingerprint")
    await assertAccessible(page, "add a passkey")
    await page.getByRole("button", { name: "Create passkey" }).click()
    await page.getByRole("heading", { name: "Store your recovery codes" }).waitFor()
    await page.getByRole("button", { name: "I have stored them" }).click()
    const passkeys = page.getByRole("list", { name: "Passkeys" })
    await passkeys.getByText("Fingerprint").waitFor()
    await assertAccessible(page, "passkeys")

    // When the browser offers it among the names, nothing has to be typed
    await page.getByRole("button", { name: /Account of/ }).click()
    await page.getByRole("menuitem", { name: "Sign out" }).click()
    await page.getByRole("heading", { name: "Overview" }).waitFor()

    // And when it does not offer it, there is a button
    await page.addInitScript("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
    await page.getByRole("button", { name: /Account of/ }).click()
    await page.getByRole("menuitem", { name: "Sign out" }).click()
    await page.getByRole("button", { name: "Sign in with a passkey" }).click()
    await page.getByRole("heading", { name: "Overview" }).waitFor()
    await page.goto("/account?tab=sessions")
    await page
      .getByText(/Passkey,/)
      .first()
      .waitFor()

    // And it is a second factor beside the password
    const second = page.getByRole("button", { name: "Sign in with a passkey" })
    // A page that is open notices that it is signed out, and would go to the sign-in page by itself.
    await page.goto("/healthz")
    await page.context().clearCookies()
    await page.goto("/sign-in?to=/account")
    await signIn(page, "edith", password)
    await page.getByText("One more step", { exact: true }).waitFor()
    await assertAccessible(page, "factor by passkey")
    await second.click()
    await isOpen(page)

    // Then it is renamed, and removed
    await passkeys.getByRole("button", { name: "Actions for Fingerprint" }).click()
    await page.getByRole("menuitem", { name: "Rename…" }).click()
    const rename = dialog(page, "Rename passkey")
    await rename.getByRole("textbox").fill("Work laptop")
    await rename.getByRole("button", { name: "Rename" }).click()
    await passkeys.getByText("Work laptop").waitFor()
    await page.getByRole("button", { name: "Actions for Work laptop" }).click()
    await page.getByRole("menuitem", { name: "Remove…" }).click()
    await page.getByRole("button", { name: "Remove passkey" }).click()
    await passkeys.waitFor({ state: "detached" })
    assert.deepStrictEqual(complaints, [])
  })

  it.each(looks)("opens an account by an invitation, once, in $colorScheme at $width px", async (look) => {
    const name = `lin-${look.colorScheme}`
    const link = await broker.invite(name, "viewer")
    const { complaints, page } = await openTab(browser, broker, look)
    await page.goto(link)
    await page.getByRole("heading", { name: "You are invited" }).waitFor()
    await page.getByText(name).waitFor()
    await page.getByText("viewer").waitFor()
    await assertAccessible(page, "invitation")
    assert.strictEqual(page.url(), `${broker.url}/link`)

    // A password that anybody guesses is advised against while it is typed, and refused.
    const field = page.getByLabel("Password", { exact: true })
    await field.fill("passwordpassword")
    await page.getByText("Too easy to guess").waitFor()
    await assertAccessible(page, "weak password")
    await page.getByLabel("Repeat the password").fill("something else")
    await page.getByRole("button", { name: "Accept and sign in" }).click()
    await page.getByText("The two passwords differ.").waitFor()
    await page.getByLabel("Repeat the password").fill("passwordpassword")
    await page.getByRole("button", { name: "Accept and sign in" }).click()
    await page.getByText("The password is too easy to guess.").waitFor()
    assert.strictEqual(await field.getAttribute("aria-invalid"), "true")

    await field.fill(password)
    await page.getByRole("status", { name: "Strength of the password" }).getByText("Strong").waitFor()
    await page.getByLabel("Repeat the password").fill(password)
    await page.keyboard.press("Enter")
    await page.getByRole("heading", { name: "Overview" }).waitFor()

    const late = await openTab(browser, broker, look)
    await late.page.goto(link)
    await late.page.getByRole("heading", { name: "This link is no longer valid" }).waitFor()
    await assertAccessible(late.page, "link that is gone")
    assert.deepStrictEqual([...complaints, ...late.complaints], [])
  })

  it.each(looks)("A2 leads everywhere to enrolment while a factor is demanded, in $colorScheme", async (look) => {
    const name = look.colorScheme === "light" ? "frances" : "hedy"
    await broker.demand(true)
    try {
      // Given an admin without a second factor
      const { complaints, page } = await knocking(name, look, "/users?q=x")
      await page.getByRole("heading", { name: "Add a second factor" }).waitFor()
      await page.getByText("Your organization demands a second factor of everybody").waitFor()
      await assertAccessible(page, "enrolment")

      // When they look elsewhere, they are back, and nothing was asked for that they may not have
      const asked: Array<string> = []
      page.on("request", (request) => asked.push(new URL(request.url()).pathname))
      await page.goto("/registration-keys")
      await page.waitForURL(`${broker.url}/enrol?to=%2Fregistration-keys`)
      await page.getByRole("heading", { name: "Add a second factor" }).waitFor()
      assert.deepStrictEqual([...new Set(asked.filter((path) => path.startsWith("/rpc/")))], ["/rpc/session.current"])

      // Then one of the two is enough, and they go on to where they wanted to
      if (look.colorScheme === "light") {
        await page.getByRole("button", { name: /Authenticator app/ }).click()
        await assertAccessible(page, "enrol an app")
        const secret = ((await page.locator("[data-secret]").textContent()) ?? "").replace(/\s/g, "")
        await page.getByLabel("Code that the app shows").fill(broker.codeOf(secret))
      } else {
        await addAuthenticator(page)
        await page.getByRole("button", { name: /^Passkey/ }).click()
        await assertAccessible(page, "enrol a passkey")
        await page.getByRole("button", { name: "Create passkey" }).click()
      }
      await page.getByRole("heading", { name: "Store your recovery codes" }).waitFor()
      await assertAccessible(page, "codes of the first factor")
      await page.getByRole("button", { name: "I have stored them" }).click()
      await page.waitForURL(`${broker.url}/registration-keys`)
      await page.getByRole("heading", { name: "Registration keys" }).waitFor()
      assert.deepStrictEqual(complaints, [])
    } finally {
      await broker.demand(false)
    }
  })

  it.each(looks)("A4 asks again before what is dangerous, and then does it, in $colorScheme", async (look) => {
    // Given a session that is older than ten minutes
    const name = look.colorScheme === "light" ? "ida" : "joan"
    const { complaints, page } = await entered(name, look, "/account?tab=api-tokens")
    await page.getByText("No API tokens yet").waitFor()
    await assertAccessible(page, "no API tokens")
    await page.getByRole("button", { name: "Create API token" }).first().click()
    const form = dialog(page, "Create API token")
    await form.getByRole("button", { name: "Create API token" }).click()
    await form.getByText("Name must not be empty.").waitFor()
    await form.getByLabel("Name", { exact: true }).fill("Deploy script")
    await form.getByLabel("See servers, their history and their metrics").check()
    await form.getByLabel("Networks (optional)").fill("127.0.0.0/8\n::1")
    await assertAccessible(page, "create an API token")
    await broker.age()

    // When it is cancelled, nothing is done, and that is said
    await form.getByRole("button", { name: "Create API token" }).click()
    const question = dialog(page, "Confirm that it is you")
    await question.waitFor()
    await assertAccessible(page, "step-up by password")
    await page.keyboard.press("Escape")
    await form.getByText("It was not done, because you did not confirm that it is you.").waitFor()

    // Then it asks again, says what is wrong, and goes on by itself
    await form.getByRole("button", { name: "Create API token" }).click()
    await question.getByLabel("Password", { exact: true }).fill("not the password")
    await page.keyboard.press("Enter")
    await question.getByText("That is not your current password.").waitFor()
    await question.getByLabel("Password", { exact: true }).fill(password)
    await page.keyboard.press("Enter")
    await page.getByRole("heading", { name: "Deploy script is ready" }).waitFor()
    await assertAccessible(page, "created API token")
    const token = (await page.getByText(/^brk_api_[A-Za-z0-9_-]{60}$/).textContent()) ?? ""
    const answer = await fetch(`${broker.url}/api/v1/servers`, { headers: { authorization: `Bearer ${token}` } })
    assert.strictEqual(answer.status, 200)

    // And the token is shown this once, and revoked
    await page.getByRole("button", { name: "I have stored it" }).click()
    await page.getByRole("button", { name: "Deploy script", exact: true }).click()
    await dialog(page, "Deploy script").getByText("127.0.0.0/8").waitFor()
    await assertAccessible(page, "details of an API token")
    assert.strictEqual(await page.getByText(token).count(), 0)
    await page.getByRole("button", { name: "Revoke…" }).last().click()
    await page.getByRole("button", { name: "Revoke API token" }).click()
    await page.getByText("Revoked", { exact: true }).first().waitFor()
    const late = await fetch(`${broker.url}/api/v1/servers`, { headers: { authorization: `Bearer ${token}` } })
    assert.strictEqual(late.status, 401)
    assert.deepStrictEqual(complaints, [])
  })

  it("A4 ends a session elsewhere, and all others", async () => {
    const here = await entered("ada", {}, "/account?tab=sessions")
    const there = await entered("ada", {}, "/servers")
    await here.page.reload()
    const sessions = here.page.getByRole("list", { name: "Sessions" })
    await sessions.getByText("This one").waitFor()
    await assertAccessible(here.page, "sessions")
    await sessions.getByRole("button", { name: /^End / }).first().click()
    await there.page.waitForURL(/\/sign-in\?to=%2Fservers$/)

    const third = await entered("ada", {}, "/users")
    await here.page.reload()
    await here.page.getByRole("button", { name: "End all others…" }).click()
    await assertAccessible(here.page, "end all others")
    await here.page.getByRole("dialog").getByRole("button", { name: /^End / }).click()
    await third.page.waitForURL(/\/sign-in\?to=%2Fusers$/)
    await here.page.getByRole("button", { name: "Sign out here" }).waitFor()
    assert.deepStrictEqual([...here.complaints, ...there.complaints, ...third.complaints], [])
  })

  it("changes the password, and signs in with the new one only", async () => {
    const next = "nine copper kettles whisper loudly"
    await broker.owner("kay")
    const { page } = await entered("kay")
    await page.getByRole("button", { name: "Change password…" }).click()
    const form = dialog(page, "Change password")
    await form.getByLabel("Current password").fill("not the password")
    await form.getByLabel("New password", { exact: true }).fill(next)
    await form.getByLabel("Repeat the new password").fill(next)
    await assertAccessible(page, "change password")
    await form.getByRole("button", { name: "Change password" }).click()
    await form.getByText("That is not your current password.").waitFor()
    await form.getByLabel("Current password").fill(password)
    await form.getByRole("button", { name: "Change password" }).click()
    await page.getByText("Your password is changed").waitFor()

    const old = await knocking("kay")
    await old.page.getByText("The name or the password is wrong.").waitFor()
    await signIn(old.page, "kay", next)
    await isOpen(old.page)
  })

  it("keeps the theme that was chosen", async () => {
    const { page } = await entered("ada", {}, "/account?tab=appearance")
    await assertAccessible(page, "appearance")
    await page.getByRole("radio", { name: /^Dark/ }).check()
    await page.locator("html.dark").waitFor()
    await assertAccessible(page, "appearance in dark")
    await page.reload()
    await page.locator("html.dark").waitFor()
    assert.strictEqual(await page.getByRole("radio", { name: /^Dark/ }).isChecked(), true)
  })

  it("A3 counts down before the next attempt", async () => {
    await broker.owner("lise")
    const { page } = await openTab(browser, broker)
    await page.goto("/sign-in")
    const button = page.getByRole("button", { name: "Sign in", exact: true })
    for (let attempt = 0; attempt < 20 && (await button.isEnabled()); attempt++) {
      await signIn(page, "lise", `wrong ${attempt}`)
      await page
        .getByText(/The name or the password is wrong|Too many attempts failed/)
        .first()
        .waitFor()
    }
    await page.getByText("Too many attempts failed.").waitFor()
    assert.strictEqual(await button.isDisabled(), true)
    await assertAccessible(page, "slowed down")
  })
})
