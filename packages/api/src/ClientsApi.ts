import { ClientSignedIn, ClientSignIn, Me, TooManyAttempts } from "@broker/domain/ClientSession"
import { DeviceBlocked, DeviceKeyMismatch, DeviceLimit } from "@broker/domain/Device"
import { InvalidPublicKey } from "@broker/domain/Registration"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ClientAuthentication, PersonalKeyAuthentication } from "./Authentication.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** How a client signs in and out, and who it is. */
export class ClientsApi extends HttpApiGroup.make("clients")
  .add(
    HttpApiEndpoint.post("signIn", "/sessions", {
      payload: ClientSignIn,
      success: ClientSignedIn,
      error: [DeviceBlocked, DeviceLimit, DeviceKeyMismatch, InvalidPublicKey, TooManyAttempts]
    })
      .middleware(PersonalKeyAuthentication)
      .annotate(SpentBudget, "sign-in")
      .annotate(OpenApi.Summary, "Sign in with a personal key")
      .annotate(
        OpenApi.Description,
        "A device is registered when it first signs in, and known again by its fingerprint. The token is good for minutes: sign in again when it is over."
      ),
    HttpApiEndpoint.delete("signOut", "/sessions/current", { success: HttpApiSchema.NoContent })
      .middleware(ClientAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Sign out"),
    HttpApiEndpoint.get("me", "/me", { success: Me })
      .middleware(ClientAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Read the user, the device, its limits and its live connections")
  )
  .annotateMerge(OpenApi.annotations({ title: "Clients", description: "For clients: sign in, and out." })) {}
