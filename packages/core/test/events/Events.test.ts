import { randomUUID } from "node:crypto"
import { type EventReader, Events } from "@broker/core/events/Events"
import { EventsPolicy } from "@broker/core/events/EventsPolicy"
import { type Event, EventId, EventPlace, type EventsListQuery, type EventsQuery } from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import type { Permission } from "@broker/domain/Permission"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Queue, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"

const reader = (
  organizationId: OrganizationId,
  permissions: ReadonlyArray<Permission> = ["servers:read", "connections:read", "security-events:read"]
): EventReader => ({ organizationId, permissions: new Set(permissions) })

const everything: EventsQuery = { after: null, types: [], subjectId: null, limit: 50 }

const all: EventsListQuery = { from: null, to: null, types: [], subjectId: null, text: "", limit: 50, cursor: null }

interface Fact {
  readonly organizationId: OrganizationId
  readonly subjectId: string
  readonly label: string
  readonly name?: string
  readonly at?: Date
}

/** What a trigger writes of a server that changed. */
const tell = Effect.fnUntraced(function* ({ at, label, name = "fra-1", organizationId, subjectId }: Fact) {
  const sql = yield* SqlClient.SqlClient
  const data = { server: { id: subjectId, name }, group: null, changed: [label] }
  yield* sql`
    insert into event_outbox (organization_id, type, subject_kind, subject_id, subject_name, data, at)
    values (${organizationId}, 'server.updated', 'server', ${subjectId}::uuid, ${name}, ${JSON.stringify(data)}::text::jsonb,
            ${at ?? new Date()})`
})

/** What it was told by. */
const labelOf = (event: Event) => (event.type === "server.updated" ? (event.data.changed[0] ?? "") : event.type)

/** All that a reader gets, a small page at a time. */
const readOn = Effect.fnUntraced(function* (who: EventReader, from: EventPlace | null, limit: number) {
  const events = yield* Events
  const items: Array<Event> = []
  let after = from
  let more = true
  while (more) {
    const page = yield* events.feed(who, { ...everything, after, limit })
    items.push(...page.items)
    after = page.next
    more = page.more
  }
  return { items, after }
})

const publish = Effect.flatMap(Events, (events) => events.publish)

