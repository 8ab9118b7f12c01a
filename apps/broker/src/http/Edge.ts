/**
 * What every request passes, whatever serves it: an id, limits, security headers, one shape for every failure, a log
 * line and metrics. It wraps the routed app as a whole, because middleware given to `HttpRouter.serve` runs after the
 * answer was sent.
 */

import { randomUUIDv7 } from "node:crypto"
import { ByteSize, Cause, Context, Effect, type Fiber, Layer, LogLevel, Option, References, Result } from "effect"
import {
  Headers,
  HttpIncomingMessage,
  HttpMiddleware,
  HttpRouter,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { IpNetwork, NetAddress } from "effect/net"
import { complete, hasBody, isProblem, ofCause, pathOf, problem, waitOf } from "./Failures.ts"
import * as HttpMetrics from "./HttpMetrics.ts"
import { CurrentSpending, limitHeader, noSpending, policyHeader, type Spending } from "./LimitHeaders.ts"
import * as Listener from "./Listener.ts"
import { catchAll, RouteTable } from "./RouteTable.ts"
import { securityHeaders } from "./SecurityHeaders.ts"
import { StrictRequest } from "./StrictRequest.ts"

export interface Options {
  /** Whose `X-Forwarded-For` and `X-Request-Id` are believed. Nobody's by default. */
  readonly trustedProxies?: ReadonlyArray<IpNetwork.IpNetwork> | undefined
  /** Where clients reach the broker. Only an https origin gets HSTS. */
  readonly publicOrigin?: string | undefined
  readonly maxBodyBytes?: number | undefined
  /** Where a body may be larger: what a path starts with, and how large. */
  readonly largerBodies?: Readonly<Record<string, number>> | undefined
  /** Whether a fault means that the database is away: the request may be repeated later (503), not reported (500). */
  readonly isUnavailable?: ((fault: unknown) => boolean) | undefined
  /** Routes whose lines are logged at Debug, unless they fail. */
  readonly quietRoutes?: ReadonlyArray<string> | undefined
  /** Paths below which failures keep the body they have: tRPC's clients expect tRPC's shape. */
  readonly foreignErrors?: ReadonlyArray<string> | undefined
}

const quietByDefault = ["/api/v1/servers/self/heartbeat", "/healthz", "/readyz", "/metrics"]

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/** The id of the request being served: in its answer, its log lines and its span. Empty outside of requests. */
export const RequestId = Context.Reference<string>("@broker/http/RequestId", { defaultValue: () => "" })

/**
 * IPv4 comes as IPv6 (`::ffff:1.2.3.4`) when the broker listens on both. Addresses of one link come with the zone
 * (`fe80::1%eth0`), which means something on this machine only.
 */
const plainAddress = (address: string) => {
  if (!address.includes(":")) return address
  const parsed = NetAddress.ipFromString(address.replace(/%.*$/, ""))
  return Result.isSuccess(parsed) ? NetAddress.formatIp(NetAddress.toCanonical(parsed.success)) : address
}

/** Who sent the request: the peer, or the right-most hop before it that is not a trusted proxy. */
export const clientAddress: Effect.Effect<
  Option.Option<string>,
  never,
  HttpServerRequest.HttpServerRequest
> = Effect.map(HttpServerRequest.HttpServerRequest, (request) => Option.map(request.remoteAddress, plainAddress))

/** HTTP/1.0 had no Host header, and some load balancers' checks still speak it. */
const needsHost = ({ source }: Request) => !("httpVersion" in source) || source.httpVersion !== "1.0"

const isJson = /^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i

/** What can be refused by the headers alone. */
const refuse = (request: Request, withBody: boolean, limit: number): Response | undefined => {
  const { headers } = request
  if (headers.host === undefined && needsHost(request)) {
    return problem("bad_request", "The request has no Host header", { connection: "close" })
  }
  if (!withBody) return undefined
  if (Number(headers["content-length"] ?? 0) > limit) return problem("body_too_large")
  if (request.method === "GET" || request.method === "HEAD") return undefined
  const type = headers["content-type"]
  if (type !== "application/json" && (type === undefined || !isJson.test(type))) {
    return problem("unsupported_media_type", "The body must be sent as application/json, in UTF-8")
  }
  const encoding = headers["content-encoding"]
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    return problem("unsupported_media_type", "The body must be sent without Content-Encoding", {
      "accept-encoding": "identity"
    })
  }
  return undefined
}

