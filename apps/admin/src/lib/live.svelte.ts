/**
 * What the broker announces as it happens, in one stream per tab for everything on screen.
 *
 * A browser has six connections per origin for all its tabs, so a hidden tab gives its stream back, and takes a new
 * snapshot when it is shown again.
 */
import type { ConnectionCounts, ConnectionId } from "@broker/domain/Connection"
import type { Overview } from "@broker/domain/Fleet"
import type { ServerId } from "@broker/domain/Server"
import { type ConnectionView, decodeLiveEvent, decodeSession, type LiveNews, type ServerView } from "./fleet.ts"
import { rpc } from "./rpc.ts"

/** What a part of the page wants to hear of. */
interface Watcher {
  readonly servers?: {
    readonly ids: ReadonlyArray<ServerId>
    readonly changed: (servers: ReadonlyArray<ServerView>) => void
  }
  readonly joined?: (total: number, newest: ServerView | null) => void
  readonly connections?: {
    readonly ids: ReadonlyArray<ConnectionId>
    readonly changed: (connections: ReadonlyArray<ConnectionView>) => void
  }
  /** How many connections stand where, and which of all is the newest. */
  readonly connecting?: (counts: ConnectionCounts, newest: ConnectionId | null) => void
}

const repaint = 500
const hiddenFor = 5_000
const maxWatched = 200
const askEvery = 15_000
/** So long a loss is called reconnecting; from then on the broker is away. */
const patience = 8_000
const delays = [500, 1_000, 2_000, 4_000, 8_000, 15_000]

const watched = <Id extends string>(ids: ReadonlyArray<Id>) => [...new Set(ids)].toSorted().slice(0, maxWatched)

class Live {
  #connection = $state<"connecting" | "live" | "lost">("connecting")
  #lostAt = $state<number | null>(null)
  #away = $state(false)
  #retryAt = $state<number | null>(null)
  #overview = $state.raw<Overview | null>(null)

  readonly #watchers = new Set<Watcher>()
  #started = false
  #streams = true
  #open: { readonly key: string; close: () => void } | undefined
  #attempts = 0
  #retry: ReturnType<typeof setTimeout> | undefined
  #patience: ReturnType<typeof setTimeout> | undefined
  #settle: ReturnType<typeof setTimeout> | undefined
  #recovered: Array<() => void> = []

  readonly #changed = new Map<ServerId, ServerView>()
  readonly #moved = new Map<ConnectionId, ConnectionView>()
  #nextOverview: Overview | undefined
  #nextConnecting: Extract<LiveNews, { readonly _tag: "Connecting" }> | undefined
  #flushing: ReturnType<typeof setTimeout> | undefined
  #flushedAt = 0

