/** The examples of `docs/embedding.md`, as they stand there. */

import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Fleet } from "@broker/core/fleet/Fleet"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { blocksOf, strangeLines } from "@broker/testing/PageExamples"
import { startBroker, TestBroker } from "@broker/testing/TestBroker"
import { createDatabase } from "@broker/testing/TestDatabase"
import { assert, describe, it, layer } from "@effect/vitest"
import { Duration, Effect, Redacted } from "effect"

describe("startBroker", () => {
  it("gives a broker that a real agent joins", async () => {
    await using broker = await startBroker({ policy: { heartbeatInterval: Duration.seconds(1) } })
    await broker.agent({ name: "fra-1", tags: ["eu"] })

    const server = await broker.run(Servers.use((servers) => servers.find(defaultOrganizationId, "fra-1")))
    assert.strictEqual(server.status, "online")
    assert.deepStrictEqual(server.tags, ["eu"])
  })

  it("answers plain HTTP", async () => {
    await using broker = await startBroker()
    const key = await broker.registrationKey({ useLimit: 3 })
    assert.match(key, /^brk_reg_/)

    const statement = await fetch(`${broker.url}/.well-known/broker`).then((response) => response.json())
    assert.strictEqual(statement.audience, broker.url)
  })
})

layer(TestBroker.layer())("TestBroker", (it) => {
  it.effect("is a layer, with the core's services beside it", () =>
    Effect.gen(function* () {
      const broker = yield* TestBroker
      const { key } = yield* broker.registrationKey({ tags: ["lab"] })
      yield* broker.agent({ name: "lab-1", key })
      assert.match(Redacted.value(key), /^brk_reg_/)

      const { counts } = yield* Fleet.use((fleet) => fleet.overview(defaultOrganizationId))
      assert.strictEqual(counts.online, 1)
    })
  )
})

const page = new URL("../../../docs/embedding.md", import.meta.url)
const [program = assert.fail("the page has no program"), ...others] = blocksOf(page).toSorted(
  (a, b) => Number(b.includes("runPromise")) - Number(a.includes("runPromise"))
)

describe("the core without HTTP", () => {
  it.live("is a program as the page shows it, with a database of its own", () =>
    Effect.gen(function* () {
      const url = yield* createDatabase
      const code = program.replace("postgres://broker:secret@localhost:5432/broker", Redacted.value(url))
      assert.include(code, Redacted.value(url))
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, ["--input-type=module-typescript", "-e", code], {
          cwd: fileURLToPath(new URL("..", import.meta.url))
        })
      )
      assert.include(stdout, "lab has made a key, which is active\n")
    }).pipe(Effect.scoped)
  )
})

describe("docs/embedding.md", () => {
  it("shows nothing but what runs here", async () => {
    assert.deepStrictEqual(await strangeLines(others, new URL(import.meta.url)), [])
  })
})
