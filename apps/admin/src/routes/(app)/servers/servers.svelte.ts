/** The servers of a list: loaded page by page as somebody scrolls, and kept current by what the broker announces. */
import { Count } from "@broker/domain/Primitives"
import type { ServerId } from "@broker/domain/Server"
import { Schema } from "effect"
import { decodeServersPage, type ServerView } from "#lib/fleet.ts"
import { live } from "#lib/live.svelte.ts"
import { type Explained, explain } from "#lib/problems.ts"
import { patched } from "#lib/rows.ts"
import { rpc } from "#lib/rpc.ts"
import { type ServersView, toQuery, viewSearch } from "./filters.ts"

const decodeTally = Schema.decodeUnknownSync(Schema.Struct({ servers: Count }))

interface ServersPage {
  readonly items: ReadonlyArray<ServerView>
  readonly nextCursor: string | null
}

/** In these orders servers change places as they go on: what is loaded later may have been there before. */
const moving: ReadonlySet<ServersView["sort"]> = new Set(["load", "-load", "lastSeen", "-lastSeen"])

export class Servers {
  #rows = $state.raw<ReadonlyArray<ServerView>>([])
  #cursor = $state<string | null>(null)
  /** What the last rows were asked for with. */
  #tail = $state<string | null>(null)
  #loading = $state(false)
  #failure = $state.raw<Explained | null>(null)
  #counted = $state<number | null>(null)
  #joinedAtFirst: number | undefined
  #joined = $state(0)
  readonly #view: ServersView
  /** The rows that are there by their ids: none stands in the list twice. */
  #ids = new Set<string>()
  /** Counts how often the first page was taken anew: an answer to a question from before that is dropped. */
  #asked = 0

  /** How many joined since the list was loaded. They are not pushed in between the rows. */
  readonly fresh = $derived(this.#joined)
  /** How many there are, where all of them are loaded and none can have changed places meanwhile. */
  readonly exact = $derived(this.#cursor === null && (this.#tail === null || !this.moves) ? this.#rows.length : null)

  constructor(view: ServersView, page: ServersPage) {
    this.#view = view
    this.#take([], page.items)
    this.#cursor = page.nextCursor
  }

  get rows() {
    return this.#rows
  }

  /** Whether there are no more than these. */
  get complete() {
    return this.#cursor === null
  }

  /** Whether the order is one of the moment in which the rows were loaded. */
  get moves() {
    return moving.has(this.#view.sort)
  }

  /** How many the broker counted; null as long as nobody asked it. */
  get counted() {
    return this.#counted
  }

  get loading() {
    return this.#loading
  }

  get failure() {
    return this.#failure
  }

  /** The next rows. What has moved down to them since it was loaded keeps its place, and is shown as it is now. */
  async more() {
    const cursor = this.#cursor
    if (this.#loading || cursor === null) return
    const asked = this.#asked
    this.#loading = true
    this.#failure = null
    try {
      const page = decodeServersPage(await rpc.servers.list.query({ ...toQuery(this.#view), cursor }))
      if (asked !== this.#asked) return
      this.#take(this.#rows, page.items)
      this.#tail = cursor
      this.#cursor = page.nextCursor
    } catch (error) {
      if (asked === this.#asked) this.#failure = explain(error)
    } finally {
      if (asked === this.#asked) this.#loading = false
    }
  }

  /** Asks how many the list finds on all its pages. */
  async tally() {
    const asked = this.#asked
    const { servers } = decodeTally(await rpc.servers.count.query(toQuery(this.#view)))
    if (asked === this.#asked) this.#counted = servers
    return servers
  }

  /**
   * The first page anew: it stands before what was loaded below it, which stays, so that nobody loses their place.
   * Where nothing was loaded below, or it is all that there is, it takes the place of what was there.
   */
  renew(page: ServersPage) {
    const goesOn = page.nextCursor !== null && this.#rows.length > page.items.length
    const before = goesOn ? this.#rows : []
    this.#asked++
    this.#loading = false
    this.#joinedAtFirst = undefined
    this.#joined = 0
    this.#failure = null
    const first = new Set<string>(page.items.map(({ id }) => id))
    this.#take(
      page.items,
      before.filter(({ id }) => !first.has(id))
    )
    if (goesOn) {
      // Below all that was loaded there may be more by now.
      this.#cursor ??= this.#tail
    } else {
      this.#cursor = page.nextCursor
      this.#tail = null
    }
    if (this.#counted !== null) void this.tally().catch(() => {})
  }

  #take(rows: ReadonlyArray<ServerView>, more: ReadonlyArray<ServerView>) {
    if (rows !== this.#rows) this.#ids = new Set(rows.map(({ id }) => id))
    const news = more.filter(({ id }) => !this.#ids.has(id))
    for (const { id } of news) this.#ids.add(id)
    const kept = news.length === more.length ? rows : patched(rows, more)
    this.#rows = [...kept, ...news]
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
