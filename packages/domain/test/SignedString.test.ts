import { Nonce } from "@broker/domain/Challenge"
import { Uuid } from "@broker/domain/Primitives"
import { PublicKey } from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { sentName, timestamp } from "./arbitraries.ts"

const Audience = Schema.Literals(["https://broker.example", "https://broker.example:8443", "http://localhost:3000"])

const audience = Arbitrary.schema(Audience)
const id = Arbitrary.schema(Uuid)
const publicKey = Arbitrary.schema(PublicKey)

const joining = Arbitrary.all({ audience, registrationKeyId: id, name: sentName, publicKey, timestamp })
const asked = Arbitrary.all({
  audience,
  serverId: id,
  challengeId: id,
  nonce: Arbitrary.schema(Nonce),
  expiresAt: timestamp
})
const rotating = Arbitrary.all({ audience, serverId: id, publicKey, timestamp })

describe("SignedString", () => {
  it.prop("B4 every field of a registration can be read back, so no two share a text", [joining], ([fields]) => {
    assert.deepStrictEqual(SignedString.registration(fields).split("\n"), [
      "broker-register-v1",
      fields.audience,
      fields.registrationKeyId,
      fields.name,
      fields.publicKey,
      fields.timestamp
    ])
  })

  it.prop("V1 every field of a challenge can be read back, so no two share a text", [asked], ([fields]) => {
    assert.deepStrictEqual(SignedString.challenge(fields).split("\n"), [
      "broker-challenge-v1",
      fields.audience,
      fields.serverId,
      fields.challengeId,
      fields.nonce,
      fields.expiresAt
    ])
  })

  it.prop("V4 every field of a rotation can be read back, so no two share a text", [rotating], ([fields]) => {
    assert.deepStrictEqual(SignedString.rotation(fields).split("\n"), [
      "broker-rotate-v1",
      fields.audience,
      fields.serverId,
      fields.publicKey,
      fields.timestamp
    ])
  })

  it.prop("B4 two registrations differ in their texts when they differ at all", [joining, joining], ([one, two]) => {
    const same = JSON.stringify(one) === JSON.stringify(two)
    assert.strictEqual(SignedString.registration(one) === SignedString.registration(two), same)
  })
})
