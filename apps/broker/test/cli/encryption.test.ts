/** `broker encryption`, and what commands say of a key that is wrong. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { ExitCode } from "../../src/cli/ExitCode.ts"
import { broker } from "./CommandLine.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-encryption-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const generated = Effect.map(broker(["encryption", "generate", "--json"]), ({ stdout }): { id: string; key: string } =>
  JSON.parse(stdout)
)

const finding = Effect.fnUntraced(function* (variables: Readonly<Record<string, string>>) {
  const { stdout } = yield* broker(["doctor", "--port", "0", "--json"], variables)
  const { items }: { readonly items: ReadonlyArray<{ check: string; level: string; message: string }> } =
    JSON.parse(stdout)
  return (check: string) => items.find((item) => item.check === check)
})

describe("broker encryption", { timeout: 60_000 }, () => {
  it.live("prints a key that nobody had, and nothing else", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* broker(["encryption", "generate"])
      assert.strictEqual(code, ExitCode.ok)
      assert.match(stdout, /^[A-Za-z0-9_-]{43}$/)
      assert.strictEqual(stderr, "")
      assert.notStrictEqual((yield* generated).key, (yield* generated).key)
    })
  )

  it.live("changes the key: both are there meanwhile, then the former one goes", () =>
    Effect.gen(function* () {
      const DATABASE_URL = Redacted.value(yield* TestDatabase.createDatabase)
      const status = Effect.fnUntraced(function* (keys: Readonly<Record<string, string>>) {
        const { code, stderr, stdout } = yield* broker(["encryption", "status", "--json"], { DATABASE_URL, ...keys })
        assert.strictEqual(code, ExitCode.ok, stderr)
        const { configured, former, sealing } = JSON.parse(stdout)
        return { configured, former, sealing }
      })
      const { id, key } = yield* generated
      const before = TestEncryption.keyId
      assert.deepStrictEqual(yield* status({}), { configured: before, former: [], sealing: before })

      const both = { ENCRYPTION_KEY: key, PREVIOUS_ENCRYPTION_KEYS: TestEncryption.text }
      assert.deepStrictEqual(yield* status(both), { configured: id, former: [before], sealing: before })
      const told = yield* broker(["encryption", "status"], { DATABASE_URL, ...both })
      assert.include(told.stdout, "broker encryption rewrap")

      const done = yield* broker(["encryption", "rewrap"], { DATABASE_URL, ...both })
      assert.strictEqual(done.code, ExitCode.ok, done.stderr)
      assert.include(done.stdout, "PREVIOUS_ENCRYPTION_KEYS")
      assert.deepStrictEqual(yield* status({ ENCRYPTION_KEY: key }), { configured: id, former: [], sealing: id })
      assert.strictEqual((yield* finding({ DATABASE_URL, ENCRYPTION_KEY: key }))("encryption")?.level, "ok")

      const { code, stderr } = yield* broker(["server", "list"], { DATABASE_URL })
      assert.strictEqual(code, ExitCode.usage)
      assert.include(stderr, `sealed under the encryption key ${id}. The broker has ${before}.`)
      assert.include(stderr, "Nothing was changed.")
      assert.notInclude(stderr, TestEncryption.text)
    }).pipe(Effect.scoped)
  )

  it.live("J6 a command without the key says what to do, and makes none; the doctor says the same", () =>
    Effect.gen(function* () {
      const DATABASE_URL = Redacted.value(yield* TestDatabase.createDatabase)
      const DATA_DIR = yield* directory
      yield* broker(["server", "list"], { DATABASE_URL })
      const variables = { DATABASE_URL, DATA_DIR, ENCRYPTION_KEY: "" }
      const { code, stderr } = yield* broker(["server", "list"], variables)
      assert.strictEqual(code, ExitCode.usage)
      assert.include(stderr, `${TestEncryption.keyId}. The broker has no key.`)
      const found = (yield* finding(variables))("encryption")
      assert.strictEqual(found?.level, "error")
      assert.include(found?.message, TestEncryption.keyId)
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(DATA_DIR)), [])
    }).pipe(Effect.scoped)
  )

  it.live("the doctor finds a key file that others can read, and one that holds no key", () =>
    Effect.gen(function* () {
      const DATABASE_URL = Redacted.value(yield* TestDatabase.createDatabase)
      const DATA_DIR = yield* directory
      const file = join(DATA_DIR, "encryption-key")
      yield* Effect.promise(() => writeFile(file, "nothing", { mode: 0o644 }))
      const found = yield* finding({ DATABASE_URL, DATA_DIR, ENCRYPTION_KEY: "" })
      assert.deepInclude(found("secrets"), { level: "error", message: `${file} can be read by others` })
      assert.strictEqual(found("encryption")?.level, "error")
      assert.include(found("encryption")?.message, file)
    }).pipe(Effect.scoped)
  )
})
