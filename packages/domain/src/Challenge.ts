/** The broker's question to a server: sign this, to show that you still hold your private key. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { Base64UrlBytes, Base64UrlFromBytes, Instant, MaybeInstant, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { ServerId, Signature } from "./Server.ts"

export const ChallengeId = Uuid.pipe(Schema.brand("ChallengeId"))
export type ChallengeId = typeof ChallengeId.Type

/** 32 random bytes. */
export const Nonce = Base64UrlBytes(32).pipe(Schema.brand("Nonce"))

/**
 * - `registration`: the first proof, right after joining
 * - `scheduled`: the broker's own next look
 * - `requested`: an admin asked for it
 */
export const ChallengePurpose = Schema.Literals(["registration", "scheduled", "requested"])
export type ChallengePurpose = typeof ChallengePurpose.Type

/**
 * - `open`: may be answered until it expires; a server has at most one
 * - `passed`, `failed`: answered, rightly or wrongly
 * - `expired`: never answered
 * - `superseded`: another one took its place
 */
export const ChallengeState = Schema.Literals(["open", "passed", "failed", "expired", "superseded"])
export type ChallengeState = typeof ChallengeState.Type

/** One row of `challenges`. */
export class Challenge extends Model.Class<Challenge>("Challenge")({
  id: Model.UuidV7Insert(ChallengeId),
  serverId: ServerId,
  purpose: ChallengePurpose,
  nonce: Model.FieldOnly(["select", "insert"])(Base64UrlFromBytes.pipe(Schema.decodeTo(Nonce))),
  state: ChallengeState,
  issuedAt: Instant,
  expiresAt: Instant,
  answeredAt: MaybeInstant
}) {}

/** A challenge as the server gets it, in the answer to a registration or a heartbeat. */
export const PendingChallenge = Schema.Struct({
  id: ChallengeId,
  nonce: Nonce,
  expiresAt: Schema.DateTimeUtcFromString
}).annotate({ title: "PendingChallenge" })
export type PendingChallenge = typeof PendingChallenge.Type

export const ChallengeAnswer = Schema.Struct({ signature: Signature }).annotate({ title: "ChallengeAnswer" })

export const Verification = Schema.Struct({
  verified: Schema.Literal(true),
  verifiedAt: Schema.DateTimeUtcFromString
}).annotate({ title: "Verification" })
export type Verification = typeof Verification.Type

/** A wrong signature (V2). It suspends the server at once, so there is no second try. */
export class ChallengeFailed extends Problem<ChallengeFailed>()("ChallengeFailed", {
  code: "challenge_failed",
  status: 403,
  title: "Challenge failed",
  detail: "The signature is not this server's. The server is suspended.",
  remedy: "An admin has to look into it, and approve the server again."
}) {}

/** Late, used, superseded, or never this server's (V1). */
export class ChallengeGone extends Problem<ChallengeGone>()("ChallengeGone", {
  code: "challenge_gone",
  status: 410,
  title: "Challenge gone",
  detail: "The challenge is over: it expired, was answered, or was superseded.",
  remedy: "Wait for the next challenge; it comes in the answer to a heartbeat."
}) {}
