/**
 * The sockets below a connection pool, watched for silence.
 *
 * A network that swallows packets raises nothing: a query on such a connection
 * would hang until the kernel gives up, some 15 minutes later, and neither
 * `statement_timeout` nor `Effect.timeout` ends a waiting COMMIT. So a socket
 * that was written to and heard nothing for too long is destroyed, and with it
 * every other that has been quiet as long: they share the network, and the pool
 * replaces them.
 *
 * Unix-domain sockets have no network to fail and are left to the driver.
 */

import * as Net from "node:net"
import { Duplex } from "node:stream"
import { Duration, Option, Redacted } from "effect"

interface Target {
  readonly host: string
  readonly port: number
  readonly isEncrypted: boolean
}

/** Where a URL points to, read as the driver reads it. None for a Unix-domain socket or no URL at all. */
export const target = (url: Redacted.Redacted): Option.Option<Target> => {
  if (!URL.canParse(Redacted.value(url))) return Option.none()
  const { hostname, port, searchParams } = new URL(Redacted.value(url))
  const bare = hostname.startsWith("[") ? hostname.slice(1, -1) : decodeURIComponent(hostname)
  const host = searchParams.get("host") ?? (bare === "" ? "localhost" : bare)
  if (host.startsWith("/")) return Option.none()
  return Option.some({
    host,
    port: Number(searchParams.get("port") ?? (port === "" ? 5432 : port)),
    isEncrypted: !["disable", null].includes(searchParams.get("sslmode"))
  })
}

/** Most statements are answered sooner; those that wait no longer than this are left alone when others are not. */
const ordinary = 1_000

class WatchedSocket extends Net.Socket {
  /** When we began to wait for an answer; 0 while none is due. */
  waitingSince = 0
  heardAt = performance.now()

  constructor() {
    super()
    this.on("data", () => {
      this.waitingSince = 0
      this.heardAt = performance.now()
    })
  }

  override _write(chunk: unknown, encoding: BufferEncoding, callback: (error?: Error | null) => void) {
    this.expectAnswer()
    super._write(chunk, encoding, callback)
  }

  override _writev(
    chunks: Array<{ chunk: unknown; encoding: BufferEncoding }>,
    callback: (error?: Error | null) => void
  ) {
    this.expectAnswer()
    super._writev?.(chunks, callback)
  }

  private expectAnswer() {
    if (this.waitingSince === 0) this.waitingSince = performance.now()
  }
}

/**
 * A socket TLS cannot look behind. Over a plain socket TLS would read and write
 * the file descriptor itself, and the watchdog would see nothing of it.
 */
class Opaque extends Duplex {
  private readonly socket: Net.Socket

  constructor(socket: Net.Socket) {
    super()
    this.socket = socket
    socket.on("data", (chunk) => {
      if (!this.push(chunk)) socket.pause()
    })
    socket.on("end", () => this.push(null))
    socket.on("error", (error) => this.destroy(error))
    socket.on("close", () => this.destroy())
  }

  override _read() {
    this.socket.resume()
  }

  override _write(chunk: unknown, encoding: BufferEncoding, callback: (error?: Error | null) => void) {
    if (typeof chunk === "string") this.socket.write(chunk, encoding, callback)
    else if (chunk instanceof Uint8Array) this.socket.write(chunk, callback)
    else callback(new TypeError("Expected bytes"))
  }

  override _final(callback: (error?: Error | null) => void) {
    this.socket.end(callback)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void) {
    this.socket.destroy()
    callback(error)
  }
}

export interface PgLink {
  /** Opens a socket; the driver's `stream` option. */
  readonly stream: () => Duplex
  /** How many sockets were destroyed for their silence. */
  readonly silenced: () => number
}

/** A factory of watched sockets. A `silence` below `statement_timeout` would take slow statements for a dead link. */
export const make = (to: Target, silence: Duration.Input): PgLink => {
  const limit = Duration.toMillis(silence)
  const sockets = new Set<WatchedSocket>()
  let timer: NodeJS.Timeout | undefined
  let silenced = 0

  const condemn = (socket: WatchedSocket) => {
    silenced += 1
    socket.destroy(Object.assign(new Error(`PostgreSQL was silent for ${limit} ms`), { code: "ETIMEDOUT" }))
  }

  const check = () => {
    const now = performance.now()
    const all = [...sockets]
    if (!all.some(({ waitingSince }) => waitingSince !== 0 && now - waitingSince > limit)) return
    for (const socket of all) {
      const { heardAt, waitingSince } = socket
      const isPatient = waitingSince !== 0 && now - waitingSince < ordinary
      if (now - heardAt > limit && !isPatient) condemn(socket)
    }
  }

  const stream = () => {
    const socket = new WatchedSocket()
    sockets.add(socket)
    timer ??= setInterval(check, Math.min(250, limit / 4)).unref()
    socket.once("close", () => {
      sockets.delete(socket)
      if (sockets.size > 0) return
      clearInterval(timer)
      timer = undefined
    })
    socket.setNoDelay(true).setKeepAlive(true, 5_000).connect(to.port, to.host)
    return to.isEncrypted ? new Opaque(socket) : socket
  }

  return { stream, silenced: () => silenced }
}
