/** The tiny API behind the whole HTTP edge, on a port of its own, with its log at hand. */
import { Context, Effect, Layer, Logger, References, Stream } from "effect"
import { HttpEffect, HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import * as Dashboard from "../../src/http/Dashboard.ts"
import * as Docs from "../../src/http/Docs.ts"
import * as Edge from "../../src/http/Edge.ts"
import * as Guides from "../../src/http/Guides.ts"
import * as Health from "../../src/http/Health.ts"
import * as Listener from "../../src/http/Listener.ts"
import * as ProblemPages from "../../src/http/ProblemPages.ts"
import * as ValidationHttp from "../../src/http/ValidationHttp.ts"
import { DatabaseAway, Things, TinyApi } from "./TinyApi.ts"

/** Lines as they would be written, one string each. */
export class Log extends Context.Service<Log, Array<string>>()("@broker/test/http/Log") {
  static readonly layer = Layer.unwrap(
    Effect.sync(() => {
      const lines: Array<string> = []
      const logger = Logger.map(Logger.formatJson, (line) => {
        lines.push(line)
      })
      return Layer.mergeAll(
        Layer.succeed(Log, lines),
        Logger.layer([logger]),
        Layer.succeed(References.MinimumLogLevel, "Debug")
      )
    })
  )
}

const Api = HttpApiBuilder.layer(TinyApi).pipe(Layer.provide(Things), Layer.provide(ValidationHttp.layer))

/** Routes beside HttpApi: plain ones, one served by a web handler as tRPC's is, and a stream without end. */
const Plain = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const closing = yield* Listener.Closing
    const ticks = Stream.tick("20 millis").pipe(
      Stream.map(() => new TextEncoder().encode("data: tick\n\n")),
      Listener.Closing.until,
      Stream.provideService(Listener.Closing, closing)
    )
    yield* router.add("GET", "/events", HttpServerResponse.stream(ticks, { contentType: "text/event-stream" }))
    yield* router.add("POST", "/echo", (request) =>
      Effect.map(request.json, (body) => HttpServerResponse.jsonUnsafe(body))
    )
    yield* router.add(
      "POST",
      "/rpc/*",
      HttpEffect.fromWebHandler(async (request) => Response.json({ error: await request.json() }, { status: 418 }))
    )
    yield* router.add("POST", "/unread", HttpServerResponse.empty())
    yield* router.add("GET", "/teapot", HttpServerResponse.text("short and stout", { status: 418 }))
    yield* router.add("GET", "/busy", HttpServerResponse.empty({ status: 503 }))
    yield* router.add(
      "GET",
      "/url",
      Effect.map(HttpServerRequest.HttpServerRequest, ({ url }) => HttpServerResponse.text(url))
    )
  })
)

export const problems = {
  name_taken: { status: 409, title: "Name taken", meaning: "The name is in use.", remedy: "Choose another name." }
}

export const broker = (
  options: {
    readonly edge?: Edge.Options
    readonly listener?: Partial<Listener.Options>
    readonly health?: Partial<Health.Options>
    readonly dashboard?: string
  } = {}
) =>
  Edge.layer(
    Layer.mergeAll(
      Api,
      Plain,
      Docs.layer(TinyApi),
      Guides.layer,
      Dashboard.layer(options.dashboard ?? "/nowhere"),
      Health.layer({ version: "1.2.3", ...options.health }),
      ProblemPages.layer(problems)
    ),
    { isUnavailable: (fault) => fault instanceof DatabaseAway, foreignErrors: ["/rpc/"], ...options.edge }
  ).pipe(
    Layer.provideMerge(Listener.layer({ host: "127.0.0.1", port: 0, ...options.listener })),
    Layer.provideMerge(Log.layer)
  )
