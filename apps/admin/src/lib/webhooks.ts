/** Webhooks as they arrive, and in words. */
import type { EventType } from "@broker/domain/Event"
import type { Permission } from "@broker/domain/Permission"
import { Page } from "@broker/domain/Primitives"
import {
  CreatedWebhook,
  DeliveryDetails,
  type DeliveryState,
  Replayed,
  ReplayPreview,
  Webhook,
  WebhookDelivery,
  WebhookFigures
} from "@broker/domain/Webhook"
import { Schema } from "effect"
import type { Wording } from "./connection.ts"
import { byNoun, typesByNoun } from "./events.ts"
import { count, plural } from "./numbers.ts"
import { maybeMillis, millis, span, until } from "./time.ts"

export type WebhookView = typeof Webhook.Type
export type DeliveryView = typeof WebhookDelivery.Type
export type AttemptView = (typeof DeliveryDetails.Type)["attempts"][number]
export type FiguresView = typeof WebhookFigures.Type
export type CreatedView = typeof CreatedWebhook.Type

export const decodeWebhook = Schema.decodeUnknownSync(Webhook)
export const decodeWebhooks = Schema.decodeUnknownSync(Schema.Array(Webhook))
export const decodeCreatedWebhook = Schema.decodeUnknownSync(CreatedWebhook)
export const decodeFigures = Schema.decodeUnknownSync(Schema.Array(WebhookFigures))
export const decodeDelivery = Schema.decodeUnknownSync(WebhookDelivery)
export const decodeDeliveries = Schema.decodeUnknownSync(Page(WebhookDelivery))
export const decodeDeliveryDetails = Schema.decodeUnknownSync(DeliveryDetails)
export const decodeReplayed = Schema.decodeUnknownSync(Replayed)
export const decodePreview = Schema.decodeUnknownSync(ReplayPreview)

/** What the list depends on, and the page of one. */
export const webhooksKey = "broker:webhooks"
export const webhookKey = "broker:webhook"

/** A state, with who paused it: somebody, or the broker. */
export type WebhookStanding = "active" | "resting" | "paused" | "failing"

export const webhookStandings: Record<WebhookStanding, Wording> = {
  active: { word: "Active", tone: "ok", meaning: "Events are sent as they come." },
  resting: {
    word: "Resting",
    tone: "warn",
    meaning: "It failed several times in a row: one delivery is tried from time to time, and the others wait."
  },
  paused: { word: "Paused", tone: "idle", meaning: "Somebody paused it. What happens is kept for it, for 30 days." },
  failing: {
    word: "Paused by the broker",
    tone: "bad",
    meaning:
      "Nothing got through for days, or whoever set it up may not see all of it any more. What happens is kept for it, for 30 days: resume it once it is mended."
  }
}

export const standingOrder: ReadonlyArray<WebhookStanding> = ["active", "resting", "paused", "failing"]

export const standingOf = ({ pausedBecause, state }: Pick<WebhookView, "state" | "pausedBecause">): WebhookStanding =>
  state === "paused" && pausedBecause === "failing" ? "failing" : state

/** Since when it stands so, as far as that is known. */
export const standingSince = (webhook: Pick<WebhookView, "state" | "pausedAt" | "failingSince">) =>
  maybeMillis(webhook.state === "paused" ? webhook.pausedAt : webhook.state === "resting" ? webhook.failingSince : null)

/** Why it stands so, in a sentence without its full stop; null where there is nothing to say. */
export const whyOf = (
  webhook: Pick<
    WebhookView,
    "state" | "pausedBecause" | "restsUntil" | "lastProblem" | "failingSince" | "failuresInRow"
  >,
  now: number
) => {
  const problem = webhook.lastProblem?.replace(/\.$/, "") ?? null
  const failing = maybeMillis(webhook.failingSince)
  switch (standingOf(webhook)) {
    case "resting": {
      const next = maybeMillis(webhook.restsUntil)
      return [
        problem ?? plural(webhook.failuresInRow, "failure in a row", "failures in a row"),
        ...(next === null ? [] : [`tried again ${until(next, now)}`])
      ].join(", ")
    }
    case "failing": {
      const long = failing === null ? null : `nothing got through for ${span(now - failing)}`
      return [problem, long].filter((part) => part !== null).join(", ") || "Nothing got through"
    }
    case "active":
      return webhook.failuresInRow === 0 || problem === null ? null : `Last time: ${problem}`
    case "paused":
      return null
  }
}

export const hostOf = (url: string) => URL.parse(url)?.host ?? url

export const deliveryStates: Record<DeliveryState, Wording> = {
  pending: { word: "Waiting", tone: "info", meaning: "It has yet to be accepted." },
  delivered: { word: "Delivered", tone: "ok", meaning: "The receiver accepted it." },
  gave_up: { word: "Given up", tone: "bad", meaning: "It was not accepted within three days. Send it again by hand." }
}

export const deliveryStateOrder: ReadonlyArray<DeliveryState> = ["pending", "delivered", "gave_up"]

/** What came of an attempt: "204 in 31 ms", "no answer within 15 s". */
export const attemptWords = ({ durationMillis, problem, status }: AttemptView) =>
  problem === null ? `${status ?? "Accepted"} in ${durationMillis} ms` : problem

/** Of 0 to 1; null where nothing was tried. */
export const shareOf = ({ delivered, failed }: Pick<FiguresView, "delivered" | "failed">) =>
  delivered + failed === 0 ? null : delivered / (delivered + failed)

/** When a delivery is tried next: while its webhook rests, not before that is over. */
export const nextWords = (
  delivery: Pick<DeliveryView, "state" | "nextAttemptAt">,
  { restsUntil, state }: Pick<WebhookView, "state" | "restsUntil">,
  now: number
) => {
  if (delivery.state !== "pending") return null
  if (state === "paused") return "when resumed"
  if (delivery.nextAttemptAt === null) return "after an earlier one"
  return until(Math.max(millis(delivery.nextAttemptAt), maybeMillis(restsUntil) ?? 0), now)
}

/** The broker counts no further. */
const counted = 1_000

/** How many deliveries wait. */
export const waitingWords = (pending: number) => (pending > counted ? `> ${count(counted)}` : count(pending))

/** The same in a sentence. */
export const waitingEvents = (pending: number) =>
  pending > counted ? `more than ${count(counted)} events` : plural(pending, "event")

/** What a webhook may listen to that somebody makes: what they may see themselves. A test is sent on request only. */
export const typesToHear = (permissions: ReadonlyArray<Permission>) =>
  typesByNoun(permissions).map((group) => ({ ...group, types: group.types.filter((type) => type !== "webhook.test") }))

/** The types of one webhook, by their noun, and the test that any may be sent. */
export const groupsOf = (types: ReadonlyArray<EventType>) => byNoun([...types, "webhook.test"])
