/** What the list of servers shows, as it stands in the URL. */
import { ServerSort, type ServersQuery } from "@broker/domain/Fleet"
import { ServerStatus, Tag } from "@broker/domain/Server"
import { Schema } from "effect"
import { limitOf, listed, searchOf } from "#lib/views.ts"

export interface ServersView {
  readonly text: string
  readonly statuses: ReadonlyArray<ServerStatus>
  readonly tags: ReadonlyArray<string>
  readonly verified: boolean | null
  readonly sort: ServerSort
  readonly limit: number
  /** Where the page starts; null for the first. */
  readonly cursor: string | null
}

export const sorts: ReadonlyArray<readonly [ServerSort, string]> = [
  ["name", "Name, A to Z"],
  ["-name", "Name, Z to A"],
  ["-lastSeen", "Heartbeat, latest first"],
  ["lastSeen", "Heartbeat, oldest first"],
  ["-registered", "Joined, newest first"],
  ["registered", "Joined, oldest first"]
]

const defaults: ServersView = {
  text: "",
  statuses: [],
  tags: [],
  verified: null,
  sort: "name",
  limit: 50,
  cursor: null
}

const isStatus = Schema.is(ServerStatus)
const isSort = Schema.is(ServerSort)
const isTag = Schema.is(Tag)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): ServersView => {
  const sort = params.get("sort")
  const verified = params.get("verified")
  return {
    text: (params.get("q") ?? "").slice(0, 128),
    statuses: listed(params.get("status")).filter(isStatus),
    tags: listed(params.get("tag")).filter(isTag).slice(0, 8),
    verified: verified === "yes" ? true : verified === "no" ? false : null,
    sort: isSort(sort) ? sort : defaults.sort,
    limit: limitOf(params.get("limit"), defaults.limit),
    cursor: params.get("after")
  }
}

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: ServersView) =>
  searchOf([
    ["q", view.text],
    ["status", view.statuses.join(",")],
    ["tag", view.tags.join(",")],
    ["verified", view.verified === null ? "" : view.verified ? "yes" : "no"],
    ["sort", view.sort === defaults.sort ? "" : view.sort],
    ["limit", view.limit === defaults.limit ? "" : String(view.limit)],
    ["after", view.cursor ?? ""]
  ])

export const isFiltered = (view: ServersView) =>
  view.text !== "" || view.statuses.length > 0 || view.tags.length > 0 || view.verified !== null

export const toQuery = (view: ServersView): ServersQuery => ({ ...view, text: view.text.trim() })
