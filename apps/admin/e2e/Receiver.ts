/** What webhooks lead to in stories: a server that keeps what it is sent, and answers as it is told to. */
import { createServer } from "node:http"

interface Received {
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
}

export interface Receiver extends AsyncDisposable {
  readonly url: string
  readonly requests: ReadonlyArray<Received>
  /** How it answers from now on. */
  answer: (status: number, body?: string) => void
  /** The first request that fits, once it has come. */
  received: (fits: (request: Received) => boolean) => Promise<Received>
}

export const openReceiver = async (): Promise<Receiver> => {
  const requests: Array<Received> = []
  const waiting = new Set<() => void>()
  let [status, text] = [200, '{"taken":true}']
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      requests.push({ headers: request.headers, body: Buffer.concat(chunks).toString() })
      response.writeHead(status, { "content-type": "application/json" }).end(text)
      for (const look of waiting) look()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("It has no port")
  return {
    url: `http://127.0.0.1:${address.port}/events`,
    requests,
    answer: (next, body = "") => {
      status = next
      text = body
    },
    received: (fits) =>
      new Promise((resolve) => {
        const look = () => {
          const found = requests.find(fits)
          if (found === undefined) return
          waiting.delete(look)
          resolve(found)
        }
        waiting.add(look)
        look()
      }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
}
