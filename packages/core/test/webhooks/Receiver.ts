/** A real receiver of webhooks, on an address of this machine. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { Effect, Queue } from "effect"

export interface Received {
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

/** Answers as it is told; what it got stands in a queue, in the order in which it came. */
export const receiver = Effect.fnUntraced(function* (
  answer: (request: Received, response: ServerResponse) => void,
  host = "127.0.0.1"
) {
  const received = yield* Queue.unbounded<Received>()
  let connections = 0
  const server = yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const one = { path: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks).toString() }
          Queue.offerUnsafe(received, one)
          answer(one, response)
        })
      })
      server.on("connection", () => {
        connections += 1
      })
      server.listen(0, host, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { host, port, url: `http://${host}:${port}`, received, connections: () => connections }
})
