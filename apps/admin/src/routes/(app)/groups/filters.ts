/** What the page of groups shows, as it stands in the URL. */
import { GroupId } from "@broker/domain/Server"
import { Schema } from "effect"
import { one, searchOf } from "#lib/views.ts"

export interface GroupsView {
  readonly text: string
  /** The group whose details are open. */
  readonly open: GroupId | null
}

const isGroup = Schema.is(GroupId)

export const parseView = (params: Pick<URLSearchParams, "get">): GroupsView => ({
  text: (params.get("q") ?? "").slice(0, 128),
  open: one(isGroup, params.get("group"))
})

export const hrefOf = ({ open, text }: GroupsView) =>
  `/groups${searchOf([
    ["q", text],
    ["group", open ?? ""]
  ])}`
