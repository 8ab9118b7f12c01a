/** Who listens to what happens, and what was sent there (W1). How it is sent is the work of `Deliveries`. */

import { SubjectKind } from "@broker/domain/AuditEntry"
import { catalogue, currentVersion, EventType, EventVersion, eventTypes } from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import type { MoreThanHeld } from "@broker/domain/Permission"
import { InvalidCursor } from "@broker/domain/Primitives"
import {
  type CreatedWebhook,
  type DeliveriesQuery,
  type DeliveryDetails,
  type FailingWebhook,
  maxWebhooks,
  NothingToReplay,
  type Replayed,
  type ReplayPreview,
  type ReplayRequest,
  replayLimit,
  TooManyWebhooks,
  type Webhook,
  type WebhookAttempt,
  type WebhookChanges,
  type WebhookDelivery,
  type WebhookDeliveryId,
  WebhookDeliveryNotFound,
  type WebhookFigures,
  WebhookId,
  WebhookNotFound,
  type WebhookRequest,
  WebhookTargetRefused
} from "@broker/domain/Webhook"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { type Authority, within } from "../admins/Authority.ts"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as Cursor from "../Cursor.ts"
import { Encryption } from "../crypto/Encryption.ts"
import { place, webhookSecret } from "../crypto/SealedColumns.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { Holds } from "../Holds.ts"
import { payload } from "./Deliveries.ts"
import { deliveriesTopic } from "./DeliveriesTopic.ts"
import * as Owner from "./Owner.ts"
import * as Signature from "./Signature.ts"
import { Targets } from "./Targets.ts"
import { WebhooksPolicy } from "./WebhooksPolicy.ts"
import * as WebhooksSql from "./WebhooksSql.ts"

const isType = Schema.is(EventType)
const isVersion = Schema.is(EventVersion)
const isSubjectKind = Schema.is(SubjectKind)

/** So many webhooks that need a person are shown at once. */
const failingLimit = 20

/** Figures are of so long. */
const figuresSpan = Duration.hours(24)

type RangeRequest = Exclude<ReplayRequest, { readonly deliveryId: WebhookDeliveryId }>

/** What one has to be allowed to, to hear of all these types. */
const permissionsOf = (types: ReadonlyArray<string>) =>
  new Set(types.filter(isType).map((type) => catalogue[type].permission))

const shown = ({ types, version, ...row }: WebhooksSql.Row): Webhook => ({
  ...row,
  types: types.filter(isType),
  version: isVersion(version) ? version : currentVersion,
  state: row.pausedAt !== null ? "paused" : row.restsUntil !== null ? "resting" : "active"
})

/** None of a type or a subject that only a later release knows. */
const shownDelivery = ({ seq: _, subjectId, subjectKind, subjectName, type, ...row }: WebhooksSql.DeliveryRow) =>
  isType(type) && isSubjectKind(subjectKind)
    ? Option.some<WebhookDelivery>({ ...row, type, subject: { kind: subjectKind, id: subjectId, name: subjectName } })
    : Option.none()

const shownAttempt = ({ event, version, ...row }: WebhooksSql.AttemptRow): WebhookAttempt => ({
  ...row,
  requestBody: event === null ? null : Option.getOrNull(payload(event, version))
})

/** Who looks at deliveries sees those of events that they may see: nobody else's, whoever may see webhooks (A5). */
export type DeliveryReader = Pick<Authority, "organizationId" | "permissions">

/** Whether the broker sends to a URL, found out. */
export type Verdict = Effect.Effect<void, WebhookTargetRefused>

