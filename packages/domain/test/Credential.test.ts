import { type CredentialKind, claimedKind, format, hint, parse, prefixes, secretBytes } from "@broker/domain/Credential"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Option, Redacted, Schema } from "effect"

const kinds = Object.keys(prefixes) as ReadonlyArray<CredentialKind>

const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
const bytes = (length: number) =>
  Arbitrary.map(Arbitrary.array(Arbitrary.schema(Byte), { minLength: length, maxLength: length }), (bytes) =>
    Uint8Array.from(bytes)
  )

const uuid = Arbitrary.map(bytes(16), (bytes) => {
  const hex = Buffer.from(bytes).toString("hex")
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
})

const minted = {
  kind: Arbitrary.schema(Schema.Literals(kinds)),
  id: uuid,
  random: bytes(secretBytes)
}

/** One character of a credential, to be changed. */
const change = {
  at: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 67 }))),
  to: Arbitrary.schema(Schema.Literals([..."ABab01-_+/= \n\u0000é"]))
}

const redact = (text: string) => Redacted.make(text)

describe("Credential", () => {
  it.prop("B9 reads what it spelled", minted, ({ id, kind, random }) => {
    const secret = format(kind, id, random)
    assert.deepStrictEqual(Option.getOrThrow(parse(secret)), { kind, id, secret })
  })

  it.prop("B9 any single changed character is refused", { ...minted, ...change }, ({ at, id, kind, random, to }) => {
    const text = Redacted.value(format(kind, id, random))
    const typo = text.slice(0, at) + to + text.slice(at + 1)
    assert.strictEqual(Option.isSome(parse(redact(typo))), typo === text)
  })

  it.prop("B9 any two characters that changed places are refused", { ...minted, ...change }, (given) => {
    const { at, id, kind, random } = given
    const text = Redacted.value(format(kind, id, random))
    const typo =
      text.slice(0, at) +
      text
        .slice(at, at + 2)
        .split("")
        .reverse()
        .join("") +
      text.slice(at + 2)
    assert.strictEqual(Option.isSome(parse(redact(typo))), typo === text)
  })

  it.prop("B9 too much and too little is refused", minted, ({ id, kind, random }) => {
    const text = Redacted.value(format(kind, id, random))
    const wrong = [text.slice(1), text.slice(0, -1), `${text}A`, ` ${text}`, `${text}\n`, text.toUpperCase()]
    assert.isTrue(wrong.every((wrong) => Option.isNone(parse(redact(wrong)))))
  })

  it.prop("B9 a secret of one kind is none of another", minted, ({ id, kind, random }) => {
    const text = Redacted.value(format(kind, id, random)).slice(prefixes[kind].length)
    const others = kinds.filter((other) => other !== kind)
    assert.isTrue(others.every((other) => Option.isNone(parse(redact(prefixes[other] + text)))))
  })

  it.prop("B9 the prefix tells the kind, also of a misspelled one", minted, ({ id, kind, random }) => {
    const text = Redacted.value(format(kind, id, random))
    assert.strictEqual(claimedKind(redact(text.slice(0, 20))), kind)
  })

  it.each(["", "brk_", "srv_abc", "Bearer brk_srv_"])("B9 %j claims no kind", (text) => {
    assert.isUndefined(claimedKind(redact(text)))
  })

  it.prop("B9 a hint holds nothing of the secret", minted, ({ id, kind, random }) => {
    const text = Redacted.value(format(kind, id, random))
    assert.strictEqual(hint(kind, id), `${text.slice(0, -38)}…`)
  })

  it("B9 is not readable where it is logged", () => {
    const secret = format("serverToken", "00000000-0000-7000-8000-000000000001", new Uint8Array(secretBytes).fill(7))
    const { id, kind } = Option.getOrThrow(parse(secret))
    const logged = `${String(secret)} ${JSON.stringify({ secret, kind, id })}`
    assert.notInclude(logged, Redacted.value(secret).slice(-38, -6))
  })

  it("B9 has at least 160 random bits", () => {
    assert.isAtLeast(secretBytes * 8, 160)
  })
})
