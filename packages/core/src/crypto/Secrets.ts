/** Mints bearer secrets, digests them, and compares digests in constant time (B9). */

import { hash, timingSafeEqual } from "node:crypto"
import { type CredentialKind, format, type Secret, SecretDigest, secretBytes } from "@broker/domain/Credential"
import { Context, Effect, Layer, Redacted } from "effect"
import { SecureRandom } from "effect/crypto"

/** SHA-256 of a secret. */
export const digestOf = (secret: Secret) => SecretDigest.make(hash("sha256", Redacted.value(secret), "base64url"))

/** Whether a secret is the one that was digested; takes as long whether it is or not. */
export const isDigestOf = (digest: SecretDigest, secret: Secret) =>
  timingSafeEqual(Buffer.from(digest, "base64url"), Buffer.from(digestOf(secret), "base64url"))

export class Secrets extends Context.Service<
  Secrets,
  {
    /** A new secret for the row of that id, and the digest to store in its place. */
    mint(kind: CredentialKind, id: string): Effect.Effect<{ readonly secret: Secret; readonly digest: SecretDigest }>
    /** A new id (UUIDv7), which sorts after those before it. */
    readonly id: Effect.Effect<string>
    /** So many random bytes. */
    bytes(size: number): Effect.Effect<Uint8Array>
  }
>()("@broker/core/crypto/Secrets") {
  static readonly layerNoDeps = Layer.effect(
    Secrets,
    Effect.gen(function* () {
      const random = yield* SecureRandom.SecureRandom

      const mint = Effect.fn("Secrets.mint")(function* (kind: CredentialKind, id: string) {
        const secret = format(kind, id, yield* random.randomBytes(secretBytes))
        return { secret, digest: digestOf(secret) }
      })

      return Secrets.of({ mint, id: random.uuidV7(), bytes: (size) => random.randomBytes(size) })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(SecureRandom.layerWebCrypto))
}
