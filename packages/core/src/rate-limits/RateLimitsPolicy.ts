/** How much of the broker one caller may take, and where nodes tell each other what was taken. */
import type { Budget } from "@broker/domain/RateLimit"
import { Context, Duration, type Redacted } from "effect"

export const RateLimitsPolicy = Context.Reference<{
  /** Requests within the window per credential, by budget; 0 is no limit. */
  readonly quotas: Readonly<Record<Budget, number>>
  /** How many times as much an address may take: many callers stand behind one. */
  readonly perAddress: Readonly<Record<Budget, number>>
  readonly window: Duration.Duration
  /** Callers that a node keeps count of, for each budget, by credential and by address; the idlest are forgotten first. */
  readonly capacity: number
  /** `memory` is for a node that is alone. */
  readonly store: "memory" | "postgres" | "redis"
  readonly redisUrl: Redacted.Redacted | undefined
  /** How often nodes exchange counts of callers that have taken much. */
  readonly exchangeEvery: Duration.Duration
}>("@broker/core/rate-limits/RateLimitsPolicy", {
  defaultValue: () => ({
    quotas: {
      heartbeats: 120,
      "sign-in": 60,
      registration: 300,
      dashboard: 1_200,
      api: 6_000,
      pages: 1_200
    },
    perAddress: { heartbeats: 1_000, "sign-in": 10, registration: 10, dashboard: 10, api: 10, pages: 10 },
    window: Duration.minutes(1),
    capacity: 50_000,
    store: "postgres",
    redisUrl: undefined,
    exchangeEvery: Duration.millis(500)
  })
})

/** Nobody is limited: for tests and benches that hammer from one address. */
export const unlimited: Readonly<Record<Budget, number>> = {
  heartbeats: 0,
  "sign-in": 0,
  registration: 0,
  dashboard: 0,
  api: 0,
  pages: 0
}
