/** A broker that speaks the contract, checks every signature, and fails as it is told to. All in memory, no I/O. */

import { createPublicKey, verify } from "node:crypto"
import { ChallengeFailed, type ChallengeId, type PendingChallenge, Verification } from "@broker/domain/Challenge"
import { format, type Secret } from "@broker/domain/Credential"
import { type Heartbeat, HeartbeatReply } from "@broker/domain/Heartbeat"
import { declarationOf } from "@broker/domain/Problem"
import { InvalidSignature, Registered, type Registration } from "@broker/domain/Registration"
import { type KeyRotation, type PublicKey, Server, type ServerId, type ServerName } from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import { DateTime, Duration, Effect, Redacted, Schema } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"

export const url = "http://broker.test"
export const serverId = "01938f6e-0000-7000-8000-000000000001" as ServerId
const keyId = "01938f6e-0000-7000-8000-0000000000aa"
export const key = format("registrationKey", keyId, new Uint8Array(24).fill(7))
const tokenId = "01938f6e-0000-7000-8000-0000000000bb"

export type Route = "wellKnown" | "register" | "heartbeat" | "challenge" | "update" | "rotateKey"

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Record<string, string>
}

/** What stands in for an answer: the request never arrives, its answer is lost, or nothing ever comes. */
export type Fault = "unreachable" | "lost" | "silent"

export interface Received {
  readonly route: Route
  readonly bearer: string | undefined
  readonly body: Record<string, unknown>
  /** Milliseconds of the test's clock. */
  readonly at: number
}

interface ProblemClass extends Schema.Top {
  new (fields: Record<never, never>): Error
}

/** An answer that is the problem of a class. */
export const problem = (of: ProblemClass, headers?: Record<string, string>): Answer => ({
  status: declarationOf(of)?.status ?? 500,
  body: Schema.encodeUnknownSync(of as unknown as Schema.Codec<unknown, unknown>)(new of({})),
  headers: { "content-type": "application/problem+json", ...headers }
})

/** An answer with a code that is not declared for the route. */
export const problemCode = (status: number, code: string, headers?: Record<string, string>): Answer => ({
  status,
  body: { type: `/problems/${code}`, title: code, status, detail: `It is ${code}.`, code },
  headers: { "content-type": "application/problem+json", ...headers }
})

const isSigned = (publicKey: string, text: string, signature: unknown) =>
  verify(
    null,
    Buffer.from(text),
    createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey }, format: "jwk" }),
    Buffer.from(String(signature), "base64url")
  )

export class FakeBroker {
  audience = "https://broker.test.example"
  /** How far its clock is ahead of the test's. */
  skew = Duration.zero
  interval = 30
  notices: ReadonlyArray<string> = []
  /** Given with the next answer to a registration or a heartbeat. */
  challenge: PendingChallenge | null = null
  publicKey: PublicKey | undefined
  tokens = 0
  aborted = 0
  readonly received: Array<Received> = []
  readonly verified: Array<string> = []
  /** What happens in place of the usual answer, once each. */
  readonly next: Record<Route, Array<Answer | Fault>> = {
    wellKnown: [],
    register: [],
    heartbeat: [],
    challenge: [],
    update: [],
    rotateKey: []
  }

  of(route: Route) {
    return this.received.filter((received) => received.route === route)
  }

  get token(): Secret {
    return format("serverToken", tokenId, new Uint8Array(24).fill(this.tokens))
  }

  /** A new challenge, for the next answer. */
  challengeNow(last: number, now: number) {
    this.challenge = {
      id: `01938f6e-0000-7000-8000-0000000001${String(last).padStart(2, "0")}` as ChallengeId,
      nonce: Buffer.alloc(32, last).toString("base64url") as PendingChallenge["nonce"],
      expiresAt: DateTime.makeUnsafe(now + 60_000)
    }
  }

  readonly client: HttpClient.HttpClient = HttpClient.make((request, url, signal) =>
    Effect.gen({ self: this }, function* () {
      const at = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const route = routeOf(url.pathname)
      const sent = request.body._tag === "Uint8Array" ? JSON.parse(new TextDecoder().decode(request.body.body)) : {}
      const authorization = request.headers["authorization"]
      const received = { route, bearer: authorization?.replace("Bearer ", ""), body: sent, at }
      const scripted = this.next[route].shift()
      const broken = new HttpClientError.HttpClientError({
        reason: new HttpClientError.TransportError({ request, cause: new Error(`no way to ${url.host}`) })
      })

      if (scripted === "unreachable") return yield* broken
      this.received.push(received)
      if (scripted === "silent") {
        signal.addEventListener("abort", () => this.aborted++)
        return yield* Effect.never
      }
      const answer = scripted === "lost" || scripted === undefined ? this.answer(received, url, at) : scripted
      return scripted === "lost" ? yield* broken : respond(request, answer)
    })
  )

