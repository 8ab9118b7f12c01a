import { randomUUID } from "node:crypto"
import { everything } from "@broker/core/admins/Authority"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { Webhooks } from "@broker/core/webhooks/Webhooks"
import type { WebhookId } from "@broker/domain/Webhook"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { happen, node, pass, publish, Receivers, webhook, layer as world } from "./World.ts"

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

const anything = {
  states: [],
  types: [],
  subjectId: null,
  eventId: null,
  from: null,
  to: null,
  limit: 200,
  cursor: null
} as const

const start = Effect.map(DateTime.now, ({ epochMilliseconds }) => epochMilliseconds)

/** When a webhook was asked, in seconds since an instant. */
const times = (url: string, since: number) =>
  Receivers.use(({ heard }) =>
    Effect.succeed(heard.filter((one) => one.url === url).map(({ at }) => Math.round((at - since) / second)))
  )

/** Numbers that look like chance, the same for a seed. */
const chance = (seed: number) => {
  let state = seed
  return (below: number) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 13), 0x297a2d39)
    mixed ^= mixed >>> 16
    return (mixed >>> 0) % below
  }
}

layer(world())("W1: how events are delivered", (it) => {
  it.effect(
    "one that is never accepted is tried for three days, then its webhook is paused, and resumed in order",
    () =>
      Effect.gen(function* () {
        const organizationId = yield* Fixtures.organization
        const webhooks = yield* Webhooks
        const receivers = yield* Receivers
        const nodes = [yield* node]
        const hook = yield* webhook(organizationId)
        const listener = yield* webhook(organizationId, ["webhook.paused", "webhook.resumed", "audit.recorded"])
        receivers.reply = ({ url }) => (url === hook.url ? 500 : 204)

        const subject = randomUUID()
        const began = yield* start
        const events = [yield* happen(organizationId, subject), yield* happen(organizationId, subject)]
        yield* publish
        yield* pass(13 * minute, nodes)
        const resting = yield* webhooks.get(organizationId, hook.id)
        assert.deepStrictEqual([resting.state, resting.failuresInRow, resting.pending], ["resting", 5, 2])
        yield* pass(4 * day, nodes)
        assert.deepStrictEqual(
          yield* times(hook.url, began),
          [0, 5, 35, 155, 755, 2_555, 9_755, 31_355, 74_555, 117_755, 160_955, 204_155, 247_355, 259_200]
        )

        const paused = yield* webhooks.get(organizationId, hook.id)
        assert.deepStrictEqual([paused.state, paused.pausedBecause, paused.pending], ["paused", "failing", 2])
        assert.strictEqual(paused.lastProblem, "Answered 500.")
        assert.deepStrictEqual(
          (yield* webhooks.failing(organizationId)).map(({ id, state }) => [id, state]),
          [[hook.id, "paused"]]
        )
        const { items } = yield* (yield* AuditLog).list(organizationId, {
          from: null,
          to: null,
          text: "",
          action: "webhooks:pause",
          actorKinds: [],
          actorId: null,
          subjectKind: null,
          subjectId: hook.id,
          outcome: null,
          limit: 10,
          cursor: null
        })
        assert.deepStrictEqual(
          items.map(({ actorKind, details }) => [actorKind, details["because"]]),
          [["broker", "failing"]]
        )

        // Others are told, the webhook itself is not; and one that listens to audit entries does not hear of itself.
        yield* publish
        yield* pass(minute, nodes)
        const told = receivers.heard.filter(({ url }) => url === listener.url).map(({ body }) => JSON.parse(body))
        assert.deepStrictEqual(
          told.filter(({ type }) => type === "webhook.paused").map(({ data }) => data),
          [{ webhook: { id: hook.id, name: hook.name }, because: "failing", problem: "Answered 500." }]
        )
        assert.isFalse(told.some((event) => event.subject.id === listener.id))

        // It works again: all that waited comes, in order.
        receivers.reply = () => 204
        yield* webhooks.resume(everything(organizationId), hook.id)
        yield* pass(second, nodes)
        assert.deepStrictEqual(
          receivers.heard.filter(({ reply, url }) => url === hook.url && reply === 204).map(({ eventId }) => eventId),
          events
        )
        const now = yield* webhooks.get(organizationId, hook.id)
        assert.deepStrictEqual([now.state, now.failuresInRow, now.pending, now.failingSince], ["active", 0, 0, null])
      })
  )

  it.effect("one bad event holds up its subject for three days, and nobody else", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const receivers = yield* Receivers
      const nodes = [yield* node]
      const { id, url } = yield* webhook(organizationId)
      const [bad, good] = [randomUUID(), randomUUID()]
      const [poison, after] = [yield* happen(organizationId, bad), yield* happen(organizationId, bad)]
      receivers.reply = ({ eventId }) => (eventId === poison ? 400 : 204)
      yield* publish
      for (let hours = 0; hours < 70; hours += 7) {
        yield* happen(organizationId, good)
        yield* publish
        yield* pass(7 * hour, nodes)
      }
      assert.isFalse(receivers.heard.some(({ eventId }) => eventId === after))
      assert.strictEqual(receivers.heard.filter((one) => one.url === url && one.subject === good).length, 10)
      yield* happen(organizationId, good)
      yield* publish
      yield* pass(3 * hour, nodes)
      assert.isTrue(receivers.heard.some(({ eventId }) => eventId === after))
      const webhooks = yield* Webhooks
      const { items } = yield* webhooks.deliveries(everything(organizationId), id, { ...anything, states: ["gave_up"] })
      assert.deepStrictEqual(
        items.map(({ eventId, lastStatus }) => [eventId, lastStatus]),
        [[poison, 400]]
      )
      const [first = assert.fail()] = items
      const { attempts } = yield* webhooks.delivery(everything(organizationId), id, first.id)
      assert.strictEqual(attempts.length, first.attempts)
      assert.strictEqual(attempts[0]?.requestBody, receivers.heard.find(({ eventId }) => eventId === poison)?.body)
      assert.strictEqual((yield* webhooks.get(organizationId, id)).state, "active")
    })
  )

  it.effect("`Retry-After` is heeded for an hour at most, and 410 ends it at once", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const receivers = yield* Receivers
      const nodes = [yield* node]
      const { id, url } = yield* webhook(organizationId)
      const began = yield* start
      const answers = [
        { status: 429, retryAfter: "100" },
        { status: 503, retryAfter: new Date(began + 1_000 * second).toUTCString() },
        { status: 503, retryAfter: "999999999" },
        { status: 404, retryAfter: "7000" },
        410
      ]
      receivers.reply = () => answers.shift() ?? 204
      yield* happen(organizationId, randomUUID())
      yield* publish
      yield* pass(second, nodes)
      // Another subject waits as well: the target is busy, whatever is sent.
      yield* happen(organizationId, randomUUID())
      yield* publish
      yield* pass(99 * second, nodes)
      assert.deepStrictEqual((yield* times(url, began)).slice(0, 2), [0, 100])
      yield* pass(3 * hour, nodes)
      assert.deepStrictEqual((yield* times(url, began)).slice(0, 4), [0, 100, 1_000, 4_600])
      const webhooks = yield* Webhooks
      const { pausedBecause, state } = yield* webhooks.get(organizationId, id)
      assert.deepStrictEqual([state, pausedBecause], ["paused", "failing"])
    })
  )

  it.effect("a node that dies has its work taken up by another within seconds, in order, under the same ids", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const receivers = yield* Receivers
      const nodes = [yield* node, yield* node] as const
      const { url } = yield* webhook(organizationId)
      const subject = randomUUID()
      const events = yield* Effect.forEach([1, 2, 3], () => happen(organizationId, subject))
      yield* publish
      const began = yield* start
      let deaths = 0
      receivers.reply = ({ eventId }) => (eventId === events[1] && deaths++ === 0 ? "dies" : 204)
      yield* nodes[0].deliverDue
      assert.strictEqual(yield* nodes[1].deliverDue, 0)
      yield* pass(5 * second, [nodes[1]])
      assert.deepStrictEqual(
        receivers.heard
          .filter((one) => one.url === url)
          .map(({ at, eventId }) => [events.indexOf(eventId), (at - began) / second]),
        [
          [0, 0],
          [1, 0],
          [1, 4],
          [2, 4]
        ]
      )
    })
  )
})

