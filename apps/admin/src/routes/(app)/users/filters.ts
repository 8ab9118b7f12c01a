/** What the list of users shows, as it stands in the URL. */
import { UserSort, UserState, type UsersQuery } from "@broker/domain/User"
import { Schema } from "effect"
import { limitOf, listed, searchOf } from "#lib/views.ts"

export interface UsersView {
  readonly text: string
  readonly states: ReadonlyArray<UserState>
  readonly sort: UserSort
  readonly limit: number
  /** Where the page starts; null for the first. */
  readonly cursor: string | null
  readonly creating: boolean
}

const defaults: UsersView = { text: "", states: [], sort: "name", limit: 50, cursor: null, creating: false }

const isState = Schema.is(UserState)
const isSort = Schema.is(UserSort)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): UsersView => {
  const sort = params.get("sort")
  return {
    text: (params.get("q") ?? "").slice(0, 128),
    states: listed(params.get("state")).filter(isState),
    sort: isSort(sort) ? sort : defaults.sort,
    limit: limitOf(params.get("limit"), defaults.limit),
    cursor: params.get("after"),
    creating: params.get("create") === "1"
  }
}

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: UsersView) =>
  searchOf([
    ["q", view.text],
    ["state", view.states.join(",")],
    ["sort", view.sort === defaults.sort ? "" : view.sort],
    ["limit", view.limit === defaults.limit ? "" : String(view.limit)],
    ["after", view.cursor ?? ""],
    ["create", view.creating ? "1" : ""]
  ])

export const isFiltered = ({ states, text }: UsersView) => text !== "" || states.length > 0

export const toQuery = ({ cursor, limit, sort, states, text }: UsersView): UsersQuery => ({
  text: text.trim(),
  states,
  sort,
  limit,
  cursor
})
