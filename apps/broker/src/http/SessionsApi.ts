/**
 * How the dashboard signs in, and whatever else sets the session's cookie: plain routes beside tRPC, because a batch of
 * procedures cannot. Not part of the public API; the dashboard and the broker are deployed as one.
 */
import { RateLimiting, SpentBudget } from "@broker/api/RateLimiting"
import { Validation } from "@broker/api/Validation"
import {
  AdminNameTaken,
  NewPassword,
  Password,
  SetupClosed,
  SetupRequest,
  WeakPassword,
  WrongPassword
} from "@broker/domain/Admin"
import { LinkGone, LinkToken, LinkUse, OpenLink } from "@broker/domain/AdminLink"
import { CrossSiteRequest, FactorAsked, NotSignedIn, SignInRefused, SignInRequest } from "@broker/domain/AdminSession"
import { TooManyAttempts } from "@broker/domain/ClientSession"
import { StepUpRequired } from "@broker/domain/Permission"
import {
  FactorAnswer,
  FactorDemanded,
  FactorEnrolled,
  FactorRefused,
  FactorUnconfirmed,
  PasskeyId,
  PasskeyName,
  PasskeyNotFound,
  PasskeyOptions,
  PasskeyResponse,
  RecoveryCodes,
  StepUpAnswer,
  TotpCode
} from "@broker/domain/SecondFactor"
import { Context, Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"

/** Who may ask: anybody, whoever is signed in, or whoever has proven a short while ago who they are (A4). */
export class Asks extends Context.Service<Asks, "nothing" | "session" | "proof">()("@broker/SessionsApi/Asks") {}

/** 204 with the session's cookie, or 200 with what is still asked for. */
const step = [HttpApiSchema.NoContent, FactorAsked] as const

/** Shown once, with the first factor; null when there are codes already. */
export const Enrolled = Schema.Struct({ recoveryCodes: Schema.NullOr(RecoveryCodes) })

/** Shown once, in place of those that ended. */
export const Renewed = Schema.Struct({ recoveryCodes: RecoveryCodes })

export class Sessions extends HttpApiGroup.make("sessions")
  .add(
    HttpApiEndpoint.post("signIn", "/session", {
      payload: SignInRequest,
      success: step,
      error: [SignInRefused, TooManyAttempts, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.post("answerFactor", "/session/factor", {
      payload: FactorAnswer,
      success: HttpApiSchema.NoContent,
      error: [FactorRefused, TooManyAttempts, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.post("passkeyOptions", "/session/passkey/options", {
      success: PasskeyOptions,
      error: CrossSiteRequest
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.post("signInByPasskey", "/session/passkey", {
      payload: Schema.Struct({ response: PasskeyResponse }),
      success: HttpApiSchema.NoContent,
      error: [FactorRefused, TooManyAttempts, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.post("stepUpOptions", "/session/step-up/options", {
      success: FactorAsked,
      error: [NotSignedIn, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "session"),
    HttpApiEndpoint.post("stepUp", "/session/step-up", {
      payload: StepUpAnswer,
      success: HttpApiSchema.NoContent,
      error: [NotSignedIn, FactorRefused, WrongPassword, TooManyAttempts, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "session"),
    HttpApiEndpoint.delete("signOut", "/session", {
      success: HttpApiSchema.NoContent,
      error: CrossSiteRequest
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.get("setupState", "/setup", { success: Schema.Struct({ open: Schema.Boolean }) })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.post("setup", "/setup", {
      payload: SetupRequest,
      success: HttpApiSchema.NoContent,
      error: [SetupClosed, AdminNameTaken, WeakPassword, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.get("signInMethods", "/session/methods", {
      success: Schema.Struct({ singleSignOn: Schema.NullOr(Schema.String) })
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.post("lookAtLink", "/links/look", {
      payload: LinkToken,
      success: OpenLink,
      error: [LinkGone, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "nothing"),
    HttpApiEndpoint.post("useLink", "/links", {
      payload: LinkUse,
      success: step,
      error: [LinkGone, WeakPassword, AdminNameTaken, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "nothing")
  )
  .prefix("/rpc") {}

/** What moves the session of whoever is signed in to a new id (A4). */
export class Account extends HttpApiGroup.make("account")
  .add(
    HttpApiEndpoint.post("changePassword", "/account/password", {
      payload: Schema.Struct({ current: Schema.NullOr(Password), next: NewPassword }),
      success: HttpApiSchema.NoContent,
      error: [NotSignedIn, WrongPassword, WeakPassword, TooManyAttempts, StepUpRequired, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "proof"),
    HttpApiEndpoint.post("confirmTotp", "/account/totp", {
      payload: Schema.Struct({ code: TotpCode }),
      success: Enrolled,
      error: [NotSignedIn, FactorUnconfirmed, FactorEnrolled, StepUpRequired, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "proof"),
    HttpApiEndpoint.delete("removeTotp", "/account/totp", {
      success: HttpApiSchema.NoContent,
      error: [NotSignedIn, FactorDemanded, StepUpRequired, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "proof"),
    HttpApiEndpoint.post("passkeyEnrolmentOptions", "/account/passkeys/options", {
      success: PasskeyOptions,
      error: [NotSignedIn, StepUpRequired, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "proof"),
    HttpApiEndpoint.post("enrolPasskey", "/account/passkeys", {
      payload: Schema.Struct({ name: PasskeyName, response: PasskeyResponse }),
      success: Enrolled,
      error: [NotSignedIn, FactorUnconfirmed, StepUpRequired, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "proof"),
    HttpApiEndpoint.delete("removePasskey", "/account/passkeys/:id", {
      params: { id: PasskeyId },
      success: HttpApiSchema.NoContent,
      error: [NotSignedIn, PasskeyNotFound, FactorDemanded, StepUpRequired, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "proof"),
    HttpApiEndpoint.post("renewRecoveryCodes", "/account/recovery-codes", {
      success: Renewed,
      error: [NotSignedIn, StepUpRequired, CrossSiteRequest]
    })
      .annotate(SpentBudget, "sign-in")
      .annotate(Asks, "proof")
  )
  .prefix("/rpc") {}

export class SessionsApi extends HttpApi.make("sessions")
  .add(Sessions)
  .add(Account)
  .middleware(Validation)
  .middleware(RateLimiting)
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" }) {}
