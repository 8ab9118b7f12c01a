/** The servers on screen: a page of the list, kept current by what the broker announces. */
import type { ServerView } from "#lib/fleet.ts"
import { live } from "#lib/live.svelte.ts"
import { patched } from "#lib/rows.ts"

export class Servers {
  #rows = $state.raw<ReadonlyArray<ServerView>>([])
  readonly #ids: ReadonlyArray<ServerView["id"]>
  #joinedAtFirst: number | undefined
  #joined = $state(0)

  /** How many joined since the page was loaded. They are not pushed in between the rows. */
  readonly fresh = $derived(this.#joined)

  constructor(page: ReadonlyArray<ServerView>) {
    this.#rows = page
    this.#ids = page.map((server) => server.id)
  }

  get rows() {
    return this.#rows
  }

  /** Follows what is on screen until the returned function is called. */
  follow() {
    return live.watch({
      servers: {
        ids: this.#ids,
        changed: (servers) => {
          this.#rows = patched(this.#rows, servers)
        }
      },
      joined: (total) => {
        this.#joinedAtFirst ??= total
        this.#joined = Math.max(0, total - this.#joinedAtFirst)
      }
    })
  }
}
