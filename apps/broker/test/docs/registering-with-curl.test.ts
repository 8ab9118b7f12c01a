/** The page is a promise: its script, as it stands there, makes a server. */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"

const page = new URL("../../../../docs/registering-with-curl.md", import.meta.url)

const script = Effect.promise(async () => {
  const [, block = assert.fail("the page has no script"), ...more] = (await readFile(page, "utf8")).split(
    /^```bash\n([\s\S]*?)^```$/m
  )
  assert.lengthOf(more, 1, "the page has one script")
  return block
})

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-curl-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

const bash = Effect.fnUntraced(function* (variables: Record<string, string>) {
  const text = yield* script
  const cwd = yield* directory
  const env = { PATH: process.env["PATH"], ...variables }
  return yield* Effect.promise(async () => {
    await writeFile(join(cwd, "join.sh"), text)
    return promisify(execFile)("bash", ["join.sh"], { cwd, env }).catch(
      (error: { readonly stdout: string; readonly stderr: string }) => error
    )
  })
})

layer(TestBroker.layer(), { excludeTestServices: true, timeout: "60 seconds" })("Registering with curl", (it) => {
  it.effect("B4 V1 H1 makes a server that is verified and online", () =>
    Effect.gen(function* () {
      const { registrationKey, url } = yield* TestBroker
      const servers = yield* Servers
      const { key } = yield* registrationKey()
      const { stderr, stdout } = yield* bash({
        BROKER_URL: url,
        BROKER_KEY: Redacted.value(key),
        SERVER_NAME: "by-hand"
      })
      assert.strictEqual(stderr, "")
      const [, id = assert.fail(stdout)] = /^Registered as by-hand, server (\S+)$/m.exec(stdout) ?? []
      assert.match(stdout, /"verified":true/)
      assert.match(stdout, /"liveness":"online"/)
      const server = yield* servers.find(defaultOrganizationId, "by-hand")
      assert.strictEqual(server.id, id)
      assert.deepInclude(server, { verified: true, liveness: "online", tags: ["by-hand"] })
      assert.notInclude(stdout, "brk_")
    })
  )

  it.effect("B7 shows the broker's problem when the key is refused", () =>
    Effect.gen(function* () {
      const { url } = yield* TestBroker
      const { stderr, stdout } = yield* bash({ BROKER_URL: url, BROKER_KEY: `brk_reg_${"A".repeat(60)}` })
      assert.strictEqual(stdout, "")
      assert.match(stderr, /"code":"registration_key_refused"/)
    })
  )
})
