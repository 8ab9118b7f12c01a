/** `broker inventory …` beside a running broker. */
import { readFileSync, writeFileSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { json, onDatabase } from "./CommandLine.ts"

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("inventory", (it) => {
  it.effect("what is exported, edited and imported is so, and nothing before it was looked at", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.promise(() => mkdtemp(join(tmpdir(), "broker-inventory-")))
      const file = join(directory, "inventory.csv")
      yield* json("group", "create", "eu")
      const exported = yield* onDatabase("inventory", "export", "--format", "csv", "--output", file)
      assert.strictEqual(exported.code, ExitCode.ok, exported.stderr)
      const text = readFileSync(file, "utf8")
      assert.match(text, /^\uFEFFkind,group,name,tags,labels,/)
      assert.strictEqual((yield* onDatabase("inventory", "export", "--output", file)).code, ExitCode.usage)

      writeFileSync(file, `${text}group,eu/frankfurt,,,,200\r\n`)
      const dry = yield* onDatabase("inventory", "import", file, "--dry-run")
      assert.strictEqual(dry.code, ExitCode.ok, dry.stderr)
      assert.match(dry.stdout, /3\s+create\s+group eu\/frankfurt\s+group: – → eu\/frankfurt, connectionLimit: – → 200/)
      assert.match(dry.stdout, /2 rows: 1 to create, 0 to change, 1 as they are\. Nothing was done\./)
      assert.strictEqual((yield* json("group", "list")).items.length, 1)

      assert.deepStrictEqual(yield* json("inventory", "import", file), { created: 1, updated: 0, unchanged: 1 })
      const { items } = yield* json("group", "list")
      assert.deepStrictEqual(
        items.map(({ connectionLimit, path }: { connectionLimit: number | null; path: string }) => [
          path,
          connectionLimit
        ]),
        [
          ["eu", null],
          ["eu/frankfurt", 200]
        ]
      )

      writeFileSync(file, "kind,name,tags\nserver,nobody,eu\n")
      const wrong = yield* onDatabase("inventory", "import", file)
      assert.strictEqual(wrong.code, ExitCode.usage)
      assert.match(wrong.stdout, /2\s+name\s+There is no server with this name/)
      assert.match(wrong.stderr, /1 problem: nothing was done/)

      assert.strictEqual((yield* onDatabase("inventory", "import", join(directory, "none.csv"))).code, ExitCode.usage)
      assert.strictEqual((yield* onDatabase("inventory", "import", directory)).code, ExitCode.usage)
    })
  )
})
