/**
 * The way to the broker: one stream at a time, or one try for a new one, ever less often. It knows nothing of what
 * comes over it.
 */

/** So long a loss is called reconnecting; from then on the broker is away. */
const patience = 8_000
const delays = [500, 1_000, 2_000, 4_000, 8_000, 15_000]

export interface Standing {
  readonly connection: "connecting" | "live" | "lost"
  /** Since when nothing is heard, where that is so. */
  readonly lostAt: number | null
  /** When the next try starts, while there is none. */
  readonly retryAt: number | null
}

export type LinkState = "connecting" | "live" | "reconnecting" | "offline"

/** How long nothing was heard decides, whatever timers ran meanwhile: hidden tabs have none. */
export const stateOf = ({ connection, lostAt }: Standing, now: number): LinkState => {
  if (connection !== "lost") return connection
  return now - (lostAt ?? now) < patience ? "reconnecting" : "offline"
}

/** What a stream tells of itself. Of one that was closed, nothing counts any more. */
export interface Told {
  /** It is there; `then` runs with what it brought. */
  heard(then?: () => void): void
  lost(): void
}

interface Way {
  /** Opens a stream, and returns how to close it. */
  open(told: Told): () => void
  /** Asks whether the broker is there, and fails where it is not. */
  ask(): Promise<unknown>
  changed(standing: Standing): void
  /** A lost stream is back. */
  recovered(): void
}

export class Link {
  readonly #way: Way
  #standing: Standing = { connection: "connecting", lostAt: null, retryAt: null }
  #close: (() => void) | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Counts tries: only the last one counts, and none once it was given up. */
  #turn = 0
  #isTrying = false
  #failures = 0

  constructor(way: Way) {
    this.#way = way
  }

  get isOpen() {
    return this.#close !== undefined
  }

  /** Opens a stream in place of the one there was. */
  open() {
    this.#giveUp()
    this.#close?.()
    let closed = false
    let stop = () => {}
    const close = () => {
      if (closed) return
      closed = true
      this.#close = undefined
      stop()
    }
    this.#close = close
    stop = this.#way.open({
      heard: (then) => {
        if (closed) return
        this.#heard()
        then?.()
      },
      lost: () => {
        if (closed) return
        close()
        this.#lost()
      }
    })
    if (closed) stop()
  }

  /** Goes on where it was closed, unless a try is on its way or about to be made. */
  resume() {
    if (!this.isOpen && !this.#isTrying && this.#timer === undefined) this.open()
  }

  close() {
    this.#giveUp()
    this.#close?.()
  }

  /** Does not wait for the next try. */
  async tryNow() {
    this.#giveUp()
    const turn = this.#turn
    this.#isTrying = true
    this.#set({ retryAt: null })
    const isThere = await this.#way.ask().then(
      () => true,
      () => false
    )
    if (turn !== this.#turn) return
    this.#isTrying = false
    if (isThere) this.open()
    else this.#later()
  }

  #giveUp() {
    this.#turn++
    this.#isTrying = false
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #later() {
    const delay = (delays[Math.min(this.#failures, delays.length - 1)] ?? 0) * (0.8 + Math.random() * 0.4)
    this.#failures++
    this.#set({ retryAt: Date.now() + delay })
    this.#timer = setTimeout(() => void this.tryNow(), delay)
  }

  #heard() {
    if (this.#standing.connection === "live") return
    const wasLost = this.#standing.connection === "lost"
    this.#failures = 0
    this.#set({ connection: "live", lostAt: null, retryAt: null })
    if (wasLost) this.#way.recovered()
  }

  #lost() {
    if (this.#standing.connection !== "lost") this.#set({ connection: "lost", lostAt: Date.now() })
    this.#later()
  }

  #set(standing: Partial<Standing>) {
    this.#standing = { ...this.#standing, ...standing }
    this.#way.changed(this.#standing)
  }
}
