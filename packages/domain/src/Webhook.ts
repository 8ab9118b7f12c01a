/**
 * Where other systems are told what happens, as it happens: signed by the Standard Webhooks scheme, at least once, and
 * in order per subject (W1).
 */
import { Schema } from "effect"
import { EventId, EventPlace, EventSubject, EventType, EventVersion } from "./Event.ts"
import { Count, Moment, PageLimit, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

export const WebhookId = Uuid.pipe(Schema.brand("WebhookId"))
export type WebhookId = typeof WebhookId.Type

export const WebhookDeliveryId = Uuid.pipe(Schema.brand("WebhookDeliveryId"))
export type WebhookDeliveryId = typeof WebhookDeliveryId.Type

const MaybeTime = Schema.NullOr(Schema.DateTimeUtcFromString)

/**
 * Where it is sent. Whether the broker connects there is another question, which is asked when the webhook is made and
 * again at each attempt (W2).
 */
export const WebhookUrl = Text(2_048).check(
  Schema.makeFilter((text) => {
    const url = URL.parse(text)
    if (url === null || (url.protocol !== "https:" && url.protocol !== "http:"))
      return "must be an address such as https://example.com/events"
    if (url.username !== "" || url.password !== "") return "must not hold a user name or a password"
    if (url.hash !== "" || text.includes("#")) return "must not have a fragment"
    return true
  })
)

export const WebhookName = Text(64).check(Schema.isTrimmed(), Schema.isMinLength(1))

/** What one can listen to: every type of event, but for the test, which is sent when somebody asks for it. */
export const WebhookTypes = Schema.Array(EventType).check(
  Schema.isMinLength(1, { message: "must hold at least one type of event" }),
  Schema.isUnique(),
  Schema.makeFilter((types) => !types.includes("webhook.test") || "webhook.test is sent on request only")
)

/**
 * - `active`: events are sent as they come.
 * - `resting`: it failed several times in a row; one delivery is tried from time to time.
 * - `paused`: nothing is sent, and what happens is kept for it.
 */
export const WebhookState = Schema.Literals(["active", "resting", "paused"])
export type WebhookState = typeof WebhookState.Type

/** Who paused it: somebody, or the broker, after it failed for days or said that it is gone. */
export const WebhookPause = Schema.Literals(["admin", "failing"])
export type WebhookPause = typeof WebhookPause.Type

/** A secret that signs; never the secret itself. */
export const WebhookSecret = Schema.Struct({
  /** Its first characters, to tell it from another. */
  hint: Schema.String,
  createdAt: Schema.DateTimeUtcFromString,
  /** When it stops to sign, after a rotation; null for the one of now. */
  expiresAt: MaybeTime
}).annotate({ title: "WebhookSecret" })
export type WebhookSecret = typeof WebhookSecret.Type

export const Webhook = Schema.Struct({
  id: WebhookId,
  name: Schema.String,
  url: Schema.String,
  /** What it listens to. */
  types: Schema.Array(EventType),
  /** The version of the payload that it is sent: the one of the day it was made, until somebody changes it. */
  version: EventVersion,
  state: WebhookState,
  pausedBecause: Schema.NullOr(WebhookPause),
  pausedAt: MaybeTime,
  /** Of a resting one: when it is tried next. */
  restsUntil: MaybeTime,
  failuresInRow: Count,
  /** Since when nothing got through. */
  failingSince: MaybeTime,
  /** What was wrong the last time. */
  lastProblem: Schema.NullOr(Schema.String),
  lastSuccessAt: MaybeTime,
  lastFailureAt: MaybeTime,
  /** How many deliveries wait: 1,001 for more than 1,000. */
  pending: Count,
  createdBy: Schema.String,
  createdAt: Schema.DateTimeUtcFromString,
  /** The one of now, and for a day after a rotation the one before: requests are signed with each. */
  secrets: Schema.Array(WebhookSecret)
}).annotate({ title: "Webhook" })
export type Webhook = typeof Webhook.Type

/** What an admin chooses who makes a webhook. */
export const WebhookRequest = Schema.Struct({
  name: WebhookName,
  url: WebhookUrl,
  types: WebhookTypes
}).annotate({ title: "WebhookRequest" })
export type WebhookRequest = typeof WebhookRequest.Type

/** What is left out stays as it is. */
export const WebhookChanges = Schema.Struct({
  name: Schema.optionalKey(WebhookName),
  url: Schema.optionalKey(WebhookUrl),
  types: Schema.optionalKey(WebhookTypes),
  version: Schema.optionalKey(EventVersion)
}).annotate({ title: "WebhookChanges" })
export type WebhookChanges = typeof WebhookChanges.Type

/** `whsec_` and 32 random bytes as base64, as Standard Webhooks wants it. Redacted as soon as it is decoded. */
export const SigningSecret = Schema.RedactedFromValue(
  Schema.String.check(Schema.isPattern(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, { message: "must be whsec_ and base64" })),
  { label: "secret" }
)
export type SigningSecret = typeof SigningSecret.Type

/** The webhook with its new secret, which is shown this once. */
export const CreatedWebhook = Schema.Struct({ ...Webhook.fields, secret: SigningSecret }).annotate({
  title: "CreatedWebhook"
})
export type CreatedWebhook = typeof CreatedWebhook.Type

/** A webhook that somebody should look at. */
export const FailingWebhook = Schema.Struct({
  id: WebhookId,
  name: Schema.String,
  state: WebhookState,
  failingSince: MaybeTime,
  lastProblem: Schema.NullOr(Schema.String)
})
export type FailingWebhook = typeof FailingWebhook.Type

/** `gave_up`: not accepted within three days of its first attempt, or gone before its turn came. */
export const DeliveryState = Schema.Literals(["pending", "delivered", "gave_up"])
export type DeliveryState = typeof DeliveryState.Type

/** An event on its way to a webhook. */
export const WebhookDelivery = Schema.Struct({
  id: WebhookDeliveryId,
  webhookId: WebhookId,
  /** The `webhook-id` of its requests: the same however often the event is sent. */
  eventId: EventId,
  type: EventType,
  subject: EventSubject,
  state: DeliveryState,
  attempts: Count,
  /** Null where it waits for an earlier one of its subject, and when it has ended. */
  nextAttemptAt: MaybeTime,
  /** What came of the last attempt. */
  lastStatus: Schema.NullOr(Schema.Int),
  lastProblem: Schema.NullOr(Schema.String),
  createdAt: Schema.DateTimeUtcFromString,
  endedAt: MaybeTime,
  /** The delivery that this one repeats. */
  replayOf: Schema.NullOr(WebhookDeliveryId)
}).annotate({ title: "WebhookDelivery" })
export type WebhookDelivery = typeof WebhookDelivery.Type

const Headers = Schema.Record(Schema.String, Schema.String)

/** One request, and what came back. */
export const WebhookAttempt = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  durationMillis: Count,
  /** The status of the answer; null where there was none. */
  status: Schema.NullOr(Schema.Int),
  /** Why it counts as failed; null where it did not. */
  problem: Schema.NullOr(Schema.String),
  requestHeaders: Headers,
  /** Null once the event is past its time. */
  requestBody: Schema.NullOr(Schema.String),
  responseHeaders: Headers,
  /** The first 4 kB of the answer. */
  responseBody: Schema.String
}).annotate({ title: "WebhookAttempt" })
export type WebhookAttempt = typeof WebhookAttempt.Type

