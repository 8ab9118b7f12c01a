/** Key pairs in real files. */

import { execFileSync } from "node:child_process"
import { createPublicKey, verify } from "node:crypto"
import { PublicKey } from "@broker/domain/Server"
import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Layer, Path, Schema } from "effect"
import * as KeyPair from "../src/KeyPair.ts"

const directory = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectoryScoped({ prefix: "broker-key-pair-" })
})

const modeOf = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  return (yield* fs.stat(path)).mode & 0o777
})

const isOf = ({ publicKey, sign }: KeyPair.KeyPair, text: string) =>
  verify(
    null,
    Buffer.from(text),
    createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey }, format: "jwk" }),
    Buffer.from(sign(text), "base64url")
  )

layer(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer))("KeyPair", (it) => {
  it.effect("V1 is made once, and kept for its owner alone", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { join } = yield* Path.Path
      const dir = join(yield* directory, "state", "fra-1")
      const path = join(dir, "key.pem")
      const made = yield* KeyPair.load(path)
      const read = yield* KeyPair.load(path)

      assert.isTrue(Schema.is(PublicKey)(made.publicKey))
      assert.strictEqual(read.publicKey, made.publicKey)
      assert.strictEqual(yield* modeOf(path), 0o600)
      assert.strictEqual(yield* modeOf(dir), 0o700)
      assert.deepStrictEqual(yield* fs.readDirectory(dir), ["key.pem"])
      assert.match(yield* fs.readFileString(path), /^-----BEGIN PRIVATE KEY-----\n/)
    })
  )

  it.effect.prop(
    "V1 signs what its public key verifies, and nothing else",
    [Schema.String],
    ([text]) =>
      Effect.gen(function* () {
        const { join } = yield* Path.Path
        const keyPair = yield* KeyPair.load(join(yield* directory, "key.pem"))
        assert.isTrue(isOf(keyPair, text))
        assert.isFalse(isOf({ ...keyPair, sign: () => keyPair.sign(`${text}.`) }, text))
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 20 } }
  )

  for (const mode of [0o640, 0o604, 0o644, 0o660]) {
    it.effect(`V1 refuses a key pair that others may read or change (${mode.toString(8)})`, () =>
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const { join } = yield* Path.Path
        const path = join(yield* directory, "it's mine.pem")
        yield* KeyPair.load(path)
        yield* fs.chmod(path, mode)
        const error = yield* Effect.flip(KeyPair.load(path))
        assert.strictEqual(error._tag, "ExposedFile")
        assert.include(error.message, `mode 0${mode.toString(8)}`)

        const [, command] = /`(chmod 600 .+)`/.exec(error.message) ?? []
        execFileSync("sh", ["-c", command ?? "false"])
        yield* KeyPair.load(path)
      })
    )
  }

  it.effect("takes a key pair that openssl made", () =>
    Effect.gen(function* () {
      const { join } = yield* Path.Path
      const path = join(yield* directory, "key.pem")
      execFileSync("sh", ["-c", `umask 077; openssl genpkey -algorithm ed25519 -out ${path}`])
      const keyPair = yield* KeyPair.load(path)
      const der = execFileSync("openssl", ["pkey", "-in", path, "-pubout", "-outform", "DER"])
      assert.strictEqual(keyPair.publicKey, der.subarray(-32).toString("base64url"))
    })
  )

  it.effect("does not replace what it cannot read", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const { join } = yield* Path.Path
      const dir = yield* directory
      const ofAnotherKind = join(dir, "x25519.pem")
      execFileSync("sh", ["-c", `umask 077; openssl genpkey -algorithm x25519 -out ${ofAnotherKind}`])
      const damaged = join(dir, "damaged.pem")
      yield* fs.writeFileString(damaged, "-----BEGIN PRIVATE KEY-----\n", { mode: 0o600 })
      const empty = join(dir, "empty.pem")
      yield* fs.writeFileString(empty, "", { mode: 0o600 })

      for (const path of [ofAnotherKind, damaged, empty, dir]) {
        const before = path === dir ? "" : yield* fs.readFileString(path)
        const error = yield* Effect.flip(KeyPair.load(path))
        assert.include(error.message, path)
        assert.strictEqual(path === dir ? "" : yield* fs.readFileString(path), before)
      }
    })
  )

  it.effect("says so when it cannot be kept", () =>
    Effect.gen(function* () {
      const { join } = yield* Path.Path
      const dir = yield* directory
      const file = join(dir, "file")
      yield* KeyPair.load(file)
      const error = yield* Effect.flip(KeyPair.load(join(file, "key.pem")))
      assert.strictEqual(error._tag, "UnusableFile")
    })
  )
})
