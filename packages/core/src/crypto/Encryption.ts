/**
 * Encryption of what the broker must be able to read again, and nobody else: AES-256-GCM under a key from the
 * configuration (J6). What is sealed names its key, so that keys can change.
 */
import { Context, type Effect, Layer, type Redacted } from "effect"

/** The key of now, which seals, and former ones, which only open. 32 bytes each. */
export const EncryptionKeys = Context.Reference<{
  readonly current: Redacted.Redacted<Uint8Array>
  readonly former: ReadonlyArray<Redacted.Redacted<Uint8Array>>
} | null>("@broker/core/crypto/EncryptionKeys", { defaultValue: () => null })

export class Encryption extends Context.Service<
  Encryption,
  {
    /** Bound to its place, such as `admins.totp_secret:<id>`: moved elsewhere it does not open. */
    seal(place: string, secret: Uint8Array): Effect.Effect<Uint8Array>
    /** Dies where it does not open: the key is not ours, or somebody changed it. */
    open(place: string, sealed: Uint8Array): Effect.Effect<Uint8Array>
    /** Seals everything anew that is not under the key of now; tells how many. Done in batches; may be repeated. */
    readonly rewrap: Effect.Effect<number>
  }
>()("@broker/core/crypto/Encryption") {
  static readonly layer = Layer.mock(Encryption)({})
}
