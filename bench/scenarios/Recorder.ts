/** What became of each request, by its kind and by the second. */
import { percentile } from "../measure.ts"
import type { Moment, Operation } from "./Result.ts"

export interface Outcome {
  readonly status: number
  /** Of a problem; what the socket said where there was no answer. */
  readonly code?: string | undefined
}

interface Kind {
  readonly times: Array<number>
  readonly errors: Map<string, number>
}

interface Second {
  readonly times: Array<number>
  errors: number
}

const round = (value: number) => (Number.isFinite(value) ? Math.round(value * 10) / 10 : null)

export class Recorder {
  readonly #kinds = new Map<string, Kind>()
  readonly #seconds: Array<Second> = []
  #began: number | undefined

  begin() {
    this.#began = performance.now()
  }

  /** Seconds since it began. */
  get elapsed() {
    return this.#began === undefined ? 0 : (performance.now() - this.#began) / 1_000
  }

  get done() {
    return this.#seconds.reduce((sum, { times }) => sum + times.length, 0)
  }

  /** Notes a request that is over. `due` is when it should have been sent: whoever asks late waited as well. */
  note(kind: string, due: number, { code, status }: Outcome) {
    if (this.#began === undefined) return
    const now = performance.now()
    const at = Math.floor((now - this.#began) / 1_000)
    while (this.#seconds.length <= at) this.#seconds.push({ times: [], errors: 0 })
    const second = this.#seconds[at]
    const known = this.#kinds.get(kind) ?? { times: [], errors: new Map<string, number>() }
    this.#kinds.set(kind, known)
    if (status >= 200 && status < 400) {
      known.times.push(now - due)
      second?.times.push(now - due)
      return
    }
    const error = code ?? String(status)
    known.errors.set(error, (known.errors.get(error) ?? 0) + 1)
    if (second !== undefined) second.errors += 1
  }

  operations(seconds: number): ReadonlyArray<Operation> {
    return [...this.#kinds].map(([name, { errors, times }]) => ({
      name,
      count: times.length,
      perSecond: round(times.length / seconds) ?? 0,
      p50: round(percentile(times, 0.5)),
      p90: round(percentile(times, 0.9)),
      p99: round(percentile(times, 0.99)),
      max: round(percentile(times, 1)),
      errors: Object.fromEntries(errors)
    }))
  }

  moments(): ReadonlyArray<Pick<Moment, "at" | "done" | "errors" | "p50" | "p99">> {
    return this.#seconds.map(({ errors, times }, at) => ({
      at,
      done: times.length,
      errors,
      p50: round(percentile(times, 0.5)),
      p99: round(percentile(times, 0.99))
    }))
  }
}
