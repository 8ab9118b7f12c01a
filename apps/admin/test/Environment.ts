/** Where state of the dashboard is tested: as the browser gets it, though there is none. */
import type { Environment } from "vitest/runtime"

export default {
  name: "client",
  viteEnvironment: "client",
  setup: () => ({ teardown: () => {} })
} satisfies Environment
