/**
 * One request to a target, and what came back. Whatever the target does, it takes bounded time and memory (F14): it may
 * hang, trickle, answer without end, or send elsewhere, where nobody follows.
 */
import type { LookupFunction } from "node:net"
import { isIP } from "node:net"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Context, Duration, Effect, Layer, Option, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import { type Target, Targets } from "./Targets.ts"
import { WebhooksPolicy } from "./WebhooksPolicy.ts"

export interface Sending {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Answer {
  readonly durationMillis: number
  /** Null where there was no answer. */
  readonly status: number | null
  /** Why the request failed; null where it was accepted. */
  readonly problem: string | null
  readonly headers: Readonly<Record<string, string>>
  /** Its beginning. */
  readonly body: string
}

export class Sender extends Context.Service<
  Sender,
  {
    /** Accepted is what was answered by a status of 200 to 299, in time. */
    send(sending: Sending): Effect.Effect<Answer>
  }
>()("@broker/core/webhooks/Sender") {
  static readonly layerNoDeps = Layer.effect(
    Sender,
    Effect.gen(function* () {
      const policy = yield* WebhooksPolicy
      const targets = yield* Targets

      const exchange = Effect.fnUntraced(function* ({ addresses, url }: Target, { body, headers }: Sending) {
        // A connection of its own for each request, so that none outlives what was found out about its address.
        const dispatcher = yield* NodeHttpClient.makeDispatcherOptions({
          connect: { lookup: only(addresses), timeout: Duration.toMillis(policy.timeout) }
        })
        const client = yield* NodeHttpClient.makeUndici.pipe(
          Effect.provideService(NodeHttpClient.Dispatcher, dispatcher)
        )
        const response = yield* client.execute(
          HttpClientRequest.post(url.href, { headers, body: HttpBody.text(body, "application/json") })
        )
        const read = yield* firstBytes(response.stream, policy.answerBytes)
        return {
          status: response.status,
          problem:
            response.status >= 200 && response.status < 300
              ? null
              : response.status >= 300 && response.status < 400
                ? `Answered ${response.status}: redirects are not followed.`
                : `Answered ${response.status}.`,
          headers: shortened(response.headers),
          body: read
        }
      }, Effect.scoped)

      const send = Effect.fn("Sender.send")((sending: Sending) =>
        targets.find(sending.url).pipe(
          Effect.flatMap((target) =>
            exchange(target, sending).pipe(
              Effect.timeoutOption(policy.timeout),
              Effect.map(
                Option.getOrElse(() => failed(`No complete answer within ${Duration.format(policy.timeout)}.`))
              )
            )
          ),
          // What goes to somebody else's machine does not tell how this one counts its work.
          Effect.provideService(HttpClient.TracerPropagationEnabled, false),
          Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
          Effect.catchTag("WebhookTargetRefused", ({ detail }) => Effect.succeed(failed(detail))),
          Effect.catchTag("HttpClientError", (error) => Effect.succeed(failed(reasonOf(error)))),
          Effect.timed,
          Effect.map(([took, answer]): Answer => ({ ...answer, durationMillis: Math.round(Duration.toMillis(took)) }))
        )
      )

      return Sender.of({ send })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Targets.layer))
}

const failed = (problem: string): Omit<Answer, "durationMillis"> => ({ status: null, problem, headers: {}, body: "" })

/** Tells these addresses of whatever name. A name that is an address is never asked for. */
const only =
  (addresses: ReadonlyArray<string>): LookupFunction =>
  (_, options, tell) => {
    const found = addresses.map((address) => ({ address, family: isIP(address) }))
    const [first] = found
    if (options.all === true) tell(null, found)
    else if (first === undefined) tell(new Error("There is no address"), "")
    else tell(null, first.address, first.family)
  }

interface Read {
  readonly read: number
  readonly chunks: ReadonlyArray<Uint8Array>
}

/** The beginning of an answer as text that PostgreSQL can store; the rest is not waited for. */
const firstBytes = <E>(stream: Stream.Stream<Uint8Array, E>, most: number) =>
  stream.pipe(
    Stream.scan(
      (): Read => ({ read: 0, chunks: [] }),
      ({ chunks, read }, chunk) => ({
        read: read + chunk.byteLength,
        chunks: [...chunks, chunk]
      })
    ),
    Stream.takeUntil(({ read }) => read >= most),
    Stream.runLast,
    Effect.map(
      Option.match({
        onNone: () => "",
        onSome: ({ chunks }) => text(Buffer.concat(chunks).subarray(0, most))
      })
    )
  )

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replaceAll("\u0000", "\ufffd")

/** Headers that are kept, and how long each may be. */
const mostHeaders = 50
const longestHeader = 500

const shortened = (headers: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(headers)
      .slice(0, mostHeaders)
      .map(([name, value]) => [
        name.slice(0, longestHeader),
        text(Buffer.from(value, "utf8")).slice(0, longestHeader).toWellFormed()
      ])
  )

/** The words of an error and what caused it, innermost last. */
const reasonOf = (error: unknown, deep = 0): string => {
  if (!(error instanceof Error) || deep > 5) return "The request failed."
  const inner = "reason" in error && error.reason instanceof Error ? error.reason : error.cause
  if (inner instanceof Error) return reasonOf(inner, deep + 1)
  const code = "code" in error && typeof error.code === "string" ? ` (${error.code})` : ""
  return `${error.message === "" ? "The connection failed" : error.message}${code}`.slice(0, 500)
}