layer(world({ jitter: 0.2, perWebhook: 3, perNode: 8, prunedAtOnce: 2 }))("W1: whatever happens", (it) => {
  it.effect.each([1, 2])("in order per subject, each at least once, and none forgotten (seed %i)", (seed) =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const sql = yield* SqlClient.SqlClient
      const receivers = yield* Receivers
      const webhooks = yield* Webhooks
      const random = chance(seed)
      const nodes = [yield* node, yield* node]
      const hooks = [yield* webhook(organizationId), yield* webhook(organizationId), yield* webhook(organizationId)]
      const subjects = Array.from({ length: 5 }, () => randomUUID())
      const happened = new Map<string, Array<string>>(subjects.map((subject) => [subject, []]))
      const paused = new Set<WebhookId>()
      const down = new Set<string>()

      receivers.reply = ({ url }) => {
        if (down.has(url)) return random(4) === 0 ? "hangs up" : 502
        switch (random(12)) {
          case 0:
            return 500
          case 1:
            return { status: 429, retryAfter: String(random(200)) }
          case 2:
            return "dies"
          default:
            return 204
        }
      }

      for (let step = 0; step < 20; step++) {
        const hook = hooks[random(hooks.length)] ?? assert.fail()
        switch (random(6)) {
          case 0:
            if (down.delete(hook.url)) break
            down.add(hook.url)
            break
          case 1:
            if (paused.has(hook.id)) {
              yield* webhooks.resume(everything(organizationId), hook.id)
              paused.delete(hook.id)
            } else {
              yield* webhooks.pause(organizationId, hook.id)
              paused.add(hook.id)
            }
            break
          default:
            for (let count = random(8); count >= 0; count--) {
              const subject = subjects[random(subjects.length)] ?? assert.fail()
              happened.get(subject)?.push(yield* happen(organizationId, subject))
            }
            yield* publish
        }
        const before = receivers.heard.length
        yield* pass(random(3) === 0 ? random(20 * minute) : random(20 * second), nodes)
        // W1: a paused one is left in peace.
        const urls = new Set(hooks.filter(({ id }) => paused.has(id)).map(({ url }) => url))
        assert.isFalse(receivers.heard.slice(before).some(({ url }) => urls.has(url)))
      }

      // In the end everybody is well, and gets all of it.
      receivers.reply = () => 204
      yield* Effect.forEach(hooks, ({ id }) => webhooks.resume(everything(organizationId), id))
      yield* pass(2 * hour, nodes)

      for (const { id, url } of hooks) {
        const heard = receivers.heard.filter((one) => one.url === url)
        for (const [subject, events] of happened) {
          // Accepted, in order: whatever comes again is the last one, whose acceptance nobody wrote down.
          let next = 0
          for (const { eventId, reply } of heard.filter((one) => one.subject === subject)) {
            const place = events.indexOf(eventId)
            assert.isTrue(place === next || place === next - 1, `${place} came where ${next} was due`)
            if (reply === 204 || reply === "dies") next = Math.max(next, place + 1)
          }
          assert.strictEqual(next, events.length)
        }
        const { pending, state } = yield* webhooks.get(organizationId, id)
        assert.deepStrictEqual([pending, state], [0, "active"])
        assert.isAtMost(receivers.atOnce.get(url) ?? 0, 2 * 3)
      }
      const [left] = yield* sql<{ readonly lanes: number }>`
        select count(*)::int as lanes from webhook_lanes l
          join webhooks w on w.id = l.webhook_id where w.organization_id = ${organizationId}`
      assert.strictEqual(left?.lanes, 0)
    })
  )

  it.effect("what is past its time goes, and what a deleted webhook left", () =>
    Effect.gen(function* () {
      const organizationId = yield* Fixtures.organization
      const sql = yield* SqlClient.SqlClient
      const receivers = yield* Receivers
      const webhooks = yield* Webhooks
      const deliveries = yield* node
      receivers.reply = () => 204
      const [kept, deleted] = [yield* webhook(organizationId), yield* webhook(organizationId)]
      yield* webhooks.pause(organizationId, kept.id)
      yield* webhooks.pause(organizationId, deleted.id)
      for (let subject = 0; subject < 5; subject++) yield* happen(organizationId, randomUUID())
      yield* publish
      yield* webhooks.delete(organizationId, deleted.id)
      const count = Effect.gen(function* () {
        const [row] = yield* sql<{ readonly kept: number; readonly left: number; readonly lanes: number }>`
          select count(*) filter (where webhook_id = ${kept.id})::int as kept,
                 count(*) filter (where webhook_id = ${deleted.id})::int as left,
                 (select count(*)::int from webhook_lanes where webhook_id in (${kept.id}, ${deleted.id})) as lanes
            from webhook_deliveries`
        return row
      })
      assert.deepStrictEqual(yield* count, { kept: 5, left: 5, lanes: 10 })
      yield* deliveries.prune
      assert.deepStrictEqual(yield* count, { kept: 5, left: 0, lanes: 5 })
      const now = yield* DateTime.now
      const age = (days: number) =>
        sql`update webhook_deliveries set created_at = ${DateTime.toDateUtc(DateTime.subtract(now, { days }))}`
      yield* age(29)
      yield* deliveries.prune
      assert.deepStrictEqual(yield* count, { kept: 5, left: 0, lanes: 5 })
      yield* age(31)
      yield* deliveries.prune
      assert.deepStrictEqual(yield* count, { kept: 0, left: 0, lanes: 0 })
    })
  )
})
