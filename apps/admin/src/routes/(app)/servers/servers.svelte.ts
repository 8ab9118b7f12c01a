/** The servers of a list: loaded page by page as somebody scrolls, and kept current by what the broker announces. */
import type { ServerId } from "@broker/domain/Server"
import { decodeServersPage, type ServerView } from "#lib/fleet.ts"
import { live } from "#lib/live.svelte.ts"
import { type Explained, explain } from "#lib/problems.ts"
import { patched } from "#lib/rows.ts"
import { rpc } from "#lib/rpc.ts"
import { type ServersView, toQuery, viewSearch } from "./filters.ts"

interface ServersPage {
  readonly items: ReadonlyArray<ServerView>
  readonly nextCursor: string | null
}

export class Servers {
  #rows = $state.raw<ReadonlyArray<ServerView>>([])
  #cursor = $state<string | null>(null)
  #loading = $state(false)
  #failure = $state.raw<Explained | null>(null)
  #joinedAtFirst: number | undefined
  #joined = $state(0)
  readonly #view: ServersView
  /** Counts what the rows were loaded for: an answer to an older question is dropped. */
  #asked = 0

  /** How many joined since the list was loaded. They are not pushed in between the rows. */
  readonly fresh = $derived(this.#joined)

  constructor(view: ServersView, page: ServersPage) {
    this.#view = view
    this.#rows = page.items
    this.#cursor = page.nextCursor
  }

  get rows() {
    return this.#rows
  }

  /** Whether there are no more than these. */
  get complete() {
    return this.#cursor === null
  }

  get loading() {
    return this.#loading
  }

  get failure() {
    return this.#failure
  }

  /** The next rows. */
  async more() {
    if (this.#loading || this.#cursor === null) return
    const asked = this.#asked
    this.#loading = true
    this.#failure = null
    try {
      const page = decodeServersPage(await rpc.servers.list.query({ ...toQuery(this.#view), cursor: this.#cursor }))
      if (asked !== this.#asked) return
      this.#rows = [...this.#rows, ...page.items]
      this.#cursor = page.nextCursor
    } catch (error) {
      if (asked === this.#asked) this.#failure = explain(error)
    } finally {
      this.#loading = false
    }
  }

  /** The first page anew: where it starts with the same servers, what stands below it stays. */
  renew(page: ServersPage) {
    const kept = page.items.every(({ id }, at) => this.#rows[at]?.id === id) && this.#rows.length > page.items.length
    this.#joinedAtFirst = undefined
    this.#joined = 0
    if (kept) {
      this.#rows = patched(this.#rows, page.items)
      return
    }
    this.#asked++
    this.#rows = page.items
    this.#cursor = page.nextCursor
  }

  /** Follows these, which are on screen, until the returned function is called. */
  follow(ids: ReadonlyArray<ServerId>) {
    return live.watch({
      servers: {
        ids,
        changed: (servers) => {
          this.#rows = patched(this.#rows, servers)
        }
      }
    })
  }

  /** Counts those that join. */
  count() {
    return live.watch({
      joined: (total) => {
        this.#joinedAtFirst ??= total
        this.#joined = Math.max(0, total - this.#joinedAtFirst)
      }
    })
  }

  leave(offset: number) {
    left = { search: viewSearch(this.#view), at: Date.now(), offset, servers: this }
  }
}

interface Left {
  readonly search: string
  readonly at: number
  readonly offset: number
  readonly servers: Servers
}

/** So long the list that somebody left for one of its servers is as it was when they come back. */
const keptFor = 5 * 60_000

let left: Left | undefined

/** The list that was left, if it is this one: with its rows, and where it was scrolled to. */
export const cameBack = (view: ServersView, page: ServersPage) => {
  const found = left
  left = undefined
  if (found === undefined || found.search !== viewSearch(view) || Date.now() - found.at > keptFor) return undefined
  found.servers.renew(page)
  return found.servers.rows.length > page.items.length || found.offset > 0 ? found : undefined
}
