/** Ed25519 (RFC 8032) as the broker checks it: which keys it takes, and whether a signature holds. */

import { createPublicKey, verify } from "node:crypto"
import type { PublicKey, Signature } from "@broker/domain/Server"

/** y-coordinates of the points of low order, little-endian: a signature by such a key proves nothing. */
const lowOrder = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
])

/**
 * Refuses keys of low order and keys that spell their point in another than the one canonical way (B10). A key that
 * is no point at all passes here, and then no signature by it ever holds.
 */
export const isSound = (key: PublicKey) => {
  const y = Buffer.from(key, "base64url")
  y[31] = (y[31] ?? 0) & 0x7f
  // The field's prime is 2^255 - 19: only 19 numbers of 255 bits are not below it.
  const reduced = !((y[0] ?? 0) >= 0xed && y[31] === 0x7f && y.subarray(1, 31).every((byte) => byte === 0xff))
  return reduced && !lowOrder.has(y.toString("hex"))
}

/** Whether the text was signed by the private key of this public key. */
export const verifies = (key: PublicKey, text: string, signature: Signature) =>
  verify(
    null,
    Buffer.from(text),
    createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x: key } }),
    Buffer.from(signature, "base64url")
  )
