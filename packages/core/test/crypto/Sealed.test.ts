import * as Sealed from "@broker/core/crypto/Sealed"
import { Text } from "@broker/domain/Primitives"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted, Schema } from "effect"

const keyOf = (byte: number) => Sealed.key(Redacted.make(new Uint8Array(32).fill(byte)))
const key = keyOf(1)
const nonce = new Uint8Array(Sealed.nonceSize).fill(7)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const place = "admins.totp_secret:1"
/** Two halves of characters would be one place: in UTF-8 neither can be told from the other. */
const Place = Text(256)

describe("Sealed", () => {
  it.effect.prop("J6 what was sealed opens", [Schema.Uint8Array, Schema.String], ([secret, place]) =>
    Effect.sync(() => {
      const opened = Option.getOrThrow(Sealed.open(key, place, Sealed.seal(key, place, nonce, secret)))
      assert.strictEqual(hex(opened), hex(secret))
    })
  )

  it.effect.prop(
    "J6 nothing opens at another place, or under another key",
    [Schema.Uint8Array, Place, Place],
    ([secret, place, other]) =>
      Effect.sync(() => {
        const sealed = Sealed.seal(key, place, nonce, secret)
        assert.isTrue(place === other || Option.isNone(Sealed.open(key, other, sealed)))
        assert.isTrue(Option.isNone(Sealed.open(keyOf(2), place, sealed)))
      })
  )

  it("J6 nothing opens of which a single bit was changed, or anything cut off or added", () => {
    const sealed = Sealed.seal(key, place, nonce, Buffer.from("secret"))
    for (let bit = 0; bit < sealed.byteLength * 8; bit++) {
      const changed = Uint8Array.from(sealed)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.isTrue(Option.isNone(Sealed.open(key, place, changed)), `bit ${bit}`)
    }
    for (let length = 0; length < sealed.byteLength; length++) {
      assert.isTrue(Option.isNone(Sealed.open(key, place, sealed.subarray(0, length))), `${length} bytes`)
    }
    assert.isTrue(Option.isNone(Sealed.open(key, place, Buffer.concat([sealed, Buffer.of(0)]))))
  })

  it("J6 another key does not open what claims to be under it", () => {
    const sealed = Sealed.seal(key, place, nonce, Buffer.from("secret"))
    sealed.set(Buffer.from(keyOf(2).id, "hex"), 1)
    assert.deepStrictEqual(Sealed.keyIdOf(sealed), Option.some(keyOf(2).id))
    assert.isTrue(Option.isNone(Sealed.open(keyOf(2), place, sealed)))
  })

  it("stays the format that databases hold", () => {
    const sealed =
      "01" + "c24096644d31590a" + "070707070707070707070707" + "fe9689d66adac59f0b310b98483a8963f970b734a1b0"
    assert.strictEqual(hex(Sealed.seal(key, place, nonce, Buffer.from("secret"))), sealed)
  })

  it("takes keys of 32 bytes only, and tells nothing of them", () => {
    assert.throws(() => Sealed.key(Redacted.make(new Uint8Array(31))), RangeError)
    const shown = `${JSON.stringify(key)} ${String(key.secret)}`
    assert.notInclude(shown, Buffer.alloc(32, 1).toString("base64"))
    assert.match(key.id, /^[0-9a-f]{16}$/)
    assert.notStrictEqual(key.id, keyOf(2).id)
  })
})
