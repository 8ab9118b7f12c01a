import { randomUUID } from "node:crypto"
import { everything } from "@broker/core/admins/Authority"
import type { Actor } from "@broker/core/audit/Actor"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { Events } from "@broker/core/events/Events"
import { Holds } from "@broker/core/Holds"
import { Webhooks } from "@broker/core/webhooks/Webhooks"
import { Event, EventPlace } from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import { builtInPermissions, Permission } from "@broker/domain/Permission"
import { WebhookId, WebhookRequest, WebhookUrl } from "@broker/domain/Webhook"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Deferred, Effect, Fiber, Redacted, Schema } from "effect"
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
      const details = yield* webhooks.delivery(everything(organizationId), hook.id, delivery.id)
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

      const { items } = yield* webhooks.deliveries(everything(organizationId), hook.id, {
        ...all,
        subjectId: subjects[1] ?? null
      })
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
      assert.strictEqual(
        (yield* webhooks.deliveries(everything(organizationId), hook.id, all)).items[0]?.replayOf,
        one.id
      )

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
      assert.isNull((yield* webhooks.delivery(everything(organizationId), hook.id, one.id)).attempts[0]?.requestBody)
      // What still waits of an event that is gone is given up, and its subject goes on.
      yield* webhooks.pause(organizationId, hook.id)
      const gone = yield* happen(organizationId, subjects[0] ?? "")
      const next = yield* happen(organizationId, subjects[0] ?? "")
      yield* publish
      yield* sql`delete from events where id = ${gone}`
      yield* webhooks.resume(everything(organizationId), hook.id)
      yield* deliverDue
      assert.strictEqual((yield* sent(hook.url)).at(-1)?.eventId, next)
      const { items: givenUp } = yield* webhooks.deliveries(everything(organizationId), hook.id, {
        ...all,
        states: ["gave_up"]
      })
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
      yield* webhooks.resume(everything(organizationId), hook.id)
      yield* webhooks.resume(everything(organizationId), hook.id)
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
        webhooks.resume(everything(elsewhere), mine.id),
        webhooks.delete(elsewhere, mine.id),
        webhooks.test(elsewhere, mine.id),
        webhooks.deliveries(everything(elsewhere), mine.id, all),
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

  it.effect("A5: what its owner may not see any more is not sent, until somebody answers for it who may", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const webhooks = yield* Webhooks
      const sql = yield* SqlClient.SqlClient
      const { deliverDue } = yield* node
      // What the database tells of by itself has its own clock's time.
      yield* TestClock.setTime(Date.now() + 60_000)
      const { id } = yield* Fixtures.admin({ organizationId, role: "admin" })
      const by = { id, organizationId, permissions: builtInPermissions.admin }
      const name = Fixtures.unique("hook")
      const types = ["server.updated", "audit.recorded"] as const
      const hook = yield* webhooks.create(by, { name, url: `https://${name}.example/in`, types })
      const send = Effect.gen(function* () {
        yield* happen(organizationId, randomUUID())
        yield* webhook(organizationId)
        yield* publish
        yield* deliverDue
        return (yield* sent(hook.url)).map(({ body }) => JSON.parse(body).type)
      })
      const both = yield* send
      assert.includeMembers(both, [...types])

      yield* sql`update memberships set role = 'viewer' where admin_id = ${id}`
      const before = both.filter((type) => type === "audit.recorded").length
      const after = yield* send
      assert.strictEqual(after.filter((type) => type === "audit.recorded").length, before)
      const paused = yield* webhooks.get(organizationId, hook.id)
      assert.deepStrictEqual([paused.state, paused.pausedBecause], ["paused", "failing"])
      assert.include(paused.lastProblem ?? "", "may not see audit.recorded any more")
      assert.deepStrictEqual((yield* actions(organizationId, hook.id)).at(-1)?.action, "webhooks:pause")

      const less = { ...by, permissions: builtInPermissions.operator }
      assert.strictEqual((yield* Effect.flip(webhooks.resume(less, hook.id))).code, "more_than_held")
      yield* webhooks.resume(everything(organizationId), hook.id)
      yield* deliverDue
      const { pending, state } = yield* webhooks.get(organizationId, hook.id)
      assert.deepStrictEqual([pending, state], [0, "active"])

      // Who looks at deliveries sees those of events that they may see, and no others (A5).
      const { items } = yield* webhooks.deliveries(everything(organizationId), hook.id, all)
      const seen = yield* webhooks.deliveries(less, hook.id, all)
      assert.deepStrictEqual([...new Set(seen.items.map(({ type }) => type))], ["server.updated"])
      const hidden = items.find(({ type }) => type === "audit.recorded") ?? assert.fail()
      assert.strictEqual(
        (yield* Effect.flip(webhooks.delivery(less, hook.id, hidden.id))).code,
        "webhook_delivery_not_found"
      )
      assert.deepStrictEqual(
        (yield* webhooks.deliveries(less, hook.id, { ...all, types: ["audit.recorded"] })).items,
        []
      )

      // What it listened to before, and is sent again, is given up; a test is of whoever asks for it.
      yield* webhooks.update(by, hook.id, { types: ["server.updated"] })
      yield* webhooks.replay(organizationId, hook.id, { deliveryId: hidden.id })
      yield* webhooks.test(organizationId, hook.id)
      yield* publish
      yield* deliverDue
      const [test, repeated] = (yield* webhooks.deliveries(everything(organizationId), hook.id, all)).items
      assert.deepStrictEqual([test?.type, test?.state], ["webhook.test", "delivered"])
      assert.deepStrictEqual([repeated?.replayOf, repeated?.state], [hidden.id, "gave_up"])
      assert.strictEqual((yield* webhooks.get(organizationId, hook.id)).state, "active")

      // Of whoever was disabled nothing goes on.
      yield* sql`update memberships set disabled_at = now() where admin_id = ${id}`
      const sentBefore = (yield* sent(hook.url)).length
      yield* send
      assert.strictEqual((yield* sent(hook.url)).length, sentBefore)
      assert.strictEqual((yield* webhooks.get(organizationId, hook.id)).state, "paused")
    })
  )

  it.effect("what only a later release could send waits for it, for three days", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const webhooks = yield* Webhooks
      const sql = yield* SqlClient.SqlClient
      const { deliverDue } = yield* node
      const hook = yield* webhook(organizationId)
      const subject = randomUUID()
      const again = Effect.gen(function* () {
        yield* TestClock.adjust("10 seconds")
        yield* deliverDue
        return (yield* sent(hook.url)).map(({ eventId }) => eventId)
      })
      const strange = yield* happen(organizationId, subject)
      const next = yield* happen(organizationId, subject)
      yield* publish
      yield* sql`update events set data = '{}' where id = ${strange}`
      assert.deepStrictEqual(yield* again, [])
      yield* sql`update webhook_deliveries set created_at = '1960-01-01' where event_id = ${strange}`
      assert.deepStrictEqual(yield* again, [next])
      const { items } = yield* webhooks.deliveries(everything(organizationId), hook.id, { ...all, states: ["gave_up"] })
      assert.deepStrictEqual(
        items.map(({ attempts, eventId, lastProblem }) => [attempts, eventId, lastProblem]),
        [[0, strange, "Only a later release of the broker could send it, and none did."]]
      )
      // The same of a version: nobody is sent another than they chose.
      yield* sql`update webhooks set version = 2 where id = ${hook.id}`
      const later = yield* happen(organizationId, subject)
      yield* publish
      assert.deepStrictEqual(yield* again, [next])
      yield* sql`update webhooks set version = 1 where id = ${hook.id}`
      assert.deepStrictEqual(yield* again, [next, later])

      // An event of the future, as somebody's clock has it, waits for nobody.
      const early = yield* happen(organizationId, randomUUID())
      yield* sql`update event_outbox set at = '2999-01-01' where id = ${early}`
      yield* publish
      const [lane] = yield* sql<{ readonly due: boolean }>`
        select due_at <= clock_timestamp() as due from webhook_lanes where webhook_id = ${hook.id}`
      assert.isTrue(lane?.due)

      // Nothing goes out unsigned, and somebody is told.
      yield* sql`delete from webhook_secrets where webhook_id = ${hook.id}`
      yield* sql`update webhook_lanes set due_at = '1960-01-01' where webhook_id = ${hook.id}`
      assert.deepStrictEqual(yield* again, [next, later])
      const { failuresInRow, lastProblem } = yield* webhooks.get(organizationId, hook.id)
      assert.deepStrictEqual([failuresInRow, lastProblem?.slice(0, 20)], [1, "There is no secret t"])
    })
  )

  it.effect("they are listed in pages, and changed by what was found out about their URL before", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const webhooks = yield* Webhooks
      const hooks = [yield* webhook(organizationId), yield* webhook(organizationId), yield* webhook(organizationId)]
      const list = yield* webhooks.list(organizationId)
      assert.sameMembers(
        list.map(({ id }) => id),
        hooks.map(({ id }) => id)
      )
      const first = yield* webhooks.page(organizationId, { limit: 2, cursor: null })
      const second = yield* webhooks.page(organizationId, { limit: 2, cursor: first.nextCursor })
      assert.deepStrictEqual([...first.items, ...second.items], list)
      assert.deepStrictEqual([first.items.length, second.nextCursor], [2, null])
      assert.strictEqual(
        (yield* Effect.flip(webhooks.page(organizationId, { limit: 2, cursor: "?" }))).code,
        "invalid_cursor"
      )

      const by = everything(organizationId)
      const [{ id, url } = assert.fail()] = hooks
      const inside = yield* webhooks.judge("https://127.0.0.1/")
      const elsewhere = { url: "https://elsewhere.example/" }
      assert.strictEqual(
        (yield* Effect.flip(webhooks.update(by, id, elsewhere, inside))).code,
        "webhook_target_refused"
      )
      assert.strictEqual((yield* webhooks.get(organizationId, id)).url, url)
      yield* webhooks.update(by, id, elsewhere, yield* webhooks.judge(elsewhere.url))
      assert.strictEqual((yield* webhooks.get(organizationId, id)).url, elsewhere.url)
    })
  )

  it.effect(
    "whoever changes one under a condition and whoever delivers to it wait for each other, and both go on",
    () =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        const webhooks = yield* Webhooks
        const holds = yield* Holds
        const sql = yield* SqlClient.SqlClient
        const receivers = yield* Receivers
        const { deliverDue } = yield* node
        const { id } = yield* webhook(organizationId)
        receivers.reply = () => 500
        yield* happen(organizationId, randomUUID())
        yield* publish
        yield* deliverDue
        receivers.reply = () => 204

        const [held, asks] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        // As deliveries do: what waits, then the webhook.
        const delivers = yield* Effect.forkChild(
          Effect.gen(function* () {
            yield* sql`select 1 from webhook_lanes where webhook_id = ${id} for update`
            yield* Deferred.succeed(held, undefined)
            yield* Deferred.await(asks)
            yield* sql`update webhooks set last_problem = 'busy' where id = ${id}`
          }).pipe(sql.withTransaction)
        )
        yield* Deferred.await(held)
        const changes = yield* Effect.forkChild(
          Effect.andThen(holds.webhook(organizationId, id), webhooks.resume(everything(organizationId), id)).pipe(
            sql.withTransaction
          )
        )
        const waiting = sql<{ readonly count: number }>`
        select count(*)::int as count from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`
        while ((yield* waiting)[0]?.count === 0) yield* Effect.yieldNow
        yield* Deferred.succeed(asks, undefined)
        yield* Fiber.join(delivers)
        assert.deepInclude(yield* Fiber.join(changes), { failuresInRow: 0, lastProblem: "busy" })
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
