/** What admins prove who they are with beside a password: authenticator apps and recovery codes (A2). */
import type { AdminId, SignedIn } from "@broker/domain/Admin"
import type {
  FactorDemanded,
  FactorEnrolled,
  FactorUnconfirmed,
  RecoveryCodes,
  TotpEnrolment
} from "@broker/domain/SecondFactor"
import { Context, type Effect, Layer } from "effect"
import type { Actor } from "../audit/Actor.ts"

/** Whose factors they are, and where. */
export type Member = Pick<SignedIn, "id" | "name" | "organizationId">

export class SecondFactors extends Context.Service<
  SecondFactors,
  {
    /** A secret that counts once a first code has confirmed it; a new one takes the place of one that never was. */
    beginTotp(admin: Member): Effect.Effect<TotpEnrolment, FactorEnrolled, Actor>
    /** Answers recovery codes when it is the first factor. Joins the caller's transaction. */
    confirmTotp(
      admin: Member,
      code: string
    ): Effect.Effect<RecoveryCodes | null, FactorUnconfirmed | FactorEnrolled, Actor>
    /** Joins the caller's transaction. */
    removeTotp(admin: Member): Effect.Effect<void, FactorDemanded, Actor>
    /** Ten new ones; the old ones end. */
    renewRecoveryCodes(admin: Member): Effect.Effect<RecoveryCodes, never, Actor>
    /** Recovery codes for a first factor, if there are none yet. Joins the caller's transaction. */
    firstRecoveryCodes(adminId: AdminId): Effect.Effect<RecoveryCodes | null>
    /** Whether the code is one of now, ± 1 step, and was not used yet; using it is part of the answer. */
    useTotp(adminId: AdminId, code: string): Effect.Effect<boolean>
    /** Whether the recovery code is theirs and unused; of two at once, one is right. */
    useRecoveryCode(adminId: AdminId, code: string): Effect.Effect<boolean, never, Actor>
    /** Everything gone: app, passkeys and codes. Joins the caller's transaction. */
    reset(adminId: AdminId): Effect.Effect<void>
  }
>()("@broker/core/second-factors/SecondFactors") {
  static readonly layer = Layer.mock(SecondFactors)({})
}
