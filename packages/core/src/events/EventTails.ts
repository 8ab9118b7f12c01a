/**
 * The newest events of organizations that somebody listens to, read once for all who do. Readers go by the place they
 * are at, so that one that is slow holds up no other: it only falls back on the table.
 */
import type { Event, EventPlace } from "@broker/domain/Event"
import type { OrganizationId } from "@broker/domain/Organization"
import { Deferred, type Duration, Effect, RcMap, Stream } from "effect"
import type { SignalEvent } from "../database/Signals.ts"

/** What came after a place, as far as one look goes. */
export interface Piece {
  readonly events: ReadonlyArray<Event>
  readonly next: EventPlace
  readonly more: boolean
}

export interface Tail {
  /** Holds all events after that place, up to the other one. */
  from: EventPlace
  to: EventPlace
  events: ReadonlyArray<Event>
  /** Done, and another one, when it has moved on. */
  moved: Deferred.Deferred<void>
}

export const isBefore = (place: EventPlace, other: EventPlace) => BigInt(place) < BigInt(other)

/** What a tail holds after a place that it reaches back to: places are in order, so the first is soon found. */
export const heldAfter = ({ events }: Tail, place: EventPlace) => {
  let [low, high] = [0, events.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    const event = events[middle]
    if (event !== undefined && isBefore(place, event.place)) high = middle
    else low = middle + 1
  }
  return events.slice(low)
}

export const make = Effect.fnUntraced(function* <E>(options: {
  readonly newest: (organizationId: OrganizationId) => Effect.Effect<EventPlace, E>
  /** Fails where the place is one that the table cannot go on from. */
  readonly after: (organizationId: OrganizationId, place: EventPlace) => Effect.Effect<Piece, E>
  readonly hints: Stream.Stream<SignalEvent>
  readonly pollEvery: Duration.Duration
  readonly atHand: number
}) {
  const advance = (tail: Tail, moved: Partial<Tail>) =>
    Effect.suspend(() => {
      const before = tail.moved
      Object.assign(tail, moved, { moved: Deferred.makeUnsafe<void>() })
      return Deferred.succeed(before, undefined)
    })

  const look = Effect.fnUntraced(
    function* (organizationId: OrganizationId, tail: Tail) {
      let more = true
      while (more) {
        const piece = yield* options.after(organizationId, tail.to)
        more = piece.more
        if (piece.next === tail.to) return
        const events = [...tail.events, ...piece.events]
        const beyond = events.at(-options.atHand - 1)
        yield* advance(tail, {
          from: beyond?.place ?? tail.from,
          to: piece.next,
          events: events.slice(-options.atHand)
        })
      }
    },
    (effect, organizationId, tail) =>
      Effect.catch(effect, () =>
        // The feed is another one than it was: whoever listens finds out where they are.
        Effect.flatMap(options.newest(organizationId), (newest) =>
          newest === tail.to ? Effect.void : advance(tail, { from: newest, to: newest, events: [] })
        )
      )
  )

  return yield* RcMap.make({
    lookup: Effect.fnUntraced(function* (organizationId: OrganizationId) {
      const newest = yield* options.newest(organizationId)
      const tail: Tail = { from: newest, to: newest, events: [], moved: yield* Deferred.make<void>() }
      yield* Stream.merge(options.hints, Stream.tick(options.pollEvery)).pipe(
        Stream.runForEach(() =>
          // The database may be away; the next look finds what this one missed.
          Effect.ignoreCause(look(organizationId, tail), { log: "Debug" })
        ),
        Effect.forkScoped
      )
      return tail
    })
  })
})
