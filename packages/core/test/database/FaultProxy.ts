/** A network between a pool and PostgreSQL that can be made to swallow everything, or to cut. */

import * as Net from "node:net"
import { Effect, Redacted } from "effect"

interface FaultProxy {
  /** The database, through this network. */
  readonly url: Redacted.Redacted
  /** Holds every byte back from now on and keeps the sockets open: nobody is told. */
  readonly stall: Effect.Effect<void>
  /** Lets pass what comes from now on; what was held back stays lost. */
  readonly heal: Effect.Effect<void>
  /** Resets every connection. */
  readonly cut: Effect.Effect<void>
  /** How many connections were opened so far. */
  readonly accepted: Effect.Effect<number>
}

export const make = Effect.fn("FaultProxy.make")(function* (to: Redacted.Redacted) {
  const target = new URL(Redacted.value(to))
  const sockets = new Set<Net.Socket>()
  let stalled = false
  let accepted = 0

  /** A connection that was stalled never recovers: bytes are missing from it. */
  const wire = (from: Net.Socket, into: Net.Socket) => {
    let broken = false
    sockets.add(from)
    from.on("data", (chunk) => {
      broken ||= stalled
      if (!broken && !into.destroyed) into.write(chunk)
    })
    from.on("error", () => {})
    from.on("close", () => {
      sockets.delete(from)
      if (!broken && !stalled) into.destroy()
    })
  }

  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer((client) => {
        accepted += 1
        const upstream = Net.connect(Number(target.port), target.hostname)
        wire(client, upstream)
        wire(upstream, client)
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )
  const address = server.address()
  const url = new URL(target)
  url.port = typeof address === "object" && address !== null ? `${address.port}` : ""

  return {
    url: Redacted.make(url.href),
    stall: Effect.sync(() => {
      stalled = true
    }),
    heal: Effect.sync(() => {
      stalled = false
    }),
    cut: Effect.sync(() => {
      for (const socket of sockets) socket.resetAndDestroy()
    }),
    accepted: Effect.sync(() => accepted)
  } satisfies FaultProxy
})
