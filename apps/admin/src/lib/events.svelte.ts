/** The newest events, which go on coming while somebody looks at the top of their list, and wait while they read. */
import { cursorBelow, type EventPlace } from "@broker/domain/Event"
import type { EventView } from "./events.ts"
import { isWatched } from "./fresh.ts"
import { rounds } from "./rounds.ts"
import { millis } from "./time.ts"

const lookEvery = 2_000

/** As the list has them, the newest first: by time, and ties by place. The feed tells them in the order of commits. */
const inOrder = (events: ReadonlyArray<EventView>) =>
  events.toSorted((one, other) => millis(other.at) - millis(one.at) || Number(BigInt(other.place) - BigInt(one.place)))

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
  /** Where the list goes on below that page. */
  readonly nextCursor: string | null
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
  /** Whether some had no room any more, of those that wait and of those that are shown. */
  #overflows = false
  #isCut = $state(false)
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

  /** Where the list goes on below what is shown: what had to make room is on the next page. */
  get nextCursor() {
    const last = this.#rows.at(-1)
    return this.#isCut && last !== undefined ? cursorBelow(last.place) : this.#options.nextCursor
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
    const all = inOrder([...this.#waiting, ...this.#rows])
    this.#rows = all.slice(0, this.#options.limit)
    if (this.#overflows || all.length > this.#options.limit) this.#isCut = true
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
      const all = inOrder([...later, ...this.#waiting])
      if (all.length > this.#options.limit) this.#overflows = true
      if (later.length > 0) this.#waiting = all.slice(0, this.#options.limit)
    }
    if (!this.#options.held()) this.show()
  }
}
