/** How admins sign in and stay signed in: a password or a passkey, a second factor, and a session that can be ended. */
import type { AdminId, Factors, SignedIn, WrongPassword } from "@broker/domain/Admin"
import type {
  AdminSession,
  AdminSessionId,
  AdminSessionNotFound,
  FactorAsked,
  NotSignedIn,
  SignInMethod,
  SignInRefused,
  SignInRequest
} from "@broker/domain/AdminSession"
import type { TooManyAttempts } from "@broker/domain/ClientSession"
import type { Permission } from "@broker/domain/Permission"
import type { FactorAnswer, FactorRefused, PasskeyResponse, StepUpAnswer } from "@broker/domain/SecondFactor"
import { Context, type DateTime, type Effect, Layer, type Option } from "effect"
import type { Actor } from "../audit/Actor.ts"
import type { Ticket } from "./Ticket.ts"

/** The browser that signs in. */
export interface Browser {
  readonly userAgent: string | null
  /** The secret of its long-lived cookie, by which it is known again (A3). */
  readonly known: Option.Option<Ticket>
}

/** A session that was just opened. */
export interface OpenSession {
  readonly ticket: Ticket
  readonly expiresAt: DateTime.Utc
  /** What the browser is known by from now on. */
  readonly browser: Ticket
}

/** What has to be answered before anything opens. */
export interface Ceremony {
  readonly ticket: Ticket
  readonly asked: FactorAsked
}

export type SignInStep =
  | { readonly _tag: "Open"; readonly session: OpenSession }
  | { readonly _tag: "FactorAsked"; readonly ceremony: Ceremony }

/** An admin at work: who it is, by which session, and what they may do right now. */
export interface SignedInAdmin extends SignedIn {
  readonly sessionId: AdminSessionId
  /** Empty as long as a second factor is demanded and none is enrolled (A2). */
  readonly permissions: ReadonlySet<Permission>
  readonly mustEnrol: boolean
  readonly factors: Factors
  readonly method: SignInMethod
  /** When they last proved who they are (A4). */
  readonly provenAt: DateTime.Utc
}

export class AdminSessions extends Context.Service<
  AdminSessions,
  {
    /** One answer, after the same time, for a wrong name and a wrong password (A3). */
    signIn(request: SignInRequest, browser: Browser): Effect.Effect<SignInStep, SignInRefused | TooManyAttempts, Actor>
    /** The second step, by whatever of the factors. Opens a session of its own: no id is older than the factor. */
    answerFactor(
      ceremony: Ticket,
      answer: FactorAnswer,
      browser: Browser
    ): Effect.Effect<OpenSession, FactorRefused | TooManyAttempts, Actor>
    /** A sign-in by a passkey alone, which says itself whose it is. */
    readonly beginPasskey: Effect.Effect<Ceremony>
    signInByPasskey(
      ceremony: Ticket,
      response: PasskeyResponse,
      browser: Browser
    ): Effect.Effect<OpenSession, FactorRefused | TooManyAttempts, Actor>
    /** For whoever proved who they are in another way; asks for a factor where there is one, unless `factor` was given. */
    begin(
      adminId: AdminId,
      proof: { readonly method: SignInMethod; readonly factor: boolean },
      browser: Browser
    ): Effect.Effect<SignInStep, never, Actor>
    /** Opens a session at once, for whoever has just been made or has just proven who they are. Joins the caller's transaction. */
    open(
      adminId: AdminId,
      proof: { readonly method: SignInMethod; readonly factor: boolean },
      browser: Browser
    ): Effect.Effect<OpenSession, never, Actor>
    /** Who holds a session. Looked up once per node, and kept until a signal says that something changed. */
    authenticate(ticket: Ticket): Effect.Effect<SignedInAdmin, NotSignedIn>
    /** What a step-up can be answered with. No method where only a password will do. */
    beginStepUp(admin: SignedInAdmin): Effect.Effect<Ceremony>
    /** A4: proves once more who it is, and moves the session to a new id. */
    stepUp(
      admin: SignedInAdmin,
      ceremony: Option.Option<Ticket>,
      answer: StepUpAnswer
    ): Effect.Effect<OpenSession, FactorRefused | WrongPassword | TooManyAttempts, Actor>
    /** A4: moves a session to a new id, and ends all others of the admin. Joins the caller's transaction. */
    renew(admin: SignedInAdmin, factor: boolean): Effect.Effect<OpenSession, never, Actor>
    /** Ends every session of an admin, on all nodes; tells how many. Joins the caller's transaction. */
    end(adminId: AdminId, except?: AdminSessionId): Effect.Effect<number>
    /** Something about admins changed that sessions show: nodes look again. Joins the caller's transaction. */
    readonly forget: Effect.Effect<void>
    list(admin: SignedInAdmin): Effect.Effect<ReadonlyArray<AdminSession>>
    revoke(admin: SignedInAdmin, id: AdminSessionId): Effect.Effect<void, AdminSessionNotFound, Actor>
    /** Tells how many. */
    revokeOthers(admin: SignedInAdmin): Effect.Effect<number, never, Actor>
    signOut(ticket: Ticket): Effect.Effect<void>
    /** Deletes sessions, ceremonies and browsers past their time; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/admin-sessions/AdminSessions") {
  static readonly layer = Layer.mock(AdminSessions)({})
}
