/**
 * How the dashboard signs in: plain routes beside tRPC, because they set cookies. Not part of the public API; the
 * dashboard and the broker are deployed as one.
 */
import { Validation } from "@broker/api/Validation"
import {
  AdminNameTaken,
  CrossSiteRequest,
  SetupClosed,
  SetupRequest,
  SignInRefused,
  SignInRequest
} from "@broker/domain/Admin"
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"

class Sessions extends HttpApiGroup.make("sessions")
  .add(
    HttpApiEndpoint.post("signIn", "/session", {
      payload: SignInRequest,
      success: HttpApiSchema.NoContent,
      error: [SignInRefused, CrossSiteRequest]
    }),
    HttpApiEndpoint.delete("signOut", "/session", { success: HttpApiSchema.NoContent, error: CrossSiteRequest }),
    HttpApiEndpoint.get("setupState", "/setup", { success: Schema.Struct({ open: Schema.Boolean }) }),
    HttpApiEndpoint.post("setup", "/setup", {
      payload: SetupRequest,
      success: HttpApiSchema.NoContent,
      error: [SetupClosed, AdminNameTaken, CrossSiteRequest]
    })
  )
  .prefix("/rpc") {}

export class SessionsApi extends HttpApi.make("sessions")
  .add(Sessions)
  .middleware(Validation)
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" }) {}
