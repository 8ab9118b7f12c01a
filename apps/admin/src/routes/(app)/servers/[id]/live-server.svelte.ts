/** The server of the page, kept current; its history is fetched again when something in it must have changed. */

import type { ServerView } from "#lib/fleet.ts"
import { keepFresh, refresh } from "#lib/fresh.ts"
import { live } from "#lib/live.svelte.ts"
import { millis, minute } from "#lib/time.ts"

export const historyKey = "broker:server-history"

/** What leaves a trace in the history when it changes. */
const traces = (server: ServerView) =>
  [
    server.liveness,
    server.admission,
    server.duty,
    server.verified,
    server.verifiedAt && millis(server.verifiedAt)
  ].join()

export class LiveServer {
  #current = $state.raw() as ServerView

  constructor(server: ServerView) {
    this.#current = server
  }

  get current() {
    return this.#current
  }

  /** Follows the server until the returned function is called. */
  follow() {
    const { id } = this.#current
    const stop = keepFresh(historyKey, minute)
    const unwatch = live.watch({
      servers: {
        ids: [id],
        changed: (servers) => {
          const next = servers.find((server) => server.id === id)
          if (next === undefined) return
          const traced = traces(next) !== traces(this.#current)
          this.#current = next
          if (traced) void refresh(historyKey)
        }
      }
    })
    return () => {
      stop()
      unwatch()
    }
  }
}
