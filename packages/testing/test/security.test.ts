/** `docs/security.md` promises a test for each line. */
import { globSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const root = fileURLToPath(new URL("../../../", import.meta.url))

const files = globSync(["packages/*/test/**/*.test.ts", "apps/*/{test,e2e}/**/*.test.ts", "sql/test/**/*.test.ts"], {
  cwd: root
})

const page = readFileSync(`${root}docs/security.md`, "utf8")

const rows = page
  .split("\n")
  .filter((line) => line.startsWith("|") && !/^\| (\||---)/.test(line))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| |\|$/g, "").trim()))

const named = Array.from(page.matchAll(/`([\w/]+)`: “([^”]+)”/g), ([, file = "", title = ""]) => ({ file, title }))

describe("docs/security.md", () => {
  it.each(named)("$file has a test “$title”", ({ file, title }) => {
    const found = files.filter((path) => path.endsWith(`/${file}.test.ts`))
    assert.lengthOf(found, 1, `${file} is one file`)
    const text = readFileSync(`${root}${found[0]}`, "utf8")
    assert.isTrue(
      ['"', "`"].some((quote) => text.includes(`${quote}${title}${quote}`)),
      `no test “${title}” in ${file}`
    )
  })

  it("says of each line what proves it, or that nothing does", () => {
    assert.isAbove(rows.length, 50)
    for (const [code = "", , how = "", proof = ""] of rows) {
      const isPlain = /Does not apply|Not met|Not proven/.test(how)
      assert.isTrue(isPlain || proof.includes("“"), `${code} has neither a test nor the plain word`)
    }
  })

  it("has each of the ten risks, and each chapter", () => {
    for (let risk = 1; risk <= 10; risk++) assert.include(page, `\n| API${risk} | `)
    for (let chapter = 1; chapter <= 17; chapter++) assert.include(page, `\n## V${chapter} `)
  })
})
