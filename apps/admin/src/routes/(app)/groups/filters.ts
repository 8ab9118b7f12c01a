/** What the page of groups shows, as it stands in the URL. */
import { searchOf } from "#lib/views.ts"

export interface GroupsView {
  readonly text: string
}

export const parseView = (params: Pick<URLSearchParams, "get">): GroupsView => ({
  text: (params.get("q") ?? "").slice(0, 128)
})

export const hrefOf = ({ text }: GroupsView) => `/groups${searchOf([["q", text]])}`
