/** HTTP by hand, over real sockets: what a well-behaved client would never send, or not so slowly. */

import { connect } from "node:net"
import { Effect } from "effect"
import { HttpServer } from "effect/http"

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly json: Readonly<Record<string, unknown>>
  /** From connecting until the connection was closed or the answer was complete. */
  readonly ms: number
}

const unchunked = (text: string): string => {
  const line = text.indexOf("\r\n")
  const length = Number.parseInt(text.slice(0, line), 16)
  if (line === -1 || !(length > 0)) return ""
  return text.slice(line + 2, line + 2 + length) + unchunked(text.slice(line + 4 + length))
}

const parse = (bytes: Buffer, ms: number): Answer => {
  const text = bytes.toString("utf8")
  const end = text.indexOf("\r\n\r\n")
  const [statusLine = "", ...lines] = text.slice(0, end === -1 ? 0 : end).split("\r\n")
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
  )
  const rest = end === -1 ? "" : text.slice(end + 4)
  const body = headers["transfer-encoding"] === "chunked" ? unchunked(rest) : rest
  return {
    status: Number(statusLine.split(" ")[1] ?? 0),
    headers,
    body,
    get json() {
      return JSON.parse(body)
    },
    ms
  }
}

export const port = Effect.map(HttpServer.HttpServer, ({ address }) => {
  if (!("port" in address)) throw new Error("not listening on TCP")
  return address.port
})

/** Sends bytes, at once or one by one, and reads until the connection is closed. */
export const send = Effect.fnUntraced(function* (
  bytes: Buffer | string,
  options: { readonly everyMs?: number; readonly giveUpMs?: number } = {}
) {
  const to = yield* port
  const data = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes)
  return yield* Effect.callback<Answer>((resume) => {
    const started = performance.now()
    const socket = connect(to, "127.0.0.1")
    const received: Array<Buffer> = []
    let timer: NodeJS.Timeout | undefined
    const done = () => {
      clearInterval(timer)
      clearTimeout(giveUp)
      socket.destroy()
      resume(Effect.succeed(parse(Buffer.concat(received), performance.now() - started)))
    }
    const giveUp = setTimeout(done, options.giveUpMs ?? 5000)
    socket.on("connect", () => {
      if (options.everyMs === undefined) {
        socket.write(data)
        return
      }
      let sent = 0
      timer = setInterval(() => {
        if (sent < data.length && socket.writable) socket.write(data.subarray(sent, ++sent))
      }, options.everyMs)
    })
    socket.on("data", (chunk) => received.push(chunk))
    socket.on("error", () => {})
    socket.on("close", done)
  })
})

type Headers = Readonly<Record<string, string | number | null>>

const lines = (headers: Headers) =>
  Object.entries(headers)
    .flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}\r\n`]))
    .join("")

export const request = (method: string, path: string, headers: Headers = {}) =>
  `${method} ${path} HTTP/1.1\r\n${lines({ host: "broker.test", connection: "close", ...headers })}\r\n`

export const get = (path: string, headers: Headers = {}) => send(request("GET", path, headers))

export const posting = (path: string, body: string | Buffer, headers: Headers = {}) => {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body)
  return Buffer.concat([
    Buffer.from(
      request("POST", path, {
        "content-type": "application/json",
        "content-length": bytes.length,
        ...headers
      })
    ),
    bytes
  ])
}

export const post = (path: string, body: string | Buffer, headers: Headers = {}) => send(posting(path, body, headers))

/** A body in chunks, whose length nobody can know beforehand. */
export const postChunked = (path: string, chunks: ReadonlyArray<Buffer>) =>
  send(
    Buffer.concat([
      Buffer.from(request("POST", path, { "content-type": "application/json", "transfer-encoding": "chunked" })),
      ...chunks.flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")]),
      Buffer.from("0\r\n\r\n")
    ])
  )