const isClientAbort = (cause: Cause.Cause<unknown>) =>
  cause.reasons.some((reason) => reason._tag === "Interrupt" && reason.annotations.has(HttpServerError.ClientAbort.key))

/** Jitter, so that everybody who was turned away does not come back in the same second. */
const soon = () => 1 + Math.floor(Math.random() * 5)

const maxBodyBytes = 64 * 1024

const headersPrototype: object = Object.getPrototypeOf(Headers.empty)

/** As `setHeaders` does it, but copying once: it runs for every heartbeat. What the response has itself stands. */
const withHeaders = (
  response: Response,
  defaults: Readonly<Record<string, string>>,
  requestId: string,
  { nearest }: Spending
): Response => {
  const headers: Record<string, string> = Object.assign(Object.create(headersPrototype), defaults, response.headers)
  headers["x-request-id"] = requestId
  if (nearest !== null && headers["ratelimit"] === undefined) {
    headers["ratelimit-policy"] = policyHeader(nearest.budget, nearest.quota, nearest.windowSeconds)
    headers["ratelimit"] = limitHeader(nearest.budget, nearest.remaining, nearest.resetSeconds)
  }
  return Object.assign(Object.create(Object.getPrototypeOf(response)), response, { headers })
}

const acceptedId = /^[\w-]{8,64}$/

