/** What an admin proves who they are with, beside a password or in place of it (A2). */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { AdminId, Password } from "./Admin.ts"
import { Instant, MaybeInstant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

/** Six digits of an authenticator app (RFC 6238). Spaces, as people read them, are left out. */
export const TotpCode = Schema.String.check(Schema.isPattern(/^[0-9]{6}$/, { message: "must be six digits" }))

/** Ten groups of them are shown once; `xxxxx-xxxxx`, in lower case letters and digits that nobody mixes up. */
export const RecoveryCode = Schema.String.check(
  Schema.isPattern(/^[2-9a-hjkmnp-z]{5}-[2-9a-hjkmnp-z]{5}$/, { message: "must look like 3f7ka-9xwqt" })
)

/** An enrolment that counts once a first code has confirmed it. */
export const TotpEnrolment = Schema.Struct({
  /** In base32, for those who type it. Shown once. */
  secret: Schema.RedactedFromValue(Schema.String, { label: "totp secret" }),
  /** `otpauth://…`, for the QR code. */
  uri: Schema.RedactedFromValue(Schema.String, { label: "totp uri" })
})
export type TotpEnrolment = typeof TotpEnrolment.Type

/** Shown once, when the first factor is enrolled or when they are made anew. */
export const RecoveryCodes = Schema.Array(Schema.RedactedFromValue(RecoveryCode, { label: "recovery code" }))
export type RecoveryCodes = typeof RecoveryCodes.Type

export const PasskeyId = Uuid.pipe(Schema.brand("PasskeyId"))
export type PasskeyId = typeof PasskeyId.Type

export const PasskeyName = Text(64).check(Schema.isTrimmed(), Schema.isMinLength(1))

/** One row of `passkeys`: a public key of WebAuthn. */
export class Passkey extends Model.Class<Passkey>("Passkey")({
  id: Model.UuidV7Insert(PasskeyId),
  adminId: Model.FieldOnly(["select", "insert"])(AdminId),
  name: PasskeyName,
  credentialId: Model.FieldOnly(["select", "insert"])(Schema.Uint8Array),
  publicKey: Model.FieldOnly(["select", "insert"])(Schema.Uint8Array),
  /** How often it signed, as it counts itself; 0 where it does not count. */
  counter: Model.FieldOnly(["select", "insert"])(Schema.BigInt),
  transports: Model.FieldOnly(["select", "insert"])(Schema.Array(Schema.String)),
  /** Whether it is copied to other machines of its owner. */
  backedUp: Schema.Boolean,
  createdAt: Instant,
  lastUsedAt: MaybeInstant
}) {}

/** What browsers take and give for a passkey (WebAuthn, level 3). Looked into by the library that knows it. */
export const PasskeyOptions = Schema.Record(Schema.String, Schema.Unknown)
export const PasskeyResponse = Schema.Record(Schema.String, Schema.Unknown)
export type PasskeyResponse = typeof PasskeyResponse.Type

/** A factor as it is answered with. */
export const FactorAnswer = Schema.Union([
  Schema.Struct({ kind: Schema.tag("totp"), code: TotpCode }),
  Schema.Struct({ kind: Schema.tag("recovery-code"), code: RecoveryCode }),
  Schema.Struct({ kind: Schema.tag("passkey"), response: PasskeyResponse })
])
export type FactorAnswer = typeof FactorAnswer.Type

export const FactorKind = Schema.Literals(["totp", "recovery-code", "passkey"])
export type FactorKind = typeof FactorKind.Type

/** What a step-up takes: a factor, or the password of those who have none. */
export const StepUpAnswer = Schema.Union([
  ...FactorAnswer.members,
  Schema.Struct({ kind: Schema.tag("password"), password: Password })
])
export type StepUpAnswer = typeof StepUpAnswer.Type

/** One text for every wrong, used or late answer. */
export class FactorRefused extends Problem<FactorRefused>()("FactorRefused", {
  code: "factor_refused",
  status: 401,
  title: "Second factor refused",
  detail: "The code or passkey is wrong, was used before, or came too late.",
  remedy: "Wait for the next code and try again, or use a recovery code."
}) {}

/** An enrolment was confirmed by a wrong code, or by what is no passkey. */
export class FactorUnconfirmed extends Problem<FactorUnconfirmed>()("FactorUnconfirmed", {
  code: "factor_unconfirmed",
  status: 422,
  title: "Not confirmed",
  detail: "The code is not one of this secret, or the passkey could not be checked.",
  remedy: "Check the clock of the device, and try again with a new code."
}) {}

export class FactorEnrolled extends Problem<FactorEnrolled>()("FactorEnrolled", {
  code: "factor_enrolled",
  status: 409,
  title: "Enrolled already",
  detail: "There is an authenticator app already.",
  remedy: "Remove it first."
}) {}

/** The organization demands a second factor, and this is the last one. */
export class FactorDemanded extends Problem<FactorDemanded>()("FactorDemanded", {
  code: "factor_demanded",
  status: 409,
  title: "Second factor demanded",
  detail: "The organization demands a second factor, and this is your last one.",
  remedy: "Add another one first."
}) {}

export class PasskeyNotFound extends Problem<PasskeyNotFound>()("PasskeyNotFound", {
  code: "passkey_not_found",
  status: 404,
  title: "Passkey not found",
  detail: "There is no such passkey.",
  remedy: "Check the id."
}) {}
