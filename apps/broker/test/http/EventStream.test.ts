import { Event, EventPlace, type EventsPage } from "@broker/domain/Event"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { spoken } from "../../src/http/EventsHttp.ts"
import { exampleOf } from "../../src/pages/EventCatalogue.ts"

const eventAt = (place: number) =>
  Schema.decodeUnknownSync(Event)({ ...exampleOf("server.updated"), place: String(place) })

const page = (next: number, ...places: ReadonlyArray<number>): EventsPage => ({
  items: places.map(eventAt),
  next: EventPlace.make(String(next)),
  more: false
})

describe("a stream of events", () => {
  it.effect("tells its place at once, and every 15 seconds that it goes on, and how far it has come", () =>
    Effect.gen(function* () {
      const pages = yield* Queue.unbounded<EventsPage>()
      const heard: Array<string> = []
      const said = Effect.andThen(
        TestClock.adjust(0),
        Effect.sync(() => heard.splice(0))
      )
      const stream = spoken(Stream.fromQueue(pages), ({ place }) => `event ${place}\n`)
      const fiber = yield* Effect.forkChild(Stream.runForEach(stream, (text) => Effect.sync(() => heard.push(text))))
      yield* Queue.offer(pages, page(7))
      assert.deepStrictEqual(yield* said, ["retry: 2000\n\n", "id: 7\n\n"])
      yield* Queue.offer(pages, page(9, 8, 9))
      assert.deepStrictEqual(yield* said, ["event 8\nevent 9\n"])
      yield* TestClock.adjust("15 seconds")
      assert.deepStrictEqual(yield* said, [": still here\n\n"])
      // What came was for others.
      yield* Queue.offer(pages, page(12))
      assert.deepStrictEqual(yield* said, [])
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* said, [": still here\nid: 12\n\n", ": still here\n\n"])
      yield* Fiber.interrupt(fiber)
    })
  )
})