/** Wraps an app in the edge. The table says which methods a path has. */
const wrap = (options: Options, table: RouteTable) => {
  const defaults = securityHeaders(options.publicOrigin)
  const limit = options.maxBodyBytes ?? maxBodyBytes
  const largerBodies = Object.entries(options.largerBodies ?? {})
  const largerAt = (url: string) => largerBodies.find(([path]) => url.startsWith(path))?.[1]
  const isUnavailable = options.isUnavailable ?? (() => false)
  const quiet = new Set(options.quietRoutes ?? quietByDefault)
  const foreign = options.foreignErrors ?? []
  const proxies = options.trustedProxies ?? []

  const isTrusted = (peer: Option.Option<string>) => {
    if (proxies.length === 0 || Option.isNone(peer)) return false
    const parsed = NetAddress.ipFromString(peer.value)
    if (Result.isFailure(parsed)) return false
    const address = NetAddress.toCanonical(parsed.success)
    return proxies.some((network) => IpNetwork.contains(network, address))
  }

  const requestIdOf = (request: Request) => {
    const inbound = request.headers["x-request-id"]
    return inbound !== undefined && acceptedId.test(inbound) && isTrusted(request.peerAddress)
      ? inbound
      : randomUUIDv7()
  }

  const unmatched = (request: Request): Response => {
    const allowed = table.allowed(request.url)
    if (allowed.length === 0) return problem("not_found", `There is nothing at ${pathOf(request)}`)
    const allow = allowed.join(", ")
    return request.method === "OPTIONS"
      ? HttpServerResponse.empty({ status: 204, headers: { allow } })
      : problem("method_not_allowed", `${pathOf(request)} takes ${allow}`, { allow })
  }

  const failed = Effect.fnUntraced(function* (request: Request, cause: Cause.Cause<unknown>) {
    const fault = yield* ofCause(cause, isUnavailable)
    switch (fault._tag) {
      case "Answer":
        // 503 is an answer that was meant, and comes in great numbers.
        if (fault.response.status >= 500 && fault.response.status !== 503) {
          yield* Effect.logError("Request failed", cause)
        }
        return fault.response
      case "NotFound":
        return unmatched(request)
      case "Unavailable":
        yield* Effect.logWarning("The database is away")
        yield* Effect.logDebug("The database is away", cause)
        return problem("database_unavailable")
      case "Unknown":
        if (Cause.hasInterruptsOnly(cause)) {
          return problem(isClientAbort(cause) ? "client_closed_request" : "stopping")
        }
        yield* Effect.logError("Request failed", cause)
        return problem("internal_error", "The broker's log has the cause under the id of this request")
    }
  })

  const shaped = (
    request: Request,
    requestId: string,
    response: Response,
    { retryAfterSeconds }: Spending
  ): Effect.Effect<Response> => {
    const waits = (response.status === 429 || response.status === 503) && response.headers["retry-after"] === undefined
    const timed = waits
      ? HttpServerResponse.setHeaders(response, {
          "retry-after": String(retryAfterSeconds ?? soon()),
          ...waitOf(response)
        })
      : response
    const isForeign = foreign.some((prefix) => request.url.startsWith(prefix))
    if (isForeign && !isProblem(timed) && timed.body._tag !== "Empty") return Effect.succeed(timed)
    // RFC 9110 wants every 401 to say how to do better; where sessions are asked for there is no such word.
    const asks = response.status === 401 && !isForeign && response.headers["www-authenticate"] === undefined
    const answer = asks ? HttpServerResponse.setHeader(timed, "www-authenticate", "Bearer") : timed
    return complete(request, requestId, answer)
  }

  const logged = (
    fiber: Fiber.Fiber<unknown, unknown>,
    request: Request,
    route: string,
    status: number,
    ms: number
  ) => {
    const level = quiet.has(route) && status < 500 ? "Debug" : "Info"
    if (LogLevel.isGreaterThan(fiber.cache.minimumLogLevel, level)) return undefined
    return Effect.annotateLogs(Effect.logWithLevel(level)("Request"), {
      method: request.method,
      path: pathOf(request),
      status,
      durationMs: Math.round(ms * 1000) / 1000,
      client: Option.match(request.remoteAddress, { onNone: () => "unknown", onSome: plainAddress })
    })
  }

  return <E, R>(
    app: Effect.Effect<Response, E, R>
  ): Effect.Effect<Response, never, R | HttpServerRequest.HttpServerRequest> =>
    Effect.withFiber((fiber) => {
      const started = performance.now()
      const received = Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest)
      const requestId = requestIdOf(received)
      const withBody = hasBody(received)
      const request = withBody ? new StrictRequest(received) : received
      const { span } = fiber.cache
      if (span?._tag === "Span") span.attribute("broker.request_id", requestId)

      let context = Context.add(fiber.context, RequestId, requestId)
      context = Context.add(context, References.CurrentLogAnnotations, {
        ...fiber.getRef(References.CurrentLogAnnotations),
        requestId
      })
      const spending = noSpending()
      context = Context.add(context, CurrentSpending, spending)
      if (withBody) context = Context.add(context, HttpServerRequest.HttpServerRequest, request)
      const larger = withBody ? largerAt(received.url) : undefined
      if (larger !== undefined) {
        context = Context.add(context, HttpIncomingMessage.MaxBodySize, ByteSize.bytes(larger))
      }
      fiber.setContext(context)

      const finish = (response: Response, route: string): Effect.Effect<Response> => {
        const answered = withHeaders(response, defaults, requestId, spending)
        const ms = performance.now() - started
        HttpMetrics.record(context, request.method, route, response.status, ms / 1000)
        const line = logged(fiber, request, route, response.status, ms)
        return line === undefined ? Effect.succeed(answered) : Effect.as(line, answered)
      }

      const settle = (response: Response): Effect.Effect<Response> => {
        // The router leaves the route in the context of the fiber, which is restored only here.
        const matched = Context.getOrUndefined(fiber.context, HttpRouter.RouteContext)?.route.path
        fiber.setContext(context)
        const missed = matched === catchAll && response.status === 404
        const final = missed ? unmatched(request) : response
        const route = matched === undefined || missed ? (table.template(request.url) ?? "other") : matched
        return final.status < 400
          ? finish(final, route)
          : Effect.flatMap(shaped(request, requestId, final, spending), (shape) => finish(shape, route))
      }

      const refused = refuse(request, withBody, larger ?? limit)
      if (refused !== undefined) return settle(refused)
      return Effect.matchCauseEffect(app, {
        onSuccess: settle,
        onFailure: (cause) => Effect.flatMap(failed(request, cause), settle)
      })
    })
}

/** Serves routes through the edge, on the listener. */
export const layer = <A, E, R>(routes: Layer.Layer<A, E, R>, options: Options = {}) => {
  const table = new RouteTable()
  const edge = wrap(options, table)
  const proxies = options.trustedProxies ?? []
  const forwarded = HttpMiddleware.xForwardedHeaders({ trustedProxies: proxies })
  return HttpRouter.toHttpEffect(Layer.provide(routes, table.layer)).pipe(
    Effect.map((app) => Listener.serve(proxies.length === 0 ? edge(app) : forwarded(edge(app)))),
    Layer.unwrap,
    Layer.provide(Layer.succeed(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(options.maxBodyBytes ?? maxBodyBytes)))
  )
}
