/** What the page of a user shows, as it stands in the URL. */
import type { ConnectionsQuery } from "@broker/domain/Connection"
import type { UserId } from "@broker/domain/User"
import { searchOf } from "#lib/views.ts"
import * as Connections from "../../connections/filters.ts"

export const tabs = [
  { value: "keys", label: "Keys" },
  { value: "devices", label: "Devices" },
  { value: "connections", label: "Connections" },
  { value: "activity", label: "Activity" }
] as const

type Tab = (typeof tabs)[number]["value"]
/** All of them first: what became of yesterday's is what somebody asks on this page. */
export const scopes = Connections.scopes.toSorted((a, b) => Number(b.value === "all") - Number(a.value === "all"))

export interface UserPageView {
  readonly tab: Tab
  /** Which connections are listed. */
  readonly scope: ConnectionsQuery["scope"]
  /** Where the page of connections starts; null for the first. */
  readonly cursor: string | null
  /** Whether the form for a new key is open. */
  readonly creating: boolean
}

export const parseView = (params: Pick<URLSearchParams, "get">): UserPageView => ({
  tab: tabs.find(({ value }) => value === params.get("tab"))?.value ?? "keys",
  scope: scopes.find(({ value }) => value === params.get("scope"))?.value ?? "all",
  cursor: params.get("after"),
  creating: params.get("create") === "1"
})

export const viewSearch = ({ creating, cursor, scope, tab }: UserPageView) => {
  const isList = tab === "connections"
  return searchOf([
    ["tab", tab === "keys" ? "" : tab],
    ["scope", isList && scope !== "all" ? scope : ""],
    ["after", isList ? (cursor ?? "") : ""],
    ["create", creating ? "1" : ""]
  ])
}

export const toQuery = ({ cursor, scope }: UserPageView, userId: UserId) =>
  Connections.toQuery({ ...Connections.defaults, scope, userId, cursor })
