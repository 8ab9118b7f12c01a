/** The connection of the page, kept current. */
import type { ConnectionView } from "#lib/fleet.ts"
import { live } from "#lib/live.svelte.ts"

export class LiveConnection {
  #current = $state.raw() as ConnectionView

  constructor(connection: ConnectionView) {
    this.#current = connection
  }

  get current() {
    return this.#current
  }

  /** Follows the connection until the returned function is called. */
  follow() {
    const { id } = this.#current
    return live.watch({
      connections: {
        ids: [id],
        changed: (connections) => {
          this.#current = connections.find((connection) => connection.id === id) ?? this.#current
        }
      }
    })
  }
}
