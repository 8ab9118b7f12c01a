/** HTTP by hand, over one connection that is kept: what no client library would send. */
import { connect, type Socket } from "node:net"

export interface RawAnswer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** What of an answer has come so far, or undefined when it is not all there. */
const read = (bytes: Buffer, isHead: boolean): readonly [answer: RawAnswer, rest: Buffer] | undefined => {
  const end = bytes.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const [line = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n")
  const headers = new Headers(
    lines.map((each): [string, string] => {
      const colon = each.indexOf(":")
      return [each.slice(0, colon), each.slice(colon + 1).trim()]
    })
  )
  const status = Number(line.split(" ")[1])
  let at = end + 4
  // Not yet the answer, but the word to go on.
  if (status < 200) return read(bytes.subarray(at), isHead)
  if (isHead || status === 204 || status === 304) return [{ status, headers, text: "" }, bytes.subarray(at)]
  if (headers.get("transfer-encoding") !== "chunked") {
    const length = Number(headers.get("content-length") ?? 0)
    if (bytes.length < at + length) return undefined
    return [{ status, headers, text: bytes.toString("utf8", at, at + length) }, bytes.subarray(at + length)]
  }
  const chunks: Array<Buffer> = []
  while (true) {
    const lineEnd = bytes.indexOf("\r\n", at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16)
    if (bytes.length < lineEnd + 2 + size + 2) return undefined
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
    if (size === 0) return [{ status, headers, text: Buffer.concat(chunks).toString() }, bytes.subarray(at)]
  }
}

export interface RawRequest {
  readonly method: string
  readonly path: string
  /** As they are written, in that order; a Host is written where none is. */
  readonly headers?: ReadonlyArray<readonly [name: string, value: string]>
  readonly body?: string | Uint8Array | undefined
  /** The body in chunks of that many bytes, of unknown length. */
  readonly chunkedBy?: number
}

const bytesOf = ({ body, chunkedBy, headers = [], method, path }: RawRequest) => {
  const payload = Buffer.from(body ?? "")
  const framing: ReadonlyArray<readonly [string, string]> =
    chunkedBy !== undefined
      ? [["transfer-encoding", "chunked"]]
      : body === undefined
        ? []
        : [["content-length", String(payload.length)]]
  const host: ReadonlyArray<readonly [string, string]> = headers.some(([name]) => name.toLowerCase() === "host")
    ? []
    : [["host", "127.0.0.1"]]
  const head = [...host, ...headers, ...framing].map(([name, value]) => `${name}: ${value}\r\n`).join("")
  const start = Buffer.from(`${method} ${path} HTTP/1.1\r\n${head}\r\n`, "latin1")
  if (chunkedBy === undefined) return Buffer.concat([start, payload])
  const chunks: Array<Buffer> = []
  for (let at = 0; at < payload.length; at += chunkedBy) {
    const chunk = payload.subarray(at, at + chunkedBy)
    chunks.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"))
  }
  return Buffer.concat([start, ...chunks, Buffer.from("0\r\n\r\n")])
}

/** A connection that is opened anew when the broker has closed it. */
export const raw = (url: string) => {
  const { hostname, port } = new URL(url)
  let socket: Socket | undefined

  const open = () => {
    if (socket !== undefined && !socket.destroyed && socket.writable) return socket
    socket = connect(Number(port), hostname)
    socket.setNoDelay(true)
    return socket
  }

  /** The answer; undefined where the broker hung up without one. */
  const send = (bytes: Uint8Array, isHead = false) =>
    new Promise<RawAnswer | undefined>((resolve) => {
      const on = open()
      let got: Buffer = Buffer.alloc(0)
      const done = (answer: RawAnswer | undefined, rest = 0) => {
        on.off("data", data).off("close", closed).off("error", failed)
        on.on("error", () => {})
        if (answer === undefined || rest > 0 || answer.headers.get("connection") === "close") on.destroy()
        resolve(answer)
      }
      const data = (chunk: Buffer) => {
        got = Buffer.concat([got, chunk])
        const answer = read(got, isHead)
        if (answer !== undefined) done(answer[0], answer[1].length)
      }
      const closed = () => done(read(got, isHead)?.[0])
      const failed = () => {}
      on.removeAllListeners("error")
      on.on("data", data).on("close", closed).on("error", failed)
      on.write(bytes)
    })

  return {
    send,
    ask: (request: RawRequest) => send(bytesOf(request), request.method === "HEAD"),
    close: () => socket?.destroy()
  }
}
