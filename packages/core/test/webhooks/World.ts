/** A broker's core whose webhooks lead to receivers that the test plays, through as many nodes as it wants. */
import { randomUUID } from "node:crypto"
import { everything } from "@broker/core/admins/Authority"
import { Secrets } from "@broker/core/crypto/Secrets"
import { Resolver } from "@broker/core/verification/CapabilityChecks"
import { Deliveries } from "@broker/core/webhooks/Deliveries"
import { type Answer, Sender, type Sending } from "@broker/core/webhooks/Sender"
import { Webhooks } from "@broker/core/webhooks/Webhooks"
import { WebhooksPolicy } from "@broker/core/webhooks/WebhooksPolicy"
import { EventId, type EventType } from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { Context, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

/** What a receiver does with a request. `dies` is a node that dies when the receiver has got it. */
export type Reply = number | { readonly status: number; readonly retryAfter: string } | "hangs up" | "dies"

/** A request as a receiver sees it. */
export interface Heard {
  readonly url: string
  readonly eventId: EventId
  readonly subject: string
  /** Milliseconds of the test's clock. */
  readonly at: number
  readonly reply: Reply
  readonly headers: Sending["headers"]
  readonly body: string
}

export class Receivers extends Context.Service<
  Receivers,
  {
    readonly heard: Array<Heard>
    /** How many requests were under way at once, at most, by URL. */
    readonly atOnce: Map<string, number>
    reply: (request: Omit<Heard, "reply">) => Reply
  }
>()("test/Receivers") {
  static readonly layer = Layer.sync(Receivers, () => ({ heard: [], atOnce: new Map(), reply: () => 204 }))
}

const answered = (reply: Exclude<Reply, "dies">): Answer => ({
  durationMillis: 1,
  ...(reply === "hangs up"
    ? { status: null, problem: "The connection was lost.", headers: {} }
    : typeof reply === "number"
      ? { status: reply, problem: reply < 300 ? null : `Answered ${reply}.`, headers: {} }
      : {
          status: reply.status,
          problem: `Answered ${reply.status}.`,
          headers: { "retry-after": reply.retryAfter }
        }),
  body: "noted"
})

const sender = Layer.effect(
  Sender,
  Effect.gen(function* () {
    const receivers = yield* Receivers
    const underWay = new Map<string, number>()
    return Sender.of({
      send: ({ body, headers, url }) =>
        Effect.gen(function* () {
          const at = (yield* DateTime.now).epochMilliseconds
          const { id: eventId, subject } = JSON.parse(body) as { id: EventId; subject: { id: string } }
          const request = { url, eventId, subject: subject.id, at, headers, body }
          const now = (underWay.get(url) ?? 0) + 1
          underWay.set(url, now)
          receivers.atOnce.set(url, Math.max(receivers.atOnce.get(url) ?? 0, now))
          const reply = receivers.reply(request)
          receivers.heard.push({ ...request, reply })
          for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
          underWay.set(url, (underWay.get(url) ?? 1) - 1)
          return reply === "dies" ? yield* Effect.die("killed") : answered(reply)
        })
    })
  })
)

/** One more node, with its own work under way. */
export const node = Effect.map(
  Layer.build(
    Layer.fresh(Deliveries.layerNoDeps).pipe(Layer.provide(sender), Layer.provide(Layer.fresh(Secrets.layer)))
  ),
  Context.get(Deliveries)
)

export const layer = (policy: Partial<Context.Service.Shape<typeof WebhooksPolicy>> = {}) =>
  Fixtures.layer.pipe(
    Layer.provideMerge(Receivers.layer),
    Layer.provideMerge(
      Layer.succeed(WebhooksPolicy, { ...WebhooksPolicy.defaultValue(), jitter: 0, http: true, ...policy })
    ),
    Layer.provide(Layer.succeed(Resolver, () => Effect.succeed(["93.184.215.14"])))
  )

export const webhook = Effect.fnUntraced(function* (
  organizationId: OrganizationId,
  types: ReadonlyArray<EventType> = ["server.updated"]
) {
  const name = Fixtures.unique("hook")
  return yield* Webhooks.use((webhooks) =>
    webhooks.create(everything(organizationId), { name, url: `https://${name}.example/in`, types })
  )
})

/** Something happens to a subject. */
export const happen = Effect.fnUntraced(function* (organizationId: OrganizationId, subject: string) {
  const sql = yield* SqlClient.SqlClient
  const id = EventId.make(randomUUID())
  const data = JSON.stringify({ server: { id: subject, name: "fra-1" }, group: null, changed: ["tags"] })
  yield* sql`
    insert into event_outbox (id, organization_id, type, subject_kind, subject_id, subject_name, data, at)
    values (${id}, ${organizationId}, 'server.updated', 'server', ${subject}, 'fra-1', ${data}::jsonb,
            ${DateTime.toDateUtc(yield* DateTime.now)})`
  return id
})

export const publish = SqlClient.SqlClient.use((sql) => sql`select publish_events(10000)`)

/** The next instant at which something is due, to the millisecond, as the test's clock goes; none where nothing is. */
const nextDue = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly due: Date | null }>`
    select date_trunc('milliseconds', min(greatest(l.due_at, w.rests_until)) + interval '999 microseconds') as due
      from webhook_lanes l
      join webhooks w on w.id = l.webhook_id and w.paused_at is null`
  return row?.due ?? null
})

/** Lets time go by, as nodes look whenever something is due, until then or until nothing is due any more. */
export const pass = Effect.fnUntraced(function* (
  millis: number,
  nodes: ReadonlyArray<Context.Service.Shape<typeof Deliveries>>
) {
  const end = (yield* DateTime.now).epochMilliseconds + millis
  while (true) {
    const attempts = yield* Effect.forEach(nodes, ({ deliverDue }) => deliverDue, { concurrency: "unbounded" })
    const due = yield* nextDue
    if (due === null || due.getTime() > end) break
    const now = (yield* DateTime.now).epochMilliseconds
    // What a dead node has taken up takes room for some seconds, so that what is due has to wait.
    const isStuck = due.getTime() <= now && attempts.every((count) => count === 0)
    if (isStuck && now >= end) break
    yield* TestClock.setTime(isStuck ? Math.min(now + 1_000, end) : Math.max(due.getTime(), now))
  }
  yield* TestClock.setTime(end)
}, Effect.orDie)
