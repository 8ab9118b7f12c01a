/** Where a caller stands, in the headers of its answer (draft-ietf-httpapi-ratelimit-headers). */
import type { Standing } from "@broker/core/rate-limits/RateLimits"
import { Context } from "effect"

/** What one request took: filled on its way in, told by the edge on its way out. */
export interface Spending {
  /** Of the budgets it was taken from, the one that is nearest to its end. */
  nearest: Standing | null
  /** For a request that was one too many. */
  retryAfterSeconds: number | null
}

/** A fresh one for every request. */
export const noSpending = (): Spending => ({ nearest: null, retryAfterSeconds: null })

export const CurrentSpending = Context.Reference<Spending>("@broker/http/CurrentSpending", { defaultValue: noSpending })

export const policyHeader = (name: string, quota: number, windowSeconds: number) =>
  `"${name}";q=${quota};w=${windowSeconds}`

export const limitHeader = (name: string, remaining: number, resetSeconds: number) =>
  `"${name}";r=${remaining};t=${resetSeconds}`
