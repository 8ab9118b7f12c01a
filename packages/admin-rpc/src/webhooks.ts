import { Webhooks } from "@broker/core/webhooks/Webhooks"
import { Page } from "@broker/domain/Primitives"
import {
  CreatedWebhook,
  DeliveriesQuery,
  DeliveryDetails,
  FailingWebhook,
  Replayed,
  ReplayPreview,
  ReplayRequest,
  Webhook,
  WebhookChanges,
  WebhookDelivery,
  WebhookDeliveryId,
  WebhookFigures,
  WebhookId,
  WebhookRequest
} from "@broker/domain/Webhook"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: WebhookId }))
const One = Wire.output(Webhook)
const Replay = Wire.input(Schema.Struct({ id: WebhookId, request: ReplayRequest }))

export const webhooks = router({
  list: procedure("webhooks:read")
    .output(Wire.output(Schema.Array(Webhook)))
    .query(({ ctx }) => ctx.run(Webhooks.use((webhooks) => webhooks.list(ctx.admin.organizationId)))),

  get: procedure("webhooks:read")
    .input(Id)
    .output(One)
    .query(({ ctx, input }) => ctx.run(Webhooks.use((webhooks) => webhooks.get(ctx.admin.organizationId, input.id)))),

  /** Those that somebody should look at. */
  failing: procedure("webhooks:read")
    .output(Wire.output(Schema.Array(FailingWebhook)))
    .query(({ ctx }) => ctx.run(Webhooks.use((webhooks) => webhooks.failing(ctx.admin.organizationId)))),

  figures: procedure("webhooks:read")
    .output(Wire.output(Schema.Array(WebhookFigures)))
    .query(({ ctx }) => ctx.run(Webhooks.use((webhooks) => webhooks.figures(ctx.admin.organizationId)))),

  create: procedure("webhooks:create", { provenly: true })
    .input(Wire.input(WebhookRequest))
    .output(Wire.output(CreatedWebhook))
    .mutation(({ ctx, input }) => ctx.run(Webhooks.use((webhooks) => webhooks.create(ctx.admin, input)))),

  /** Where events go, and which. */
  update: procedure("webhooks:update", { provenly: true })
    .input(Wire.input(Schema.Struct({ id: WebhookId, changes: WebhookChanges })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.update(ctx.admin, input.id, input.changes)))
    ),

  pause: procedure("webhooks:update")
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.pause(ctx.admin.organizationId, input.id)))
    ),

  resume: procedure("webhooks:update")
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) => ctx.run(Webhooks.use((webhooks) => webhooks.resume(ctx.admin, input.id)))),

  rotateSecret: procedure("webhooks:update", { provenly: true })
    .input(Id)
    .output(Wire.output(CreatedWebhook))
    .mutation(({ ctx, input }) => ctx.run(Webhooks.use((webhooks) => webhooks.rotateSecret(ctx.admin, input.id)))),

  delete: procedure("webhooks:delete", { provenly: true })
    .input(Id)
    .mutation(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.delete(ctx.admin.organizationId, input.id)))
    ),

  test: procedure("webhooks:update")
    .input(Id)
    .output(Wire.output(WebhookDelivery))
    .mutation(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.test(ctx.admin.organizationId, input.id)))
    ),

  deliveries: procedure("webhooks:read")
    .input(Wire.input(Schema.Struct({ id: WebhookId, query: DeliveriesQuery })))
    .output(Wire.output(Page(WebhookDelivery)))
    .query(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.deliveries(ctx.admin, input.id, input.query)))
    ),

  /** With what was sent and what came back. */
  delivery: procedure("webhooks:read")
    .input(Wire.input(Schema.Struct({ id: WebhookId, deliveryId: WebhookDeliveryId })))
    .output(Wire.output(DeliveryDetails))
    .query(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.delivery(ctx.admin, input.id, input.deliveryId)))
    ),

  /** How many a replay would send again. */
  previewReplay: procedure("webhooks:update")
    .input(Replay)
    .output(Wire.output(ReplayPreview))
    .query(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.previewReplay(ctx.admin.organizationId, input.id, input.request)))
    ),

  replay: procedure("webhooks:update")
    .input(Replay)
    .output(Wire.output(Replayed))
    .mutation(({ ctx, input }) =>
      ctx.run(Webhooks.use((webhooks) => webhooks.replay(ctx.admin.organizationId, input.id, input.request)))
    )
})
