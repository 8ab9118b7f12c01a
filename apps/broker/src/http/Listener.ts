/** The socket the broker listens on: its timeouts, answers to what is not HTTP, and a stop that loses no request. */

import { randomUUIDv7 } from "node:crypto"
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http"
import { createServer as createSecureServer, Server as SecureServer } from "node:https"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { TLSSocket } from "node:tls"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, DateTime, Deferred, Duration, Effect, Layer, type Scope, Stream } from "effect"
import { HttpServer, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import type * as Tls from "../Tls.ts"
import { type EdgeCode, problems } from "./ProblemPages.ts"
import { securityHeaders } from "./SecurityHeaders.ts"

export interface Options {
  readonly host: string
  readonly port: number
  /** How long `/readyz` says no before the listener closes, for load balancers to notice. */
  readonly drainDelay?: Duration.Input | undefined
  /** How long requests that are under way may take to end. */
  readonly gracefulShutdownTimeout?: Duration.Input | undefined
  readonly requestTimeout?: Duration.Input | undefined
  readonly headersTimeout?: Duration.Input | undefined
  /** Longer than the heartbeat interval, so that gateways keep their connection. */
  readonly keepAliveTimeout?: Duration.Input | undefined
  /** For HTTPS. Connections that are open keep the certificate they were opened with. */
  readonly tls?: Tls.Source | undefined
}

/** How far the process has come with stopping. */
export class Closing extends Context.Service<
  Closing,
  {
    /** True from the first moment on: `/readyz` says no, requests are still served. */
    readonly draining: Effect.Effect<boolean>
    /** Done when the listener closes: streams that would go on for ever must end now. */
    readonly begun: Deferred.Deferred<void>
  }
>()("@broker/http/Closing") {
  /** For whatever runs without a listener. */
  static readonly never = Layer.effect(
    Closing,
    Effect.map(Deferred.make<void>(), (begun) => Closing.of({ draining: Effect.succeed(false), begun }))
  )

  /** Ends a stream when the listener closes. */
  static readonly until = <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R | Closing> =>
    Stream.unwrap(Effect.map(Closing, ({ begun }) => Stream.interruptWhen(stream, Deferred.await(begun))))
}

/** What `serve` does first, once requests can be answered, and what it does last. */
class Course extends Context.Service<
  Course,
  {
    /** Answers what came too early. */
    readonly begin: Effect.Effect<void>
    /** Stops the listener in order. */
    readonly stop: Effect.Effect<void>
  }
>()("@broker/http/Listener/Course") {}

/** Node's own refusals come before any request exists, so they are written by hand. */
const refusal = (code: EdgeCode, detail: string) => {
  const { status, title } = problems[code]
  const requestId = randomUUIDv7()
  const body = JSON.stringify({ type: `/problems/${code}`, title, status, detail, code, requestId })
  const headers = {
    ...securityHeaders(),
    "content-type": "application/problem+json",
    "content-length": String(Buffer.byteLength(body)),
    "x-request-id": requestId,
    connection: "close"
  }
  return { status, headers, body }
}

const raw = (code: EdgeCode, detail: string) => {
  const { body, headers, status } = refusal(code, detail)
  const lines = Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines}\r\n${body}`
}

const parserProblem = (code: string | undefined) => {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return raw("headers_too_large", "The request line and the headers are larger than 8 KiB")
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return raw("body_too_large", "The chunk extensions of the body are too large")
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return raw("request_timeout", "The request did not arrive within the time allowed")
    default:
      return raw("bad_request", "The request is not valid HTTP")
  }
}

/** Time for a refusal to reach the client before the connection is cut, which may discard what it has not read. */
const lingering = 500

/** Where Node keeps the answer being written to a connection. */
const answering = (socket: Duplex & { readonly _httpMessage?: ServerResponse | null }) =>
  socket._httpMessage?.headersSent === true

/** Connections that wait to be taken: in a flood of them, one that finds no room tries again a second later. */
const backlog = 4_096

/** Below this nobody needs to go any more. */
const minVersion = "TLSv1.2"

const contextOf = ({ cert, key }: Tls.Pair) => ({ cert: Buffer.from(cert), key: Buffer.from(key), minVersion }) as const

const makeServer = (options: Options): Server => {
  const limits = {
    requestTimeout: Duration.toMillis(options.requestTimeout ?? "4 seconds"),
    headersTimeout: Duration.toMillis(options.headersTimeout ?? "3 seconds"),
    keepAliveTimeout: Duration.toMillis(options.keepAliveTimeout ?? "65 seconds"),
    connectionsCheckingInterval: 500,
    maxHeaderSize: 8192,
    // Node would refuse with an empty body; the edge does it as a problem.
    requireHostHeader: false
  }
  const { tls } = options
  const server =
    tls === undefined
      ? createServer(limits)
      : createSecureServer({
          ...limits,
          ...contextOf(tls.pair),
          handshakeTimeout: Duration.toMillis(options.headersTimeout ?? "3 seconds")
        })
  const refused = new WeakSet<Duplex>()
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (refused.has(socket)) return
    refused.add(socket)
    // Without a handshake there is nothing to answer in, and who said nothing was asking nothing.
    const isDeaf = socket instanceof TLSSocket && socket.getProtocol() === null
    const isSilent = socket instanceof Socket && socket.bytesRead === 0
    if (error.code === "ECONNRESET" || isDeaf || isSilent || !socket.writable || answering(socket)) {
      socket.destroy()
      return
    }
    socket.end(parserProblem(error.code))
    setTimeout(() => socket.destroy(), lingering).unref()
  })
  server.on("checkExpectation", (_, response) => {
    const { body, headers, status } = refusal("expectation_failed", "Only `Expect: 100-continue` can be met")
    response.writeHead(status, headers).end(body)
  })
  return server
}

/** From then on new connections get the new certificate. */
const renewing = (server: Server, changes: Tls.Source["changes"]) =>
  Stream.runForEach(changes, (pair) =>
    Effect.suspend(() => {
      if (server instanceof SecureServer) server.setSecureContext(contextOf(pair))
      return Effect.logInfo("Took a new certificate", { expiresAt: DateTime.formatIso(pair.expiresAt) })
    })
  )

/** The port is open a moment before there is anybody to answer: what comes in between waits, as Node would forget it. */
const keepEarly = (server: Server) => {
  const events = ["request", "checkContinue"] as const
  const early: Array<() => void> = []
  const keepers = events.map((event) => {
    const keep = (request: IncomingMessage, response: ServerResponse) => {
      early.push(() => void server.emit(event, request, response))
    }
    server.on(event, keep)
    return () => void server.off(event, keep)
  })
  return Effect.sync(() => {
    for (const stop of keepers) stop()
    for (const answer of early.splice(0)) answer()
  })
}

export const layer = (options: Options) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const server = makeServer(options)
      const begin = keepEarly(server)
      const timeout = Duration.fromInputUnsafe(options.gracefulShutdownTimeout ?? "8 seconds")
      const begun = yield* Deferred.make<void>()
      if (options.tls !== undefined) yield* Effect.forkScoped(renewing(server, options.tls.changes))
      let draining = false

      // A connection that stays open would be waited for, or cut while the next request is on its way.
      const sendAway = (_: unknown, response: ServerResponse) => {
        if (draining) response.shouldKeepAlive = false
      }
      server.prependListener("request", sendAway)
      server.prependListener("checkContinue", sendAway)

      const stop = Effect.gen(function* () {
        draining = true
        yield* Effect.logInfo("Draining")
        yield* Effect.sleep(options.drainDelay ?? 0)
        yield* Deferred.succeed(begun, undefined)
        const idle = setInterval(() => server.closeIdleConnections(), 50)
        const overdue = setTimeout(() => server.closeAllConnections(), Duration.toMillis(timeout) + lingering)
        server.once("close", () => {
          clearInterval(idle)
          clearTimeout(overdue)
        })
      })

      return Layer.mergeAll(
        NodeHttpServer.layer(() => server, {
          host: options.host,
          port: options.port,
          backlog,
          gracefulShutdownTimeout: timeout
        }),
        Layer.succeed(Closing, Closing.of({ draining: Effect.sync(() => draining), begun })),
        Layer.succeed(Course, Course.of({ begin, stop }))
      )
    })
  )

type Serving<R> = HttpServer.HttpServer | Scope.Scope | Exclude<R, HttpServerRequest.HttpServerRequest>

/**
 * Each request adds to the context it was started with: its scope, its route, its id. Room for that spares it from
 * copying all of the broker's services.
 */
const flat = <R>(context: Context.Context<R>): Context.Context<R> =>
  Context.makeUnsafe(context.mapUnsafe, { maxDepth: 16 })

/** Serves an app until its scope closes; then drains, ends streams, and lets requests finish, in this order. */
export const serve = <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const serving: Effect.Effect<void, never, Serving<R>> = HttpServer.serveEffect(app)
      yield* Effect.updateContext(serving, flat<Serving<R>>)
      const { begin, stop } = yield* Course
      yield* begin
      yield* Effect.addFinalizer(() => stop)
    })
  )
