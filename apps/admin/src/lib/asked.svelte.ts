/** What a part of a page asks for by itself: the answer, what went wrong, and that it is asked anew. */
import { explain } from "./problems.ts"

export class Asked<Answer> {
  value = $state.raw<Answer | null>(null)
  /** Why there is no newer answer, in words. */
  failure = $state<string | null>(null)
  busy = $state(false)
  #turn = 0

  /** Old answers stay until there is a new one; only the answer to the last question counts. */
  async ask(question: () => Promise<Answer>) {
    const turn = ++this.#turn
    this.busy = true
    try {
      const value = await question()
      if (turn !== this.#turn) return
      this.value = value
      this.failure = null
    } catch (error) {
      if (turn !== this.#turn) return
      const { message, remedy } = explain(error)
      this.failure = [message, remedy].filter((part) => part !== null).join(" ")
    }
    this.busy = false
  }
}
