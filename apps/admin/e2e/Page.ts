/** A tab of the dashboard, and what every story does in it. */

import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import type { RunningBroker } from "@broker/testing/TestBroker"
import type { Browser, Page } from "playwright-core"
import { assert, onTestFinished } from "vitest"

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8")

/** Of the admins of stories: not among those that anybody guesses. */
export const password = "violet tractor sings to mossy comets"

/** What the page found wrong with itself: errors, and requests to anywhere but the broker. */
export interface Tab {
  readonly page: Page
  readonly complaints: ReadonlyArray<string>
}

/** How somebody looks at the dashboard. */
export interface Look {
  readonly colorScheme?: "light" | "dark"
  /** Of the window, in CSS pixels. */
  readonly width?: number
}

export const openTab = async (browser: Browser, broker: RunningBroker, look: Look = {}): Promise<Tab> => {
  const context = await browser.newContext({
    baseURL: broker.url,
    colorScheme: look.colorScheme ?? "light",
    // Without a graphics card, what moves for ever takes the time of what is tested.
    reducedMotion: "reduce",
    viewport: { width: look.width ?? 1440, height: 900 }
  })
  // A page that is left open goes on to be drawn at each change of the fleet.
  onTestFinished(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const complaints: Array<string> = []
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("console", (message) => {
    // A refusal that a story provokes is logged by the browser itself; what matters is what the page makes of it.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text())
  })
  page.on("request", (request) => {
    if (!request.url().startsWith(broker.url) && !/^(data|blob):/.test(request.url())) complaints.push(request.url())
  })
  return { page, complaints }
}

export const signIn = async (page: Page, name: string, password: string) => {
  await page.getByLabel("Name").fill(name)
  await page.getByLabel("Password", { exact: true }).fill(password)
  await page.getByRole("button", { name: "Sign in", exact: true }).click()
}

/** Who looks, and how. */
export interface Guest extends Look {
  /** The admin's name; whose password is the one above. */
  readonly as?: string
}

/** A tab of somebody who has given name and password on the way to a page. */
export const knock = async (
  browser: Browser,
  broker: RunningBroker,
  to: string,
  { as = "ada", ...look }: Guest = {}
) => {
  const tab = await openTab(browser, broker, look)
  await tab.page.goto(`/sign-in?to=${encodeURIComponent(to)}`)
  await signIn(tab.page, as, password)
  return tab
}

/** The same, with the page open. */
export const enter = async (browser: Browser, broker: RunningBroker, to: string, guest?: Guest) => {
  const tab = await knock(browser, broker, to, guest)
  await tab.page.waitForURL(`${broker.url}${to}`)
  return tab
}

const runOnly = {
  all: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
  colours: ["color-contrast"]
}

/** Nothing that keeps people out (WCAG 2.2 A and AA), at any impact that axe calls serious. */
export const assertAccessible = async (page: Page, what: string, rules: "all" | "colours" = "all") => {
  if (!(await page.evaluate<boolean>("'axe' in window"))) await page.evaluate(axe)
  // What is still being faded in has the colours of neither its beginning nor its end.
  await page.evaluate(`Promise.all(document.getAnimations()
    .filter((animation) => animation.effect.getComputedTiming().iterations !== Infinity)
    .map((animation) => animation.finished.catch(() => undefined)))`)
  const violations = await page.evaluate<ReadonlyArray<string>>(`
    axe.run({ runOnly: ${JSON.stringify(runOnly[rules])}, resultTypes: ["violations"] }).then(({ violations }) => violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html.slice(0, 160)).join(" | ")))`)
  assert.deepStrictEqual(violations, [], what)
}

/** How people look at a page. Another theme of the same width differs in nothing but colours. */
const looks = [
  ["light", 390, "all"],
  ["dark", 390, "colours"],
  ["dark", 1440, "all"],
  ["light", 1440, "colours"]
] as const

/** Accessible, and no wider than the screen, however the page is looked at: what is loaded is turned, not loaded again. */
export const assertFits = async (page: Page, what: string) => {
  for (const [colorScheme, width, rules] of looks) {
    await page.emulateMedia({ colorScheme })
    await page.setViewportSize({ width, height: 900 })
    await page.locator(colorScheme === "dark" ? "html.dark" : "html:not(.dark)").waitFor({ state: "attached" })
    await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    await assertAccessible(page, `${what}, ${colorScheme}, ${width} px`, rules)
    const overflow = await page.evaluate<boolean>("document.documentElement.scrollWidth > window.innerWidth")
    assert.isFalse(overflow, `${what} is wider than the screen at ${width} px`)
  }
}
