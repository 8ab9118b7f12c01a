/** Signing in through an identity provider in a browser that keeps strict cookies to itself. */
import type { Browser } from "playwright-core"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type IdentityProvider, person, start as startProvider } from "../../broker/test/wire/IdentityProvider.ts"
import { start, type Wire } from "../../broker/test/wire/Wire.ts"
import { launch } from "./chromium.ts"

let provider: IdentityProvider
let broker: Wire
let browser: Browser

// The two are different sites: one is called by its name, the other by its address.
beforeAll(async () => {
  provider = await startProvider()
  broker = await start({ provider: provider.policy })
  provider.configure(`${broker.audience}/rpc/single-sign-on/callback`)
  await broker.admin("ada@example.com", "lantern gravel orbit mustard")
  browser = await launch()
})
afterAll(async () => {
  await browser?.close()
  await broker?.[Symbol.asyncDispose]()
  await provider?.[Symbol.asyncDispose]()
})

const visit = async () => {
  const page = await browser.newPage()
  await page.goto(`${broker.url}/sign-in?to=%2Fservers`)
  await page.getByRole("link", { name: "Sign in with Example" }).click()
  await page.waitForURL(
    (url) => url.origin === broker.url && !url.pathname.startsWith("/rpc/") && !url.search.includes("to=")
  )
  return page
}

describe("single sign-on in a browser", () => {
  it("goes to the provider and comes back signed in, to the page that was asked for", async () => {
    provider.seat(person({ email: "ada@example.com" }))
    const page = await visit()
    assert.strictEqual(new URL(page.url()).pathname, "/servers")
    await page.getByRole("heading", { name: "Servers" }).waitFor()
    const cookies = await page.context().cookies(broker.url)
    assert.deepStrictEqual(cookies.map(({ name, sameSite }) => [name, sameSite]).sort(), [
      ["broker_browser", "Strict"],
      ["broker_session", "Strict"]
    ])
  })

  it("says so when nobody has invited whoever it is", async () => {
    provider.seat(person({ email: "eve@example.com" }))
    const page = await visit()
    await page.getByText("there is no admin for you here").waitFor()
  })
})
