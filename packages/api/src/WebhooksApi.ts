import { EventId, EventType } from "@broker/domain/Event"
import { MoreThanHeld } from "@broker/domain/Permission"
import { PreconditionFailed } from "@broker/domain/Precondition"
import { InvalidCursor, Moment, Page, PageLimit, Text, Uuid } from "@broker/domain/Primitives"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import {
  CreatedWebhook,
  DeliveryDetails,
  DeliveryState,
  NothingToReplay,
  Replayed,
  ReplayRequest,
  TooManyWebhooks,
  Webhook,
  WebhookChanges,
  WebhookDelivery,
  WebhookDeliveryId,
  WebhookDeliveryNotFound,
  WebhookId,
  WebhookNotFound,
  WebhookRequest,
  WebhookTargetRefused
} from "@broker/domain/Webhook"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { ifMatch, ifNoneMatch, Sparse, sparse } from "./Conditional.ts"
import { example } from "./Example.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { doing, ids, statusPage, testDelivery, underWay } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"

const one = { id: WebhookId }
const created = CreatedWebhook
const webhook = Webhook
const delivery = WebhookDelivery

/** Where events are sent. */
export class WebhooksApi extends HttpApiGroup.make("webhooks")
  .add(
    HttpApiEndpoint.post("create", "/", {
      headers: idempotencyKey,
      payload: WebhookRequest,
      success: created.pipe(HttpApiSchema.status(201)),
      error: [MoreThanHeld, WebhookTargetRefused, TooManyWebhooks, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:create"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          headers: { "idempotency-key": "status-page" },
          body: {
            name: "Status page",
            url: "https://hooks.example.com/broker",
            types: ["server.liveness_changed"]
          },
          answer: { ...statusPage, secret: "whsec_6qTxUbSW/CzqWmcmXXzYs5bAHse6VWP5XfyntImy8tY=" },
          varies: ["hint"]
        })
      )
      .annotate(OpenApi.Summary, "Create a webhook")
      .annotate(
        OpenApi.Description,
        "`secret` is shown this once. The token needs the scope of every type of event that it has sent."
      ),
    HttpApiEndpoint.get("list", "/", {
      query: Schema.Struct({
        limit: Schema.optionalKey(PageLimit),
        cursor: Schema.optionalKey(Text(512)),
        ...sparse
      }),
      success: Page(webhook),
      error: InvalidCursor
    })
      .annotateMerge(requires("webhooks:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { limit: "10" },
          answer: { items: [statusPage], nextCursor: null },
          varies: ["hint", ...doing]
        })
      )
      .annotate(OpenApi.Summary, "List webhooks, the newest first")
      .annotate(OpenApi.Description, "With how their deliveries do, and without their secrets."),
    HttpApiEndpoint.get("get", "/:id", {
      params: one,
      headers: ifNoneMatch,
      query: Sparse,
      success: webhook,
      error: WebhookNotFound
    })
      .annotateMerge(requires("webhooks:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          answer: statusPage,
          varies: ["hint", ...doing]
        })
      )
      .annotate(OpenApi.Summary, "Read a webhook and how it does")
      .annotate(
        OpenApi.Description,
        "Its `ETag` is the one for `If-Match`; how its deliveries do does not enter there."
      ),
    HttpApiEndpoint.patch("update", "/:id", {
      params: one,
      headers: ifMatch,
      payload: WebhookChanges,
      success: webhook,
      error: [WebhookNotFound, MoreThanHeld, WebhookTargetRefused, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          body: { types: ["server.liveness_changed", "server.registered"] },
          answer: { ...statusPage, types: ["server.liveness_changed", "server.registered"] },
          varies: ["hint", ...doing]
        })
      )
      .annotate(OpenApi.Summary, "Change a webhook's name, address, types of events or payload version")
      .annotate(OpenApi.Description, "What is left out stays."),
    HttpApiEndpoint.post("pause", "/:id/pause", {
      params: one,
      headers: ifMatch,
      success: webhook,
      error: [WebhookNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          answer: {
            ...statusPage,
            types: ["server.liveness_changed", "server.registered"],
            state: "paused",
            pausedBecause: "admin",
            pausedAt: "2026-11-22T10:22:00.000Z"
          },
          varies: ["hint", ...doing]
        })
      )
      .annotate(OpenApi.Summary, "Pause a webhook")
      .annotate(OpenApi.Description, "Nothing is sent, and all is kept for later. Doing it again changes nothing."),
    HttpApiEndpoint.post("resume", "/:id/resume", {
      params: one,
      headers: ifMatch,
      success: webhook,
      error: [WebhookNotFound, MoreThanHeld, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          answer: { ...statusPage, types: ["server.liveness_changed", "server.registered"] },
          varies: ["hint", ...doing]
        })
      )
      .annotate(OpenApi.Summary, "Resume a webhook")
      .annotate(
        OpenApi.Description,
        "What waits is sent, in order. Doing it again changes nothing. Where whoever set it up may not see what it is sent any more, the token needs the scopes of its types."
      ),
    HttpApiEndpoint.post("rotateSecret", "/:id/rotate-secret", {
      params: one,
      headers: ifMatch,
      success: created,
      error: [WebhookNotFound, MoreThanHeld, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          answer: {
            ...statusPage,
            types: ["server.liveness_changed", "server.registered"],
            secrets: [
              { hint: "whsec_neoD…", createdAt: "2026-11-22T10:23:00.000Z", expiresAt: null },
              {
                hint: "whsec_6qTx…",
                createdAt: "2026-11-22T10:20:00.000Z",
                expiresAt: "2026-11-23T10:23:00.000Z"
              }
            ],
            secret: "whsec_neoDCvSio1WFIoxyNoFGxoJcnDgJLMJZskOKj7n7sR8="
          },
          varies: ["hint", ...doing]
        })
      )
      .annotate(OpenApi.Summary, "Give a webhook a new secret")
      .annotate(OpenApi.Description, "`secret` is shown this once. The one of now signs beside it for another day."),
    HttpApiEndpoint.delete("delete", "/:id", {
      params: one,
      headers: ifMatch,
      success: HttpApiSchema.NoContent,
      error: [WebhookNotFound, PreconditionFailed, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:delete"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook }
        })
      )
      .annotate(OpenApi.Summary, "Delete a webhook, with what waits for it")
      .annotate(OpenApi.Description, "Nothing is sent there any more, and the log of its deliveries is gone."),
    HttpApiEndpoint.post("test", "/:id/test", {
      params: one,
      headers: idempotencyKey,
      success: delivery.pipe(HttpApiSchema.status(201)),
      error: [WebhookNotFound, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          answer: testDelivery,
          varies: underWay
        })
      )
      .annotate(OpenApi.Summary, "Send a test event")
      .annotate(OpenApi.Description, "`webhook.test` takes its turn like any event: look at the delivery."),
    HttpApiEndpoint.get("deliveries", "/:id/deliveries", {
      params: one,
      query: Schema.Struct({
        state: Schema.optionalKey(Schema.ArrayEnsure(DeliveryState)),
        type: Schema.optionalKey(Schema.ArrayEnsure(EventType)),
        subjectId: Schema.optionalKey(Uuid),
        eventId: Schema.optionalKey(EventId),
        from: Schema.optionalKey(Moment),
        to: Schema.optionalKey(Moment),
        limit: Schema.optionalKey(PageLimit),
        cursor: Schema.optionalKey(Text(512)),
        ...sparse
      }),
      success: Page(delivery),
      error: [WebhookNotFound, InvalidCursor]
    })
      .annotateMerge(requires("webhooks:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          query: { type: "webhook.test", limit: "10" },
          answer: { items: [testDelivery], nextCursor: null },
          varies: underWay
        })
      )
      .annotate(OpenApi.Summary, "List what was sent to a webhook, the newest first")
      .annotate(
        OpenApi.Description,
        "All that is asked for has to hold. Only of events that the token may see. Kept for 30 days."
      ),
    HttpApiEndpoint.get("delivery", "/:id/deliveries/:deliveryId", {
      params: { ...one, deliveryId: WebhookDeliveryId },
      success: DeliveryDetails,
      error: [WebhookNotFound, WebhookDeliveryNotFound]
    })
      .annotateMerge(requires("webhooks:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook, deliveryId: ids.delivery },
          answer: {
            delivery: testDelivery,
            attempts: [
              {
                at: "2026-11-22T10:21:00.000Z",
                durationMillis: 184,
                status: 503,
                problem: "It answered 503.",
                requestHeaders: { "content-type": "application/json", "webhook-id": ids.testEvent },
                requestBody: null,
                responseHeaders: { "content-type": "text/plain" },
                responseBody: "Try later"
              }
            ]
          },
          varies: underWay
        })
      )
      .annotate(OpenApi.Summary, "Read a delivery, with each request and what came back")
      .annotate(OpenApi.Description, "Requests as they were sent, and the first 4 kB of each answer."),
    HttpApiEndpoint.post("replay", "/:id/replay", {
      params: one,
      headers: idempotencyKey,
      payload: ReplayRequest,
      success: Replayed,
      error: [WebhookNotFound, WebhookDeliveryNotFound, NothingToReplay, IdempotencyKeyReused]
    })
      .annotateMerge(requires("webhooks:update"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: ids.webhook },
          body: { from: "2026-11-22T00:00:00Z", types: ["server.registered"] },
          answer: { deliveries: 2, more: false, next: "41" },
          varies: ["deliveries", "next"]
        })
      )
      .annotate(OpenApi.Summary, "Send again: one delivery, or what happened in a range")
      .annotate(
        OpenApi.Description,
        "Under the same event ids, so that a receiver knows them again; after what waits already, in the order in which it happened. A range that is longer than one replay goes on from `next`."
      )
  )
  .middleware(ApiTokenAuthentication)
  .prefix("/webhooks")
  .annotateMerge(
    OpenApi.annotations({ title: "Webhooks", description: "For machines with an API token: where events are sent." })
  ) {}
