/** Which budget a call is taken from, and that it is refused when there is nothing left of it (H10). */
import { type Budget, RateLimited } from "@broker/domain/RateLimit"
import { Context } from "effect"
import { HttpApiMiddleware } from "effect/http-api"

/** Every endpoint names its budget where it is declared. */
export class SpentBudget extends Context.Service<SpentBudget, Budget>()("@broker/api/SpentBudget") {}

/** The outermost: whoever has no more is refused before anything is looked up. */
export class RateLimiting extends HttpApiMiddleware.Service<RateLimiting>()("@broker/api/RateLimiting", {
  error: RateLimited
}) {}
