/** Lists under a name: the part of the address that filters and sorts them. */
import { ListedView } from "@broker/domain/SavedView"
import { Schema } from "effect"

export type SavedViewItem = typeof ListedView.json.Type

export const decodeSavedViews = Schema.decodeUnknownSync(Schema.Array(ListedView.json))
export const decodeSavedView = Schema.decodeUnknownSync(ListedView.json)

/** The view that is shown, by what it asks; one's own before those of others. */
export const shownView = (
  views: ReadonlyArray<SavedViewItem>,
  search: string,
  /** The same search in the same words, however it was written. */
  canonical: (search: string) => string
) => {
  const equal = views.filter((view) => canonical(view.search) === search)
  return equal.find(({ mine }) => mine) ?? equal[0] ?? null
}
