/** The problems the broker can answer with, and a page for each: `type` of a problem+json body leads here. */

import { createHash } from "node:crypto"
import { Effect } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"

export interface ProblemPage {
  readonly status: number
  readonly title: string
  /** What happened, for whoever reads the answer. */
  readonly meaning: string
  /** What to do next. */
  readonly remedy: string
}

/** What the HTTP edge itself answers. Codes of the domain are handed to `layer`. */
export const problems = {
  bad_request: {
    status: 400,
    title: "Bad request",
    meaning: "The request is not valid HTTP, or lacks something every request needs, such as a Host header.",
    remedy: "Correct the request. Sending it again unchanged gives the same answer."
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
    remedy: "Correct the request. Sending it again unchanged gives the same answer."
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
} as const satisfies Record<string, ProblemPage>

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

const style =
  `:root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:4rem auto;` +
  `padding:0 1.5rem}code{font-family:ui-monospace,monospace}h1{font-size:1.5rem;margin:.25rem 0 1.5rem}` +
  `h2{font-size:1rem;margin:1.5rem 0 0}p{margin:.25rem 0}td{padding:.25rem 1rem .25rem 0;vertical-align:top}`

const contentSecurityPolicy = `default-src 'none'; style-src 'sha256-${createHash("sha256")
  .update(style)
  .digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

const escape = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** Text of the table, in which backquotes mark what is meant to be typed or found literally. */
const prose = (text: string) => escape(text).replace(/`([^`]+)`/g, "<code>$1</code>")

const page = (title: string, body: string) =>
  HttpServerResponse.html(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
      `<title>${escape(title)}</title><style>${style}</style></head><body>${body}</body></html>`
  ).pipe(
    HttpServerResponse.setHeaders({
      "content-security-policy": contentSecurityPolicy,
      "cache-control": "public, max-age=3600",
      vary: "accept"
    })
  )

const problemPage = (code: string, problem: ProblemPage) =>
  page(
    problem.title,
    `<p><code>${problem.status} ${escape(code)}</code></p><h1>${escape(problem.title)}</h1>` +
      `<h2>What it means</h2><p>${prose(problem.meaning)}</p><h2>What to do</h2><p>${prose(problem.remedy)}</p>` +
      `<h2>More</h2><p><a href="/problems">All problems</a> · <a href="/docs">API documentation</a></p>`
  )

const index = (all: ReadonlyArray<readonly [string, ProblemPage]>) =>
  page(
    "Problems",
    `<h1>Problems</h1><p>What the <code>code</code> of an answer can be.</p><table>${all
      .map(
        ([code, { status, title }]) =>
          `<tr><td>${status}</td><td><a href="/problems/${escape(code)}"><code>${escape(code)}</code></a></td>` +
          `<td>${escape(title)}</td></tr>`
      )
      .join("")}</table>`
  )

const json = (body: unknown) =>
  HttpServerResponse.jsonUnsafe(body, { headers: { "cache-control": "public, max-age=3600", vary: "accept" } })

const wantsJson = (accept: string | undefined) => accept?.includes("json") && !accept.includes("text/html")

/** Serves `/problems` and `/problems/{code}`. A code of the domain replaces one of the edge with the same name. */
export const layer = (domain: Readonly<Record<string, ProblemPage>> = {}) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const all = Object.entries<ProblemPage>({ ...problems, ...domain }).toSorted(
        ([a, x], [b, y]) => x.status - y.status || a.localeCompare(b)
      )
      const pages = new Map(
        all.map(([code, problem]) => [code, { html: problemPage(code, problem), json: json({ code, ...problem }) }])
      )
      const contents = { html: index(all), json: json({ items: all.map(([code, problem]) => ({ code, ...problem })) }) }
      const missing = HttpServerResponse.empty({ status: 404 })

      yield* router.add("GET", "/problems", (request) =>
        Effect.succeed(wantsJson(request.headers.accept) ? contents.json : contents.html)
      )
      yield* router.add("GET", "/problems/:code", (request) =>
        Effect.map(HttpRouter.params, ({ code }) => {
          const known = pages.get(code ?? "")
          if (known === undefined) return missing
          return wantsJson(request.headers.accept) ? known.json : known.html
        })
      )
    })
  )
