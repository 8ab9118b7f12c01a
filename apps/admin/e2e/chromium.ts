/** The browser that the stories run in: Debian's Chromium, or whichever `CHROMIUM` names. */
import { existsSync } from "node:fs"
import { install } from "@broker/testing/DebianPackage"
import { type Browser, chromium } from "playwright-core"

const places = [
  // Draws the same pages without the windows around them: two thirds of the work.
  "/usr/lib/chromium/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
]

/** Without these it talks to its maker, which a test has no business with. */
const args = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

const find = () => process.env["CHROMIUM"] ?? places.find((place) => existsSync(place))

/** Vitest's `globalSetup`: installs the browser where that can be done without asking anybody. */
export default function setup() {
  if (find() !== undefined || install("chromium-headless-shell") || install("chromium")) return
  throw new Error(
    "The browser tests need Chromium. Install it (Debian: apt-get install chromium-headless-shell) or set CHROMIUM to its path."
  )
}

export const launch = (): Promise<Browser> => {
  const executablePath = find()
  if (executablePath === undefined) throw new Error("There is no Chromium")
  return chromium.launch({ executablePath, args })
}
