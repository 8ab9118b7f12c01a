import { availableParallelism } from "node:os"
import { configDefaults, defineConfig } from "vitest/config"

/** Starts one PostgreSQL for the whole run. */
const database = "packages/testing/src/vitestSetup.ts"

const project = (name: string, include: string, globalSetup: ReadonlyArray<string>) => ({
  test: {
    name,
    include: [include],
    // State of the dashboard is tested as browsers get it: apps/admin/vitest.config.ts.
    exclude: [...configDefaults.exclude, "**/*.svelte.test.ts"],
    globalSetup: [...globalSetup],
    // Loading what is tested takes longer than most of what is tested; nothing is kept between files but modules.
    isolate: false,
    testTimeout: 30_000,
    hookTimeout: 60_000
  }
})

const onDatabase = ["sql", "packages/core", "packages/testing", "packages/client", "apps/broker"]
const alone = ["packages/domain", "apps/admin", "bench"]

/** After all the others: a browser is a crowd of its own. Two at a time, as one often waits for what it has drawn. */
const browser = {
  test: {
    ...project("browser", "apps/admin/e2e/*.test.ts", [database, "apps/admin/e2e/chromium.ts"]).test,
    maxWorkers: 2,
    sequence: { groupOrder: 1 }
  }
}

export default defineConfig({
  test: {
    // Most of a story is waiting, for a browser or a database: one worker leaves half of a small machine idle.
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
    projects: [
      ...onDatabase.map((root) => project(root, `${root}/test/**/*.test.ts`, [database])),
      ...alone.map((root) => project(root, `${root}/test/**/*.test.ts`, [])),
      "apps/admin/vitest.config.ts",
      browser
    ]
  }
})
