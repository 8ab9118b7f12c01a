/** How much of the broker one caller may take (H10). */
import { Schema } from "effect"
import { Problem } from "./Problem.ts"

/**
 * Budgets apart from each other, so that none starves another: `heartbeats` of servers, `sign-in` for whatever checks a
 * secret that could be guessed, `registration` of servers, `dashboard` for admins, `api` for the rest of the API, and
 * `pages` for whatever anybody may read: documentation, probes, the dashboard's files.
 */
export const Budget = Schema.Literals(["heartbeats", "sign-in", "registration", "dashboard", "api", "pages"])
export type Budget = typeof Budget.Type

export class RateLimited extends Problem<RateLimited>()(
  "RateLimited",
  {
    code: "rate_limited",
    status: 429,
    title: "Too many requests",
    detail: "The budget of this credential or address is used up for now.",
    remedy: "Wait as long as Retry-After says. RateLimit-Policy names the budget; it is configuration."
  },
  { budget: Budget, retryAfterSeconds: Schema.Finite }
) {}
