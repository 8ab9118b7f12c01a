/**
 * What a sealed secret is made of: a version, the id of the key, a nonce, and the secret by AES-256-GCM with its tag.
 * Everything before the secret, and the place where it is kept, is authenticated with it.
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from "node:crypto"
import { Option, Redacted } from "effect"

/** The length of an encryption key, in bytes. */
export const keySize = 32

/** The length of a nonce. Drawn at random, which is good for some 2^32 secrets under one key. */
export const nonceSize = 12

const version = 1
const idSize = 8
const tagSize = 16
const headerSize = 1 + idSize + nonceSize

/** A key that seals and opens, and its public name. */
export interface EncryptionKey {
  /** 16 hexadecimal digits, which tell nothing of the key. */
  readonly id: string
  readonly secret: KeyObject
}

/** A key by its bytes. */
export const key = (bytes: Redacted.Redacted<Uint8Array>): EncryptionKey => {
  const secret = Redacted.value(bytes)
  if (secret.byteLength !== keySize) throw new RangeError(`An encryption key has ${keySize} bytes`)
  const id = Buffer.from(hkdfSync("sha256", secret, "", "broker encryption key id", idSize)).toString("hex")
  return { id, secret: createSecretKey(secret) }
}

/** Bound to the place where it will be kept: moved elsewhere it does not open. A nonce is used once. */
export const seal = (key: EncryptionKey, place: string, nonce: Uint8Array, secret: Uint8Array): Uint8Array => {
  const header = Buffer.concat([Buffer.of(version), Buffer.from(key.id, "hex"), nonce])
  const cipher = createCipheriv("aes-256-gcm", key.secret, nonce, { authTagLength: tagSize })
  cipher.setAAD(Buffer.concat([header, Buffer.from(place)]))
  return Buffer.concat([header, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
}

/** The id of the key that something was sealed under; none where it is nothing sealed. */
export const keyIdOf = (sealed: Uint8Array): Option.Option<string> =>
  sealed.byteLength >= headerSize + tagSize && sealed[0] === version
    ? Option.some(Buffer.from(sealed.subarray(1, 1 + idSize)).toString("hex"))
    : Option.none()

/** The secret; none where it was sealed under another key or for another place, or where anything was changed. */
export const open = (key: EncryptionKey, place: string, sealed: Uint8Array): Option.Option<Uint8Array> => {
  if (Option.getOrUndefined(keyIdOf(sealed)) !== key.id) return Option.none()
  const header = sealed.subarray(0, headerSize)
  const nonce = header.subarray(1 + idSize)
  const decipher = createDecipheriv("aes-256-gcm", key.secret, nonce, { authTagLength: tagSize })
  decipher.setAAD(Buffer.concat([header, Buffer.from(place)])).setAuthTag(sealed.subarray(-tagSize))
  try {
    return Option.some(Buffer.concat([decipher.update(sealed.subarray(headerSize, -tagSize)), decipher.final()]))
  } catch {
    // The tag does not fit; which part of it is nobody's business.
    return Option.none()
  }
}
