import { randomUUID } from "node:crypto"
import { everything } from "@broker/core/admins/Authority"
import type { Actor } from "@broker/core/audit/Actor"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { Events } from "@broker/core/events/Events"
import { Webhooks } from "@broker/core/webhooks/Webhooks"
import { Event, EventPlace } from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { WebhookId, WebhookRequest, WebhookUrl } from "@broker/domain/Webhook"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { Webhook as Library } from "standardwebhooks"
import { happen, node, publish, Receivers, webhook, layer as world } from "./World.ts"

const all = {
  states: [],
  types: [],
  subjectId: null,
  eventId: null,
  from: null,
  to: null,
  limit: 50,
  cursor: null
} as const

/** The library reads times by this machine's clock, whatever time it is in the test. */
const verify = (secret: Redacted.Redacted<string>, headers: Readonly<Record<string, string>>, body: string) => {
  const library = new Library(Redacted.value(secret))
  const at = new Date(Number(headers["webhook-timestamp"]) * 1_000)
  return library.sign(headers["webhook-id"] ?? "", at, body)
}

const encode = Schema.encodeSync(Event)

const sent = (url: string) => Receivers.use(({ heard }) => Effect.succeed(heard.filter((one) => one.url === url)))

const actions = Effect.fnUntraced(function* (organizationId: OrganizationId, id: WebhookId) {
  const { items } = yield* (yield* AuditLog).list(organizationId, {
    from: null,
    to: null,
    text: "",
    action: null,
    actorKinds: [],
    actorId: null,
    subjectKind: "webhook",
    subjectId: id,
    outcome: null,
    limit: 50,
    cursor: null
  })
  return items.toReversed()
})

