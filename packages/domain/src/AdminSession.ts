/** How an admin signs in, and stays signed in. */
import { Schema } from "effect"
import { Password } from "./Admin.ts"
import { Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { FactorKind, PasskeyOptions } from "./SecondFactor.ts"

export const AdminSessionId = Uuid.pipe(Schema.brand("AdminSessionId"))
export type AdminSessionId = typeof AdminSessionId.Type

/** How a session was opened. `link` is a set-up, an invitation or a reset. */
export const SignInMethod = Schema.Literals(["password", "passkey", "single-sign-on", "link"])
export type SignInMethod = typeof SignInMethod.Type

/** A session as its owner sees it. */
export const AdminSession = Schema.Struct({
  id: AdminSessionId,
  /** Whether it is the one that asks. */
  current: Schema.Boolean,
  method: SignInMethod,
  /** Whether a second factor, or a passkey, was given for it. */
  factor: Schema.Boolean,
  address: Schema.NullOr(Schema.String),
  /** What the browser calls itself. */
  userAgent: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromString,
  lastUsedAt: Schema.DateTimeUtcFromString,
  expiresAt: Schema.DateTimeUtcFromString
})
export type AdminSession = typeof AdminSession.Type

/** What the sign-in form sends. */
export const SignInRequest = Schema.Struct({ name: Text(128), password: Password })
export type SignInRequest = typeof SignInRequest.Type

/** What is still to be shown before a session opens: any one of these. */
export const FactorAsked = Schema.Struct({
  methods: Schema.Array(FactorKind),
  /** For the browser, where there are passkeys. */
  passkey: Schema.NullOr(PasskeyOptions)
})
export type FactorAsked = typeof FactorAsked.Type

/** One text for a wrong name and a wrong password. */
export class SignInRefused extends Problem<SignInRefused>()("SignInRefused", {
  code: "sign_in_refused",
  status: 401,
  title: "Sign-in refused",
  detail: "The name or the password is wrong.",
  remedy: "Check both and try again."
}) {}

export class NotSignedIn extends Problem<NotSignedIn>()("NotSignedIn", {
  code: "not_signed_in",
  status: 401,
  title: "Not signed in",
  detail: "The session is over, or there is none.",
  remedy: "Sign in."
}) {}

export class AdminSessionNotFound extends Problem<AdminSessionNotFound>()("AdminSessionNotFound", {
  code: "admin_session_not_found",
  status: 404,
  title: "Session not found",
  detail: "There is no such session.",
  remedy: "It may be over already."
}) {}

/** The identity provider did not say who it is, or somebody whom nobody invited. */
export class SingleSignOnRefused extends Problem<SingleSignOnRefused>()("SingleSignOnRefused", {
  code: "single_sign_on_refused",
  status: 403,
  title: "Single sign-on refused",
  detail: "Your identity provider signed you in, but there is no admin for you here.",
  remedy: "Ask an owner to invite you under the e-mail address that your provider knows."
}) {}

/** What came back was no answer to what this browser asked: it is too old, was used, or was cancelled. */
export class SingleSignOnFailed extends Problem<SingleSignOnFailed>()("SingleSignOnFailed", {
  code: "single_sign_on_failed",
  status: 400,
  title: "Single sign-on not finished",
  detail: "The sign-in at your identity provider was cancelled, took too long, or began in another browser.",
  remedy: "Begin again."
}) {}

export class SingleSignOnUnavailable extends Problem<SingleSignOnUnavailable>()("SingleSignOnUnavailable", {
  code: "single_sign_on_unavailable",
  status: 503,
  title: "Single sign-on not available",
  detail: "The identity provider does not answer, or there is none.",
  remedy: "Try again in a moment, or sign in with your password or a passkey."
}) {}

/** A request from another site that came with the admin's cookie. */
export class CrossSiteRequest extends Problem<CrossSiteRequest>()("CrossSiteRequest", {
  code: "cross_site_request",
  status: 403,
  title: "Cross-site request refused",
  detail: "The request comes from another site.",
  remedy: "Open the dashboard at the broker's own address. Behind a proxy, set PUBLIC_URL to the address people use."
}) {}
