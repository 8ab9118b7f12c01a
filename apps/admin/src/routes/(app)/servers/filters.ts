/** What the list of servers shows, as it stands in the URL. */
import { ServerSort, type ServersQuery } from "@broker/domain/Fleet"
import { GroupId, ServerStatus, Tag } from "@broker/domain/Server"
import { Schema } from "effect"
import { listed, one, searchOf } from "#lib/views.ts"

export interface ServersView {
  /** What is searched for, in the language of `ServerSearch`. */
  readonly text: string
  readonly statuses: ReadonlyArray<ServerStatus>
  readonly verified: boolean | null
  /** In this group or below. */
  readonly groupId: GroupId | null
  readonly sort: ServerSort
}

export const maxText = 512

/** How many rows are asked for at a time. */
const pageSize = 100

const isStatus = Schema.is(ServerStatus)
const isSort = Schema.is(ServerSort)
const isTag = Schema.is(Tag)
const isGroup = Schema.is(GroupId)

export const sorts: ReadonlyArray<readonly [ServerSort, string]> = [
  ["name", "Name, A to Z"],
  ["-name", "Name, Z to A"],
  ["-load", "Load, highest first"],
  ["load", "Load, lowest first"],
  ["-version", "Version, newest first"],
  ["version", "Version, oldest first"],
  ["-lastSeen", "Heartbeat, latest first"],
  ["lastSeen", "Heartbeat, oldest first"],
  ["-registered", "Joined, newest first"],
  ["registered", "Joined, oldest first"]
]

export const defaults: ServersView = { text: "", statuses: [], verified: null, groupId: null, sort: "name" }

/** A word more to search for, unless it is there already. */
export const searchedFor = (text: string, term: string) =>
  text.split(/\s+/).includes(term) ? text : `${text} ${term}`.trim().slice(0, maxText)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): ServersView => {
  const sort = params.get("sort")
  const verified = params.get("verified")
  // Links from before there was a language name tags apart.
  const tags = listed(params.get("tag")).filter(isTag)
  return {
    text: tags.reduce((text, tag) => searchedFor(text, `tag:${tag}`), (params.get("q") ?? "").slice(0, maxText)),
    statuses: listed(params.get("status")).filter(isStatus),
    verified: verified === "yes" ? true : verified === "no" ? false : null,
    groupId: one(isGroup, params.get("group")),
    sort: isSort(sort) ? sort : defaults.sort
  }
}

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: ServersView) =>
  searchOf(
    [
      ["q", view.text],
      ["status", view.statuses.join(",")],
      ["group", view.groupId ?? ""],
      ["verified", view.verified === null ? "" : view.verified ? "yes" : "no"],
      ["sort", view.sort === defaults.sort ? "" : view.sort]
    ],
    [",", ":", "<", ">", "="]
  )

export const canonical = (search: string) => viewSearch(parseView(new URLSearchParams(search)))

export const hrefOf = (view: ServersView) => `/servers${viewSearch(view)}`

export const isFiltered = (view: ServersView) =>
  view.text !== "" || view.statuses.length > 0 || view.verified !== null || view.groupId !== null

export const toQuery = (view: ServersView): ServersQuery => ({
  ...view,
  text: view.text.trim(),
  tags: [],
  limit: pageSize,
  cursor: null
})
