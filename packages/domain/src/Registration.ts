/** How a server joins: what it sends, and what it gets. */
import { Schema } from "effect"
import { PendingChallenge } from "./Challenge.ts"
import { Secret } from "./Credential.ts"
import { Text, Timestamp } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { description, isVisible, PublicKey, Server, Signature } from "./Server.ts"

/** A name as it was sent: spaces around it are allowed, and signed, but not kept. */
const SentName = Text(128).check(
  isVisible,
  Schema.makeFilter((name) => {
    const length = name.trim().length
    return (length >= 1 && length <= 64) || "must be 1 to 64 characters"
  })
)

/** What a server sends to join. The registration key comes as the bearer. */
export const Registration = Schema.Struct({
  name: SentName,
  publicKey: PublicKey,
  timestamp: Timestamp,
  signature: Signature,
  ...description
}).annotate({ title: "Registration" })
export type Registration = typeof Registration.Type

/** The answer to a registration, and the only time the token is readable. */
const answer = {
  server: Server.json,
  token: Secret,
  heartbeatIntervalSeconds: Schema.Finite,
  challenge: Schema.NullOr(PendingChallenge)
}

export class Registered extends Schema.Class<Registered>("Registered")(answer, {
  httpApiStatus: 201,
  description: "A new server"
}) {}

/** B2. */
export class RegisteredAgain extends Schema.Class<RegisteredAgain>("RegisteredAgain")(answer, {
  httpApiStatus: 200,
  description: "The same server again, by the same key pair: its identity, and a fresh token"
}) {}

export class InvalidSignature extends Problem<InvalidSignature>()("InvalidSignature", {
  code: "invalid_signature",
  status: 403,
  title: "Invalid signature",
  detail: "The signature does not match the request.",
  remedy:
    "Sign the exact text that the documentation gives, with the broker's audience, by the private key of publicKey."
}) {}

export class InvalidPublicKey extends Problem<InvalidPublicKey>()("InvalidPublicKey", {
  code: "invalid_public_key",
  status: 422,
  title: "Invalid public key",
  detail: "The public key is not a sound Ed25519 key: it is no canonical point of the curve, or one of low order.",
  remedy: "Create the key pair with a common tool, such as `openssl genpkey -algorithm ed25519`."
}) {}

export class TimestampOutOfRange extends Problem<TimestampOutOfRange>()("TimestampOutOfRange", {
  code: "timestamp_out_of_range",
  status: 422,
  title: "Timestamp out of range",
  detail: "The timestamp is more than 5 minutes off the broker's clock.",
  remedy: "Set the clock. `/.well-known/broker` tells the broker's time."
}) {}

/** The same Idempotency-Key with another body. */
export class IdempotencyKeyReused extends Problem<IdempotencyKeyReused>()("IdempotencyKeyReused", {
  code: "idempotency_key_reused",
  status: 422,
  title: "Idempotency key reused",
  detail: "This Idempotency-Key stood for another request within the last 24 hours.",
  remedy: "Use a new key for a new request, and the same key only to repeat the same request."
}) {}
