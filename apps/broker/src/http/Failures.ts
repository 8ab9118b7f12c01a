/** From whatever went wrong to problem+json (RFC 9457), without a word about the inside of the broker. */
import { freeFailures, memory } from "@broker/core/sign-in-defence/SignInDefence"
import { type Cause, Duration, Effect, Predicate, Schema } from "effect"
import {
  HttpBody,
  HttpServerError,
  type HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse,
  ProblemDetails
} from "effect/http"
import type { Problem } from "../pages/ProblemCatalogue.ts"
import { limitHeader, policyHeader } from "./LimitHeaders.ts"
import { codeOf, type EdgeCode, problems } from "./ProblemPages.ts"
import { toProblem } from "./ValidationHttp.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

export const pathOf = ({ url }: Request) => {
  const query = url.indexOf("?")
  return query === -1 ? url : url.slice(0, query)
}

export const hasBody = ({ headers }: Request) =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

/** A problem of the edge's own. `complete` adds what is particular to the request. */
export const problem = (
  code: EdgeCode,
  detail: string = problems[code].meaning,
  headers: Readonly<Record<string, string>> = {},
  extensions: Readonly<Record<string, unknown>> = {}
): Response => {
  const { status, title } = problems[code]
  return HttpServerResponse.jsonUnsafe(
    { type: `/problems/${code}`, title, status, detail, code, ...extensions },
    { status, contentType: ProblemDetails.contentType, headers }
  )
}

const malformed = () => problem("malformed_json", "The body is not JSON in UTF-8")

/** What a failure means for the client. `Unknown` is a fault of the broker. */
type Fault =
  | { readonly _tag: "Answer"; readonly response: Response }
  | { readonly _tag: "NotFound" }
  | { readonly _tag: "Unavailable" }
  | { readonly _tag: "Unknown" }

const answer = (response: Response): Fault => ({ _tag: "Answer", response })
const notFound: Fault = { _tag: "NotFound" }
const unavailable: Fault = { _tag: "Unavailable" }
const unknown: Fault = { _tag: "Unknown" }

const ofServerError = ({ reason }: HttpServerError.HttpServerError): Fault => {
  switch (reason._tag) {
    case "RouteNotFound":
      return notFound
    case "RequestParseError":
      return answer(reason.reason === "BodyTooLarge" ? problem("body_too_large") : malformed())
    case "InternalError":
      // A web handler was the one to read the body.
      return HttpServerError.isHttpServerError(reason.cause) ? ofServerError(reason.cause) : unknown
    case "ResponseError":
      return unknown
  }
}

const ofError = (error: unknown, isUnavailable: (fault: unknown) => boolean): Effect.Effect<Fault> => {
  if (HttpServerResponse.isHttpServerResponse(error)) return Effect.succeed(answer(error))
  if (HttpServerError.isHttpServerError(error)) return Effect.succeed(ofServerError(error))
  if (isUnavailable(error)) return Effect.succeed(unavailable)
  if (HttpServerRespondable.isRespondable(error)) {
    return Effect.catchCause(Effect.map(error[HttpServerRespondable.symbol](), answer), () => Effect.succeed(unknown))
  }
  return Effect.succeed(unknown)
}

/** The first reason of a cause that says something, or `Unknown`. Only a *typed* schema error is about the request. */
export const ofCause = Effect.fnUntraced(function* (
  cause: Cause.Cause<unknown>,
  isUnavailable: (fault: unknown) => boolean
): Effect.fn.Return<Fault> {
  for (const reason of cause.reasons) {
    if (reason._tag === "Interrupt") continue
    const error =
      reason._tag === "Die"
        ? reason.defect
        : Schema.isSchemaError(reason.error)
          ? toProblem(reason.error.issue)
          : reason.error
    const fault = yield* ofError(error, isUnavailable)
    if (fault._tag !== "Unknown") return fault
  }
  return unknown
})

/** Whether a body that failed validation as a whole is no JSON at all. The request keeps what was read. */
const isMalformed = (request: Request): Effect.Effect<boolean> =>
  hasBody(request)
    ? request.text.pipe(
        Effect.flatMap((text) => Effect.try(() => JSON.parse(text))),
        Effect.match({ onFailure: () => true, onSuccess: () => false })
      )
    : Effect.succeed(false)

const parsed = ({ body }: Response): Readonly<Record<string, unknown>> => {
  if (body._tag !== "Uint8Array") return {}
  try {
    const value: unknown = JSON.parse(body.text ?? new TextDecoder().decode(body.body))
    return Predicate.isObject(value) ? { ...value } : {}
  } catch {
    return {}
  }
}

export const isProblem = ({ headers }: Response) =>
  headers["content-type"]?.startsWith(ProblemDetails.contentType) ?? false

/** How long an answer says to wait, and for what limit where no budget was spent. */
export const waitOf = (response: Response): Readonly<Record<string, string>> => {
  const { code, retryAfterSeconds } = isProblem(response) ? parsed(response) : {}
  if (typeof retryAfterSeconds !== "number") return {}
  const wait = Math.max(1, Math.ceil(retryAfterSeconds))
  // As `SignInDefence` counts: failures of a key, an admin or an address.
  const limit =
    code === "too_many_attempts"
      ? {
          "ratelimit-policy": policyHeader("sign-in", freeFailures, Duration.toSeconds(memory)),
          ratelimit: limitHeader("sign-in", 0, wait)
        }
      : {}
  return { "retry-after": String(wait), ...limit }
}

const known = (code: string): Problem | undefined =>
  Object.hasOwn(problems, code) ? problems[code as EdgeCode] : undefined

/** Validation that found fault with the body as a whole may have been given no JSON at all. */
const isAboutWhole = (errors: unknown) =>
  !Array.isArray(errors) || errors.every((error) => Predicate.hasProperty(error, "pointer") && error.pointer === "")

/** Gives a failure its final shape: a problem of the inner app is completed, anything else becomes one. */
export const complete = Effect.fnUntraced(function* (request: Request, requestId: string, response: Response) {
  const { status } = response
  const given = isProblem(response) ? parsed(response) : {}
  const isSuspect =
    status === 400 && (given.code === undefined || given.code === "validation_failed") && isAboutWhole(given.errors)
  const isUnreadable = isSuspect && (yield* isMalformed(request))
  const {
    type,
    title,
    status: _status,
    detail,
    instance: _instance,
    code = codeOf(status),
    ...rest
  } = isUnreadable ? parsed(malformed()) : given
  const untyped = type === undefined || type === ProblemDetails.blankType
  const page = known(String(code))
  return HttpServerResponse.setBody(
    response,
    HttpBody.jsonUnsafe(
      {
        type: untyped ? `/problems/${code}` : type,
        title: untyped ? (page?.title ?? title) : title,
        status,
        detail: detail ?? page?.meaning,
        instance: pathOf(request),
        code,
        requestId,
        ...rest
      },
      ProblemDetails.contentType
    )
  )
})
