/** Every endpoint answers a request that is not of the contract's shape with which values are wrong. */
import { ValidationFailed } from "@broker/domain/Problem"
import { HttpApiMiddleware } from "effect/http-api"

export class Validation extends HttpApiMiddleware.Service<Validation>()("@broker/api/Validation", {
  error: ValidationFailed
}) {}