  private answer({ body, route }: Received, url: URL, at: number): Answer {
    const now = DateTime.makeUnsafe(at + Duration.toMillis(this.skew))
    const challenge = this.challenge
    switch (route) {
      case "wellKnown":
        return { status: 200, body: { audience: this.audience, time: DateTime.formatIso(now), apiVersions: [] } }
      case "register":
        return this.register(body as unknown as Registration, now)
      case "heartbeat":
        return {
          status: 200,
          body: Schema.encodeSync(HeartbeatReply)({
            liveness: (body as unknown as Heartbeat).seq > 0 ? "online" : "unknown",
            admission: "approved",
            nextHeartbeatSeconds: this.interval,
            time: now,
            challenge,
            cuts: { cursor: "0", connections: [] },
            notices: this.notices
          })
        }
      case "challenge": {
        const id = url.pathname.split("/").at(-1)
        if (challenge === null || challenge.id !== id) return problemCode(410, "challenge_gone")
        this.challenge = null
        const text = SignedString.challenge({
          audience: this.audience,
          serverId,
          challengeId: challenge.id,
          nonce: challenge.nonce,
          expiresAt: DateTime.formatIso(challenge.expiresAt)
        })
        if (!isSigned(this.publicKey ?? "", text, body["signature"])) return problem(ChallengeFailed)
        this.verified.push(challenge.id)
        return { status: 200, body: Schema.encodeSync(Verification)({ verified: true, verifiedAt: now }) }
      }
      case "rotateKey": {
        const { proof, publicKey, signature, timestamp } = body as unknown as KeyRotation
        // The answer was lost.
        if (publicKey === this.publicKey) return { status: 200, body: Schema.encodeSync(Server.json)(this.server(now)) }
        const text = SignedString.rotation({ audience: this.audience, serverId, publicKey, timestamp })
        if (!isSigned(this.publicKey ?? "", text, signature) || !isSigned(publicKey, text, proof)) {
          return problem(InvalidSignature)
        }
        // Its first use comes later; this broker forgets the old one at once.
        this.publicKey = publicKey
        return { status: 200, body: Schema.encodeSync(Server.json)(this.server(now)) }
      }
      case "update":
        return { status: 200, body: Schema.encodeSync(Server.json)(this.server(now)) }
    }
  }

  private register(sent: Registration, now: DateTime.Utc): Answer {
    const { name, publicKey, timestamp } = sent
    const text = SignedString.registration({
      audience: this.audience,
      registrationKeyId: keyId,
      name,
      publicKey,
      timestamp
    })
    if (!isSigned(publicKey, text, sent.signature)) return problem(InvalidSignature)
    if (Math.abs(Date.parse(timestamp) - now.epochMilliseconds) > 300_000)
      return problemCode(422, "timestamp_out_of_range")
    const isAgain = this.publicKey === publicKey
    this.publicKey = publicKey
    this.tokens++
    return {
      status: isAgain ? 200 : 201,
      body: Schema.encodeSync(Registered)(
        new Registered({
          server: this.server(now, name),
          token: this.token,
          heartbeatIntervalSeconds: this.interval,
          challenge: this.challenge
        })
      )
    }
  }

  private server(now: DateTime.Utc, name = "aurora"): typeof Server.json.Type {
    return {
      id: serverId,
      name: name as ServerName,
      admission: "approved",
      liveness: "never_seen",
      duty: "serving",
      verified: false,
      publicKey: this.publicKey as PublicKey,
      version: null,
      endpoints: [],
      capabilities: {},
      tags: [],
      labels: {},
      group: null,
      location: null,
      publicAddress: "203.0.113.7",
      registeredAt: now,
      lastSeenAt: null
    }
  }

  /** Whether a request came with the token that is good now. */
  knows({ bearer }: Received) {
    return bearer === Redacted.value(this.token)
  }
}

const routeOf = (path: string): Route => {
  if (path === "/.well-known/broker") return "wellKnown"
  if (path === "/api/v1/servers") return "register"
  if (path === "/api/v1/servers/self/heartbeat") return "heartbeat"
  if (path.startsWith("/api/v1/servers/self/challenges/")) return "challenge"
  if (path === "/api/v1/servers/self") return "update"
  if (path === "/api/v1/servers/self/public-key") return "rotateKey"
  throw new Error(`There is no ${path} in the contract`)
}

/** Its body is at hand at once, where a real one would wait for a promise that no test clock moves. */
const respond = (request: HttpClientResponse.HttpClientResponse["request"], { body, headers, status }: Answer) => {
  const text = typeof body === "string" ? body : JSON.stringify(body)
  const response = HttpClientResponse.fromWeb(
    request,
    new Response(text, { status, headers: { "content-type": "application/json", ...headers } })
  )
  const bytes = new TextEncoder().encode(text)
  return Object.create(response, { arrayBuffer: { get: () => Effect.succeed(bytes.buffer) } }) as typeof response
}
