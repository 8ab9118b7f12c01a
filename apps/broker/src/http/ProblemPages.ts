/** The problems the broker can answer with, and a page for each: `type` of a problem+json body leads here. */
import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { render } from "../pages/Markdown.ts"
import { contentSecurityPolicy, page } from "../pages/Page.ts"
import { type Calls, catalogue, indexPage, type Problem, problemPage } from "../pages/ProblemCatalogue.ts"

/** What the HTTP edge itself answers. Codes of the domain are handed to `layer`. */
export const problems = {
  bad_request: {
    status: 400,
    title: "Bad request",
    meaning: "The request is not valid HTTP, or lacks something every request needs, such as a Host header.",
    remedy: "Correct the request."
  },
  malformed_json: {
    status: 400,
    title: "Malformed JSON",
    meaning: "The body is not JSON in UTF-8.",
    remedy: "Send one JSON value, encoded in UTF-8, and check that the body was not cut off."
  },
  validation_failed: {
    status: 400,
    title: "Validation failed",
    meaning: "The request was understood, but values in it are missing or not allowed.",
    remedy: "Each entry of `errors` names a value by JSON Pointer and says what is expected there."
  },
  unauthorized: {
    status: 401,
    title: "Unauthorized",
    meaning: "The request carries no credential, or one that is not accepted here.",
    remedy: "Send `Authorization: Bearer …` with a credential of the kind this route asks for."
  },
  metrics_token_refused: {
    status: 401,
    title: "Metrics token refused",
    meaning: "Metrics are read from this machine, or with the metrics token.",
    remedy: "Send `Authorization: Bearer …` with the metrics token of the broker's settings."
  },
  forbidden: {
    status: 403,
    title: "Forbidden",
    meaning: "The credential is known, but does not allow this.",
    remedy: "Use a credential with the needed rights, or ask an admin for them."
  },
  not_found: {
    status: 404,
    title: "Not found",
    meaning: "Nothing is at this path.",
    remedy: "Compare the path with the API's documentation at /docs."
  },
  method_not_allowed: {
    status: 405,
    title: "Method not allowed",
    meaning: "The path exists, but not with this method.",
    remedy: "The `Allow` header lists the methods this path has."
  },
  not_acceptable: {
    status: 406,
    title: "Not acceptable",
    meaning: "The answer exists in none of the formats the request accepts.",
    remedy: "Accept `application/json`."
  },
  request_timeout: {
    status: 408,
    title: "Request timeout",
    meaning: "The request did not arrive completely within the time allowed.",
    remedy: "Send it again, over a connection that is fast enough."
  },
  conflict: {
    status: 409,
    title: "Conflict",
    meaning: "The request contradicts the present state.",
    remedy: "Read the present state, then decide whether the request still makes sense."
  },
  gone: {
    status: 410,
    title: "Gone",
    meaning: "What was here has ended for good.",
    remedy: "Do not send the request again."
  },
  body_too_large: {
    status: 413,
    title: "Body too large",
    meaning: "The body is larger than the broker reads.",
    remedy: "Send less at once: bodies may have 64 KiB."
  },
  unsupported_media_type: {
    status: 415,
    title: "Unsupported media type",
    meaning: "The body is not plain JSON.",
    remedy: "Send `Content-Type: application/json`, in UTF-8 and without `Content-Encoding`."
  },
  expectation_failed: {
    status: 417,
    title: "Expectation failed",
    meaning: "The request has an `Expect` header the broker can't meet.",
    remedy: "Leave the header out, or send `Expect: 100-continue`."
  },
  unprocessable_content: {
    status: 422,
    title: "Unprocessable content",
    meaning: "The request is well formed, but can't be carried out with these values.",
    remedy: "Change the values that `detail` speaks of."
  },
  rate_limited: {
    status: 429,
    title: "Too many requests",
    meaning: "More requests came than this caller may send.",
    remedy: "Wait as many seconds as `Retry-After` says, then go on more slowly."
  },
  headers_too_large: {
    status: 431,
    title: "Headers too large",
    meaning: "The request line and the headers together are larger than the broker reads.",
    remedy: "Send fewer or shorter headers: together they may have 8 KiB."
  },
  client_closed_request: {
    status: 499,
    title: "Client closed request",
    meaning: "The connection was closed before there was an answer.",
    remedy: "Nothing: nobody was there to read this."
  },
  request_refused: {
    status: 400,
    title: "Request refused",
    meaning: "The request was refused for the reason that its status stands for.",
    remedy: "Correct the request."
  },
  internal_error: {
    status: 500,
    title: "Internal error",
    meaning: "The broker has a fault. The request may or may not have taken effect.",
    remedy: "Report it with the `requestId` of the answer: the broker's log has the cause under it."
  },
  not_implemented: {
    status: 501,
    title: "Not implemented",
    meaning: "The broker does not do this.",
    remedy: "Compare the request with the API's documentation at /docs."
  },
  overloaded: {
    status: 503,
    title: "Overloaded",
    meaning: "The broker has more to do than it can at the moment.",
    remedy: "Send the request again after as many seconds as `Retry-After` says."
  },
  database_unavailable: {
    status: 503,
    title: "Database unavailable",
    meaning: "The broker can't reach its database at the moment.",
    remedy: "Send the request again after as many seconds as `Retry-After` says."
  },
  not_ready: {
    status: 503,
    title: "Not ready",
    meaning: "The broker is running, but can't serve requests at the moment.",
    remedy: "`checks` names what is missing. Ask again in a few seconds."
  },
  stopping: {
    status: 503,
    title: "Stopping",
    meaning: "This node of the broker is about to stop.",
    remedy: "Send the request again after as many seconds as `Retry-After` says; another node answers."
  }
} as const satisfies Record<string, Problem>

