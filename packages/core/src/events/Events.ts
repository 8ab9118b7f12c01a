/** What happened, as others read it: in the order in which it was committed, each event once (W1). */
import {
  catalogue,
  cursorBelow,
  Event,
  type EventId,
  EventNotFound,
  EventPlace,
  EventsGone,
  type EventsListQuery,
  type EventsPage,
  type EventsQuery,
  type EventType,
  eventTypes
} from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import type { Permission } from "@broker/domain/Permission"
import { InvalidCursor } from "@broker/domain/Primitives"
import {
  type Cause,
  Clock,
  Context,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Layer,
  Metric,
  Option,
  RcMap,
  Schema,
  Stream
} from "effect"
import { Base64Url } from "effect/encoding"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { Signals } from "../database/Signals.ts"
import { EventsPolicy } from "./EventsPolicy.ts"
import * as EventsSql from "./EventsSql.ts"
import * as EventTails from "./EventTails.ts"
import { eventTopic } from "./EventTopic.ts"

/** Whoever reads: they hear of what they may see, and of nothing else. */
export interface EventReader {
  readonly organizationId: OrganizationId
  readonly permissions: ReadonlySet<Permission>
}

type Failure = SqlError | Schema.SchemaError | Cause.NoSuchElementError

/** Runs a transaction, such as one that fails once this node leads no more. */
export type Within<E> = <A>(write: Effect.Effect<A, Failure>) => Effect.Effect<A, Failure | E>

type Slices = <E>(within: Within<E>) => Effect.Effect<number, Failure | E>

/** What listens looks for. */
export type EventsSought = Pick<EventsQuery, "after" | "types" | "subjectId">

const published = Metric.counter("broker_events_published_total", {
  description: "Events that got their place in the feed",
  incremental: true
})
const lag = Metric.gauge("broker_events_lag_seconds", {
  description: "How long the oldest event has been waiting for its place in the feed"
})

/** How many events one look of a node, and one piece of a stream, holds at most. */
const piece = 200

