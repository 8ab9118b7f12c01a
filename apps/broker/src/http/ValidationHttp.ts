/** Says which values of a request are wrong, and never what they were: one of them may be a secret. */
import { Validation } from "@broker/api/Validation"
import { ValidationFailed } from "@broker/domain/Problem"
import { plain } from "@broker/domain/Wording"
import { Effect, type Layer, SchemaIssue } from "effect"
import { HttpApiMiddleware } from "effect/http-api"

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

export const layer: Layer.Layer<Validation> = HttpApiMiddleware.layerSchemaErrorTransform(Validation, (error) =>
  error.kind === "Body" || error.kind === "ResponseHeaders"
    ? Effect.die(error)
    : Effect.fail(toProblem(error.cause.issue, prefixes[error.kind]))
)