export type EdgeCode = keyof typeof problems

/** The code for a failure of which nothing is known but its status. */
const byStatus = new Map<number, EdgeCode>([
  [400, "bad_request"],
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "not_found"],
  [405, "method_not_allowed"],
  [406, "not_acceptable"],
  [408, "request_timeout"],
  [409, "conflict"],
  [410, "gone"],
  [413, "body_too_large"],
  [415, "unsupported_media_type"],
  [417, "expectation_failed"],
  [422, "unprocessable_content"],
  [429, "rate_limited"],
  [431, "headers_too_large"],
  [499, "client_closed_request"],
  [501, "not_implemented"],
  [503, "overloaded"]
])

export const codeOf = (status: number): EdgeCode =>
  byStatus.get(status) ?? (status < 500 ? "request_refused" : "internal_error")

const html = (markdown: string) => {
  const { headings, html, title } = render("problems.md", markdown)
  return HttpServerResponse.html(page({ title, headings, path: "/problems", body: html })).pipe(
    HttpServerResponse.setHeaders({
      "content-security-policy": contentSecurityPolicy,
      "cache-control": "public, max-age=3600",
      vary: "accept"
    })
  )
}

const json = (body: unknown) =>
  HttpServerResponse.jsonUnsafe(body, { headers: { "cache-control": "public, max-age=3600", vary: "accept" } })

const wantsJson = (accept: string | undefined) => accept?.includes("json") && !accept.includes("text/html")

/**
 * Everything that can be answered. A code of the domain replaces one of the edge with the same name, but for what the
 * domain says of heartbeats alone.
 */
export const entriesOf = (domain: Readonly<Record<string, Problem>>, calls: Calls) =>
  catalogue({ ...problems, ...domain, overloaded: problems.overloaded }, calls)

/** Serves `/problems` and `/problems/{code}`. */
export const layer = (domain: Readonly<Record<string, Problem>> = {}, calls: Calls = new Map()) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const entries = new Map(entriesOf(domain, calls).map((entry) => [entry.code, entry]))
      const missing = HttpServerResponse.empty({ status: 404 })
      const contents = yield* Effect.cached(Effect.sync(() => html(indexPage([...entries.values()]))))

      yield* router.add("GET", "/problems", (request) =>
        wantsJson(request.headers.accept) ? Effect.succeed(json({ items: [...entries.values()] })) : contents
      )
      yield* router.add("GET", "/problems/:code", (request) =>
        Effect.map(HttpRouter.params, ({ code = "" }) => {
          const entry = entries.get(code)
          if (entry === undefined) return missing
          return wantsJson(request.headers.accept) ? json(entry) : html(problemPage(entry))
        })
      )
    })
  )
