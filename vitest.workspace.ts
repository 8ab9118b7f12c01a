import { defineConfig } from "vitest/config"

/** Those whose tests need PostgreSQL, started once for the whole run. */
const onDatabase = ["sql", "packages/core", "packages/testing", "packages/admin-rpc", "packages/client", "apps/broker"]

const roots = [...onDatabase, "packages/domain", "packages/api"]

export default defineConfig({
  test: {
    projects: roots.map((root) => ({
      test: {
        name: root,
        include: [`${root}/test/**/*.test.ts`],
        globalSetup: onDatabase.includes(root) ? ["packages/testing/src/vitestSetup.ts"] : [],
        testTimeout: 30_000,
        hookTimeout: 60_000
      }
    }))
  }
})
