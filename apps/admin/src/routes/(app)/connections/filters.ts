/** What the list of connections shows, as it stands in the URL. */
import { ConnectionStatus, type ConnectionsQuery, Verdict } from "@broker/domain/Connection"
import { DeviceId } from "@broker/domain/Device"
import { PersonalKeyId } from "@broker/domain/PersonalKey"
import { ServerId } from "@broker/domain/Server"
import { UserId } from "@broker/domain/User"
import { Schema } from "effect"
import type { ConnectionStanding } from "#lib/connection.ts"
import { changed as firstOf, limitOf, listed, one, searchOf } from "#lib/views.ts"

export type Scope = ConnectionsQuery["scope"]

export interface ConnectionsView {
  readonly tab: "connections" | "cuts"
  readonly scope: Scope
  readonly text: string
  /** `stale` stands alone: it is a part of what is active. */
  readonly standings: ReadonlyArray<ConnectionStanding>
  readonly verdicts: ReadonlyArray<Verdict>
  readonly reasons: ReadonlyArray<string>
  readonly userId: UserId | null
  readonly deviceId: DeviceId | null
  readonly serverId: ServerId | null
  readonly personalKeyId: PersonalKeyId | null
  readonly limit: number
  /** Where the page starts; null for the first. */
  readonly cursor: string | null
}

export const scopes: ReadonlyArray<{ readonly value: Scope; readonly label: string }> = [
  { value: "live", label: "Live" },
  { value: "over", label: "Over" },
  { value: "all", label: "All" }
]

/** What a connection can be, by what is looked at. */
export const standingsOf: Record<Scope, ReadonlyArray<ConnectionStanding>> = {
  live: ["active", "intent", "stale"],
  over: ["ended", "expired", "refused"],
  all: ["active", "intent", "stale", "ended", "expired", "refused"]
}

export const defaults: ConnectionsView = {
  tab: "connections",
  scope: "live",
  text: "",
  standings: [],
  verdicts: [],
  reasons: [],
  userId: null,
  deviceId: null,
  serverId: null,
  personalKeyId: null,
  limit: 50,
  cursor: null
}

const isVerdict = Schema.is(Verdict)
const isStatus = Schema.is(ConnectionStatus)
const isReason = (reason: string) => reason !== "" && reason.length <= 128

/** Stale ones are shown alone, and only what the scope can hold. */
const sound = (standings: ReadonlyArray<ConnectionStanding>, scope: Scope): ReadonlyArray<ConnectionStanding> => {
  const possible = standings.filter((standing) => standingsOf[scope].includes(standing))
  return possible.includes("stale") ? ["stale"] : possible
}

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): ConnectionsView => {
  const scope = scopes.find(({ value }) => value === params.get("scope"))?.value ?? defaults.scope
  return {
    tab: params.get("tab") === "cuts" ? "cuts" : "connections",
    scope,
    text: (params.get("q") ?? "").slice(0, 128),
    standings: sound(
      listed(params.get("status")).filter((word): word is ConnectionStanding => word === "stale" || isStatus(word)),
      scope
    ),
    verdicts: listed(params.get("verdict")).filter(isVerdict),
    reasons: listed(params.get("reason")).filter(isReason).slice(0, 16),
    userId: one(Schema.is(UserId), params.get("user")),
    deviceId: one(Schema.is(DeviceId), params.get("device")),
    serverId: one(Schema.is(ServerId), params.get("server")),
    personalKeyId: one(Schema.is(PersonalKeyId), params.get("key")),
    limit: limitOf(params.get("limit"), defaults.limit),
    cursor: params.get("after")
  }
}

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: ConnectionsView) =>
  searchOf([
    ["tab", view.tab === defaults.tab ? "" : view.tab],
    ["scope", view.scope === defaults.scope ? "" : view.scope],
    ["q", view.text],
    ["status", view.standings.join(",")],
    ["verdict", view.verdicts.join(",")],
    ["reason", view.reasons.join(",")],
    ["user", view.userId ?? ""],
    ["device", view.deviceId ?? ""],
    ["server", view.serverId ?? ""],
    ["key", view.personalKeyId ?? ""],
    ["limit", view.limit === defaults.limit ? "" : String(view.limit)],
    ["after", view.cursor ?? ""]
  ])

/** A change of what is asked starts at the first page: a cursor belongs to its question. */
export const changed = (view: ConnectionsView, change: Partial<ConnectionsView>): ConnectionsView => {
  const next = firstOf(view, change)
  return {
    ...next,
    standings: sound(next.standings, next.scope),
    // What is live has neither.
    ...(next.scope === "live" ? { verdicts: [], reasons: [] } : {})
  }
}

/** A standing more, or one less. */
export const toggled = (
  standings: ReadonlyArray<ConnectionStanding>,
  standing: ConnectionStanding
): ReadonlyArray<ConnectionStanding> => {
  if (standings.includes(standing)) return standings.filter((other) => other !== standing)
  return standing === "stale" ? ["stale"] : [...standings.filter((other) => other !== "stale"), standing]
}

export const isFiltered = (view: ConnectionsView) =>
  view.text !== "" ||
  view.standings.length > 0 ||
  view.verdicts.length > 0 ||
  view.reasons.length > 0 ||
  view.userId !== null ||
  view.deviceId !== null ||
  view.serverId !== null ||
  view.personalKeyId !== null

export const unfiltered = {
  text: "",
  standings: [],
  verdicts: [],
  reasons: [],
  userId: null,
  deviceId: null,
  serverId: null,
  personalKeyId: null
} satisfies Partial<ConnectionsView>

export const toQuery = (view: ConnectionsView): ConnectionsQuery => {
  const stale = view.standings.includes("stale")
  return {
    scope: view.scope,
    text: view.text.trim(),
    statuses: stale ? ["active"] : view.standings.filter(isStatus),
    stale: stale ? true : null,
    verdicts: view.verdicts,
    reasons: view.reasons,
    userId: view.userId,
    deviceId: view.deviceId,
    serverId: view.serverId,
    personalKeyId: view.personalKeyId,
    limit: view.limit,
    cursor: view.cursor
  }
}
