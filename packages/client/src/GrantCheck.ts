/**
 * Checks grants without asking the broker about any of them (C3): by its published keys, which are fetched now and then
 * and kept, so that a broker that is away keeps nobody from connecting.
 */

import type { Grant } from "@broker/domain/Connection"
import { GrantClaims, grantType, PublishedKeys } from "@broker/domain/Grant"
import { Clock, Duration, Effect, Redacted, Schema, Semaphore } from "effect"
import { HttpClient } from "effect/http"
import { type CryptoKey, decodeProtectedHeader, errors, importJWK, jwtVerify } from "jose"
import { within } from "./BrokerClient.ts"
import { exchange, type Refusal } from "./Refusal.ts"

/**
 * - `malformed`: no compact JWS, or without what a grant says
 * - `algorithm`, `type`: a token of another make, or for another purpose
 * - `unknown_key`, `signature`: not signed by the broker
 * - `issuer`, `audience`: of another broker
 * - `expired`, `early`: not now
 * - `server`: for another server
 * - `used`: it has opened its connection already
 * - `keys_unavailable`: the broker's keys could not be fetched even once
 * - `not_a_server`: the agent has not joined the fleet yet, or was put out of it
 * - `declined`: a good grant that the gateway does not want to serve
 */
export const GrantFault = Schema.Literals([
  "malformed",
  "algorithm",
  "type",
  "unknown_key",
  "signature",
  "issuer",
  "audience",
  "expired",
  "early",
  "server",
  "used",
  "keys_unavailable",
  "not_a_server",
  "declined"
])
export type GrantFault = typeof GrantFault.Type

/** Nobody may connect by this grant. */
export class GrantRefused extends Schema.TaggedError<GrantRefused>()("GrantRefused", {
  reason: GrantFault,
  detail: Schema.String
}) {
  override get message() {
    return `${this.detail} (${this.reason})`
  }
}

export interface Options {
  /** The broker's address, such as `https://broker.example`. */
  readonly url: string
  /** The server that is connected to: its own id, which it got when it registered. */
  readonly serverId: string
  /** How far clocks may be apart: 5 s unless told otherwise. */
  readonly leeway?: Duration.Input | undefined
  /** How long fetching the keys may take: 3 s unless told otherwise. */
  readonly timeout?: Duration.Input | undefined
  /** Milliseconds by the broker's clock, as far as the caller knows it; by this machine's unless given. */
  readonly now?: Effect.Effect<number> | undefined
}

export interface GrantCheck {
  /** What a good grant says. It is good once: the same one again is refused. */
  readonly check: (grant: string | Grant) => Effect.Effect<GrantClaims, GrantRefused>
}

/** How long keys are kept where the broker does not say. */
const usualAge = Duration.minutes(5)
const longestAge = Duration.hours(1)
/** For how long after a fetch nobody makes us fetch again, whatever key they name. */
const rest = Duration.seconds(30)
/** The same while there is nothing to check by. */
const restWithoutKeys = Duration.seconds(1)

const Statement = Schema.Struct({ audience: Schema.String })
const decodeClaims = Schema.decodeUnknownEffect(GrantClaims)

/** What grants are checked by. */
interface Kept {
  readonly audience: string
  readonly keys: ReadonlyMap<string, CryptoKey>
  readonly freshUntil: number
}

const refuse = (reason: GrantFault, detail: string) => Effect.fail(new GrantRefused({ reason, detail }))

const imported = async ({ kid, ...jwk }: PublishedKeys["keys"][number]) =>
  [kid, (await importJWK(jwk, "EdDSA")) as CryptoKey] as const

/** Seconds, as `Cache-Control` tells them (RFC 9111). */
const maxAge = (cacheControl: string | undefined) => {
  const [, seconds] = /(?:^|[\s,])max-age=(\d{1,9})/i.exec(cacheControl ?? "") ?? []
  const told = seconds === undefined ? usualAge : Duration.seconds(Number(seconds))
  return Duration.clamp(told, { minimum: rest, maximum: longestAge })
}

/** Why `jose` does not take a token. */
const faultOf = (error: unknown): readonly [GrantFault, string] => {
  if (error instanceof errors.JWTExpired) return ["expired", "The grant is over."]
  if (error instanceof errors.JWSSignatureVerificationFailed) return ["signature", "The grant was tampered with."]
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === "iss") return ["issuer", "The grant is another broker's."]
    if (error.claim === "aud") return ["audience", "The grant is for another broker's servers."]
    if (error.claim === "iat" || error.claim === "nbf") return ["early", "The grant is of the future."]
  }
  return ["malformed", "This is no grant."]
}

