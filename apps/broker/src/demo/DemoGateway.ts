/**
 * A stand-in for a real data plane, for demonstrations only: it takes grants over plain HTTP on this machine and counts
 * bytes that it is told were sent. A real gateway would carry them, over WebRTC, WireGuard or what it likes.
 *
 * | call                            | does                                                                    |
 * | ------------------------------- | ----------------------------------------------------------------------- |
 * | `POST /connect`                 | `{ grant }` → 200 `{ connectionId }`, or 403 `{ reason, detail }`       |
 * | `GET /connections/{id}`         | 200 `{ rxBytes, txBytes }` as the gateway counts, or 410 `{ reason }`   |
 * | `POST /connections/{id}/traffic`| `{ sent, received }`: bytes since the last one, as the client sees them |
 * | `DELETE /connections/{id}`      | the client hangs up                                                     |
 */
import { createServer } from "node:http"
import type { AgentConnections } from "@broker/client/AgentConnections"
import * as Connections from "@broker/client/AgentConnections"
import type { AgentEvent } from "@broker/client/AgentEvent"
import { ConnectionId, Grant } from "@broker/domain/Connection"
import { Count } from "@broker/domain/Primitives"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Clock, Duration, Effect, Layer, Schema } from "effect"
import { HttpIncomingMessage, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"

/** By which clients know such a gateway among a server's endpoints. */
export const protocol = "demo"

export interface Options {
  readonly host: string
  /** 0 for any free one. */
  readonly port: number
  readonly onEvent?: ((event: AgentEvent) => Effect.Effect<void>) | undefined
}

export interface DemoGateway {
  /** For the agent, which tells the broker of them. */
  readonly connections: AgentConnections
  readonly endpoint: { readonly protocol: string; readonly host: string; readonly port: number }
}

/** What a gateway counts of one connection. */
interface Counted {
  rxBytes: number
  txBytes: number
  heardAt: number
  isTold: boolean
}

/** A client that says nothing for so long is gone. */
const silence = Duration.seconds(30)
/** How often the broker is told of progress. */
const every = Duration.seconds(5)
/** So many that are over are remembered, for clients that ask. */
const remembered = 1_000

const Connect = Schema.Struct({ grant: Grant })
const Traffic = Schema.Struct({ sent: Count, received: Count })
const Named = Schema.Struct({ id: ConnectionId })

const gone = (reason: string) => HttpServerResponse.jsonUnsafe({ reason }, { status: 410 })
const wrong = HttpServerResponse.jsonUnsafe({ reason: "malformed" }, { status: 400 })

/** Listens until its scope closes. */
export const listen = Effect.fnUntraced(function* ({ host, onEvent, port }: Options) {
  const counted = new Map<ConnectionId, Counted>()
  const over = new Map<string, string>()

  const drop = (id: ConnectionId, reason: string) => {
    counted.delete(id)
    over.set(id, reason)
    for (const oldest of over.keys()) {
      if (over.size <= remembered) break
      over.delete(oldest)
    }
  }

  const connections = yield* Connections.make({
    onEvent,
    onClosed: ({ id }, reason) => Effect.sync(() => drop(id, reason))
  })

  const close = Effect.fnUntraced(function* (id: ConnectionId, reason: string) {
    const count = counted.get(id)
    if (count === undefined) return
    drop(id, reason)
    yield* connections.close(id, reason, { rxBytes: count.rxBytes, txBytes: count.txBytes })
  })

  const connect = Effect.gen(function* () {
    const { grant } = yield* HttpServerRequest.schemaBodyJson(Connect)
    const heardAt = yield* Clock.currentTimeMillis
    return yield* connections.accept(grant).pipe(
      Effect.map(({ id }) => {
        counted.set(id, { rxBytes: 0, txBytes: 0, heardAt, isTold: true })
        return HttpServerResponse.jsonUnsafe({ connectionId: id })
      }),
      Effect.catchTag("GrantRefused", ({ detail, reason }) =>
        Effect.succeed(HttpServerResponse.jsonUnsafe({ reason, detail }, { status: 403 }))
      )
    )
  })

  /** Answers for a connection that is open. */
  const of = <E, R>(answer: (id: ConnectionId, count: Counted) => Effect.Effect<void, E, R>) =>
    Effect.gen(function* () {
      const { id } = yield* HttpRouter.schemaPathParams(Named)
      const count = counted.get(id)
      if (count === undefined) return gone(over.get(id) ?? "unknown")
      yield* answer(id, count)
      return HttpServerResponse.jsonUnsafe({ rxBytes: count.rxBytes, txBytes: count.txBytes })
    })

  const exchange = Effect.fnUntraced(function* (_: ConnectionId, count: Counted) {
    const { received, sent } = yield* HttpServerRequest.schemaBodyJson(Traffic)
    count.rxBytes += sent
    count.txBytes += received
    count.heardAt = yield* Clock.currentTimeMillis
    count.isTold = false
  })

  const app = yield* HttpRouter.toHttpEffect(
    Layer.mergeAll(
      HttpRouter.add(
        "POST",
        "/connect",
        Effect.catchTag(connect, "SchemaError", () => Effect.succeed(wrong))
      ),
      HttpRouter.add(
        "GET",
        "/connections/:id",
        of(() => Effect.void)
      ),
      HttpRouter.add("POST", "/connections/:id/traffic", of(exchange)),
      HttpRouter.add(
        "DELETE",
        "/connections/:id",
        of((id) => close(id, "client_left"))
      )
    )
  )
  const server = yield* NodeHttpServer.make(createServer, { host, port, gracefulShutdownTimeout: Duration.zero })
  yield* HttpServer.serveEffect(app).pipe(
    Effect.provideService(HttpServer.HttpServer, server),
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.kibibytes(8))
  )

  const tend = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    for (const [id, count] of counted) {
      const { rxBytes, txBytes } = count
      if (now - count.heardAt > Duration.toMillis(silence)) yield* close(id, "client_silent")
      else if (!count.isTold) {
        count.isTold = true
        yield* connections.progress(id, { rxBytes, txBytes })
      }
    }
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(every), tend)))

  const address = server.address
  return {
    connections,
    endpoint: { protocol, host, port: "port" in address ? address.port : port }
  } satisfies DemoGateway
})
