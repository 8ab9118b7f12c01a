/**
 * What is written in a field that searches: asked for where the writing rests, and dropped where something else takes
 * its place, such as another view, or a page without the field.
 */
export class Typing {
  readonly #search: (text: string) => void
  readonly #rest: number
  #timer: ReturnType<typeof setTimeout> | undefined
  /** What was asked for and is not on the page yet, the oldest first. */
  #asked: ReadonlyArray<string> = []

  constructor(rest: number, search: (text: string) => void) {
    this.#rest = rest
    this.#search = search
  }

  write(text: string) {
    this.stop()
    this.#timer = setTimeout(() => this.ask(text), this.#rest)
  }

  /** Does not wait for a rest. */
  ask(text: string) {
    this.stop()
    this.#asked = [...this.#asked, text.trim()]
    this.#search(text)
  }

  /** Whether what the page searches for now comes from elsewhere than this field. */
  isForeign(value: string) {
    const at = this.#asked.indexOf(value.trim())
    this.#asked = at === -1 ? [] : this.#asked.slice(at + 1)
    if (at === -1) this.stop()
    return at === -1
  }

  stop() {
    clearTimeout(this.#timer)
  }
}