export const make = Effect.fnUntraced(function* ({ leeway, now, serverId, timeout, url }: Options) {
  const http = within(timeout ?? "3 seconds")(yield* HttpClient.HttpClient)
  const base = url.replace(/\/+$/, "")
  const time = now ?? Clock.currentTimeMillis
  const tolerance = Duration.toSeconds(leeway ?? "5 seconds")
  const oneAtATime = yield* Semaphore.make(1)
  /** Good grants that were used, and until when they would be good. */
  const used = new Map<string, number>()
  let kept: Kept | undefined
  let askedAt = Number.NEGATIVE_INFINITY

  const fetch = Effect.fnUntraced(function* () {
    const { answer: statement } = yield* exchange(http.get(`${base}/.well-known/broker`), Statement)
    const { answer, headers } = yield* exchange(http.get(`${base}/.well-known/jwks.json`), PublishedKeys)
    const keys = yield* Effect.promise(() => Promise.all(answer.keys.map(imported)))
    const freshUntil = (yield* Clock.currentTimeMillis) + Duration.toMillis(maxAge(headers["cache-control"]))
    return { audience: statement.audience, keys: new Map(keys), freshUntil } satisfies Kept
  })

  /** What there is when the broker cannot be asked goes on being used: it is as good as the last time. */
  const current: (kid: string) => Effect.Effect<Kept, GrantRefused> = Effect.fnUntraced(function* (kid: string) {
    const at = yield* Clock.currentTimeMillis
    const isFresh = kept !== undefined && at < kept.freshUntil
    if (kept !== undefined && isFresh && kept.keys.has(kid)) return kept
    const pause = Duration.toMillis(kept === undefined ? restWithoutKeys : rest)
    let why = "the broker was asked a moment ago"
    if (at - askedAt >= pause) {
      askedAt = at
      kept = yield* fetch().pipe(
        Effect.catch(({ detail }: Refusal) => {
          why = detail
          return Effect.succeed(kept)
        })
      )
    }
    return kept ?? (yield* refuse("keys_unavailable", `The broker's keys are not known: ${why}`))
  }, oneAtATime.withPermit)

  const check = Effect.fn("GrantCheck.check")(function* (grant: string | Grant) {
    const text = Redacted.isRedacted(grant) ? Redacted.value(grant) : grant
    const header = yield* Effect.try({
      try: () => decodeProtectedHeader(text),
      catch: () => new GrantRefused({ reason: "malformed", detail: "This is no grant." })
    })
    // Before a key is looked for, so that no other kind of token makes us ask the broker.
    if (header.alg !== "EdDSA") return yield* refuse("algorithm", "Grants are signed by EdDSA.")
    if (header.typ !== grantType) return yield* refuse("type", `A grant is of the type ${grantType}.`)
    const kid = header.kid ?? ""
    const { audience, keys } = yield* current(kid)
    const key = keys.get(kid)
    if (key === undefined) return yield* refuse("unknown_key", "The grant is not signed by a key of the broker's.")

    const at = yield* time
    const { payload } = yield* Effect.tryPromise({
      try: () =>
        jwtVerify(text, key, {
          algorithms: ["EdDSA"],
          typ: grantType,
          issuer: audience,
          audience,
          requiredClaims: ["exp", "iat"],
          clockTolerance: tolerance,
          currentDate: new Date(at)
        }),
      catch: (error) => {
        const [reason, detail] = faultOf(error)
        return new GrantRefused({ reason, detail })
      }
    })
    const claims = yield* Effect.mapError(
      decodeClaims(payload),
      () => new GrantRefused({ reason: "malformed", detail: "The grant does not say what grants say." })
    )
    if (claims.iat > at / 1_000 + tolerance) return yield* refuse("early", "The grant is of the future.")
    if (claims.server !== serverId) return yield* refuse("server", "The grant is for another server.")
    if (claims.jti !== claims.connection) return yield* refuse("malformed", "The grant names two connections.")

    // In the order in which they were used, which is about that in which they are over.
    for (const [id, over] of used) {
      if (over >= at) break
      used.delete(id)
    }
    if (used.has(claims.jti)) return yield* refuse("used", "The grant has opened its connection already.")
    used.set(claims.jti, (claims.exp + tolerance) * 1_000 + 1_000)
    return claims
  })

  return { check } satisfies GrantCheck
})
