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
import { example, sample } from "./Example.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { SpentBudget } from "./RateLimiting.ts"
import { connected, drawn, frankfurt } from "./Samples.ts"

const NewToken = Schema.Struct({ token: Secret }).annotate({ title: "NewToken" })

const joining = {
  name: "fra-2",
  version: "1.4.2",
  endpoints: [{ protocol: "webrtc", host: "203.0.113.8", port: 51820 }],
  capabilities: { vpn: { ipv6: true }, lan: {} },
  labels: { rack: "b3" },
  location: { latitude: 50.11, longitude: 8.68 }
}
const joined = "019ab8f1-0a2b-7c3d-8e4f-5a6b7c8d9e10"
const firstChallenge = "019ab8f1-0b3c-7d4e-9f50-6b7c8d9e0f11"

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
      .annotateMerge(
        example({
          body: {
            ...joining,
            publicKey: "8b1Kx2d0yq4oT3vS5nRw7mZc9aLfHj6gEuPiQ0tXsVA",
            timestamp: "2026-11-22T10:05:00Z",
            signature: "gtvEaB4oC3ScpQi7ncLLiqFsTPtNZTpg0GxzdUSCRc5PtzFydFzWQJojPp0fMeGLICzI2BgiY3zMpgcWFlhq-w"
          },
          status: 201,
          answer: {
            server: {
              ...frankfurt,
              ...joining,
              id: joined,
              liveness: "never_seen",
              verified: false,
              publicKey: "8b1Kx2d0yq4oT3vS5nRw7mZc9aLfHj6gEuPiQ0tXsVA",
              lastSeenAt: null
            },
            token: "brk_srv_AZq48VHDfU6aEDxffiudAQ2VtY8rXw0sLp4nKz7mHc3jGf6dSa9qWe1iUo5y",
            heartbeatIntervalSeconds: 30,
            challenge: {
              id: firstChallenge,
              nonce: "mZ1x8Jt4Wc7vQe0sRb3nYk6pLd9aHg2fUo5iTq8wXzE",
              expiresAt: "2026-11-22T10:06:00.000Z"
            }
          },
          varies: [...drawn, "nonce"]
        })
      )
      .annotate(OpenApi.Summary, "Register a server with a registration key")
      .annotate(
        OpenApi.Description,
        "The request proves possession of the private key by a signature over `broker-register-v1`, the broker's audience, the registration key's id, the name, the public key and the timestamp, joined by line feeds. A repeat within 10 minutes by the same key pair answers 200 with the same identity and a fresh token."
      ),
    HttpApiEndpoint.get("self", "/self", { success: Server.json })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(example({ answer: frankfurt, varies: drawn }))
      .annotate(OpenApi.Summary, "Read the server that the token belongs to")
      .annotate(OpenApi.Description, "As the broker knows it: what it said of itself, and what admins added."),
    HttpApiEndpoint.patch("update", "/self", { payload: ServerPatch, success: Server.json })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          body: { version: "1.4.3", labels: { rack: "b4" } },
          answer: { ...frankfurt, version: "1.4.3", labels: { rack: "b4" } },
          varies: drawn
        })
      )
      .annotate(OpenApi.Summary, "Change what the server says of itself")
      .annotate(
        OpenApi.Description,
        "What is left out stays as it is; tags, labels and capabilities are replaced whole."
      ),
    HttpApiEndpoint.delete("retire", "/self", { success: HttpApiSchema.NoContent })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(example({}))
      .annotate(OpenApi.Summary, "Retire the server, for good")
      .annotate(
        OpenApi.Description,
        "Its token and its key pair are worth nothing from then on, and its connections end. To come back it registers anew."
      ),
    HttpApiEndpoint.post("heartbeat", "/self/heartbeat", {
      payload: Heartbeat,
      success: HeartbeatReply,
      error: Overloaded
    })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "heartbeats")
      .annotateMerge(
        example({
          body: {
            bootId: "019ab8f0-6000-7a1b-8c2d-3e4f5a6b7c12",
            seq: 42,
            sentAt: "2026-11-22T10:15:00Z",
            activeConnections: 1,
            metrics: { cpu: 0.41, memoryUsedBytes: 1_073_741_824, rxBytes: 80_000, txBytes: 1_200_000 },
            connections: [sample.connection],
            cutCursor: "0"
          },
          answer: {
            liveness: "online",
            admission: "approved",
            nextHeartbeatSeconds: 28.4,
            time: "2026-11-22T10:15:00.120Z",
            challenge: null,
            cuts: { cursor: "0", connections: [] },
            notices: []
          },
          varies: ["nextHeartbeatSeconds", "cursor"]
        })
      )
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
      .annotateMerge(
        example({
          path: { id: firstChallenge },
          body: {
            signature: "B6htR3BCYQaIPQ9DLlcZGkq68lP3PJZL-y2P1PAJF1zwuJu9IE_vetm3JQjuW-ordLA_IH98y2hqxY-YvBGjIQ"
          },
          answer: { verified: true, verifiedAt: "2026-11-22T10:05:01.000Z" }
        })
      )
      .annotate(OpenApi.Summary, "Answer a challenge")
      .annotate(
        OpenApi.Description,
        "Sign `broker-challenge-v1`, the audience, the server's id, the challenge's id, its nonce and its expiry as received, joined by line feeds. A wrong signature suspends the server."
      ),
    HttpApiEndpoint.post("rotateToken", "/self/token", { success: NewToken })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({ answer: { token: "brk_srv_AZq49Kx3dU6bFEygjvevBR3WuZ9sYx1tMq5oLa8nId4kHg7eTb0rXf2jVp6z" } })
      )
      .annotate(OpenApi.Summary, "Get a new token")
      .annotate(OpenApi.Description, "The old token works until the new one is first used, 4 hours at most."),
    HttpApiEndpoint.put("rotateKey", "/self/public-key", {
      payload: KeyRotation,
      success: Server.json,
      error: [InvalidSignature, InvalidPublicKey, TimestampOutOfRange, PublicKeyInUse]
    })
      .middleware(ServerAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          body: {
            publicKey: "Wd5yT8mK1qR4vX7zB0nC3pF6sH9jL2gE5uA8iO1tYxI",
            timestamp: "2026-11-22T10:20:00Z",
            signature: "2BSN4BpdN78_eX0JvfnOaGPgYJ-2XPYCrZh9MeYxAbqL4aIPre8Mj3Nwghfujc1ro8u8ub4vDyXj9fUzLsqMRA",
            proof: "w0XOqNPfWoknFqyr01eZDfP8n-ny9nw2-UoBT-oXJXgZrkX-bzj4ZZM8V9WkkOEf0DsbBa0TplO20PR-X1AgRA"
          },
          answer: {
            ...frankfurt,
            version: "1.4.3",
            labels: { rack: "b4" },
            publicKey: "Wd5yT8mK1qR4vX7zB0nC3pF6sH9jL2gE5uA8iO1tYxI"
          },
          varies: drawn
        })
      )
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
      .annotateMerge(
        example({
          path: { id: sample.connection },
          body: { status: "active", metrics: { rxBytes: 80_000, txBytes: 1_200_000 } },
          answer: connected
        })
      )
      .annotate(OpenApi.Summary, "Report a connection as accepted, in progress, ended or refused")
      .annotate(
        OpenApi.Description,
        "`active` says that the grant was good and the connection is open; repeated, it reports progress. When it answers 409 `connection_over`, close the connection. The server's account of an end that another side told first is still taken."
      )
  )
  .prefix("/servers")
  .annotateMerge(OpenApi.annotations({ title: "Servers", description: "For gateways: join, stay alive, prove it." })) {}