/** A delivery with all its attempts, the first first. */
export const DeliveryDetails = Schema.Struct({
  delivery: WebhookDelivery,
  attempts: Schema.Array(WebhookAttempt)
}).annotate({ title: "DeliveryDetails" })
export type DeliveryDetails = typeof DeliveryDetails.Type

/** All that is asked for has to hold; the newest first. */
export const DeliveriesQuery = Schema.Struct({
  states: Schema.Array(DeliveryState),
  types: Schema.Array(EventType),
  subjectId: Schema.NullOr(Uuid),
  eventId: Schema.NullOr(EventId),
  from: MaybeTime,
  to: MaybeTime,
  limit: PageLimit,
  cursor: Schema.NullOr(Text(512))
})
export type DeliveriesQuery = typeof DeliveriesQuery.Type

/** How many events one replay repeats at most. */
export const replayLimit = 10_000

/**
 * What to send again: one delivery, or what happened in a range, whether it was sent before or not, in the order in
 * which it happened. `after` and `to` are places of the feed, the first left out, the last included.
 */
export const ReplayRequest = Schema.Union([
  Schema.Struct({ deliveryId: WebhookDeliveryId }).annotate({ title: "ReplayOfOne" }),
  Schema.Struct({
    after: Schema.optionalKey(EventPlace),
    upTo: Schema.optionalKey(EventPlace),
    from: Schema.optionalKey(Moment),
    to: Schema.optionalKey(Moment),
    /** Of those that the webhook listens to; all of them where there are none. */
    types: Schema.optionalKey(Schema.Array(EventType))
  })
    .annotate({ title: "ReplayOfRange" })
    .check(
      // Somebody who misspells the delivery must not have all of them sent.
      Schema.makeFilter(
        ({ after, from }) => after !== undefined || from !== undefined || "must say from where on: after or from"
      )
    )
])
export type ReplayRequest = typeof ReplayRequest.Type

