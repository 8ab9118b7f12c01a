/** Which deliveries the page of a webhook shows, as it stands in the URL. */
import { EventType } from "@broker/domain/Event"
import { Uuid } from "@broker/domain/Primitives"
import { DeliveryState, WebhookDeliveryId } from "@broker/domain/Webhook"
import { Schema } from "effect"
import { anyTime, parseRange, type Ranged, rangeEnds, rangeSearch } from "#lib/list-range.ts"
import type { RouterInputs } from "#lib/rpc.ts"
import { limitOf, listed, one, searchOf } from "#lib/views.ts"

export interface DeliveriesView extends Ranged {
  readonly states: ReadonlyArray<DeliveryState>
  readonly types: ReadonlyArray<EventType>
  readonly subjectId: string | null
  readonly limit: number
  /** Where the page starts; null for the first. */
  readonly cursor: string | null
}

const defaults: DeliveriesView = { states: [], types: [], subjectId: null, ...anyTime, limit: 25, cursor: null }

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): DeliveriesView => ({
  states: listed(params.get("state")).filter(Schema.is(DeliveryState)),
  types: listed(params.get("type")).filter(Schema.is(EventType)),
  subjectId: one(Schema.is(Uuid), params.get("subject")),
  ...parseRange(params),
  limit: limitOf(params.get("limit"), defaults.limit),
  cursor: params.get("after")
})

/** The delivery that is looked into. Apart from the view: looking into one asks for no other list. */
export const deliveryOf = (params: Pick<URLSearchParams, "get">) =>
  one(Schema.is(WebhookDeliveryId), params.get("delivery"))

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: DeliveriesView, delivery: string | null = null) =>
  searchOf(
    [
      ["state", view.states.join(",")],
      ["type", view.types.join(",")],
      ["subject", view.subjectId ?? ""],
      ...rangeSearch(view),
      ["limit", view.limit === defaults.limit ? "" : String(view.limit)],
      ["after", view.cursor ?? ""],
      ["delivery", delivery ?? ""]
    ],
    [",", ":"]
  )

export const unfiltered = { states: [], types: [], subjectId: null, ...anyTime } satisfies Partial<DeliveriesView>

export const isFiltered = (view: DeliveriesView) => viewSearch({ ...view, limit: defaults.limit, cursor: null }) !== ""

export const toQuery = (view: DeliveriesView, now: number): RouterInputs["webhooks"]["deliveries"]["query"] => ({
  ...rangeEnds(view, now),
  states: view.states,
  types: view.types,
  subjectId: view.subjectId,
  eventId: null,
  limit: view.limit,
  cursor: view.cursor
})