export class Webhooks extends Context.Service<
  Webhooks,
  {
    /** All of the organization, the newest first. */
    list(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<Webhook>>
    /** The same in pieces. */
    page(
      organizationId: OrganizationId,
      query: { readonly limit: number; readonly cursor: string | null }
    ): Effect.Effect<{ readonly items: ReadonlyArray<Webhook>; readonly nextCursor: string | null }, InvalidCursor>
    get(organizationId: OrganizationId, id: WebhookId): Effect.Effect<Webhook, WebhookNotFound>
    /** For whoever changes it within a transaction, which waits for no name server: asked before, and given along. */
    judge(url: string): Effect.Effect<Verdict>
    /**
     * The answer holds the secret, and nothing else ever will. Nobody has events sent that they may not read
     * themselves (A5), nor to where the broker does not connect (W2).
     */
    create(
      by: Authority,
      request: WebhookRequest,
      verdict?: Verdict
    ): Effect.Effect<CreatedWebhook, MoreThanHeld | WebhookTargetRefused | TooManyWebhooks, Actor>
    /** Whoever changes where or what is sent has to hold the permissions of all its types, and answers for it. */
    update(
      by: Authority,
      id: WebhookId,
      changes: WebhookChanges,
      verdict?: Verdict
    ): Effect.Effect<Webhook, WebhookNotFound | MoreThanHeld | WebhookTargetRefused, Actor>
    /** Nothing is sent, and all is kept. Doing it again changes nothing. */
    pause(organizationId: OrganizationId, id: WebhookId): Effect.Effect<Webhook, WebhookNotFound, Actor>
    /**
     * Sends what waits, in order; also ends a rest. Doing it again changes nothing. Where whoever answered for it may
     * not see all of its types any more, who resumes it does, and has to hold their permissions.
     */
    resume(by: Authority, id: WebhookId): Effect.Effect<Webhook, WebhookNotFound | MoreThanHeld, Actor>
    /** A new secret; the one of now signs beside it for another day, and one before that no more. */
    rotateSecret(by: Authority, id: WebhookId): Effect.Effect<CreatedWebhook, WebhookNotFound | MoreThanHeld, Actor>
    /** What waits goes with it. */
    delete(organizationId: OrganizationId, id: WebhookId): Effect.Effect<void, WebhookNotFound, Actor>
    /** Sends `webhook.test`, to this webhook alone. It takes its turn like any event: look at the delivery. */
    test(organizationId: OrganizationId, id: WebhookId): Effect.Effect<WebhookDelivery, WebhookNotFound, Actor>
    /** The newest first, of what the reader may see. */
    deliveries(
      reader: DeliveryReader,
      id: WebhookId,
      query: DeliveriesQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<WebhookDelivery>; readonly nextCursor: string | null },
      WebhookNotFound | InvalidCursor
    >
    delivery(
      reader: DeliveryReader,
      id: WebhookId,
      deliveryId: WebhookDeliveryId
    ): Effect.Effect<DeliveryDetails, WebhookNotFound | WebhookDeliveryNotFound>
    /** Sends again what was sent or might have been, under the same event ids, after what waits already. */
    replay(
      organizationId: OrganizationId,
      id: WebhookId,
      request: ReplayRequest
    ): Effect.Effect<Replayed, WebhookNotFound | WebhookDeliveryNotFound | NothingToReplay, Actor>
    /** What `replay` would add, or how it would fail. */
    previewReplay(
      organizationId: OrganizationId,
      id: WebhookId,
      request: ReplayRequest
    ): Effect.Effect<ReplayPreview, WebhookNotFound | WebhookDeliveryNotFound | NothingToReplay>
    /** The attempts of the last 24 hours, of those webhooks that had any. */
    figures(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<WebhookFigures>>
    /** Those that rest or were paused by the broker, the longest failing first: what needs a person. */
    failing(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<FailingWebhook>>
  }
>()("@broker/core/webhooks/Webhooks") {
  static readonly layerNoDeps = Layer.effect(
    Webhooks,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* WebhooksSql.make
      const policy = yield* WebhooksPolicy
      const targets = yield* Targets
      const encryption = yield* Encryption
      const signals = yield* Signals
      const secrets = yield* Secrets
      const audit = yield* Audit
      const holds = yield* Holds
      const lost = yield* Owner.make

      const recorded = (
        organizationId: OrganizationId,
        id: WebhookId,
        act: string,
        details: Parameters<typeof audit.record>[0]["details"] = {}
      ) =>
        audit.record({
          organizationId,
          action: `webhooks:${act}`,
          subjectKind: "webhook",
          subjectId: id,
          details
        })

      const hint = signals.notify(deliveriesTopic, "more")

      const find = Effect.fnUntraced(function* (organizationId: OrganizationId, id: WebhookId) {
        const row = yield* statements.get({ organizationId, id, now: yield* DateTime.now })
        return Option.isSome(row) ? shown(row.value) : yield* new WebhookNotFound()
      })

      const held = Effect.fnUntraced(function* (organizationId: OrganizationId, id: WebhookId) {
        const row = yield* statements.hold({ organizationId, id })
        return Option.isSome(row) ? row.value : yield* new WebhookNotFound()
      })

      /** Asked outside of transactions, as a name server takes its time. */
      const check = (url: string) =>
        targets.find(url).pipe(
          Effect.timeoutOrElse({
            duration: policy.timeout,
            orElse: () =>
              Effect.fail(
                new WebhookTargetRefused({ reason: "unresolved", detail: "The name could not be looked up." })
              )
          })
        )

      const mint = Effect.fnUntraced(function* (webhookId: WebhookId, now: DateTime.Utc) {
        const id = yield* secrets.id
        const secret = yield* secrets.bytes(Signature.secretSize)
        yield* statements.insertSecret({
          id,
          webhookId,
          hint: Signature.hintOf(secret),
          sealedSecret: yield* encryption.seal(place(webhookSecret, id), secret),
          now
        })
        return Signature.spell(secret)
      })

      const judge = Effect.fn("Webhooks.judge")((url: string) =>
        Effect.map(Effect.exit(check(url)), (exit): Verdict => exit)
      )

      const read = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        before: WebhookId | null,
        limit: number
      ) {
        return (yield* statements.list({ organizationId, before, limit, now: yield* DateTime.now })).map(shown)
      }, Effect.orDie)

      const list = Effect.fn("Webhooks.list")((organizationId: OrganizationId) =>
        read(organizationId, null, maxWebhooks)
      )

      const page = Effect.fn("Webhooks.page")(function* (
        organizationId: OrganizationId,
        { cursor, limit }: { readonly limit: number; readonly cursor: string | null }
      ) {
        const position = yield* Cursor.decode(cursor)
        const rows = yield* read(organizationId, position === null ? null : WebhookId.make(position[1]), limit + 1)
        return Cursor.page(rows, limit, ({ id }) => ["", id])
      })

      const get = Effect.fn("Webhooks.get")(find, Effect.catchTag(["SchemaError", "SqlError"], Effect.die))

      const create = Effect.fn("Webhooks.create")(
        function* (by: Authority, { name, types, url }: WebhookRequest, verdict: Verdict = check(url)) {
          const { organizationId } = by
          yield* within(by, permissionsOf(types))
          yield* verdict
          const { name: createdBy } = yield* Actor
          const id = WebhookId.make(yield* secrets.id)
          return yield* Effect.gen(function* () {
            const now = yield* DateTime.now
            if ((yield* statements.count(organizationId)).webhooks >= maxWebhooks) return yield* new TooManyWebhooks()
            yield* statements.insert({
              id,
              organizationId,
              name,
              url,
              types,
              version: currentVersion,
              createdBy,
              ownerId: by.id,
              createdAt: now
            })
            const secret = yield* mint(id, now)
            yield* recorded(organizationId, id, "create", { name, url, types })
            return { ...(yield* find(organizationId, id)), secret }
          }).pipe(sql.withTransaction)
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError", "WebhookNotFound"], Effect.die)
      )

      const update = Effect.fn("Webhooks.update")(
        function* (by: Authority, id: WebhookId, changes: WebhookChanges, verdict?: Verdict) {
          const { organizationId } = by
          // Whoever may not know of it learns nothing of it, nor has names looked up.
          const before = yield* find(organizationId, id)
          if (changes.url !== undefined && changes.url !== before.url) yield* verdict ?? check(changes.url)
          return yield* Effect.gen(function* () {
            if (changes.url !== undefined) yield* holds.webhook(organizationId, id)
            const { name, types, url } = yield* held(organizationId, id)
            const next = { name: changes.name ?? name, url: changes.url ?? url, types: changes.types ?? types }
            yield* statements.update({ id, ...next, version: changes.version ?? null })
            if (changes.url !== undefined || changes.types !== undefined) {
              yield* within(by, permissionsOf(next.types))
              yield* statements.own({ id, ownerId: by.id })
            }
            yield* recorded(organizationId, id, "update", { name: next.name, changed: Object.keys(changes).toSorted() })
            if (next.url !== url) {
              yield* statements.forgive(id)
              yield* statements.wake({ id, now: yield* DateTime.now })
              yield* hint
            }
            return yield* find(organizationId, id)
          }).pipe(sql.withTransaction)
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const pause = Effect.fn("Webhooks.pause")(
        function* (organizationId: OrganizationId, id: WebhookId) {
          const paused = yield* statements.pause({ organizationId, id, now: yield* DateTime.now })
          if (Option.isSome(paused)) {
            yield* recorded(organizationId, id, "pause", { name: paused.value.name, because: "admin" })
          }
          return yield* find(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const resume = Effect.fn("Webhooks.resume")(
        function* (by: Authority, id: WebhookId) {
          const { organizationId } = by
          yield* holds.webhook(organizationId, id)
          const { name, ownerId, types } = yield* held(organizationId, id)
          const isDisowned = (yield* lost(organizationId, ownerId, types)).length > 0
          if (isDisowned) {
            yield* within(by, permissionsOf(types))
            yield* statements.own({ id, ownerId: by.id })
          }
          yield* statements.wake({ id, now: yield* DateTime.now })
          const resumed = yield* statements.resume({ organizationId, id })
          if (Option.isSome(resumed) || isDisowned) {
            yield* recorded(organizationId, id, "resume", { name })
            yield* hint
          }
          return yield* find(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const rotateSecret = Effect.fn("Webhooks.rotateSecret")(
        function* (by: Authority, id: WebhookId) {
          const { organizationId } = by
          const now = yield* DateTime.now
          const { name, types } = yield* held(organizationId, id)
          yield* within(by, permissionsOf(types))
          yield* statements.removePreviousSecret(id)
          yield* statements.retireSecret({ webhookId: id, expiresAt: DateTime.addDuration(now, policy.overlap) })
          const secret = yield* mint(id, now)
          yield* recorded(organizationId, id, "rotate-secret", { name })
          return { ...(yield* find(organizationId, id)), secret }
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const remove = Effect.fn("Webhooks.delete")(
        function* (organizationId: OrganizationId, id: WebhookId) {
          const removed = yield* statements.remove({ organizationId, id })
          if (Option.isNone(removed)) return yield* new WebhookNotFound()
          yield* recorded(organizationId, id, "delete", removed.value)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const oneDelivery = Effect.fnUntraced(function* (webhookId: WebhookId, id: WebhookDeliveryId) {
        const row = yield* statements.findDelivery({ webhookId, id })
        return Option.isSome(row) ? row.value : yield* new WebhookDeliveryNotFound()
      })

      const test = Effect.fn("Webhooks.test")(
        function* (organizationId: OrganizationId, id: WebhookId) {
          const { name } = yield* find(organizationId, id)
          const now = yield* DateTime.now
          const eventId = yield* secrets.id
          const which = { organizationId, id, eventId, name, now }
          yield* statements.tell(which)
          const { id: deliveryId } = yield* statements.deliverTest(which)
          yield* statements.open({ webhookId: id, subjectId: id, now })
          yield* recorded(organizationId, id, "test", { name })
          yield* hint
          return yield* Effect.flatMap(oneDelivery(id, deliveryId), (row) => Effect.fromOption(shownDelivery(row)))
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError", "WebhookDeliveryNotFound"], Effect.die)
      )

      const deliveries = Effect.fn("Webhooks.deliveries")(
        function* (reader: DeliveryReader, id: WebhookId, { cursor, limit, types, ...query }: DeliveriesQuery) {
          yield* find(reader.organizationId, id)
          const hidden = Owner.beyond(reader.permissions, eventTypes)
          const seen = (types.length === 0 ? eventTypes : types).filter((type) => !hidden.includes(type))
          if (seen.length === 0) return { items: [], nextCursor: null }
          const position = yield* Cursor.decode(cursor)
          if (position !== null && !/^\d{1,18}$/.test(position[0])) return yield* new InvalidCursor()
          const rows = yield* statements.deliveries({
            ...query,
            types: types.length === 0 && hidden.length === 0 ? [] : seen,
            webhookId: id,
            before: position === null ? null : BigInt(position[0]),
            limit: limit + 1
          })
          const { items, nextCursor } = Cursor.page(rows, limit, (row) => [String(row.seq), row.id])
          return { items: items.flatMap((row) => Option.toArray(shownDelivery(row))), nextCursor }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const delivery = Effect.fn("Webhooks.delivery")(
        function* (reader: DeliveryReader, id: WebhookId, deliveryId: WebhookDeliveryId) {
          yield* find(reader.organizationId, id)
          const row = yield* oneDelivery(id, deliveryId)
          const known = shownDelivery(row)
          const isHidden = Owner.beyond(reader.permissions, [row.type]).length > 0
          if (Option.isNone(known) || isHidden) return yield* new WebhookDeliveryNotFound()
          return { delivery: known.value, attempts: (yield* statements.attempts({ seq: row.seq })).map(shownAttempt) }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const repeatOne = Effect.fnUntraced(function* (id: WebhookId, deliveryId: WebhookDeliveryId) {
        const { seq } = yield* oneDelivery(id, deliveryId)
        const now = yield* DateTime.now
        const again = yield* statements.repeat({ seq, now })
        if (Option.isNone(again)) return yield* new NothingToReplay()
        yield* statements.open({ webhookId: id, subjectId: again.value.subjectId, now })
        return { deliveries: 1, more: false, next: null } satisfies Replayed
      })

      const ranged = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        id: WebhookId,
        types: ReadonlyArray<EventType>,
        { after, from, to, types: asked = [], upTo }: RangeRequest
      ) {
        return {
          organizationId,
          id,
          types: asked.length === 0 ? types : types.filter((type) => asked.includes(type)),
          after: after ?? null,
          upTo: upTo ?? null,
          from: from ?? null,
          to: to ?? null,
          now: yield* DateTime.now,
          limit: replayLimit
        }
      })

      const previewReplay = Effect.fn("Webhooks.previewReplay")(
        function* (organizationId: OrganizationId, id: WebhookId, request: ReplayRequest) {
          const { types } = yield* find(organizationId, id)
          if ("deliveryId" in request) {
            const { eventId } = yield* oneDelivery(id, request.deliveryId)
            if (!(yield* statements.isKept(eventId)).kept) return yield* new NothingToReplay()
            return { deliveries: 1, more: false }
          }
          const { events } = yield* statements.countRange(yield* ranged(organizationId, id, types, request))
          return { deliveries: Math.min(events, replayLimit), more: events > replayLimit }
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const replay = Effect.fn("Webhooks.replay")(
        function* (organizationId: OrganizationId, id: WebhookId, request: ReplayRequest) {
          const { name, types } = yield* find(organizationId, id)
          if ("deliveryId" in request) {
            const replayed = yield* repeatOne(id, request.deliveryId)
            yield* recorded(organizationId, id, "replay", { name, delivery: request.deliveryId })
            yield* hint
            return replayed
          }
          const replayed = yield* statements.repeatRange(yield* ranged(organizationId, id, types, request))
          yield* recorded(organizationId, id, "replay", { name, deliveries: replayed.deliveries })
          yield* hint
          return replayed
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const figures = Effect.fn("Webhooks.figures")(function* (organizationId: OrganizationId) {
        const since = DateTime.subtractDuration(yield* DateTime.now, figuresSpan)
        return yield* statements.figures({ organizationId, since })
      }, Effect.orDie)

      const failing = Effect.fn("Webhooks.failing")(function* (organizationId: OrganizationId) {
        const rows = yield* statements.failing({ organizationId, limit: failingLimit })
        return rows.map(({ isPaused, ...row }): FailingWebhook => ({ ...row, state: isPaused ? "paused" : "resting" }))
      }, Effect.orDie)

      return Webhooks.of({
        list,
        page,
        get,
        judge,
        create,
        update,
        pause,
        resume,
        rotateSecret,
        delete: remove,
        test,
        deliveries,
        delivery,
        previewReplay,
        replay,
        figures,
        failing
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Targets.layer, Secrets.layer, Holds.layer]))
}
