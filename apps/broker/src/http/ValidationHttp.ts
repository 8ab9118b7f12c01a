/** Says which values of a request are wrong, and never what they were: one of them may be a secret. */
import { Validation } from "@broker/api/Validation"
import { ValidationFailed } from "@broker/domain/Problem"
import { plain } from "@broker/domain/Wording"
import { Effect, Layer, SchemaIssue, type Types } from "effect"
import { HttpServerRequest } from "effect/http"
import { type HttpApiEndpoint, HttpApiError } from "effect/http-api"

/** More would help nobody. */
const most = 32

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1()

const escape = (segment: PropertyKey | { readonly key: PropertyKey }) =>
  String(typeof segment === "object" ? segment.key : segment)
    .replaceAll("~", "~0")
    .replaceAll("/", "~1")

/** JSON Pointer (RFC 6901) into the body; elsewhere the part of the request goes first. */
const prefixes = { Payload: "", Query: "/query", Params: "/path", Headers: "/headers" } as const

/** The problem of what a schema found. */
export const toProblem = (issue: SchemaIssue.Issue, prefix = "") =>
  new ValidationFailed({
    errors: issuesOf(issue)
      .issues.slice(0, most)
      .map(({ message, path }) => ({
        pointer: prefix + (path ?? []).map((segment) => `/${escape(segment)}`).join(""),
        message: plain(message)
      }))
  })

/** Unknown parameters are refused rather than overlooked. An endpoint that takes some checks them by its schema. */
const strayParameters = (endpoint: HttpApiEndpoint.Top, url: string) => {
  const begin = url.indexOf("?")
  if (begin === -1 || endpoint.query !== undefined) return []
  return [...new Set(new URLSearchParams(url.slice(begin)).keys())]
}

const refuse = (parameters: ReadonlyArray<string>) =>
  new ValidationFailed({
    errors: parameters.slice(0, most).map((name) => ({
      pointer: `/query/${escape(name)}`,
      message: "is not a parameter of this route"
    }))
  })

export const layer = Layer.succeed(Validation, (httpEffect, { endpoint }) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) => {
    const stray = strayParameters(endpoint, url)
    if (stray.length > 0) return Effect.fail(refuse(stray))
    return Effect.catch(httpEffect, (error): Effect.Effect<never, Types.unhandled | ValidationFailed> => {
      if (!HttpApiError.HttpApiSchemaError.is(error)) return Effect.fail(error)
      return error.kind === "Body" || error.kind === "ResponseHeaders"
        ? Effect.die(error)
        : Effect.fail(toProblem(error.cause.issue, prefixes[error.kind]))
    })
  })
)