  readonly state = $derived(this.#connection === "lost" ? (this.#away ? "offline" : "reconnecting") : this.#connection)

  /** Since when nothing is heard, where that is so. */
  get lostAt() {
    return this.#lostAt
  }

  /** When the next attempt starts, while there is none. */
  get retryAt() {
    return this.#retryAt
  }

  get overview() {
    return this.#overview
  }

  /**
   * Follows the fleet until the returned function is called. `recovered` runs when a lost stream is back. Whoever may
   * not see the fleet has no stream: then the broker is only asked now and then whether it is there.
   */
  start(recovered: () => void, streams = true) {
    this.#started = true
    this.#streams = streams
    this.#recovered = [recovered]
    let hidden: ReturnType<typeof setTimeout> | undefined
    const seen = () => {
      clearTimeout(hidden)
      if (document.visibilityState === "hidden") hidden = setTimeout(() => this.#stop(), hiddenFor)
      else if (this.#open === undefined && this.#retry === undefined) this.#connect()
    }
    document.addEventListener("visibilitychange", seen)
    this.#connect()
    return () => {
      this.#started = false
      clearTimeout(hidden)
      document.removeEventListener("visibilitychange", seen)
      this.#stop()
    }
  }

  watch(watcher: Watcher) {
    this.#watchers.add(watcher)
    this.#rewatch()
    return () => {
      this.#watchers.delete(watcher)
      this.#rewatch()
    }
  }

  /** Shows the outcome of this tab's own change at once, rather than when the stream brings it. */
  announce(servers: ReadonlyArray<ServerView>) {
    for (const watcher of this.#watchers) watcher.servers?.changed(servers)
  }

  /** The same for connections. */
  announceConnections(connections: ReadonlyArray<ConnectionView>) {
    for (const watcher of this.#watchers) watcher.connections?.changed(connections)
  }

  retryNow() {
    clearTimeout(this.#retry)
    void this.#attempt()
  }

  #wanted() {
    const watchers = [...this.#watchers]
    return {
      overview: true,
      servers: watched(watchers.flatMap((watcher) => watcher.servers?.ids ?? [])),
      joining: watchers.some((watcher) => watcher.joined !== undefined),
      connections: watched(watchers.flatMap((watcher) => watcher.connections?.ids ?? [])),
      connecting: watchers.some((watcher) => watcher.connecting !== undefined)
    }
  }

  /** Pages put up and take down several watchers at once; only the outcome is worth a new stream. */
  #rewatch() {
    clearTimeout(this.#settle)
    this.#settle = setTimeout(() => {
      if (this.#open !== undefined && this.#open.key !== JSON.stringify(this.#wanted())) this.#connect()
    }, 50)
  }

  #connect() {
    if (!this.#started) return
    this.#open?.close()
    if (!this.#streams) return this.#ask()
    const wanted = this.#wanted()
    let closed = false
    const lost = () => {
      if (!closed) this.#lost()
    }
    const subscription = rpc.fleet.live.subscribe(wanted, {
      onConnectionStateChange: ({ error, state }) => {
        if (state === "connecting" && error) lost()
        else if (state === "pending" && !closed) this.#heard()
      },
      onData: (event) => {
        if (!closed) this.#take(event)
      },
      onError: lost,
      onComplete: lost
    })
    this.#open = {
      key: JSON.stringify(wanted),
      close: () => {
        if (closed) return
        closed = true
        this.#open = undefined
        subscription.unsubscribe()
      }
    }
  }

  #ask() {
    let closed = false
    const look = async () => {
      const isThere = await rpc.session.current.query().then(
        () => true,
        () => false
      )
      if (closed) return
      if (isThere) this.#heard()
      else this.#lost()
    }
    const timer = setInterval(() => void look(), askEvery)
    this.#open = {
      key: JSON.stringify(this.#wanted()),
      close: () => {
        closed = true
        clearInterval(timer)
        this.#open = undefined
      }
    }
    void look()
  }

  #stop() {
    clearTimeout(this.#retry)
    clearTimeout(this.#patience)
    clearTimeout(this.#settle)
    this.#retry = undefined
    this.#open?.close()
  }

  #heard() {
    if (this.#connection === "live") return
    const wasLost = this.#connection === "lost"
    clearTimeout(this.#patience)
    this.#connection = "live"
    this.#lostAt = null
    this.#retryAt = null
    this.#away = false
    this.#attempts = 0
    if (wasLost) for (const recovered of this.#recovered) recovered()
  }

  #lost() {
    if (this.#open === undefined || !this.#started) return
    this.#open.close()
    if (this.#connection !== "lost") {
      this.#connection = "lost"
      this.#lostAt = Date.now()
      this.#patience = setTimeout(() => {
        this.#away = true
      }, patience)
    }
    this.#schedule()
  }

  #schedule() {
    const delay = (delays[Math.min(this.#attempts, delays.length - 1)] ?? 0) * (0.8 + Math.random() * 0.4)
    this.#attempts++
    this.#retryAt = Date.now() + delay
    this.#retry = setTimeout(() => void this.#attempt(), delay)
  }

  /** A stream does not say why it failed. A plain question does, and leads to sign-in where the session is over. */
  async #attempt() {
    this.#retry = undefined
    this.#retryAt = null
    try {
      decodeSession(await rpc.session.current.query())
    } catch {
      if (this.#started) this.#schedule()
      return
    }
    this.#connect()
  }

  #take(json: unknown) {
    this.#heard()
    const event = decodeLiveEvent(json)
    switch (event._tag) {
      case "Joined":
        for (const watcher of this.#watchers) watcher.joined?.(event.total, event.newest)
        return
      case "Overview":
        this.#nextOverview = event.overview
        break
      case "Servers":
        for (const server of event.servers) this.#changed.set(server.id, server)
        break
      case "Connections":
        for (const connection of event.connections) this.#moved.set(connection.id, connection)
        break
      case "Connecting":
        this.#nextConnecting = event
        break
    }
    this.#flushing ??= setTimeout(() => this.#flush(), Math.max(0, this.#flushedAt + repaint - Date.now()))
  }

  #flush() {
    this.#flushing = undefined
    this.#flushedAt = Date.now()
    if (this.#nextOverview !== undefined) this.#overview = this.#nextOverview
    this.#nextOverview = undefined
    const connecting = this.#nextConnecting
    this.#nextConnecting = undefined
    if (connecting !== undefined) {
      for (const watcher of this.#watchers) watcher.connecting?.(connecting.counts, connecting.newest)
    }
    const changed = [...this.#changed.values()]
    this.#changed.clear()
    if (changed.length > 0) this.announce(changed)
    const moved = [...this.#moved.values()]
    this.#moved.clear()
    if (moved.length > 0) this.announceConnections(moved)
  }
}

export const live = new Live()
