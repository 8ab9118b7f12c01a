/** The connections on screen: a page of a list, kept current by what the broker announces. */
import type { ConnectionCounts, ConnectionId } from "@broker/domain/Connection"
import { untrack } from "svelte"
import type { ConnectionView } from "./fleet.ts"
import { live } from "./live.svelte.ts"
import { patched } from "./rows.ts"

/** So often, at most, it is asked what is new. */
const lookEvery = 2_000

interface Options {
  readonly page: ReadonlyArray<ConnectionView>
  readonly full: boolean
  /** Asks for the same page anew; missing where it is not the first, to which nothing is added. */
  readonly ask: (() => Promise<ReadonlyArray<ConnectionView>>) | undefined
}

export class Connections {
  #rows = $state.raw<ReadonlyArray<ConnectionView>>([])
  #fresh = $state(0)
  #counts = $state.raw<ConnectionCounts | null>(null)

  readonly #ids: ReadonlyArray<ConnectionId>
  readonly #options: Options
  #looking: ReturnType<typeof setTimeout> | undefined
  #lookedAt = 0

  constructor(options: Options) {
    this.#options = options
    this.#rows = options.page
    this.#ids = options.page.map((connection) => connection.id)
  }

  get rows() {
    return this.#rows
  }

  /** How many more match now. They are not pushed in between the rows. */
  get fresh() {
    return this.#fresh
  }

  /** How many stand where, once it was told. */
  get counts() {
    return this.#counts
  }

  /** Follows what is on screen until the returned function is called. */
  follow() {
    const unwatch = untrack(() =>
      live.watch({
        connections: {
          ids: this.#ids,
          changed: (connections) => {
            this.#rows = patched(this.#rows, connections)
          }
        },
        connecting: (counts) => {
          this.#counts = counts
          this.#lookSoon()
        }
      })
    )
    return () => {
      clearTimeout(this.#looking)
      unwatch()
    }
  }

  #lookSoon() {
    if (this.#options.ask === undefined) return
    this.#looking ??= setTimeout(() => void this.#look(), Math.max(0, this.#lookedAt + lookEvery - Date.now()))
  }

  /** A question that gets no answer is asked again with the next news. */
  async #look() {
    this.#looking = undefined
    this.#lookedAt = Date.now()
    const { ask, full } = this.#options
    const now = (await ask?.().catch(() => undefined)) ?? []
    const known = new Set(this.#ids)
    const last = full ? this.#ids.at(-1) : undefined
    this.#fresh = now.filter(({ id }) => !known.has(id) && (last === undefined || id > last)).length
  }
}
