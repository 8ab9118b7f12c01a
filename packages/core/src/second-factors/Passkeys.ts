/** Passkeys (WebAuthn): as a second factor, and as the only one. */
import type { AdminId } from "@broker/domain/Admin"
import type {
  FactorDemanded,
  FactorUnconfirmed,
  Passkey,
  PasskeyId,
  PasskeyNotFound,
  PasskeyOptions,
  PasskeyResponse,
  RecoveryCodes
} from "@broker/domain/SecondFactor"
import { Context, type Effect, Layer, type Option } from "effect"
import type { Actor } from "../audit/Actor.ts"
import type { Member } from "./SecondFactors.ts"

/** What a browser is asked, and the challenge that its answer must fit: base64url. */
export interface PasskeyRequest {
  readonly options: typeof PasskeyOptions.Type
  readonly challenge: string
}

export class Passkeys extends Context.Service<
  Passkeys,
  {
    list(adminId: AdminId): Effect.Effect<ReadonlyArray<Passkey>>
    beginEnrolment(admin: Member): Effect.Effect<PasskeyRequest>
    /** Answers recovery codes when it is the first factor. Joins the caller's transaction. */
    enrol(
      admin: Member,
      name: string,
      response: PasskeyResponse,
      challenge: string
    ): Effect.Effect<RecoveryCodes | null, FactorUnconfirmed, Actor>
    rename(admin: Member, id: PasskeyId, name: string): Effect.Effect<Passkey, PasskeyNotFound, Actor>
    /** Joins the caller's transaction. */
    remove(admin: Member, id: PasskeyId): Effect.Effect<void, PasskeyNotFound | FactorDemanded, Actor>
    /** For one admin's passkeys, or for whichever the browser has. */
    request(adminId: AdminId | null): Effect.Effect<PasskeyRequest>
    /** Whose passkey signed the challenge, with the person present and verified; a counter that went back is refused. */
    verify(response: PasskeyResponse, challenge: string): Effect.Effect<Option.Option<AdminId>, never, Actor>
  }
>()("@broker/core/second-factors/Passkeys") {
  static readonly layer = Layer.mock(Passkeys)({})
}
