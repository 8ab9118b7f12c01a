/**
 * A request whose body is refused when it is not UTF-8, instead of being repaired silently, and is never read beyond the
 * limit, however it is read: also as a stream, as web handlers do.
 */
import { Effect, Inspectable, type Option, type Schema, Stream } from "effect"
import { type Headers, HttpIncomingMessage, HttpServerError, HttpServerRequest, UrlParams } from "effect/http"

type Request = HttpServerRequest.HttpServerRequest
type Body = Effect.Effect<Uint8Array, HttpServerError.HttpServerError>

const utf8 = new TextDecoder("utf-8", { fatal: true })

export class StrictRequest extends Inspectable.Class implements Request {
  readonly [HttpServerRequest.TypeId]: typeof HttpServerRequest.TypeId = HttpServerRequest.TypeId
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  private readonly inner: Request
  private readonly reader: Request

  /** A modified request reads the body through the one it came from, which keeps it. */
  constructor(inner: Request, reader: Request = inner) {
    super()
    this.inner = inner
    this.reader = reader
  }

  private malformed(cause: unknown) {
    return new HttpServerError.HttpServerError({
      reason: new HttpServerError.RequestParseError({ request: this, reason: "Parse", cause })
    })
  }

  private get bytes(): Body {
    return Effect.map(this.reader.arrayBuffer, (buffer) => new Uint8Array(buffer))
  }

  get arrayBuffer() {
    return this.reader.arrayBuffer
  }

  get text(): Effect.Effect<string, HttpServerError.HttpServerError> {
    return Effect.flatMap(this.reader.arrayBuffer, (buffer) => {
      try {
        return Effect.succeed(utf8.decode(buffer))
      } catch (cause) {
        return Effect.fail(this.malformed(cause))
      }
    })
  }

  get json(): Effect.Effect<Schema.Json, HttpServerError.HttpServerError> {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({
        try: (): Schema.Json => (text === "" ? null : JSON.parse(text)),
        catch: (cause) => this.malformed(cause)
      })
    )
  }

  get stream(): Stream.Stream<Uint8Array, HttpServerError.HttpServerError> {
    return Stream.fromEffect(Effect.andThen(this.text, this.bytes))
  }

  get urlParamsBody() {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get multipart() {
    return this.inner.multipart
  }

  get multipartStream() {
    return this.inner.multipartStream
  }

  get source() {
    return this.inner.source
  }

  /** Where the platform's accessors look for Node's response. */
  get response(): unknown {
    return "response" in this.inner ? this.inner.response : undefined
  }

  get url() {
    return this.inner.url
  }

  get originalUrl() {
    return this.inner.originalUrl
  }

  get method() {
    return this.inner.method
  }

  get headers() {
    return this.inner.headers
  }

  get cookies() {
    return this.inner.cookies
  }

  get remoteAddress() {
    return this.inner.remoteAddress
  }

  get peerAddress() {
    return this.inner.peerAddress
  }

  get protocol() {
    return this.inner.protocol
  }

  get upgrade() {
    return this.inner.upgrade
  }

  upgradeWith(options: { readonly headers?: Headers.Input | undefined }) {
    return this.inner.upgradeWith(options)
  }

  modify(options: {
    readonly url?: string
    readonly headers?: Headers.Headers
    readonly remoteAddress?: Option.Option<string>
    readonly peerAddress?: Option.Option<string>
    readonly protocol?: "http" | "https"
  }): Request {
    return new StrictRequest(this.inner.modify(options), this.reader)
  }

  toJSON() {
    return this.inner.toJSON()
  }
}
