/** Walking through the rows of a list by key. Rows carry `data-row`, so that tables and cards walk alike. */

const rows = () => [...document.querySelectorAll<HTMLElement>("[data-row]")]

export const currentRow = () => document.activeElement?.closest<HTMLElement>("[data-row]")?.dataset["row"]

/** Moves the focus by so many rows; from nowhere to the first one. */
export const walk = (by: 1 | -1) => {
  const all = rows()
  const at = all.findIndex((row) => row.dataset["row"] === currentRow())
  const next = at === -1 ? all.at(0) : all.at(Math.min(all.length - 1, Math.max(0, at + by)))
  next?.focus()
  next?.scrollIntoView({ block: "nearest" })
}

export const focusFilter = () => document.querySelector<HTMLInputElement>("[data-filter]")?.focus()
