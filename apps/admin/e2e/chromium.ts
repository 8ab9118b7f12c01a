/** The browser that the stories run in: Debian's Chromium, or whichever `CHROMIUM` names. */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { type Browser, chromium } from "playwright-core"

const places = [
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

const apt = (...args: ReadonlyArray<string>) =>
  spawnSync("apt-get", args, { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } })
    .status === 0

/** Vitest's `globalSetup`: installs the browser where that can be done without asking anybody. */
export default function setup() {
  if (find() !== undefined) return
  const canInstall = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")
  if (canInstall && apt("update") && apt("install", "-y", "--no-install-recommends", "chromium")) return
  throw new Error(
    "The browser tests need Chromium. Install it (Debian: apt-get install chromium) or set CHROMIUM to its path."
  )
}

export const launch = (): Promise<Browser> => {
  const executablePath = find()
  if (executablePath === undefined) throw new Error("There is no Chromium")
  return chromium.launch({ executablePath, args })
}
