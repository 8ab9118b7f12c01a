/**
 * What the broker announces as it happens, in one stream per tab for everything on screen.
 *
 * A browser has six connections per origin for all its tabs, so a hidden tab gives its stream back, and takes a new
 * snapshot when it is shown again.
 */
import type { ConnectionCounts, ConnectionId } from "@broker/domain/Connection"
import type { Overview } from "@broker/domain/Fleet"
import type { ServerId } from "@broker/domain/Server"
import { clock } from "./clock.svelte.ts"
import { type ConnectionView, decodeLiveEvent, decodeSession, type LiveNews, type ServerView } from "./fleet.ts"
import { Link, type Standing, stateOf, type Told } from "./link.ts"
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

const watched = <Id extends string>(ids: ReadonlyArray<Id>) => [...new Set(ids)].toSorted().slice(0, maxWatched)

class Live {
  #standing = $state.raw<Standing>({ connection: "connecting", lostAt: null, retryAt: null })
  #overview = $state.raw<Overview | null>(null)

  readonly #watchers = new Set<Watcher>()
  #streams = true
  /** What the stream was opened for. */
  #wantedKey = ""
  #settle: ReturnType<typeof setTimeout> | undefined
  #recovered = () => {}
  readonly #link = new Link({
    open: (told) => (this.#streams ? this.#stream(told) : this.#ask(told)),
    // A stream does not say why it failed. A plain question does, and leads to sign-in where the session is over.
    ask: async () => decodeSession(await rpc.session.current.query()),
    changed: (standing) => {
      this.#standing = standing
    },
    recovered: () => this.#recovered()
  })

  readonly #changed = new Map<ServerId, ServerView>()
  readonly #moved = new Map<ConnectionId, ConnectionView>()
  #nextOverview: Overview | undefined
  #nextConnecting: Extract<LiveNews, { readonly _tag: "Connecting" }> | undefined
  #flushing: ReturnType<typeof setTimeout> | undefined
  #flushedAt = 0

  get state() {
    // The clock only matters, and is only followed, while nothing is heard.
    return stateOf(this.#standing, this.#standing.connection === "lost" ? clock.now : 0)
  }

  /** Since when nothing is heard, where that is so. */
  get lostAt() {
    return this.#standing.lostAt
  }

  /** When the next try starts, while there is none. */
  get retryAt() {
    return this.#standing.retryAt
  }

  get overview() {
    return this.#overview
  }

  /**
   * Follows the fleet until the returned function is called. `recovered` runs when a lost stream is back. Whoever may
   * not see the fleet has no stream: then the broker is only asked now and then whether it is there.
   */
  start(recovered: () => void, streams = true) {
    this.#streams = streams
    this.#recovered = recovered
    let hidden: ReturnType<typeof setTimeout> | undefined
    const seen = () => {
      clearTimeout(hidden)
      if (document.visibilityState === "hidden") hidden = setTimeout(() => this.#stop(), hiddenFor)
      else this.#link.resume()
    }
    document.addEventListener("visibilitychange", seen)
    this.#link.open()
    return () => {
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
    void this.#link.tryNow()
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
      if (this.#link.isOpen && this.#streams && this.#wantedKey !== JSON.stringify(this.#wanted())) this.#link.open()
    }, 50)
  }

  #stream({ heard, lost }: Told) {
    const wanted = this.#wanted()
    this.#wantedKey = JSON.stringify(wanted)
    const subscription = rpc.fleet.live.subscribe(wanted, {
      onConnectionStateChange: ({ error, state }) => {
        if (state === "connecting" && error) lost()
        else if (state === "pending") heard()
      },
      onData: (event) => heard(() => this.#take(event)),
      onError: lost,
      onComplete: lost
    })
    return () => subscription.unsubscribe()
  }

  /** Whoever has no stream asks now and then whether the broker is there. */
  #ask({ heard, lost }: Told) {
    const look = () => rpc.session.current.query().then(() => heard(), lost)
    const timer = setInterval(() => void look(), askEvery)
    void look()
    return () => clearInterval(timer)
  }

  #stop() {
    clearTimeout(this.#settle)
    this.#link.close()
  }

  #take(json: unknown) {
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
