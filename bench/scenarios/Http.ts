/** Requests that cost whoever asks as little as can be, so that it is the broker that is measured. */
import { Agent, request } from "node:http"
import type { Outcome } from "./Recorder.ts"

export interface Answer extends Outcome {
  readonly text: string
  readonly retryAfter: number | undefined
}

export interface Ask {
  readonly bearer?: string | undefined
  readonly body?: unknown
  readonly cookie?: string | undefined
}

const codeIn = (text: string) => /"code":\s*"(\w+)"/.exec(text)?.[1]

export class Http {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1_024, scheduling: "lifo" })
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  /** Never fails: what went wrong is its code. */
  ask(method: string, path: string, { bearer, body, cookie }: Ask = {}): Promise<Answer> {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(cookie === undefined ? {} : { cookie }),
      ...(payload === undefined
        ? {}
        : { "content-type": "application/json", "content-length": Buffer.byteLength(payload) })
    }
    return new Promise((resolve) => {
      const asking = request(
        `${this.#url}${path}`,
        { method, headers, agent: this.#agent, timeout: 30_000 },
        (answer) => {
          const parts: Array<Buffer> = []
          answer.on("data", (part: Buffer) => parts.push(part))
          answer.on("end", () => {
            const text = Buffer.concat(parts).toString()
            const status = answer.statusCode ?? 0
            const after = Number(answer.headers["retry-after"])
            resolve({
              status,
              text,
              code: status >= 400 ? (codeIn(text) ?? String(status)) : undefined,
              retryAfter: Number.isFinite(after) ? after : undefined
            })
          })
          answer.on("error", () => resolve({ status: 0, text: "", code: "cut_off", retryAfter: undefined }))
        }
      )
      asking.on("timeout", () => asking.destroy(new Error("no answer within 30 s")))
      asking.on("error", (error: NodeJS.ErrnoException) =>
        resolve({ status: 0, text: "", code: error.code ?? error.message, retryAfter: undefined })
      )
      asking.end(payload)
    })
  }

  close() {
    this.#agent.destroy()
  }
}
