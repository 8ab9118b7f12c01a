/** The key that a broker keeps for itself (J6). */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import { Encryption, EncryptionKeys, EncryptionKeyUnavailable, keyIds } from "@broker/core/crypto/Encryption"
import * as Database from "@broker/core/Database"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted } from "effect"
import * as EncryptionKey from "../src/EncryptionKey.ts"
import * as Settings from "../src/Settings.ts"

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "broker-key-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** A broker's start as far as keys go: it finds its keys, or makes one, and checks the database by them. */
const start = (
  database: Redacted.Redacted,
  values: Partial<Settings.Values>,
  mayMake = true
): Effect.Effect<ReadonlyArray<string>, unknown> =>
  Layer.merge(Encryption.layer.pipe(Layer.provide(Audit.layer)), Layer.effectDiscard(Effect.void)).pipe(
    Layer.provideMerge(EncryptionKey.layer(Settings.make(values), { mayMake })),
    Layer.provide(Database.layer({ url: database, maxConnections: 2 })),
    Layer.provide(Layer.succeed(Actor, Fixtures.actor)),
    Layer.fresh,
    Layer.build,
    Effect.map((services) => keyIds(Context.get(services, EncryptionKeys))),
    Effect.scoped
  )

const files = (path: string) => Effect.promise(() => readdir(path))

const secondKey = Redacted.make(new Uint8Array(32).fill(2))

describe("EncryptionKey", () => {
  it.live("J6 the first start makes a key that its own user alone may read, and the next ones go on with it", () =>
    Effect.gen(function* () {
      const [database, home] = [yield* TestDatabase.createDatabase, yield* directory]
      const dataDir = join(home, "data")
      const first = yield* start(database, { dataDir })
      const file = join(dataDir, "encryption-key")
      assert.strictEqual((yield* Effect.promise(() => stat(file))).mode & 0o777, 0o600)
      assert.match(yield* Effect.promise(() => readFile(file, "utf8")), /^[A-Za-z0-9_-]{43}\n$/)
      assert.deepStrictEqual(yield* start(database, { dataDir }), first)
      assert.deepStrictEqual(yield* files(dataDir), ["encryption-key"])
    }).pipe(Effect.scoped)
  )

  it.live("J6 never makes a key for a database that has one", () =>
    Effect.gen(function* () {
      const [database, dataDir] = [yield* TestDatabase.createDatabase, yield* directory]
      yield* start(database, { encryptionKey: TestEncryption.key() })
      const refused = yield* Effect.flip(start(database, { dataDir }))
      assert.deepStrictEqual(refused, new EncryptionKeyUnavailable({ needed: [TestEncryption.keyId], held: [] }))
      const other = yield* Effect.flip(start(database, { dataDir, encryptionKey: secondKey }))
      assert.instanceOf(other, EncryptionKeyUnavailable)
      assert.deepStrictEqual(yield* files(dataDir), [])
    }).pipe(Effect.scoped)
  )

  it.live("J6 of brokers that begin at once beside one data directory, all go on with one key", () =>
    Effect.gen(function* () {
      const [database, dataDir] = [yield* TestDatabase.createDatabase, yield* directory]
      const all = yield* Effect.all([start(database, { dataDir }), start(database, { dataDir })], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(all[0], all[1])
      assert.deepStrictEqual(yield* files(dataDir), ["encryption-key"])
    }).pipe(Effect.scoped)
  )

  it.live(
    "J6 of brokers that begin at once on different machines one makes the key, and the others say that they need it",
    () =>
      Effect.gen(function* () {
        const [database, one, other] = [yield* TestDatabase.createDatabase, yield* directory, yield* directory]
        const exits = yield* Effect.all(
          [one, other].map((dataDir) => Effect.exit(start(database, { dataDir, databaseUrl: database }))),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
        assert.strictEqual([...(yield* files(one)), ...(yield* files(other))].length, 1)
        // Told the key, the other one begins as well.
        const [winner, loser] = exits.map(Exit.isSuccess)[0] === true ? [one, other] : [other, one]
        const { current } = yield* EncryptionKey.find(Settings.make({ dataDir: winner }))
        yield* start(database, { dataDir: loser, encryptionKey: yield* Effect.fromOption(current) })
        assert.deepStrictEqual(yield* files(loser), [])
      }).pipe(Effect.scoped)
  )

  it.live("J6 a file that holds no key is neither used nor overwritten", () =>
    Effect.gen(function* () {
      const [database, dataDir] = [yield* TestDatabase.createDatabase, yield* directory]
      const file = join(dataDir, "encryption-key")
      for (const text of ["", "secret", "A".repeat(42)]) {
        yield* Effect.promise(() => writeFile(file, text))
        const refused = yield* Effect.flip(start(database, { dataDir }))
        assert.instanceOf(refused, EncryptionKey.EncryptionKeyFileUnusable)
        assert.include(refused.message, file)
        assert.isTrue(text === "" || !refused.message.includes(text))
        assert.strictEqual(yield* Effect.promise(() => readFile(file, "utf8")), text)
      }
    }).pipe(Effect.scoped)
  )

  it.live("J6 a command from afar makes no key that the brokers would not have", () =>
    Effect.gen(function* () {
      const [database, dataDir] = [yield* TestDatabase.createDatabase, yield* directory]
      const refused = yield* Effect.flip(start(database, { dataDir, databaseUrl: database }, false))
      assert.deepStrictEqual(refused, new EncryptionKeyUnavailable({ needed: [], held: [] }))
      assert.deepStrictEqual(yield* files(dataDir), [])
      yield* start(database, { dataDir, databaseUrl: database })
    }).pipe(Effect.scoped)
  )

  it.live("a broker that kept its own key can be given one: the kept one opens", () =>
    Effect.gen(function* () {
      const [database, dataDir] = [yield* TestDatabase.createDatabase, yield* directory]
      const [own] = yield* start(database, { dataDir })
      const [given, former] = yield* start(database, { dataDir, encryptionKey: secondKey })
      assert.notStrictEqual(given, own)
      assert.strictEqual(former, own)
    }).pipe(Effect.scoped)
  )
})
