/** The users on screen: a page of the list, asked for again now and then. No stream tells of users. */
import type { UsersQuery } from "@broker/domain/User"
import { decodeUsersPage, type UserView } from "#lib/fleet.ts"
import { live } from "#lib/live.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import { second } from "#lib/time.ts"

const again = 5 * second

export class Users {
  #rows = $state.raw<ReadonlyArray<UserView>>([])
  #fresh = $state(0)

  readonly #query: UsersQuery
  readonly #ids: ReadonlySet<string>

  constructor(page: ReadonlyArray<UserView>, query: UsersQuery) {
    this.#rows = page
    this.#query = query
    this.#ids = new Set(page.map((user) => user.id))
  }

  get rows() {
    return this.#rows
  }

  /** How many have come to stand on this page since. They are not pushed in between the rows. */
  get fresh() {
    return this.#fresh
  }

  /** Follows what is on screen until the returned function is called. */
  follow() {
    const timer = setInterval(() => {
      if (document.visibilityState === "visible" && live.state === "live") void this.#look()
    }, again)
    return () => clearInterval(timer)
  }

  /** A question that gets no answer is asked again with the next tick. */
  async #look() {
    const page = await rpc.users.list.query(this.#query).then(decodeUsersPage, () => undefined)
    if (page === undefined) return
    const byId = new Map(page.items.map((user) => [user.id, user]))
    this.#rows = this.#rows.map((user) => byId.get(user.id) ?? user)
    this.#fresh = page.items.filter(({ id }) => !this.#ids.has(id)).length
  }
}
