/** The client's side of a demonstration gateway: hands over the grant, and makes up traffic. */
import type { ClientConnection, ClientServer } from "@broker/client/Client"
import { Data, Effect, Random, Redacted, Schema } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { inUrl, isLoopback } from "../Loopback.ts"
import { protocol } from "./DemoGateway.ts"

/** The gateway does not take the grant, hung up, or is not there. */
export class TunnelClosed extends Data.TaggedError("TunnelClosed")<{
  readonly reason: string
  readonly detail: string
}> {}

export interface Tunnel {
  /** Bytes as this side counts them. */
  readonly counted: { readonly rxBytes: number; readonly txBytes: number }
  /** Sends and receives so many bytes, as far as anybody can tell. */
  readonly exchange: (bytes: { readonly sent: number; readonly received: number }) => Effect.Effect<void, TunnelClosed>
  readonly hangUp: Effect.Effect<void>
}

/** Where a server takes connections of the demonstration. */
type Gateway =
  | { readonly _tag: "Here"; readonly origin: string }
  /** On another machine, where no gateway of the demonstration listens: a grant is not sent there in the clear. */
  | { readonly _tag: "Elsewhere"; readonly origin: string }
  /** The server is a real one. */
  | { readonly _tag: "None" }

export const gatewayOf = ({ endpoints }: Pick<ClientServer, "endpoints">): Gateway => {
  const offered = endpoints.filter((endpoint) => endpoint.protocol === protocol)
  const here = offered.find(({ host }) => isLoopback(host))
  const found = here ?? offered[0]
  if (found === undefined) return { _tag: "None" }
  return { _tag: here === undefined ? "Elsewhere" : "Here", origin: `http://${inUrl(found.host)}:${found.port}` }
}

const Refusal = Schema.Struct({ reason: Schema.String, detail: Schema.optionalKey(Schema.String) })

export const open = Effect.fnUntraced(function* (origin: string, { grant, id }: ClientConnection) {
  const http = yield* HttpClient.HttpClient
  const counted = { rxBytes: 0, txBytes: 0 }
  const count = ({ received, sent }: { readonly sent: number; readonly received: number }, times: 1 | -1) => {
    counted.txBytes += sent * times
    counted.rxBytes += received * times
  }

  const call = (request: HttpClientRequest.HttpClientRequest) =>
    http.execute(request).pipe(
      Effect.timeout("5 seconds"),
      Effect.mapError(() => new TunnelClosed({ reason: "unreachable", detail: `Nobody answers at ${origin}.` })),
      Effect.flatMap((response) => (response.status < 300 ? Effect.void : refusalOf(response)))
    )

  yield* call(
    HttpClientRequest.post(`${origin}/connect`).pipe(HttpClientRequest.bodyJsonUnsafe({ grant: Redacted.value(grant) }))
  )
  return {
    counted,
    // Counted as it is sent: whoever stops waiting for the answer has sent it nevertheless.
    exchange: (bytes) =>
      Effect.suspend(() => {
        count(bytes, 1)
        return call(
          HttpClientRequest.post(`${origin}/connections/${id}/traffic`).pipe(HttpClientRequest.bodyJsonUnsafe(bytes))
        ).pipe(Effect.tapError(() => Effect.sync(() => count(bytes, -1))))
      }),
    hangUp: Effect.ignore(call(HttpClientRequest.delete(`${origin}/connections/${id}`)))
  } satisfies Tunnel
})

const refusalOf = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
  const body = yield* Effect.orElseSucceed(Effect.flatMap(response.json, Schema.decodeUnknownEffect(Refusal)), () => ({
    reason: `http_${response.status}`
  }))
  const { detail = "The gateway closed the connection.", reason } = body as typeof Refusal.Type
  return yield* new TunnelClosed({ reason, detail })
})

/** What somebody might have sent and received within a few seconds. */
export const somebody = (seconds: number) =>
  Effect.gen(function* () {
    const received = Math.round(seconds * (yield* Random.nextBetween(20_000, 400_000)))
    return { received, sent: Math.round(received * (yield* Random.nextBetween(0.04, 0.2))) }
  })
