/** `docs/rules.md` promises a test for each rule. */
import { globSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const root = fileURLToPath(new URL("../../../", import.meta.url))

const promised = Array.from(
  readFileSync(`${root}docs/rules.md`, "utf8").matchAll(/^\| ([A-Z]\d+) +\|/gm),
  ([, code]) => code ?? ""
)

const tests = globSync(["packages/*/test/**/*.test.ts", "apps/*/{test,e2e}/**/*.test.ts", "sql/test/**/*.test.ts"], {
  cwd: root
}).map((file) => readFileSync(root + file, "utf8"))

describe("docs/rules.md", () => {
  it.each(promised)("%s is named by a test", (code) => {
    const name = new RegExp(`["\`](?:[A-Z]\\d+[ ,]+(?:and )?)*${code}[ ,:]`)
    assert.isTrue(tests.some((text) => name.test(text)))
  })
})
