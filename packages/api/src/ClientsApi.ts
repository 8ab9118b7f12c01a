import { ClientSignedIn, ClientSignIn, Me, TooManyAttempts } from "@broker/domain/ClientSession"
import { DeviceBlocked, DeviceKeyMismatch, DeviceLimit } from "@broker/domain/Device"
import { InvalidPublicKey } from "@broker/domain/Registration"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ClientAuthentication, PersonalKeyAuthentication } from "./Authentication.ts"
import { example } from "./Example.ts"
import { SpentBudget } from "./RateLimiting.ts"
import { ada, connected, laptop } from "./Samples.ts"

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
      .annotateMerge(
        example({
          body: { device: { fingerprint: "3f0c6a52-laptop", name: "Ada's laptop", platform: "linux" } },
          answer: {
            token: "brk_ses_eyJhbGciOiJFZERTQSIsImtpZCI6IjAxOWFiOGYwIn0.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
            expiresAt: "2026-11-22T10:24:00.000Z",
            user: ada,
            device: laptop
          }
        })
      )
      .annotate(OpenApi.Summary, "Sign in with a personal key")
      .annotate(
        OpenApi.Description,
        "A device is registered when it first signs in, and known again by its fingerprint. The token is good for minutes: sign in again when it is over."
      ),
    HttpApiEndpoint.delete("signOut", "/sessions/current", { success: HttpApiSchema.NoContent })
      .middleware(ClientAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(example({}))
      .annotate(OpenApi.Summary, "Sign out")
      .annotate(OpenApi.Description, "The token is worth nothing from then on. Open connections stay open."),
    HttpApiEndpoint.get("me", "/me", { success: Me })
      .middleware(ClientAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          answer: {
            user: ada,
            device: laptop,
            limits: { connectionsPerKey: 10, connectionsPerDevice: 5, devicesPerUser: 10 },
            connections: [connected]
          }
        })
      )
      .annotate(OpenApi.Summary, "Read the user, the device, its limits and its live connections")
      .annotate(OpenApi.Description, "What the token stands for: whose it is, and what is open from this device.")
  )
  .annotateMerge(OpenApi.annotations({ title: "Clients", description: "For clients: sign in, and out." })) {}
