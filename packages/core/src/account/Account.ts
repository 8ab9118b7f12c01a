/** What admins change about how they themselves sign in. Whatever does so ends their other sessions (A4). */
import type { NewPassword, Password, WeakPassword, WrongPassword } from "@broker/domain/Admin"
import type {
  FactorDemanded,
  FactorEnrolled,
  FactorUnconfirmed,
  PasskeyId,
  PasskeyNotFound,
  PasskeyResponse,
  RecoveryCodes
} from "@broker/domain/SecondFactor"
import { Context, type Effect, Layer } from "effect"
import type { Ceremony, OpenSession, SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import type { Ticket } from "../admin-sessions/Ticket.ts"
import type { Actor } from "../audit/Actor.ts"

/** A factor that was added: the session goes on under a new id, and the codes are shown once, with the first factor. */
export interface Enrolled {
  readonly session: OpenSession
  readonly recoveryCodes: RecoveryCodes | null
}

export class Account extends Context.Service<
  Account,
  {
    /** `current` is null for whoever has no password yet. */
    changePassword(
      admin: SignedInAdmin,
      current: Password | null,
      next: NewPassword
    ): Effect.Effect<OpenSession, WrongPassword | WeakPassword, Actor>
    confirmTotp(admin: SignedInAdmin, code: string): Effect.Effect<Enrolled, FactorUnconfirmed | FactorEnrolled, Actor>
    removeTotp(admin: SignedInAdmin): Effect.Effect<void, FactorDemanded, Actor>
    beginPasskey(admin: SignedInAdmin): Effect.Effect<Ceremony>
    enrolPasskey(
      admin: SignedInAdmin,
      ceremony: Ticket,
      name: string,
      response: PasskeyResponse
    ): Effect.Effect<Enrolled, FactorUnconfirmed, Actor>
    removePasskey(admin: SignedInAdmin, id: PasskeyId): Effect.Effect<void, PasskeyNotFound | FactorDemanded, Actor>
  }
>()("@broker/core/account/Account") {
  static readonly layer = Layer.mock(Account)({})
}
