/** The Ed25519 identity of a server. The private key never leaves the machine that made it. */

import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { PublicKey, Signature } from "@broker/domain/Server"
import { Effect, Option } from "effect"
import * as PrivateFile from "./PrivateFile.ts"

export interface KeyPair {
  /** The raw 32 bytes, as base64url. */
  readonly publicKey: PublicKey
  readonly sign: (text: string) => Signature
}

/** Of a key that is held elsewhere. */
export const fromPrivateKey = (privateKey: KeyObject): KeyPair => ({
  publicKey: PublicKey.make(createPublicKey(privateKey).export({ format: "jwk" }).x ?? ""),
  sign: (text) => Signature.make(sign(null, Buffer.from(text), privateKey).toString("base64url"))
})

/** Reads a key pair as PKCS#8 PEM, the form that `openssl genpkey -algorithm ed25519` writes. */
const ofPem = (path: string, pem: string) =>
  Effect.try({
    try: () => {
      const privateKey = createPrivateKey(pem)
      if (privateKey.asymmetricKeyType !== "ed25519") throw new Error("this one is of another kind")
      return fromPrivateKey(privateKey)
    },
    catch: (cause) =>
      new PrivateFile.UnusableFile({
        path,
        reason: `it must hold an Ed25519 private key as PKCS#8 PEM (${cause instanceof Error ? cause.message : cause})`
      })
  })

/** Reads the key pair of a file, if there is one. */
export const find = Effect.fn("KeyPair.find")(function* (path: string) {
  const pem = yield* PrivateFile.read(path)
  return Option.isSome(pem) ? Option.some(yield* ofPem(path, pem.value)) : Option.none<KeyPair>()
})

/** Reads the key pair of a file, or makes one and keeps it there. */
export const load = Effect.fn("KeyPair.load")(function* (path: string) {
  const found = yield* find(path)
  if (Option.isSome(found)) return found.value

  const { privateKey } = yield* Effect.sync(() => generateKeyPairSync("ed25519"))
  yield* PrivateFile.write(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString())
  return fromPrivateKey(privateKey)
})
