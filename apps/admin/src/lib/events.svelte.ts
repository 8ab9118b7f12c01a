/** The newest events, which go on coming while somebody looks at the top of their list, and wait while they read. */
import type { EventPlace } from "@broker/domain/Event"
import type { EventView } from "./events.ts"
import { isWatched } from "./fresh.ts"
import { rounds } from "./rounds.ts"

const lookEvery = 2_000

/** What was told since. */
export interface News {
  /** The newest first. */
  readonly events: ReadonlyArray<EventView>
  /** Where to go on from. */
  readonly next: EventPlace
}

interface Options {
  /** The first page of the list, the newest first. */
  readonly page: ReadonlyArray<EventView>
  readonly limit: number
  /** How far the feed had come when the page was asked for. */
  readonly after: EventPlace
  /** What came after a place; missing where the list is not open at its new end. */
  readonly ask: ((after: EventPlace) => Promise<News>) | undefined
  /** Whether what is shown has to stay as it is. */
  readonly held: () => boolean
}

export class LatestEvents {
  #rows = $state.raw<ReadonlyArray<EventView>>([])
  /** Those that wait to be shown, the newest first. */
  #waiting = $state.raw<ReadonlyArray<EventView>>([])
  /** Those that came by themselves, to be pointed out. */
  #came = $state.raw<ReadonlySet<string>>(new Set())
  #after: EventPlace
  readonly #options: Options

  constructor(options: Options) {
    this.#options = options
    this.#rows = options.page
    this.#after = options.after
  }

  get rows() {
    return this.#rows
  }

  /** How many wait to be shown; never more than a page. */
  get waiting() {
    return this.#waiting.length
  }

  get isFull() {
    return this.#waiting.length >= this.#options.limit
  }

  hasJustCome({ id }: Pick<EventView, "id">) {
    return this.#came.has(id)
  }

  show() {
    if (this.#waiting.length === 0) return
    this.#came = new Set(this.#waiting.map(({ id }) => id))
    this.#rows = [...this.#waiting, ...this.#rows].slice(0, this.#options.limit)
    this.#waiting = []
  }

  /** Asks for what is new until the returned function is called. */
  follow() {
    return rounds(lookEvery, () => (isWatched() ? this.look() : undefined))
  }

  /** A question that gets no answer is asked again by itself. */
  async look() {
    const news = await this.#options.ask?.(this.#after).catch(() => undefined)
    if (news !== undefined) {
      this.#after = news.next
      const known = new Set([...this.#waiting, ...this.#rows].map(({ id }) => id))
      const later = news.events.filter(({ id }) => !known.has(id))
      if (later.length > 0) this.#waiting = [...later, ...this.#waiting].slice(0, this.#options.limit)
    }
    if (!this.#options.held()) this.show()
  }
}
