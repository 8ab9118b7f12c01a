/** What survives a restart, in real files. */
import { format } from "@broker/domain/Credential"
import type { PublicKey } from "@broker/domain/Server"
import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Layer, Option, Path, Redacted } from "effect"
import { AgentStore, type Membership } from "../src/AgentStore.ts"
import { serverId } from "./FakeBroker.ts"

const token = format("serverToken", serverId, new Uint8Array(24).fill(9))

const membership: Membership = {
  url: "https://broker.example",
  serverId,
  name: "aurora",
  publicKey: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" as PublicKey,
  token,
  description: { tags: ["eu"], location: null }
}

const inDirectory = Effect.fnUntraced(function* () {
  const fs = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  const dir = join(yield* fs.makeTempDirectoryScoped({ prefix: "broker-agent-" }), "agent")
  const open = Effect.provide(AgentStore, AgentStore.layer(dir))
  return { dir, open, path: join(dir, "server.json") }
})

layer(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer))("AgentStore", (it) => {
  it.effect("B9 keeps the membership for its owner alone", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { dir, open, path } = yield* inDirectory()
      const store = yield* open
      assert.deepStrictEqual(yield* store.membership, Option.none())
      yield* store.save({ ...membership, name: "borealis" })
      yield* store.save(membership)

      const read = Option.getOrThrow(yield* (yield* open).membership)
      assert.strictEqual(Redacted.value(read.token), Redacted.value(token))
      assert.deepStrictEqual({ ...read, token }, membership)
      assert.strictEqual((yield* fs.stat(path)).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* fs.readDirectory(dir), ["server.json"])
      assert.notInclude(JSON.stringify(read), "brk_srv_")
    })
  )

  it.effect("B9 refuses a token that others may read", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { open, path } = yield* inDirectory()
      const store = yield* open
      yield* store.save(membership)
      yield* fs.chmod(path, 0o644)
      const error = yield* Effect.flip(store.membership)
      assert.match(error.message, /chmod 600 .*server\.json/)
    })
  )

  it.effect("survives a write that was cut off", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { open, path } = yield* inDirectory()
      const store = yield* open
      yield* store.save(membership)
      yield* fs.writeFileString(`${path}.next`, '{ "url":', { mode: 0o644 })
      assert.isTrue(Option.isSome(yield* store.membership))
      yield* store.save({ ...membership, name: "borealis" })
      assert.strictEqual(Option.getOrThrow(yield* store.membership).name, "borealis")
      assert.strictEqual((yield* fs.stat(path)).mode & 0o777, 0o600)
    })
  )

  it.effect("says what to do about a damaged file, and repeats no secret of it", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { open, path } = yield* inDirectory()
      const store = yield* open
      yield* store.save(membership)
      yield* fs.writeFileString(path, (yield* fs.readFileString(path)).slice(0, -2))
      const error = yield* Effect.flip(store.membership)
      assert.match(error.message, /damaged; remove it to register again/)
      assert.notMatch(error.message, /brk_/)
    })
  )
})