/** How many deliveries were added. */
export const Replayed = Schema.Struct({
  deliveries: Count,
  /** Whether there were more than one replay takes: go on from `next`. */
  more: Schema.Boolean,
  /** The place of the last event that was taken. */
  next: Schema.NullOr(EventPlace)
}).annotate({ title: "Replayed" })
export type Replayed = typeof Replayed.Type

/** What a replay would add, before it is done. */
export const ReplayPreview = Schema.Struct({ deliveries: Count, more: Schema.Boolean })
export type ReplayPreview = typeof ReplayPreview.Type

/** How many attempts of the last 24 hours were accepted, and how many were not. */
export const WebhookFigures = Schema.Struct({ webhookId: WebhookId, delivered: Count, failed: Count })
export type WebhookFigures = typeof WebhookFigures.Type

export class WebhookNotFound extends Problem<WebhookNotFound>()("WebhookNotFound", {
  code: "webhook_not_found",
  status: 404,
  title: "Webhook not found",
  detail: "There is no such webhook.",
  remedy: "Check the id; it may have been deleted."
}) {}

export class WebhookDeliveryNotFound extends Problem<WebhookDeliveryNotFound>()("WebhookDeliveryNotFound", {
  code: "webhook_delivery_not_found",
  status: 404,
  title: "Delivery not found",
  detail: "There is no such delivery.",
  remedy: "Check the id. Deliveries are kept for 30 days."
}) {}

/** W2: the broker connects to nothing that is not on the internet for everybody, unless its operator allows it. */
export class WebhookTargetRefused extends Problem<WebhookTargetRefused>()(
  "WebhookTargetRefused",
  {
    code: "webhook_target_refused",
    status: 422,
    title: "Target refused",
    detail: "The broker does not send to this URL.",
    remedy:
      "Use https and a name that everybody can reach. Whoever runs the broker can allow private networks and http: see `WEBHOOK_NETWORKS` and `WEBHOOK_HTTP`."
  },
  { reason: Schema.Literals(["http", "address", "unresolved"]) }
) {}

/** So many webhooks an organization has at most. */
export const maxWebhooks = 500

export class TooManyWebhooks extends Problem<TooManyWebhooks>()("TooManyWebhooks", {
  code: "too_many_webhooks",
  status: 409,
  title: "Too many webhooks",
  detail: `The organization has ${maxWebhooks} webhooks, and cannot have more.`,
  remedy: "Delete one that nobody needs."
}) {}

/** What would be sent again is past its time. */
export class NothingToReplay extends Problem<NothingToReplay>()("NothingToReplay", {
  code: "nothing_to_replay",
  status: 409,
  title: "Nothing to replay",
  detail: "The event of this delivery is past its time, and is gone.",
  remedy: "Events are kept for 30 days. Read the present state of what the event was about."
}) {}
