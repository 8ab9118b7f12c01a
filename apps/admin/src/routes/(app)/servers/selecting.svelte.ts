/** Which servers are ticked: one by one, from one to another, or all that the list finds. */
import { SvelteSet } from "svelte/reactivity"

export class Selecting {
  readonly #ids = new SvelteSet<string>()
  #found = $state<number | null>(null)
  #last: string | undefined
  /** Counts what was ticked and unticked: a count of what was found before that says nothing any more. */
  #turn = 0

  /** How many; of all that were found as many as were counted. */
  get size() {
    return this.#found ?? this.#ids.size
  }

  /** Whether it is all that the list finds, also what is not loaded. */
  get everything() {
    return this.#found !== null
  }

  get ids(): ReadonlyArray<string> {
    return [...this.#ids]
  }

  has(id: string) {
    return this.#found !== null || this.#ids.has(id)
  }

  /** Ticks or unticks one. What is unticked of all that were found leaves those that are loaded. */
  set(id: string, selected: boolean, rows: ReadonlyArray<{ readonly id: string }>) {
    this.#turn++
    if (!selected && this.#found !== null) {
      this.#found = null
      for (const row of rows) this.#ids.add(row.id)
    }
    if (selected) this.#ids.add(id)
    else this.#ids.delete(id)
    this.#last = id
  }

  /** From the one that was ticked last to this one, in the order of the rows. */
  reach(id: string, selected: boolean, rows: ReadonlyArray<{ readonly id: string }>) {
    const from = rows.findIndex((row) => row.id === this.#last)
    const to = rows.findIndex((row) => row.id === id)
    if (from === -1 || to === -1) return this.set(id, selected, rows)
    for (const row of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) this.set(row.id, selected, rows)
    this.#last = id
  }

  /** All that are loaded, or none. */
  all(rows: ReadonlyArray<{ readonly id: string }>, selected: boolean) {
    this.clear()
    if (selected) for (const { id } of rows) this.#ids.add(id)
  }

  /** All that the list finds, as soon as they are counted; unless somebody ticked or looked for others meanwhile. */
  async allFound(count: () => Promise<number>) {
    const turn = ++this.#turn
    const found = await count()
    if (turn !== this.#turn) return
    this.#ids.clear()
    this.#found = found
  }

  /** Forgets what is not in the list any more. */
  keepOnly(rows: ReadonlyArray<{ readonly id: string }>) {
    const kept = new Set(rows.map(({ id }) => id))
    for (const id of [...this.#ids]) if (!kept.has(id)) this.#ids.delete(id)
  }

  clear() {
    this.#turn++
    this.#ids.clear()
    this.#found = null
    this.#last = undefined
  }
}
