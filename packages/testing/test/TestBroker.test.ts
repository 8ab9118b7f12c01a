/** The examples of `docs/embedding.md`, as they stand there. */

import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { Actor } from "@broker/core/audit/Actor"
import * as Core from "@broker/core/Core"
import { EncryptionKeys } from "@broker/core/crypto/Encryption"
import * as Database from "@broker/core/Database"
import { Fleet } from "@broker/core/fleet/Fleet"
import { RegistrationKeys } from "@broker/core/registration-keys/RegistrationKeys"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
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

describe("the core without HTTP", () => {
  it.live("needs a database and an encryption key", () =>
    Effect.gen(function* () {
      const url = yield* createDatabase
      const key = Redacted.make(randomBytes(32))
      const program = RegistrationKeys.use((keys) =>
        keys.create(defaultOrganizationId, {
          name: "lab",
          useLimit: 10,
          expiresInSeconds: 3_600,
          tags: ["lab"],
          approval: false,
          replacesServerId: null
        })
      ).pipe(
        Effect.provideService(Actor, { kind: "command", id: null, name: "lab", address: null, requestId: null }),
        Effect.provide(Core.layer),
        Effect.provide(Database.migrated({ url })),
        Effect.provideService(EncryptionKeys, { current: key, former: [] })
      )
      const { createdBy, state } = yield* program
      assert.deepStrictEqual([createdBy, state], ["lab", "active"])
    }).pipe(Effect.scoped)
  )
})

describe("docs/embedding.md", () => {
  const lines = (text: string) => text.split("\n").map((line) => line.trim())
  const examples = readFileSync(new URL("../../../docs/embedding.md", import.meta.url), "utf8")
    .matchAll(/```ts\n([\s\S]*?)```/g)
    .flatMap(([, code]) => lines(code ?? ""))
    .filter((line) => line !== "")

  it("shows nothing but what runs here", () => {
    const here = new Set(lines(readFileSync(new URL(import.meta.url), "utf8")))
    assert.deepStrictEqual(
      [...examples].filter((line) => !here.has(line)),
      []
    )
  })
})
