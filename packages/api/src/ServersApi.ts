import { ChallengeAnswer, ChallengeFailed, ChallengeGone, ChallengeId, Verification } from "@broker/domain/Challenge"
import {
  Connection,
  ConnectionConflict,
  ConnectionId,
  ConnectionNotFound,
  ConnectionOver,
  ServerReport
} from "@broker/domain/Connection"
import { Secret } from "@broker/domain/Credential"
import { Heartbeat, HeartbeatReply, Overloaded } from "@broker/domain/Heartbeat"
import {
  IdempotencyKeyReused,
  InvalidPublicKey,
  InvalidSignature,
  Registered,
  RegisteredAgain,
  Registration,
  TimestampOutOfRange
} from "@broker/domain/Registration"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import { KeyRotation, NameTaken, PublicKeyInUse, Server, ServerPatch } from "@broker/domain/Server"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { RegistrationKeyAuthentication, ServerAuthentication } from "./Authentication.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** What a server asks of the broker, about itself. */
export class ServersApi extends HttpApiGroup.make("servers")
  .add(
    HttpApiEndpoint.post("register", "/", {
      headers: idempotencyKey,
      payload: Registration,
      success: [Registered, RegisteredAgain],
      error: [
        RegistrationKeyRefused,
        NameTaken,
        PublicKeyInUse,
        InvalidSignature,
        InvalidPublicKey,
        TimestampOutOfRange,
        IdempotencyKeyReused
      ]
    })
      .middleware(RegistrationKeyAuthentication)
      .annotate(SpentBudget, "registration")
      .annotate(OpenApi.Summary, "Register a server with a registration key")
      .annotate(
        OpenApi.Description,
        "The request proves possession of the private key by a signature over `broker-register-v1`, the broker's audience, the registration key's id, the name, the public key and the timestamp, joined by line feeds. A repeat within 10 minutes by the same key pair answers 200 with the same identity and a fresh token."
      ),
    HttpApiEndpoint.get("self", "/self", { success: Server.json })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Read the server that the token belongs to"),
    HttpApiEndpoint.patch("update", "/self", { payload: ServerPatch, success: Server.json })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Change what the server says of itself"),
    HttpApiEndpoint.delete("retire", "/self", { success: HttpApiSchema.NoContent })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Retire the server, for good"),
    HttpApiEndpoint.post("heartbeat", "/self/heartbeat", {
      payload: Heartbeat,
      success: HeartbeatReply,
      error: Overloaded
    })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "heartbeats")
      .annotate(OpenApi.Summary, "Send a sign of life")
      .annotate(
        OpenApi.Description,
        "`(bootId, seq)` orders heartbeats: duplicates and late ones answer 200 and change nothing. The answer says when to send the next one, and carries a challenge when there is one."
      ),
    HttpApiEndpoint.post("answerChallenge", "/self/challenges/:id", {
      params: { id: ChallengeId },
      payload: ChallengeAnswer,
      success: Verification,
      error: [ChallengeFailed, ChallengeGone]
    })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Answer a challenge")
      .annotate(
        OpenApi.Description,
        "Sign `broker-challenge-v1`, the audience, the server's id, the challenge's id, its nonce and its expiry as received, joined by line feeds. A wrong signature suspends the server."
      ),
    HttpApiEndpoint.post("rotateToken", "/self/token", { success: Schema.Struct({ token: Secret }) })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Get a new token")
      .annotate(OpenApi.Description, "The old token works until the new one is first used, 4 hours at most."),
    HttpApiEndpoint.put("rotateKey", "/self/public-key", {
      payload: KeyRotation,
      success: Server.json,
      error: [InvalidSignature, InvalidPublicKey, TimestampOutOfRange, PublicKeyInUse]
    })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Change the server's key pair")
      .annotate(
        OpenApi.Description,
        "Old and new key both sign `broker-rotate-v1`, the audience, the server's id, the new public key and the timestamp. Both work until the new key first answers a challenge."
      ),
    HttpApiEndpoint.put("reportConnection", "/self/connections/:id", {
      params: { id: ConnectionId },
      payload: ServerReport,
      success: Connection.json,
      error: [ConnectionNotFound, ConnectionOver, ConnectionConflict]
    })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Report a connection as accepted, in progress, ended or refused")
      .annotate(
        OpenApi.Description,
        "`active` says that the grant was good and the connection is open; repeated, it reports progress. When it answers 409 `connection_over`, close the connection. The server's account of an end that another side told first is still taken."
      )
  )
  .prefix("/servers")
  .annotateMerge(OpenApi.annotations({ title: "Servers", description: "For gateways: join, stay alive, prove it." })) {}
