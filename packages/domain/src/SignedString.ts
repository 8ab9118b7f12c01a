/**
 * The texts that are signed with Ed25519 (B4, V1, V4): UTF-8, fields joined by a line feed, first line a domain, so
 * that a signature made for one purpose or one broker is worth nothing to another.
 *
 * No field can hold a line feed: names refuse control characters, and all else is base64url, a UUID, a time or an
 * origin. So no two messages share a text.
 */

const lines = (...fields: ReadonlyArray<string>) => fields.join("\n")

/** Signed by the server's key when it registers. */
export const registration = (fields: {
  /** The broker's public origin, as `/.well-known/broker` states it. */
  readonly audience: string
  readonly registrationKeyId: string
  readonly name: string
  readonly publicKey: string
  /** As sent in the request. */
  readonly timestamp: string
}) =>
  lines(
    "broker-register-v1",
    fields.audience,
    fields.registrationKeyId,
    fields.name,
    fields.publicKey,
    fields.timestamp
  )

/** Signed by the server's key to answer a challenge. */
export const challenge = (fields: {
  readonly audience: string
  readonly serverId: string
  readonly challengeId: string
  readonly nonce: string
  /** RFC 3339, as received. */
  readonly expiresAt: string
}) => lines("broker-challenge-v1", fields.audience, fields.serverId, fields.challengeId, fields.nonce, fields.expiresAt)

/** Signed by both the old and the new key when a server changes its key. */
export const rotation = (fields: {
  readonly audience: string
  readonly serverId: string
  readonly publicKey: string
  /** As sent in the request. */
  readonly timestamp: string
}) => lines("broker-rotate-v1", fields.audience, fields.serverId, fields.publicKey, fields.timestamp)
