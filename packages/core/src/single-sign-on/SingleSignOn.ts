/** Sign-in through an identity provider (OpenID Connect, authorization code with PKCE). */
import type { SingleSignOnRefused } from "@broker/domain/AdminSession"
import { Context, type Effect, Layer, type Redacted } from "effect"
import type { Browser, SignInStep } from "../admin-sessions/AdminSessions.ts"
import type { Ticket } from "../admin-sessions/Ticket.ts"
import type { Actor } from "../audit/Actor.ts"

export interface IdentityProvider {
  /** Its origin and path, as its discovery document states it. */
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: Redacted.Redacted<string>
  /** What it is called on the button. */
  readonly name: string
}

/** Null where admins sign in here alone. */
export const SingleSignOnPolicy = Context.Reference<IdentityProvider | null>(
  "@broker/core/single-sign-on/SingleSignOnPolicy",
  { defaultValue: () => null }
)

export class SingleSignOn extends Context.Service<
  SingleSignOn,
  {
    /** Where to send the browser, and the ticket it comes back with in a cookie. */
    readonly begin: Effect.Effect<{ readonly url: string; readonly ticket: Ticket }, SingleSignOnRefused>
    /** What came back, as the whole URL. An admin is known by the provider's subject, or at first by a verified e-mail. */
    finish(ticket: Ticket, url: URL, browser: Browser): Effect.Effect<SignInStep, SingleSignOnRefused, Actor>
  }
>()("@broker/core/single-sign-on/SingleSignOn") {
  static readonly layer = Layer.mock(SingleSignOn)({})
}
