import { SvelteSet } from "svelte/reactivity"

/** Which rows are ticked. Outlives a refresh of the page, and forgets what is no longer on it. */
export class Selection {
  readonly #ids = new SvelteSet<string>()

  get size() {
    return this.#ids.size
  }

  has(id: string) {
    return this.#ids.has(id)
  }

  set(id: string, selected: boolean) {
    if (selected) this.#ids.add(id)
    else this.#ids.delete(id)
  }

  toggle(id: string) {
    this.set(id, !this.has(id))
  }

  all(ids: ReadonlyArray<string>, selected: boolean) {
    for (const id of ids) this.set(id, selected)
  }

  keepOnly(ids: ReadonlyArray<string>) {
    const kept = new Set(ids)
    for (const id of [...this.#ids]) if (!kept.has(id)) this.#ids.delete(id)
  }

  clear() {
    this.#ids.clear()
  }
}