layer(world())("W1: webhooks", (it) => {
  it.effect(
    "requests are signed so that any library for Standard Webhooks believes them, by both secrets for a day",
    () =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        const webhooks = yield* Webhooks
        const { deliverDue } = yield* node
        const hook = yield* webhook(organizationId)
        assert.match(Redacted.value(hook.secret), /^whsec_[A-Za-z0-9+/]{43}=$/)
        assert.deepStrictEqual(
          hook.secrets.map(({ expiresAt, hint }) => [hint.length, expiresAt]),
          [[11, null]]
        )
        const { secret: second } = yield* webhooks.rotateSecret(everything(organizationId), hook.id)
        const deliver = Effect.gen(function* () {
          yield* happen(organizationId, randomUUID())
          yield* publish
          yield* deliverDue
          return (yield* sent(hook.url)).at(-1) ?? assert.fail()
        })
        const both = yield* deliver
        assert.strictEqual(
          both.headers["webhook-signature"],
          [second, hook.secret].map((secret) => verify(secret, both.headers, both.body)).join(" ")
        )
        assert.strictEqual(both.headers["webhook-id"], both.eventId)
        assert.strictEqual(Number(both.headers["webhook-timestamp"]), Math.floor(both.at / 1_000))

        // The body is the event as it stands in the feed.
        const { items } = yield* (yield* Events).feed(
          { organizationId, permissions: new Set(Permission.literals) },
          { after: null, types: ["server.updated"], subjectId: null, limit: 10 }
        )
        assert.deepStrictEqual(
          items.map((event) => JSON.stringify(encode(event))),
          [both.body]
        )

        // A third one ends the first at once: never more than two.
        const { secret: third, secrets } = yield* webhooks.rotateSecret(everything(organizationId), hook.id)
        assert.strictEqual(secrets.length, 2)
        const later = yield* deliver
        assert.strictEqual(
          later.headers["webhook-signature"],
          [third, second].map((secret) => verify(secret, later.headers, later.body)).join(" ")
        )
        yield* TestClock.adjust("24 hours")
        const alone = yield* deliver
        assert.strictEqual(alone.headers["webhook-signature"], verify(third, alone.headers, alone.body))
        assert.strictEqual((yield* webhooks.get(organizationId, hook.id)).secrets.length, 1)

        // No secret is readable in the database or the audit log.
        const sql = yield* SqlClient.SqlClient
        const rows = yield* sql`select sealed_secret::text from webhook_secrets`
        const text = JSON.stringify([rows, yield* actions(organizationId, hook.id)])
        const bytes = Buffer.from(Redacted.value(third).slice(6), "base64")
        assert.isFalse(text.includes(Redacted.value(third)) || text.includes(bytes.toString("hex")))
        assert.include(text, "(hidden)")
      })
  )

  it.effect("a test goes to one webhook alone, whatever it listens to", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const webhooks = yield* Webhooks
      const { deliverDue } = yield* node
      const [hook, other] = [yield* webhook(organizationId), yield* webhook(organizationId, ["audit.recorded"])]
      const delivery = yield* webhooks.test(organizationId, hook.id)
      assert.deepStrictEqual([delivery.type, delivery.state, delivery.subject.id], ["webhook.test", "pending", hook.id])
      // Before it has its place in the feed there is nothing to send.
      assert.strictEqual(yield* deliverDue, 0)
      yield* publish
      yield* TestClock.adjust("1 second")
      yield* deliverDue
      assert.deepStrictEqual(
        (yield* sent(hook.url)).map(({ body }) => JSON.parse(body).data),
        [{ webhook: { id: hook.id, name: hook.name } }]
      )
      const types = (yield* sent(other.url)).map(({ body }) => JSON.parse(body).type)
      assert.isFalse(types.includes("webhook.test"))
      const details = yield* webhooks.delivery(organizationId, hook.id, delivery.id)
      assert.strictEqual(details.delivery.state, "delivered")
      assert.deepInclude(details.attempts[0], { status: 204, problem: null, responseBody: "noted" })
      assert.strictEqual(details.attempts[0]?.requestHeaders["webhook-id"], delivery.eventId)
      assert.deepStrictEqual(
        yield* webhooks.figures(organizationId),
        [
          { webhookId: hook.id, delivered: 1, failed: 0 },
          ...(types.length === 0 ? [] : [{ webhookId: other.id, delivered: types.length, failed: 0 }])
        ].toSorted((a, b) => a.webhookId.localeCompare(b.webhookId))
      )
    })
  )

  it.effect("a replay sends again under the same ids: one delivery, or a range in its order", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const webhooks = yield* Webhooks
      const { deliverDue } = yield* node
      const subjects = [randomUUID(), randomUUID()]
      const early = yield* happen(organizationId, subjects[0] ?? "")
      yield* publish
      const hook = yield* webhook(organizationId)
      const later = yield* Effect.forEach([0, 1, 0, 1, 0], (n) => happen(organizationId, subjects[n] ?? ""))
      yield* publish
      yield* deliverDue
      assert.strictEqual((yield* sent(hook.url)).length, 5)

      const { items } = yield* webhooks.deliveries(organizationId, hook.id, { ...all, subjectId: subjects[1] ?? null })
      assert.deepStrictEqual(
        items.map(({ eventId }) => eventId),
        [later[3], later[1]]
      )
      const [one = assert.fail()] = items
      assert.deepStrictEqual(yield* webhooks.replay(organizationId, hook.id, { deliveryId: one.id }), {
        deliveries: 1,
        more: false,
        next: null
      })
      yield* deliverDue
      const again = (yield* sent(hook.url)).at(-1)
      assert.strictEqual(again?.eventId, later[3])
      assert.strictEqual((yield* webhooks.deliveries(organizationId, hook.id, all)).items[0]?.replayOf, one.id)

      // A range holds what happened before the webhook was made, too.
      const preview = yield* webhooks.previewReplay(organizationId, hook.id, {})
      assert.deepStrictEqual(preview, { deliveries: 6, more: false })
      const replayed = yield* webhooks.replay(organizationId, hook.id, {})
      assert.strictEqual(replayed.deliveries, 6)
      yield* deliverDue
      const heard = (yield* sent(hook.url)).slice(-6)
      for (const subject of subjects) {
        const events = [
          ...(subject === subjects[0] ? [early] : []),
          ...later.filter((_, n) => n % 2 === subjects.indexOf(subject))
        ]
        assert.deepStrictEqual(
          heard.filter((one) => one.subject === subject).map(({ eventId }) => eventId),
          events
        )
      }
      const [upTo, after] = [EventPlace.make(JSON.parse(heard[0]?.body ?? "").place), EventPlace.make("0")]
      assert.deepStrictEqual(
        yield* webhooks.previewReplay(organizationId, hook.id, { types: ["server.registered"], after, upTo }),
        { deliveries: 0, more: false }
      )

      const sql = yield* SqlClient.SqlClient
      yield* sql`delete from events where id = ${one.eventId}`
      for (const attempt of [webhooks.replay, webhooks.previewReplay]) {
        const problem = yield* Effect.flip(attempt(organizationId, hook.id, { deliveryId: one.id }))
        assert.strictEqual(problem.code, "nothing_to_replay")
      }
      assert.isNull((yield* webhooks.delivery(organizationId, hook.id, one.id)).attempts[0]?.requestBody)
      // What still waits of an event that is gone is given up, and its subject goes on.
      yield* webhooks.pause(organizationId, hook.id)
      const gone = yield* happen(organizationId, subjects[0] ?? "")
      const next = yield* happen(organizationId, subjects[0] ?? "")
      yield* publish
      yield* sql`delete from events where id = ${gone}`
      yield* webhooks.resume(organizationId, hook.id)
      yield* deliverDue
      assert.strictEqual((yield* sent(hook.url)).at(-1)?.eventId, next)
      const { items: givenUp } = yield* webhooks.deliveries(organizationId, hook.id, { ...all, states: ["gave_up"] })
      assert.deepStrictEqual(
        givenUp.map(({ attempts, eventId }) => [eventId, attempts]),
        [[gone, 0]]
      )
    })
  )

  it.effect("A5 A6: what admins do is recorded, and nobody has sent what they may not read, or sees another's", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const webhooks = yield* Webhooks
      const hook = yield* webhook(organizationId)
      yield* webhooks.update(everything(organizationId), hook.id, { name: "Pager", types: ["server.registered"] })
      yield* webhooks.pause(organizationId, hook.id)
      yield* webhooks.pause(organizationId, hook.id)
      yield* webhooks.resume(organizationId, hook.id)
      yield* webhooks.resume(organizationId, hook.id)
      yield* webhooks.delete(organizationId, hook.id)
      const recorded = yield* actions(organizationId, hook.id)
      assert.deepStrictEqual(
        recorded.map(({ action }) => action.slice("webhooks:".length)),
        ["create", "update", "pause", "resume", "delete"]
      )
      const changed = recorded[1]?.changes[0]
      assert.deepInclude(changed, { table: "webhooks" })
      assert.deepInclude(changed?.after, { name: "Pager" })

      const few = { id: null, organizationId, permissions: new Set<Permission>(["servers:read", "webhooks:create"]) }
      const request = { name: "n", url: "https://n.example/", types: ["server.updated", "audit.recorded"] as const }
      const more = yield* Effect.flip(webhooks.create(few, request))
      assert.deepInclude(more, { code: "more_than_held", permissions: ["audit:read"] })
      const mine = yield* webhooks.create(few, { ...request, types: ["server.updated"] })
      assert.strictEqual(
        (yield* Effect.flip(webhooks.update(few, mine.id, { types: ["audit.recorded"] }))).code,
        "more_than_held"
      )
      const refused = yield* Effect.flip(webhooks.update(few, mine.id, { url: "https://127.0.0.1/" }))
      assert.strictEqual(refused.code, "webhook_target_refused")

      const elsewhere = yield* Fixtures.organization
      const attempts: ReadonlyArray<Effect.Effect<unknown, { readonly code: string }, Actor>> = [
        webhooks.get(elsewhere, mine.id),
        webhooks.pause(elsewhere, mine.id),
        webhooks.resume(elsewhere, mine.id),
        webhooks.delete(elsewhere, mine.id),
        webhooks.test(elsewhere, mine.id),
        webhooks.deliveries(elsewhere, mine.id, all),
        webhooks.replay(elsewhere, mine.id, {}),
        webhooks.rotateSecret(everything(elsewhere), mine.id),
        webhooks.update(everything(elsewhere), mine.id, { name: "theirs" }),
        webhooks.get(organizationId, WebhookId.make(randomUUID()))
      ]
      for (const attempt of attempts) {
        assert.strictEqual((yield* Effect.flip(attempt)).code, "webhook_not_found")
      }
      yield* happen(elsewhere, randomUUID())
      yield* publish
      assert.strictEqual((yield* webhooks.get(organizationId, mine.id)).pending, 0)
    })
  )

  it.effect("what is no webhook is refused", () =>
    Effect.sync(() => {
      const isUrl = Schema.is(WebhookUrl)
      assert.isTrue(isUrl("https://example.com/a?b=c"))
      for (const url of [
        "",
        "example.com",
        "ftp://example.com",
        "https://a:b@example.com",
        "https://a@example.com/",
        "https://example.com/#a",
        "javascript:alert(1)"
      ]) {
        assert.isFalse(isUrl(url), url)
      }
      const isRequest = Schema.is(WebhookRequest)
      const request = { name: "n", url: "https://example.com/", types: ["server.updated"] }
      assert.isTrue(isRequest(request))
      for (const types of [[], ["webhook.test"], ["server.updated", "server.updated"], ["nothing.happened"]]) {
        assert.isFalse(isRequest({ ...request, types }))
      }
    })
  )
})

layer(Fixtures.audited)("A6: webhooks where nothing goes unrecorded", (it) => {
  it.effect("none comes to be without an entry", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const id = randomUUID()
      const now = DateTime.toDateUtc(yield* DateTime.now)
      const failure = yield* Effect.flip(
        sql`insert into webhooks (id, organization_id, name, url, types, version, created_by, created_at)
            select ${id}, id, 'n', 'https://n.example', '{server.updated}', 1, 'me', ${now} from organizations limit 1`
      )
      assert.include(String(failure.reason.cause), "has no audit entry")
    })
  )
})
