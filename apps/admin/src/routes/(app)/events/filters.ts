/** What the list of events shows, as it stands in the URL. */
import { EventId, EventType } from "@broker/domain/Event"
import { Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { anyTime, parseRange, type Ranged, rangeEnds, rangeSearch } from "#lib/list-range.ts"
import type { RouterInputs } from "#lib/rpc.ts"
import { limitOf, listed, one, searchOf } from "#lib/views.ts"

export interface EventsView extends Ranged {
  readonly text: string
  /** Any of them; of all types where there are none. */
  readonly types: ReadonlyArray<EventType>
  readonly subjectId: string | null
  readonly limit: number
  /** Where the page starts; null for the first. */
  readonly cursor: string | null
}

export const defaults: EventsView = { text: "", types: [], subjectId: null, ...anyTime, limit: 50, cursor: null }

const isType = Schema.is(EventType)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): EventsView => ({
  text: (params.get("q") ?? "").slice(0, 128),
  types: listed(params.get("type")).filter(isType),
  subjectId: one(Schema.is(Uuid), params.get("subject")),
  ...parseRange(params),
  limit: limitOf(params.get("limit"), defaults.limit),
  cursor: params.get("after")
})

/** The event that is looked into. Apart from the view: looking into one asks for no other list. */
export const eventOf = (params: Pick<URLSearchParams, "get">) => one(Schema.is(EventId), params.get("event"))

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: EventsView, event: string | null = null) =>
  searchOf(
    [
      ["q", view.text],
      ["type", view.types.join(",")],
      ["subject", view.subjectId ?? ""],
      ...rangeSearch(view),
      ["limit", view.limit === defaults.limit ? "" : String(view.limit)],
      ["after", view.cursor ?? ""],
      ["event", event ?? ""]
    ],
    [",", ":"]
  )

export const unfiltered = { text: "", types: [], subjectId: null, ...anyTime } satisfies Partial<EventsView>

export const isFiltered = (view: EventsView) => viewSearch({ ...view, limit: defaults.limit, cursor: null }) !== ""

/** Whether what happens now belongs on the page. */
export const isOpenEnded = (view: EventsView) => view.cursor === null && (view.range !== "custom" || view.to === null)

type Query = RouterInputs["events"]["list"]

const toFilter = (view: EventsView, now: number): Omit<Query, "limit" | "cursor"> => ({
  ...rangeEnds(view, now),
  text: view.text.trim(),
  types: view.types,
  subjectId: view.subjectId
})

export const toQuery = (view: EventsView, now: number): Query => ({
  ...toFilter(view, now),
  limit: view.limit,
  cursor: view.cursor
})

/** Where the whole of what the filters match is downloaded. */
export const exportHref = (view: EventsView, format: "csv" | "ndjson", now: number) => {
  const params = new URLSearchParams({ format })
  for (const [key, value] of Object.entries(toFilter(view, now))) {
    for (const each of [value].flat()) if (each !== null && each !== "") params.append(key, String(each))
  }
  return `/rpc/events/export?${params}`
}