/** Already in the feed, a type by turns. */
const fill = Effect.fnUntraced(function* (organizationId: OrganizationId, count: number, types: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    insert into events (place, id, organization_id, type, subject_kind, subject_id, subject_name, data, at, published_at)
    select nextval('event_places'), gen_random_uuid(), ${organizationId}::uuid,
           (${types}::text[])[1 + i % ${types.length}::int], 'server', gen_random_uuid(), 'fra-' || i,
           jsonb_build_object('server', jsonb_build_object('id', gen_random_uuid(), 'name', 'fra-' || i), 'group', null,
                              'changed', '["tags"]'::jsonb, 'before', null, 'after', 'online', 'reason', null),
           timestamptz '2026-11-01T00:00:00Z' + make_interval(mins => i), timestamptz '2026-11-20T00:00:00Z'
      from generate_series(1, ${count}::int) i`
})

/** How many rows of events this connection has read. */
const rowsSoFar = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ rows: number }>`
    select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as rows
      from pg_stat_xact_user_tables
     where relname = 'events'`
)

/** How many of them a piece of work read. */
const rowsRead = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(
      Effect.gen(function* () {
        const [before] = yield* rowsSoFar
        const answer = yield* work
        const [after] = yield* rowsSoFar
        return { answer, rows: (after?.rows ?? 0) - (before?.rows ?? 0) }
      })
    )
  )

const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Begin"), subject: Schema.Literals([0, 1, 2, 3]) }),
  Schema.Struct({ _tag: Schema.Literal("End"), which: Schema.Literals([0, 1, 2, 3, 4]), commit: Schema.Boolean }),
  Schema.Struct({ _tag: Schema.Literal("Publish") }),
  Schema.Struct({ _tag: Schema.Literal("Read"), limit: Schema.Literals([1, 2, 50]) })
])

const small = Layer.effect(
  EventsPolicy,
  Effect.map(EventsPolicy, (policy) => ({
    ...policy,
    publishBatch: 3,
    atHand: 4,
    pruneBatch: 7,
    window: 20,
    windows: 3
  }))
)

layer(Fixtures.layer.pipe(Layer.provide(small)))("Events", (it) => {
  it.effect.prop(
    "W1 a reader misses none, whatever was written early and committed late, and gets each once and in order",
    [Schema.Array(Step)],
    ([steps]) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const organizationId = yield* Fixtures.organization
        const who = reader(organizationId)
        const subjects = [0, 1, 2, 3].map(() => randomUUID())
        /** In the order in which each subject was changed, as the locks had it. */
        const written = new Map<string, Array<string>>(subjects.map((id) => [id, []]))
        const committed = new Set<string>()
        const open: Array<{
          readonly subject: number
          readonly end: Deferred.Deferred<boolean>
          readonly fiber: Fiber.Fiber<void, unknown>
        }> = []
        const read: Array<Event> = []
        let after: EventPlace | null = null
        let count = 0

        const change = (
          subjectId: string,
          label: string,
          begun: Deferred.Deferred<void>,
          end: Deferred.Deferred<boolean>
        ) =>
          Effect.gen(function* () {
            // Stands for the row that is locked by who changes it.
            yield* sql`select pg_advisory_xact_lock(hashtext(${subjectId}))`
            yield* tell({ organizationId, subjectId, label })
            written.get(subjectId)?.push(label)
            yield* Deferred.succeed(begun, undefined)
            if (!(yield* Deferred.await(end))) return yield* Effect.fail("rolled back")
            return undefined
          }).pipe(
            sql.withTransaction,
            Effect.tap(() => Effect.sync(() => committed.add(label)))
          )

        const finish = Effect.fnUntraced(function* (index: number, commit: boolean) {
          const [one] = open.splice(index, 1)
          if (one === undefined) return
          yield* Deferred.succeed(one.end, commit)
          // One that still waits for its subject ends once it is its turn.
          if (!open.some(({ subject }, at) => subject === one.subject && at < index)) yield* Fiber.await(one.fiber)
        })

        const look = Effect.fnUntraced(function* (limit: number) {
          const page: Effect.Success<ReturnType<typeof readOn>> = yield* readOn(who, after, limit)
          read.push(...page.items)
          after = page.after
        })

        for (const step of steps) {
          if (step._tag === "Begin" && open.length < 5) {
            const [begun, end] = [yield* Deferred.make<void>(), yield* Deferred.make<boolean>()]
            const fiber = yield* Effect.forkChild(change(subjects[step.subject] ?? "", `${++count}`, begun, end))
            const isFree = !open.some(({ subject }) => subject === step.subject)
            open.push({ subject: step.subject, end, fiber })
            if (isFree) yield* Deferred.await(begun)
          }
          if (step._tag === "End") yield* finish(step.which % Math.max(1, open.length), step.commit)
          if (step._tag === "Publish") yield* Effect.all([publish, publish, look(2)], { concurrency: "unbounded" })
          if (step._tag === "Read") yield* look(step.limit)
        }
        const left = open.map(({ fiber }) => fiber)
        while (open.length > 0) yield* finish(0, true)
        yield* Fiber.awaitAll(left)
        yield* publish
        yield* look(2)

        assert.deepStrictEqual(
          read.map(({ id }) => id),
          (yield* readOn(who, null, 200)).items.map(({ id }) => id)
        )
        for (const id of subjects) {
          assert.deepStrictEqual(
            read.filter(({ subject }) => subject.id === id).map(labelOf),
            (written.get(id) ?? []).filter((label) => committed.has(label))
          )
        }
        assert.strictEqual(read.length, committed.size)
      }),
    { arbitrary: { runs: 25, size: 24, maxShrinks: 20 } }
  )

  it.effect("W1 a reader hears of what it may see and asks for, and its place moves on over the rest", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const organizationId = yield* Fixtures.organization
      yield* fill(organizationId, 9, ["server.updated", "server.liveness_changed", "webhook.test"])
      const of = Effect.fnUntraced(function* (who: EventReader, query: Partial<EventsQuery>) {
        const page = yield* events.feed(who, { ...everything, ...query })
        return {
          types: [...new Set(page.items.map(({ type }) => type))],
          items: page.items,
          next: page.next,
          more: page.more
        }
      })
      const newest = yield* events.newest(organizationId)
      const may = reader(organizationId)

      assert.deepStrictEqual((yield* of(may, {})).types, ["server.liveness_changed", "server.updated"])
      assert.deepStrictEqual((yield* of(reader(organizationId, ["webhooks:read"]), {})).types, [])
      assert.strictEqual((yield* of(reader(organizationId, []), {})).next, newest)

      const first = yield* of(may, { types: ["server.updated"], limit: 2 })
      assert.lengthOf(first.items, 2)
      assert.isTrue(first.more)
      assert.strictEqual(first.next, first.items[1]?.place)
      const rest = yield* of(may, { types: ["server.updated"], after: first.next })
      assert.lengthOf(rest.items, 1)
      assert.deepInclude(rest, { more: false, next: newest })

      const [one] = rest.items
      const ofOne = yield* of(may, { subjectId: one?.subject.id ?? "" })
      assert.deepStrictEqual(ofOne.items, rest.items)
      assert.strictEqual(ofOne.next, newest)
      assert.deepInclude(yield* of(may, { after: newest }), { items: [], next: newest, more: false })

      const id = one?.id ?? EventId.make(randomUUID())
      assert.deepStrictEqual(yield* events.get(may, id), one)
      const refused = [reader(organizationId, ["connections:read"]), reader(yield* Fixtures.organization)]
      for (const who of refused) {
        assert.strictEqual((yield* Effect.flip(events.get(who, id)))._tag, "EventNotFound")
      }
      assert.lengthOf((yield* of(reader(yield* Fixtures.organization), {})).items, 0)
    })
  )

  it.effect("W1 a place before what is kept, or one that was never given, is refused with where to go on", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      const other = yield* Fixtures.organization
      const who = reader(organizationId)
      assert.deepStrictEqual(yield* events.feed(who, everything), {
        items: [],
        next: EventPlace.make("0"),
        more: false
      })
      yield* fill(organizationId, 30, ["server.updated"])
      yield* fill(other, 3, ["server.updated"])
      const places = (yield* readOn(who, null, 200)).items.map(({ place }) => place)
      // The oldest twenty are past their time, and one among the younger ones, which stays until its turn.
      yield* sql`
        update events set published_at = '2026-10-20T00:00:00Z'
         where organization_id = ${organizationId}
           and (place <= ${places[19] ?? "0"}::bigint or place = ${places[24] ?? "0"}::bigint)`
      assert.strictEqual(yield* events.prune, 20)
      assert.strictEqual(yield* events.prune, 0)

      const oldest = places[19] ?? EventPlace.make("0")
      const gone = yield* Effect.flip(events.feed(who, { ...everything, after: places[18] ?? null }))
      assert.deepInclude(gone, { _tag: "EventsGone", oldest })
      const kept = places.slice(20)
      for (const after of [null, gone.oldest]) {
        assert.deepStrictEqual(
          (yield* readOn(who, after, 4)).items.map(({ place }) => place),
          kept
        )
      }
      assert.lengthOf((yield* readOn(reader(other), null, 4)).items, 3)

      // A database that was put back to what it was before has not given the place that a reader has.
      const beyond = EventPlace.make(`${BigInt(kept.at(-1) ?? "0") + 1n}`)
      assert.deepInclude(yield* Effect.flip(events.feed(who, { ...everything, after: beyond })), {
        _tag: "EventsGone",
        oldest
      })

      yield* sql`update events set published_at = '2026-10-20T00:00:00Z' where organization_id = ${organizationId}`
      assert.strictEqual(yield* events.prune, 10)
      assert.deepStrictEqual(yield* events.feed(who, { ...everything, after: kept.at(-1) ?? null }), {
        items: [],
        next: kept.at(-1) ?? EventPlace.make("0"),
        more: false
      })
    })
  )

  it.effect("reads no more than it gives, however rare what is asked for", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const sql = yield* SqlClient.SqlClient
      const organizationId = yield* Fixtures.organization
      yield* fill(organizationId, 5_000, ["server.updated"])
      yield* fill(organizationId, 2, ["server.liveness_changed"])
      yield* fill(organizationId, 5_000, ["server.updated"])
      yield* sql`analyze events`
      const who = reader(organizationId)
      const rare = yield* rowsRead(events.feed(who, { ...everything, types: ["server.liveness_changed"] }))
      assert.lengthOf(rare.answer.items, 2)
      assert.isBelow(rare.rows, 10)
      const [one] = rare.answer.items
      const ofOne = yield* rowsRead(events.feed(who, { ...everything, subjectId: one?.subject.id ?? "" }))
      assert.lengthOf(ofOne.answer.items, 1)
      assert.isBelow(ofOne.rows, 10)
      assert.isBelow((yield* rowsRead(events.feed(who, everything))).rows, 60)
      const looks = [
        { query: { types: ["server.liveness_changed"] }, found: 2 },
        { query: { subjectId: one?.subject.id ?? "" }, found: 1 },
        { query: {}, found: 50 },
        { query: { to: one?.at ?? null }, found: 0 }
      ] as const
      for (const { found, query } of looks) {
        const { answer, rows } = yield* rowsRead(events.list(who, { ...all, ...query }))
        assert.lengthOf(answer.items, found)
        assert.isBelow(rows, 200, JSON.stringify(query))
      }
    })
  )

  it.effect("C8 lists the newest first, in pages, by time, type, subject and name", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const organizationId = yield* Fixtures.organization
      const who = reader(organizationId)
      const subjectId = randomUUID()
      for (let i = 1; i <= 70; i++) {
        yield* tell({
          organizationId,
          subjectId: i % 10 === 0 ? subjectId : randomUUID(),
          label: `${i}`,
          name: i % 35 === 0 ? "Paris 100%" : "fra-1",
          at: new Date(Date.UTC(2026, 10, 1, 0, i))
        })
      }
      yield* publish
      const walk = Effect.fnUntraced(function* (query: Partial<EventsListQuery>) {
        const items: Array<Event> = []
        let cursor: string | null = null
        do {
          const page: Effect.Success<ReturnType<typeof events.list>> = yield* events.list(who, {
            ...all,
            ...query,
            cursor
          })
          items.push(...page.items)
          cursor = page.nextCursor
        } while (cursor !== null)
        return items.map(labelOf)
      })
      const range = (from: number, to: number) => Array.from({ length: from - to + 1 }, (_, at) => `${from - at}`)
      const at = (minute: number) =>
        Schema.decodeSync(Schema.DateTimeUtcFromDate)(new Date(Date.UTC(2026, 10, 1, 0, minute)))

      assert.deepStrictEqual(yield* walk({}), range(70, 1))
      assert.deepStrictEqual(yield* walk({ limit: 7 }), range(70, 1))
      assert.deepStrictEqual(yield* walk({ from: at(20), to: at(30), limit: 3 }), range(29, 20))
      const tens = ["70", "60", "50", "40", "30", "20", "10"]
      assert.deepStrictEqual(yield* walk({ subjectId, limit: 2 }), tens)
      assert.deepStrictEqual(yield* walk({ subjectId, from: at(20), to: at(40), limit: 1 }), ["30", "20"])
      // More candidates than are looked at for one page.
      assert.deepStrictEqual(yield* walk({ text: " paris 100% ", limit: 1 }), ["70", "35"])
      assert.deepStrictEqual(yield* walk({ text: "0%0" }), [])
      assert.deepStrictEqual(yield* walk({ types: ["connection.created"] }), [])
      // No place, and one that no database has.
      for (const text of ["not one", "9999999999999999999"]) {
        const cursor = Buffer.from(text).toString("base64url")
        assert.strictEqual((yield* Effect.flip(events.list(who, { ...all, cursor })))._tag, "InvalidCursor")
      }
    })
  )

  it.effect("leaves out what a newer node wrote and this one does not know", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const organizationId = yield* Fixtures.organization
      const who = reader(organizationId, [
        "servers:read",
        "connections:read",
        "fleet-guard:read",
        "security-events:read",
        "audit:read",
        "webhooks:read",
        "reports:read"
      ])
      yield* fill(organizationId, 4, ["server.updated", "server.sang"])
      const page = yield* events.feed(who, everything)
      assert.deepStrictEqual(
        page.items.map(({ type }) => type),
        ["server.updated", "server.updated"]
      )
      assert.strictEqual(page.next, yield* events.newest(organizationId))
      assert.lengthOf((yield* readOn(who, null, 1)).items, 2)
      assert.lengthOf((yield* events.list(who, all)).items, 2)
    })
  )

  it.effect("W1 who listens hears each event once, whether it keeps up or falls behind", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const organizationId = yield* Fixtures.organization
      const who = reader(organizationId)
      const subjectId = randomUUID()
      const say = Effect.fnUntraced(function* (from: number, to: number) {
        for (let i = from; i <= to; i++) {
          yield* tell({ organizationId, subjectId: i % 2 === 0 ? subjectId : randomUUID(), label: `${i}` })
          if (i % 5 === 0) yield* publish
        }
        yield* publish
      })
      yield* say(1, 3)
      const start = yield* events.newest(organizationId)
      const heard = yield* Queue.unbounded<string>()
      const listen = (query: Partial<EventsQuery>, pace: Effect.Effect<unknown>) =>
        events.changes(who, { after: start, types: [], subjectId: null, ...query }).pipe(
          Stream.flatMap(({ items }) => Stream.fromIterable(items)),
          Stream.tap(() => pace),
          Stream.map(labelOf)
        )
      const gate = yield* Deferred.make<void>()
      const upTo = (label: string) => Stream.takeUntil<string>((one) => one === label)
      const fast = yield* Effect.forkChild(
        Stream.runCollect(upTo("23")(Stream.tap(listen({}, Effect.void), (one) => Queue.offer(heard, one))))
      )
      const slow = yield* Effect.forkChild(Stream.runCollect(upTo("23")(listen({}, Deferred.await(gate)))))
      const ofOne = yield* Effect.forkChild(Stream.runCollect(upTo("22")(listen({ subjectId }, Effect.void))))
      const fromNow = yield* Effect.forkChild(Stream.runCollect(upTo("23")(listen({ after: null }, Effect.void))))

      yield* say(4, 4)
      assert.strictEqual(yield* Queue.take(heard), "4")
      // Far more than is kept at hand while the slow one stands still.
      yield* say(5, 23)
      const expected = Array.from({ length: 20 }, (_, at) => `${at + 4}`)
      assert.deepStrictEqual(yield* Fiber.join(fast), expected)
      assert.deepStrictEqual(
        yield* Fiber.join(ofOne),
        expected.filter((label) => Number(label) % 2 === 0)
      )
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual(yield* Fiber.join(slow), expected)
      // It began some time before the end, and missed none since.
      const late = yield* Fiber.join(fromNow)
      assert.deepStrictEqual(late, expected.slice(-late.length))

      const beyond = EventPlace.make("900000000000000000")
      const gone = events.changes(who, { after: beyond, types: [], subjectId: null })
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(gone)))._tag, "EventsGone")
    })
  )
})
