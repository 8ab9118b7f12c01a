/** What the list of API tokens shows, as it stands in the URL. There are few: they are filtered here. */
import { AdminId } from "@broker/domain/Admin"
import { ApiTokenState } from "@broker/domain/ApiToken"
import { Schema } from "effect"
import type { ApiTokenView } from "#lib/access.ts"
import { listed, one, searchOf } from "#lib/views.ts"

export interface TokensView {
  readonly text: string
  readonly states: ReadonlyArray<ApiTokenState>
  readonly ownerId: AdminId | null
}

const isState = Schema.is(ApiTokenState)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): TokensView => ({
  text: (params.get("q") ?? "").slice(0, 128),
  states: listed(params.get("state")).filter(isState),
  ownerId: one(Schema.is(AdminId), params.get("owner"))
})

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = ({ ownerId, states, text }: TokensView) =>
  searchOf([
    ["q", text],
    ["state", states.join(",")],
    ["owner", ownerId ?? ""]
  ])

export const isFiltered = (view: TokensView) => viewSearch(view) !== ""

export const filtered = (tokens: ReadonlyArray<ApiTokenView>, { ownerId, states, text }: TokensView) => {
  const wanted = text.trim().toLowerCase()
  return tokens.filter(
    (token) =>
      (wanted === "" ||
        token.id === wanted ||
        [token.name, token.ownerName, token.hint, ...token.scopes, ...token.networks].some((words) =>
          words.toLowerCase().includes(wanted)
        )) &&
      (states.length === 0 || states.includes(token.state)) &&
      (ownerId === null || token.ownerId === ownerId)
  )
}
