/** Budgets of requests, per credential and per address, shared by all nodes (H10). */
import type { Budget, RateLimited } from "@broker/domain/RateLimit"
import { Context, type Effect, Layer } from "effect"

/** Where a caller stands within a budget, for the `RateLimit` headers. */
export interface Standing {
  readonly budget: Budget
  /** So many requests per so many seconds. */
  readonly quota: number
  readonly windowSeconds: number
  readonly remaining: number
  readonly resetSeconds: number
}

export class RateLimits extends Context.Service<
  RateLimits,
  {
    /** Takes one request from the budgets of the caller; tells the one that is nearest to its end. */
    take(
      budget: Budget,
      caller: { readonly credential: string | null; readonly address: string | null }
    ): Effect.Effect<Standing, RateLimited>
  }
>()("@broker/core/rate-limits/RateLimits") {
  static readonly layer = Layer.mock(RateLimits)({})
}
