/** A list that has a page of its own: its view in the URL, its pages, and its rows ticked and walked by key. */
import { untrack } from "svelte"
import { goto } from "$app/navigation"
import { page } from "$app/state"
import { bindRows } from "./rows.ts"
import { Selection } from "./selection.svelte.ts"

interface Options<View> {
  readonly path: string
  readonly view: () => View
  readonly rows: () => {
    readonly items: ReadonlyArray<{ readonly id: string }>
    readonly nextCursor: string | null
  }
  readonly search: (view: View) => string
  /** The view after a change of it. */
  readonly changed: (view: View, change: Partial<View>) => View
  /** Opens a row by its id; missing where each has a page below the list's. */
  readonly open?: (id: string) => void
}

/** Made while its page is, whose effects it uses. */
export class ListPage<View extends { readonly cursor: string | null }> {
  readonly selection = new Selection()
  readonly #options: Options<View>

  constructor(options: Options<View>) {
    this.#options = options
    $effect(() => {
      const ids = options.rows().items.map((row) => row.id)
      untrack(() => this.selection.keepOnly(ids))
    })
    $effect(() => bindRows(this.selection, options.open ?? ((id) => void goto(`${options.path}/${id}`))))
  }

  href(view: View) {
    return `${this.#options.path}${this.#options.search(view)}`
  }

  /** The link to what is shown, with a change. */
  to(change: Partial<View>) {
    return this.href(this.#options.changed(this.#options.view(), change))
  }

  readonly show = (change: Partial<View>, replace = false) => {
    void goto(this.to(change), { replace, reset: false })
  }

  readonly next = () => {
    const { cursor } = this.#options.view()
    const { nextCursor } = this.#options.rows()
    if (nextCursor !== null) this.#turn(nextCursor, [...this.#trail, cursor ?? ""])
  }

  /** Missing where the way back is not known. */
  get previous() {
    const cursor = this.#trail.at(-1)
    return cursor === undefined ? undefined : () => this.#turn(cursor === "" ? null : cursor, this.#trail.slice(0, -1))
  }

  get #trail() {
    return page.state.trail ?? []
  }

  #turn(cursor: string | null, trail: ReadonlyArray<string>) {
    void goto(this.href({ ...this.#options.view(), cursor }), { state: { trail }, persistState: true })
  }
}
