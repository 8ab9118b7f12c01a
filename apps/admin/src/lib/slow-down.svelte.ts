/** Too many attempts: how long the next one has to wait. */
import { clock } from "./clock.svelte.ts"
import { HttpProblem } from "./http.ts"

export class SlowDown {
  #until = $state(0)
  #announced = $state<number | null>(null)

  /** Whole seconds that are left. */
  readonly seconds = $derived(this.#until === 0 ? 0 : Math.max(0, Math.ceil((this.#until - clock.now) / 1_000)))

  /** How long the wait was when it began; null where there was none. */
  get announced() {
    return this.#announced
  }

  /** Whether the error was one of too many attempts; then the wait has begun. */
  takes(error: unknown) {
    if (!(error instanceof HttpProblem) || error.told.retryAfterSeconds === null) return false
    const seconds = Math.max(1, Math.ceil(error.told.retryAfterSeconds))
    this.#until = Date.now() + seconds * 1_000
    this.#announced = seconds
    return true
  }

  clear() {
    this.#until = 0
    this.#announced = null
  }
}
