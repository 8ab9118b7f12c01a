import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Holds } from "@broker/core/Holds"
import { Webhooks } from "@broker/core/webhooks/Webhooks"
import { Webhook, WebhookDelivery, type WebhookId } from "@broker/domain/Webhook"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { asMachine, gone, made, makeWrites, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

/** How its deliveries do moves without anybody changing it. */
const webhook = resource(Webhook, Webhook.fields, [
  "state",
  "pausedBecause",
  "pausedAt",
  "restsUntil",
  "failuresInRow",
  "failingSince",
  "lastProblem",
  "lastSuccessAt",
  "lastFailureAt",
  "pending",
  "secrets"
])
const delivery = resource(WebhookDelivery, WebhookDelivery.fields)

export const WebhooksHttp = HttpApiBuilder.group(
  Api,
  "webhooks",
  Effect.fn(function* (handlers) {
    const webhooks = yield* Webhooks
    const holds = yield* Holds
    const { guarded, once } = yield* makeWrites

    const guard = Effect.fnUntraced(function* (id: WebhookId) {
      const token = yield* CurrentApiToken
      const { organizationId } = token
      return {
        token,
        organizationId,
        of: webhook,
        hold: holds.webhook(organizationId, id),
        read: webhooks.get(organizationId, id)
      }
    })

    return handlers.handleAll({
      list: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          webhook.page(
            webhooks.page(organizationId, { cursor: query.cursor ?? null, limit: query.limit ?? usualLimit }),
            query.fields
          )
        ),
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          webhook.one(webhooks.get(organizationId, params.id), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      create: Effect.fnUntraced(function* ({ headers, payload }) {
        const token = yield* CurrentApiToken
        const verdict = yield* webhooks.judge(payload.url)
        return yield* once(
          headers,
          Effect.gen(function* () {
            const { secret, ...created } = yield* webhooks.create(token, payload, verdict)
            return made(`/api/v1/webhooks/${created.id}`)(yield* webhook.changed(created, { secret }))
          })
        )
      }, asMachine),
      update: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        const verdict = payload.url === undefined ? undefined : yield* webhooks.judge(payload.url)
        const update = webhooks.update(on.token, id, payload, verdict)
        return yield* guarded(headers, on, Effect.flatMap(update, webhook.changed))
      }, asMachine),
      pause: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.flatMap(webhooks.pause(on.organizationId, id), webhook.changed))
      }, asMachine),
      resume: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.flatMap(webhooks.resume(on.token, id), webhook.changed))
      }, asMachine),
      rotateSecret: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(
          headers,
          on,
          Effect.gen(function* () {
            const { secret, ...rotated } = yield* webhooks.rotateSecret(on.token, id)
            return yield* webhook.changed(rotated, { secret })
          })
        )
      }, asMachine),
      delete: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.as(webhooks.delete(on.organizationId, id), gone))
      }, asMachine),
      test: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const { organizationId } = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const sent = yield* webhooks.test(organizationId, id)
            return made(`/api/v1/webhooks/${id}/deliveries/${sent.id}`)(yield* delivery.changed(sent))
          })
        )
      }, asMachine),
      deliveries: ({ params, query: { cursor, eventId, fields, from, limit, state, subjectId, to, type } }) =>
        Effect.flatMap(CurrentApiToken, (token) =>
          delivery.page(
            webhooks.deliveries(token, params.id, {
              states: state ?? [],
              types: type ?? [],
              subjectId: subjectId ?? null,
              eventId: eventId ?? null,
              from: from ?? null,
              to: to ?? null,
              limit: limit ?? usualLimit,
              cursor: cursor ?? null
            }),
            fields
          )
        ),
      delivery: ({ params: { deliveryId, id } }) =>
        Effect.flatMap(CurrentApiToken, (token) => webhooks.delivery(token, id, deliveryId)),
      replay: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const { organizationId } = yield* CurrentApiToken
        const replayed = Effect.map(webhooks.replay(organizationId, id, payload), (replayed) => ({
          status: 200,
          headers: {},
          body: JSON.stringify(replayed)
        }))
        return yield* once(headers, replayed)
      }, asMachine)
    })
  })
)
