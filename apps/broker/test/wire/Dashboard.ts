/** The dashboard by hand: its session, its procedures, its stream. */
import { adminRouter } from "@broker/admin-rpc/router"
import type { Meta } from "@broker/admin-rpc/trpc"
import { type Answer, type Ask, ask, eventually, type Json } from "./Wire.ts"

/** A procedure as the router knows it. */
export interface Definition {
  readonly name: string
  readonly type: "query" | "mutation" | "subscription"
  readonly meta: Meta | undefined
  readonly inputs: ReadonlyArray<unknown>
}

/** Every procedure there is, found by walking the router. */
export const procedures: ReadonlyArray<Definition> = Object.entries(
  // Flat at run time, whatever the types of tRPC say.
  adminRouter._def.procedures as unknown as Readonly<Record<string, { readonly _def: Omit<Definition, "name"> }>>
).map(([name, { _def }]) => ({ name, type: _def.type, meta: _def.meta, inputs: _def.inputs }))

interface Home {
  readonly url: string
}

/** The pair that goes back to the broker. */
export const cookieOf = (answer: Answer) => {
  const cookie = answer.headers.getSetCookie()[0]?.split(";")[0]
  if (cookie === undefined) throw new Error(`no cookie in ${answer.status} ${answer.text}`)
  return cookie
}

export const signIn = async ({ url }: Home, name: string, password: string) =>
  cookieOf(await ask(url, "POST", "/rpc/session", { body: { name, password } }))

export const procedure = (
  { url }: Home,
  type: "query" | "mutation",
  name: string,
  input: unknown,
  cookie?: string,
  given: Ask = {}
) => {
  const headers = { ...(cookie === undefined ? {} : { cookie }), ...given.headers }
  // Also where there is no input: it is no JSON then, but a request of tRPC's all the same.
  const json = { "content-type": "application/json" }
  if (type === "mutation") return ask(url, "POST", `/rpc/${name}`, { body: input, headers: { ...json, ...headers } })
  const query = input === undefined ? "" : `?input=${encodeURIComponent(JSON.stringify(input))}`
  return ask(url, "GET", `/rpc/${name}${query}`, { headers })
}

/** What tRPC says of a failure. */
export const failure = (answer: Answer) =>
  (answer.json["error"] as { readonly data: { readonly problem: string | null; readonly httpStatus: number } }).data

export interface Live {
  readonly status: number
  readonly events: ReadonlyArray<Json>
  /** The first event from now on, or ever, that fits. */
  readonly next: (what: string, fits: (event: Json) => boolean, withinMs?: number) => Promise<Json>
  /** When the broker ended the stream. */
  readonly ended: Promise<number>
  readonly close: () => void
}

export const watch = async ({ url }: Home, cookie: string, input: unknown): Promise<Live> => {
  const leaving = new AbortController()
  const response = await fetch(`${url}/rpc/fleet.live?input=${encodeURIComponent(JSON.stringify(input))}`, {
    headers: { cookie, accept: "text/event-stream" },
    signal: leaving.signal
  })
  const events: Array<Json> = []
  const read = async () => {
    let rest = ""
    try {
      for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        const blocks = (rest + chunk).split("\n\n")
        rest = blocks.pop() ?? ""
        for (const block of blocks) {
          const data = /^data: (.+)$/m.exec(block)?.[1]
          if (data === undefined || /^event: (connected|ping)$/m.test(block)) continue
          events.push(JSON.parse(data))
        }
      }
    } catch {
      // Cut off, which is an end as well.
    }
    return performance.now()
  }
  return {
    status: response.status,
    events,
    next: (what, fits, withinMs = 5_000) => eventually(what, () => events.find(fits), { withinMs, everyMs: 10 }),
    ended: read(),
    close: () => leaving.abort()
  }
}
