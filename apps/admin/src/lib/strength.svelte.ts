/** Has passwords judged as the broker will: in a worker, which comes with the first character. */
import type { Judgement, Question } from "./meter.ts"

/** Without a pause nothing is judged: whoever types has not finished. */
const pause = 200

export class Strength {
  #judgement = $state.raw<Judgement | null>(null)
  #worker: Worker | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  /** The latest judgement; of what was typed before, as long as there is none of what is typed now. */
  get judgement() {
    return this.#judgement
  }

  /** To be judged soon, unless something else follows at once. */
  ask(question: Question) {
    clearTimeout(this.#timer)
    if (question.password === "") {
      this.#judgement = null
      return
    }
    this.#timer = setTimeout(() => this.#started().postMessage(question), pause)
  }

  stop() {
    clearTimeout(this.#timer)
    this.#worker?.terminate()
    this.#worker = undefined
  }

  #started() {
    if (this.#worker === undefined) {
      this.#worker = new Worker(new URL("./strength-worker.ts", import.meta.url), { type: "module" })
      this.#worker.addEventListener("message", ({ data }: MessageEvent<Judgement>) => {
        this.#judgement = data
      })
    }
    return this.#worker
  }
}
