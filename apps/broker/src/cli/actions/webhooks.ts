import { everything } from "@broker/core/admins/Authority"
import { Webhooks } from "@broker/core/webhooks/Webhooks"
import type { EventType } from "@broker/domain/Event"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import {
  CreatedWebhook,
  type DeliveryState,
  Webhook,
  WebhookDelivery,
  WebhookId,
  WebhookNotFound,
  WebhookRequest
} from "@broker/domain/Webhook"
import { DateTime, Effect, Option, Redacted, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { pageOf } from "./pages.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

type One = Common & { readonly id: string }

const encode = Schema.encodeSync(Webhook)
const encodePage = Schema.encodeSync(Page(Webhook))
const encodeCreated = Schema.encodeSync(CreatedWebhook)
const encodeDelivery = Schema.encodeSync(WebhookDelivery)
const encodeDeliveries = Schema.encodeSync(Page(WebhookDelivery))

const idOf = (text: string) =>
  Schema.decodeEffect(WebhookId)(text.trim().toLowerCase()).pipe(Effect.mapError(() => new WebhookNotFound()))

const checkRequest = (request: typeof WebhookRequest.Encoded) =>
  Schema.decodeEffect(WebhookRequest)(request, { errors: "all" }).pipe(
    Effect.mapError((error) =>
      usage(
        wrongFlags(error, { name: "--name", url: "URL", types: "--type" }),
        "URL: https, without a user name or a fragment. Name: 1 to 64 characters."
      )
    )
  )

const stateOf = ({ pausedBecause, state }: Webhook) => (pausedBecause === "failing" ? "paused, failing" : state)

export const list = (flags: Common) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const items = yield* Webhooks.use((webhooks) => webhooks.list(defaultOrganizationId))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage({ items, nextCursor: null }),
        Output.table(
          ["ID", "NAME", "STATE", "PENDING", "LAST SUCCESS", "URL"],
          items.map((webhook) => [
            webhook.id,
            webhook.name,
            stateOf(webhook),
            webhook.pending > 1_000 ? "1000+" : String(webhook.pending),
            Output.relative(webhook.lastSuccessAt, now),
            webhook.url
          ])
        ),
        "There are no webhooks. `broker webhook create` makes one."
      )
    })
  )

export const create = Effect.fnUntraced(function* (
  flags: Common & {
    readonly url: string
    readonly types: ReadonlyArray<EventType>
    readonly name: Option.Option<string>
  }
) {
  const request = yield* checkRequest({
    name: Option.getOrElse(flags.name, () => "from the command line"),
    url: flags.url,
    types: [...new Set(flags.types)]
  })
  yield* onDatabase({ dataDir: flags.dataDir, mayBegin: true }, () =>
    Effect.gen(function* () {
      const created = yield* Webhooks.use((webhooks) => webhooks.create(everything(defaultOrganizationId), request))
      if (flags.json) return yield* Output.json(encodeCreated(created))
      yield* Output.text(Redacted.value(created.secret))
      yield* Output.note(
        "",
        "Keep it: it is not shown again. Receivers check by it who sends.",
        `Try it:  broker webhook test ${created.id}`
      )
    })
  )
})

const acting =
  <E, R>(act: (id: WebhookId) => Effect.Effect<Webhook, E, R>, told: (webhook: Webhook) => string) =>
  (flags: One) =>
    onDatabase(flags, () =>
      Effect.gen(function* () {
        const webhook = yield* Effect.flatMap(idOf(flags.id), act)
        yield* Output.either(flags.json, encode(webhook), [told(webhook)])
      })
    )

export const pause = acting(
  (id) => Webhooks.use((webhooks) => webhooks.pause(defaultOrganizationId, id)),
  ({ name }) => `${name} is sent nothing for now. What happens waits for it.`
)

export const resume = acting(
  (id) => Webhooks.use((webhooks) => webhooks.resume(everything(defaultOrganizationId), id)),
  ({ name }) => `${name} is sent events again, beginning with what waits.`
)

export const test = (flags: One) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* idOf(flags.id)
      const delivery = yield* Webhooks.use((webhooks) => webhooks.test(defaultOrganizationId, id))
      yield* Output.either(flags.json, encodeDelivery(delivery), [
        "A test event is on its way.",
        `What came of it:  broker webhook deliveries ${id}`
      ])
    })
  )

export const deliveries = Effect.fnUntraced(function* (
  flags: One & {
    readonly states: ReadonlyArray<DeliveryState>
    readonly limit: number
    readonly cursor: Option.Option<string>
  }
) {
  const asked = yield* pageOf(flags)
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* idOf(flags.id)
      const page = yield* Webhooks.use((webhooks) =>
        webhooks.deliveries(everything(defaultOrganizationId), id, {
          ...asked,
          states: flags.states,
          types: [],
          subjectId: null,
          eventId: null,
          from: null,
          to: null
        })
      )
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodeDeliveries(page),
        Output.table(
          ["WHEN", "TYPE", "ABOUT", "STATE", "ATTEMPTS", "LAST ANSWER", "EVENT"],
          page.items.map((delivery) => [
            Output.relative(delivery.createdAt, now),
            delivery.type,
            Output.or(delivery.subject.name ?? "", delivery.subject.id),
            delivery.state,
            String(delivery.attempts),
            Output.or(
              delivery.lastProblem ?? (delivery.lastStatus === null ? "" : String(delivery.lastStatus)),
              "none"
            ),
            delivery.eventId
          ])
        ),
        "Nothing was sent yet, as far as these flags go."
      )
    })
  )
})

export const remove = (flags: One) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* idOf(flags.id)
      yield* Webhooks.use((webhooks) => webhooks.delete(defaultOrganizationId, id))
      yield* Output.either(flags.json, { id }, ["The webhook is gone, with what waited for it."])
    })
  )
