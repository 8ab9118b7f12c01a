/** Deliveries as CSV. */
import { iso, type Sheet, saveAll } from "#lib/csv.ts"
import { rpc } from "#lib/rpc.ts"
import { type DeliveryView, decodeDeliveries, deliveryStates, type WebhookView } from "#lib/webhooks.ts"
import { type DeliveriesView, toQuery } from "./filters.ts"

const sheet: Sheet<DeliveryView> = {
  name: "deliveries",
  header: [
    "id",
    "event_id",
    "type",
    "subject_kind",
    "subject_id",
    "subject_name",
    "state",
    "attempts",
    "last_status",
    "last_problem",
    "made_at",
    "ended_at",
    "repeats"
  ],
  cells: (delivery) => [
    delivery.id,
    delivery.eventId,
    delivery.type,
    delivery.subject.kind,
    delivery.subject.id,
    delivery.subject.name,
    deliveryStates[delivery.state].word,
    delivery.attempts,
    delivery.lastStatus,
    delivery.lastProblem,
    iso(delivery.createdAt),
    iso(delivery.endedAt),
    delivery.replayOf
  ]
}

/** All that the filters match. Returns how many it wrote; `progress` hears of each page. */
export const exportDeliveries = (
  { id }: Pick<WebhookView, "id">,
  view: DeliveriesView,
  progress: (rows: number) => void
) => {
  const query = toQuery(view, Date.now())
  return saveAll(
    sheet,
    async (page) => decodeDeliveries(await rpc.webhooks.deliveries.query({ id, query: { ...query, ...page } })),
    progress
  )
}
