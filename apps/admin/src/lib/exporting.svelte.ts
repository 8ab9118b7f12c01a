import { toast } from "svelte-sonner"
import { complain } from "./acts.svelte.ts"
import { plural } from "./numbers.ts"

/** An export of a whole list, with its progress on screen. */
export class Exporting {
  busy = $state(false)
  readonly #one: string
  readonly #many: string

  /** `one` is what one row is called, `many` are several. */
  constructor(one: string, many = `${one}s`) {
    this.#one = one
    this.#many = many
  }

  /** `write` makes the file, tells how far it is, and returns how many rows it wrote. */
  async run(write: (progress: (rows: number) => void) => Promise<number>) {
    this.busy = true
    const id = toast.loading(`Collecting ${this.#many}…`)
    try {
      const rows = await write((rows) => toast.loading(`${plural(rows, this.#one, this.#many)} so far…`, { id }))
      toast.success(`${plural(rows, this.#one, this.#many)} exported`, { id })
    } catch (error) {
      toast.dismiss(id)
      complain(error)
    } finally {
      this.busy = false
    }
  }
}
