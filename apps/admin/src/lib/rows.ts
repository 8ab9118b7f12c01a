/** Walking through the rows of a list by key. Rows carry `data-row`, so that tables and cards walk alike. */
import type { Selection } from "./selection.svelte.ts"
import { bindKeys } from "./shortcuts.ts"

const rows = () => [...document.querySelectorAll<HTMLElement>("[data-row]")]

/** The id of the row that has the focus, or that holds what has it. */
export const currentRow = () => document.activeElement?.closest<HTMLElement>("[data-row]")?.dataset["row"]

/** Moves the focus by so many rows; from nowhere to the first one. */
const walk = (by: 1 | -1) => {
  const all = rows()
  const at = all.findIndex((row) => row.dataset["row"] === currentRow())
  const next = at === -1 ? all.at(0) : all.at(Math.min(all.length - 1, Math.max(0, at + by)))
  next?.focus()
  next?.scrollIntoView({ block: "nearest" })
}

/** Binds the keys of rows until the returned function is called. */
export const bindRows = (selection: Selection, open: (id: string) => void) => {
  const withCurrent = (run: (id: string) => void) => () => {
    const id = currentRow()
    if (id !== undefined) run(id)
  }
  return bindKeys({
    next: () => walk(1),
    previous: () => walk(-1),
    select: withCurrent((id) => selection.toggle(id)),
    open: withCurrent(open),
    close: () => selection.clear()
  })
}

/** The rows with what has changed of them; the same ones where nothing has. */
export const patched = <Row extends { readonly id: string }>(
  rows: ReadonlyArray<Row>,
  changed: ReadonlyArray<Row>
): ReadonlyArray<Row> => {
  const byId = new Map(changed.map((row) => [row.id, row]))
  return rows.some((row) => byId.has(row.id)) ? rows.map((row) => byId.get(row.id) ?? row) : rows
}
