/**
 * Takes requests from the budgets of whoever sends them (H10): from the address's before anything is looked up, from the
 * credential's once it has proven right. A credential that is not proven at the door counts by all of its secret: whoever
 * only knows its id spends nothing of it.
 */

import { hash } from "node:crypto"
import { RateLimiting, SpentBudget } from "@broker/api/RateLimiting"
import { type Caller, RateLimits, type Standing } from "@broker/core/rate-limits/RateLimits"
import { parse } from "@broker/domain/Credential"
import { type Budget, RateLimited } from "@broker/domain/RateLimit"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerRespondable, type HttpServerResponse } from "effect/http"
import type { HttpApiEndpoint } from "effect/http-api"
import { clientAddress } from "./Edge.ts"
import { CurrentSpending } from "./LimitHeaders.ts"

/** Everybody who is refused in a window would come back in the same second. */
const jittered = (seconds: number) => seconds + Math.floor(Math.random() * (2 + seconds / 10))

const nearer = (one: Standing | null, other: Standing) =>
  one === null || !other.admitted || other.remaining < one.remaining ? other : one

/** Takes one request, and notes where the caller stands. */
export const makeSpend = Effect.map(
  RateLimits,
  ({ take }) =>
    (budget: Budget, caller: Caller): Effect.Effect<void, RateLimited> =>
      Effect.flatMap(take(budget, caller), (standing) => {
        if (standing === null) return Effect.void
        return Effect.flatMap(CurrentSpending, (spending) => {
          spending.nearest = nearer(spending.nearest, standing)
          if (standing.admitted) return Effect.void
          const retryAfterSeconds = jittered(standing.resetSeconds)
          spending.retryAfterSeconds = retryAfterSeconds
          return Effect.fail(new RateLimited({ budget, retryAfterSeconds }))
        })
      })
)

const addressOf = Effect.map(clientAddress, Option.getOrNull)

/** Takes one request from the budget of whatever address it comes from. */
export const makeSpendByAddress = Effect.map(
  makeSpend,
  (spend) => (budget: Budget) => Effect.flatMap(addressOf, (address) => spend(budget, { address, credential: null }))
)

const budgetOf = ({ annotations }: HttpApiEndpoint.Top) => Context.getUnsafe(annotations, SpentBudget)

/** The answer of whoever is refused, for routes that take several credentials: the refusal of one is final. */
const refused = (limited: RateLimited) => Effect.orDie(limited[HttpServerRespondable.symbol]())

/** For authentication: a call of a credential that has just proven right, if its budget allows it. */
export const makeWithin = Effect.map(
  makeSpend,
  (spend) =>
    <E, R>(
      endpoint: HttpApiEndpoint.Top,
      credential: string,
      call: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
    ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> =>
      Effect.matchEffect(spend(budgetOf(endpoint), { address: null, credential }), {
        onFailure: refused,
        onSuccess: () => call
      })
)

/** Where a secret is proven only by what it is used for, the budget is that of the secret. */
const provenLater: ReadonlySet<Budget> = new Set<Budget>(["registration", "sign-in"])

const bearer = /^bearer +(\S{1,128})$/i

/** Tells credentials apart by all that they are, and keeps nothing of them; null for what is not spelled like one. */
const fingerprint = (authorization: string | undefined) => {
  const secret = authorization === undefined ? undefined : bearer.exec(authorization)?.[1]
  if (secret === undefined || Option.isNone(parse(Redacted.make(secret)))) return null
  return hash("sha256", secret, "base64url").slice(0, 22)
}

const endpoints = Layer.effect(
  RateLimiting,
  Effect.gen(function* () {
    const spend = yield* makeSpend

    return RateLimiting.of((httpEffect, { endpoint }) => {
      const budget = budgetOf(endpoint)
      const isProvenLater = provenLater.has(budget)
      return Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
        addressOf.pipe(
          Effect.flatMap((address) =>
            spend(budget, { address, credential: isProvenLater ? fingerprint(headers["authorization"]) : null })
          ),
          Effect.andThen(httpEffect)
        )
      )
    })
  })
)

export { endpoints as layer }

/** For routes that anybody may read: only floods are turned away. */
export const pages = HttpRouter.middleware(
  Effect.map(
    makeSpendByAddress,
    (spend) => (httpEffect) =>
      Effect.matchEffect(spend("pages"), {
        onFailure: refused,
        onSuccess: () => httpEffect
      })
  )
).layer