export class Events extends Context.Service<
  Events,
  {
    /** What came after a place, in order. Without a place, from the oldest event that is kept. */
    feed(reader: EventReader, query: EventsQuery): Effect.Effect<EventsPage, EventsGone>
    /**
     * The feed as it grows: pieces as they come, without end. A piece may be empty, and only say how far the reader has
     * come. Without a place, from now on.
     */
    changes(reader: EventReader, query: EventsSought): Stream.Stream<EventsPage, EventsGone>
    /** The newest first. A page may hold less than was asked for although there are more. */
    list(
      reader: EventReader,
      query: EventsListQuery
    ): Effect.Effect<{ readonly items: ReadonlyArray<Event>; readonly nextCursor: string | null }, InvalidCursor>
    get(reader: EventReader, id: EventId): Effect.Effect<Event, EventNotFound>
    /** How far the feed of an organization has come. */
    newest(organizationId: OrganizationId): Effect.Effect<EventPlace>
    /** Gives what is committed its place, in as many slices as it takes; tells how many. */
    readonly publishWithin: Slices
    /** The same, by whoever calls it. */
    readonly publish: Effect.Effect<number>
    /** Deletes what is past its time, a bounded number in each slice; tells how many. */
    readonly pruneWithin: Slices
    /** The same, by whoever calls it. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/events/Events") {
  static readonly layer = Layer.effect(
    Events,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* EventsSql.make
      const signals = yield* Signals
      const policy = yield* EventsPolicy

      const strange = new Set<string>()

      /** What a newer node wrote may be of a type that this one does not know: it is left out, and said once. */
      const read = Effect.fnUntraced(function* (rows: ReadonlyArray<EventsSql.Told>) {
        const events: Array<Event> = []
        for (const { event, place, type } of rows) {
          const exit = decode(event)
          if (Exit.isSuccess(exit)) events.push(exit.value)
          else if (!strange.has(type)) {
            strange.add(type)
            yield* Effect.logWarning("Left out an event that this version does not know", { type, place }, exit.cause)
          }
        }
        return events
      })

      const after = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        types: ReadonlyArray<EventType> | null,
        { after, limit, subjectId }: Pick<EventsQuery, "after" | "limit" | "subjectId">
      ) {
        const rows = yield* statements.after({ organizationId, types, subjectId, after, limit: limit + 1 })
        const [{ horizon, newest } = yield* Effect.die(new Error("The feed has no bounds"))] = rows
        // A place that was never given is of a database that was put back to what it was before.
        const isGone = after !== null && (EventTails.isBefore(after, horizon) || EventTails.isBefore(newest, after))
        if (isGone) return yield* new EventsGone({ oldest: horizon })
        const told = rows.filter(isTold)
        const taken = told.slice(0, limit)
        const more = told.length > limit
        return {
          events: yield* read(taken),
          next: more ? (taken.at(-1)?.place ?? newest) : newest,
          more
        } satisfies EventTails.Piece
      })

      const feed = Effect.fn("Events.feed")(
        function* (reader: EventReader, query: EventsQuery) {
          const types = heardBy(reader, query.types)
          const isAll = types.length === eventTypes.length && query.subjectId === null
          const { events, more, next } = yield* after(reader.organizationId, isAll ? null : types, query)
          return { items: events, next, more }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const newest = Effect.fn("Events.newest")(
        (organizationId: OrganizationId) => Effect.map(statements.newest(organizationId), ({ newest }) => newest),
        Effect.orDie
      )

      const tails = yield* EventTails.make({
        newest,
        after: (organizationId, place) =>
          after(organizationId, null, { after: place, limit: piece, subjectId: null }).pipe(
            Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
          ),
        hints: signals.subscribe(eventTopic),
        pollEvery: policy.pollEvery,
        atHand: policy.atHand
      })

      const changes = (reader: EventReader, { after, subjectId, types }: EventsSought) => {
        const heard = new Set<string>(heardBy(reader, types))
        const fits = (event: Event) => heard.has(event.type) && (subjectId === null || event.subject.id === subjectId)

        const catchUp = (place: EventPlace) => feed(reader, { after: place, types, subjectId, limit: piece })

        const next = Effect.fnUntraced(function* (tail: EventTails.Tail, place: EventPlace) {
          while (!EventTails.isBefore(place, tail.to)) {
            yield* Deferred.await(tail.moved)
            // The node's look is behind the reader's own, or what the reader has read is there no more.
            if (EventTails.isBefore(tail.to, place)) return yield* catchUp(place)
          }
          if (EventTails.isBefore(place, tail.from)) return yield* catchUp(place)
          const held = EventTails.heldAfter(tail, place)
          const taken = held.slice(0, piece)
          const more = held.length > piece
          return { items: taken.filter(fits), next: more ? (taken.at(-1)?.place ?? tail.to) : tail.to, more }
        })

        return Stream.unwrap(
          Effect.gen(function* () {
            const tail = yield* RcMap.get(tails, reader.organizationId)
            const first =
              after === null
                ? { items: [], next: yield* newest(reader.organizationId), more: false }
                : yield* catchUp(after)
            return Stream.concat(
              Stream.make(first),
              Stream.paginate(first.next, (place) =>
                Effect.map(next(tail, place), (page) => [[page], Option.some(page.next)] as const)
              )
            )
          })
        )
      }

      const list = Effect.fn("Events.list")(
        function* (reader: EventReader, { cursor, from, limit, subjectId, text: asked, to, types }: EventsListQuery) {
          const text = asked.trim()
          const isNarrowed = text !== "" || (subjectId !== null && (from !== null || to !== null))
          const window = isNarrowed ? policy.window : limit + 1
          const found: Array<EventsSql.Told> = []
          let before = yield* decodeCursor(cursor)
          for (let looks = 0; looks < policy.windows; looks++) {
            const rows = yield* statements.before({
              organizationId: reader.organizationId,
              types: heardBy(reader, types),
              subjectId,
              from,
              to,
              text,
              before,
              window,
              limit: limit + 1 - found.length
            })
            found.push(...rows.filter(isTold))
            const [{ candidates, last } = { candidates: 0, last: null }] = rows
            if (found.length > limit) {
              before = found[limit - 1]?.place ?? null
              break
            }
            before = candidates < window ? null : last
            if (before === null) break
          }
          return {
            items: yield* read(found.slice(0, limit)),
            nextCursor: before === null ? null : cursorBelow(before)
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const get = Effect.fn("Events.get")(
        function* (reader: EventReader, id: EventId) {
          const row = yield* statements.get({ organizationId: reader.organizationId, id })
          const [event] = yield* read(Option.toArray(row))
          if (event === undefined || !mayHear(reader, event.type)) return yield* new EventNotFound()
          return event
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** Told once it is committed; whoever misses it looks again by themselves. */
      const publishSlice = Effect.gen(function* () {
        const { published } = yield* statements.publish(policy.publishBatch)
        if (published > 0) yield* signals.notify(eventTopic, "")
        return published
      })

      const publishWithin: Slices = Effect.fn("Events.publishWithin")(function* (within) {
        const mayGoOn = yield* until(policy.publishFor)
        let count = 0
        do {
          // Most of the time there is nothing, and this is all that it costs.
          const waiting = yield* statements.waiting()
          const now = yield* DateTime.now
          const seconds = Option.match(waiting, {
            onNone: () => 0,
            onSome: ({ at }) => (now.epochMilliseconds - at.epochMilliseconds) / 1_000
          })
          yield* Metric.update(lag, Math.max(0, seconds))
          if (Option.isNone(waiting)) return count
          const done = yield* within(publishSlice)
          yield* Metric.update(published, done)
          count += done
          // Somebody else is at it.
          if (done === 0) return count
        } while (yield* mayGoOn)
        return count
      })

      const pruneWithin: Slices = Effect.fn("Events.pruneWithin")(function* (within) {
        const mayGoOn = yield* until(policy.pruneFor)
        const before = DateTime.subtractDuration(yield* DateTime.now, policy.keptFor)
        let count = 0
        for (const { organizationId } of yield* statements.overdue(before)) {
          let gone = 0
          do {
            gone = (yield* within(statements.prune({ organizationId, before, limit: policy.pruneBatch }))).gone
            count += gone
          } while (gone === policy.pruneBatch && (yield* mayGoOn))
          if (!(yield* mayGoOn)) return count
        }
        return count
      })

      return Events.of({
        feed,
        changes,
        list,
        get,
        newest,
        publishWithin,
        publish: Effect.orDie(publishWithin(sql.withTransaction)),
        pruneWithin,
        prune: Effect.orDie(pruneWithin(sql.withTransaction))
      })
    })
  )
}

const decode = Schema.decodeUnknownExit(Event)

const mayHear = ({ permissions }: EventReader, type: EventType) => permissions.has(catalogue[type].permission)

/** What a reader hears of what they ask for; of all types where they name none. */
const heardBy = (reader: EventReader, types: ReadonlyArray<EventType>) =>
  (types.length === 0 ? eventTypes : eventTypes.filter((type) => types.includes(type))).filter((type) =>
    mayHear(reader, type)
  )

const isTold = <Row extends { readonly place: EventPlace | null; readonly type: string | null }>(
  row: Row
): row is Row & { readonly place: EventPlace; readonly type: string } => row.place !== null && row.type !== null

const decodePlace = Schema.decodeEffect(EventPlace)

const decodeCursor = (cursor: string | null): Effect.Effect<EventPlace | null, InvalidCursor> =>
  cursor === null
    ? Effect.succeed(null)
    : Effect.fromResult(Base64Url.decodeString(cursor)).pipe(
        Effect.flatMap(decodePlace),
        Effect.mapError(() => new InvalidCursor())
      )

/** Whether a run may go on: it began not so long ago. */
const until = (budget: Duration.Duration) =>
  Effect.map(Clock.monotonicTimeNanos, (began) =>
    Effect.map(Clock.monotonicTimeNanos, (now) => Number(now - began) / 1e6 < Duration.toMillis(budget))
  )
