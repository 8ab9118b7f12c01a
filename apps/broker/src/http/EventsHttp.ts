import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { eventStreamType } from "@broker/api/EventsApi"
import { ApiTokens } from "@broker/core/api-tokens/ApiTokens"
import { Events } from "@broker/core/events/Events"
import { EventsPolicy } from "@broker/core/events/EventsPolicy"
import { SecurityEvents } from "@broker/core/security-events/SecurityEvents"
import type { ApiTokenId } from "@broker/domain/ApiToken"
import { Event, type EventPlace, type EventsPage, TooManyEventStreams } from "@broker/domain/Event"
import type { Permission } from "@broker/domain/Permission"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Deferred, Effect, Fiber, Metric, Schedule, Schema, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Closing } from "./Listener.ts"
import { usualLimit } from "./Machine.ts"

/** How soon a client that lost its stream should come back. */
const retryMillis = 2_000

/** Comments tell those in between that the line is in use. */
const heartbeatEvery = "15 seconds"

/** How soon a stream ends after what its token may do has changed. */
const lookAtTokenEvery = "2 seconds"

/** How long a stream that has to end waits for whoever does not read what was sent. */
const patience = "2 seconds"

const open = Metric.gauge("broker_event_streams_open", {
  description: "Streams of events that machines have open on this node"
})

const encode = Schema.encodeSync(Event)

/** All who listen get the same text, made once. */
const makeText = () => {
  const texts = new WeakMap<Event, string>()
  return (event: Event) => {
    const known = texts.get(event)
    if (known !== undefined) return known
    const text = `id: ${event.place}\nevent: ${event.type}\ndata: ${JSON.stringify(encode(event))}\n\n`
    texts.set(event, text)
    return text
  }
}

/** An id of its own moves the place of whoever reads, and is no event to them. */
const placeText = (place: EventPlace) => `id: ${place}\n\n`

/** Pages as Server-Sent Events, with a heartbeat in between that tells how far it has come. */
export const spoken = <E, R>(pages: Stream.Stream<EventsPage, E, R>, textOf: (event: Event) => string) => {
  let told: EventPlace | undefined
  let reached: EventPlace | undefined
  const page = ({ items, next }: EventsPage) => {
    const text = items.map(textOf).join("")
    // The first place is told at once: whoever comes back goes on from there.
    const isFirst = reached === undefined
    reached = next
    told = isFirst ? next : (items.at(-1)?.place ?? told)
    return isFirst ? `${text}${placeText(next)}` : text
  }
  const heartbeat = () => {
    const moved = reached !== undefined && reached !== told ? placeText(reached) : "\n"
    told = reached
    return `: still here\n${moved}`
  }
  const heartbeats = Stream.tick(heartbeatEvery).pipe(
    Stream.drop(1),
    Stream.map(() => heartbeat)
  )
  // Put into words on its way out, one after the other: no heartbeat tells a place before what comes up to it is told.
  const texts = pages.pipe(
    Stream.map((read) => () => page(read)),
    Stream.merge(heartbeats, { haltStrategy: "left" }),
    Stream.map((words) => words()),
    Stream.filter((text) => text !== "")
  )
  return Stream.concat(Stream.make(`retry: ${retryMillis}\n\n`), texts)
}

export const EventsHttp = HttpApiBuilder.group(
  Api,
  "events",
  Effect.fn(function* (handlers) {
    const events = yield* Events
    const tokens = yield* ApiTokens
    const closing = yield* Closing
    const { streams, streamsPerToken } = yield* EventsPolicy
    const textOf = makeText()

    /** How many streams each token has open on this node. */
    const held = new Map<string, number>()
    let all = 0

    const move = (tokenId: string, by: 1 | -1) =>
      Effect.suspend(() => {
        const count = (held.get(tokenId) ?? 0) + by
        if (count === 0) held.delete(tokenId)
        else held.set(tokenId, count)
        all += by
        return Metric.update(open, all)
      })

    const admitted = (tokenId: string) =>
      Effect.acquireRelease(
        Effect.suspend(() =>
          all >= streams || (held.get(tokenId) ?? 0) >= streamsPerToken
            ? Effect.fail(new TooManyEventStreams())
            : move(tokenId, 1)
        ),
        () => move(tokenId, -1)
      )

    /** Done when the token is good no more, or may do something else than it could. */
    const changed = (tokenId: ApiTokenId, permissions: ReadonlySet<Permission>) =>
      tokens.look(tokenId).pipe(
        Effect.map(
          (now) => now.size === permissions.size && [...now].every((permission) => permissions.has(permission))
        ),
        // As long as nobody can tell, nothing has changed.
        Effect.catchDefect(() => Effect.succeed(true)),
        Effect.repeat({ while: (goesOn) => goesOn, schedule: Schedule.spaced(lookAtTokenEvery) })
      )

    return handlers.handleAll({
      feed: ({ query: { after, limit, subject, type } }) =>
        Effect.flatMap(CurrentApiToken, (token) =>
          events.feed(token, {
            after: after ?? null,
            types: type ?? [],
            subjectId: subject ?? null,
            limit: limit ?? usualLimit
          })
        ),

      stream: Effect.fnUntraced(function* ({ headers, query: { after, subject, type } }) {
        const token = yield* CurrentApiToken
        yield* admitted(token.tokenId)
        const sought = {
          after: headers["last-event-id"] ?? after ?? null,
          types: type ?? [],
          subjectId: subject ?? null
        }
        // Whoever would miss some is told before the stream begins.
        if (sought.after !== null) yield* events.feed(token, { ...sought, limit: 1 })
        const pages = events.changes(token, sought).pipe(
          // On coming back they are told.
          Stream.catchTag("EventsGone", () => Stream.empty)
        )
        const cut = yield* Effect.forkScoped(
          Effect.raceFirst(Deferred.await(closing.begun), changed(token.tokenId, token.permissions))
        )
        const response = NodeHttpServerRequest.toServerResponse(yield* HttpServerRequest.HttpServerRequest)
        // The end of the stream comes after what was sent before: whoever does not read that would hold it open.
        yield* Fiber.await(cut).pipe(
          Effect.andThen(Effect.sleep(patience)),
          Effect.andThen(Effect.sync(() => response.destroy())),
          Effect.forkScoped
        )
        const texts = spoken(pages, textOf).pipe(Stream.interruptWhen(Fiber.await(cut)), Stream.encodeText)
        return HttpServerResponse.stream(texts, {
          headers: { "content-type": eventStreamType, "cache-control": "no-store", "x-accel-buffering": "no" }
        })
      })
    })
  })
)

export const SecurityEventsHttp = HttpApiBuilder.group(
  Api,
  "securityEvents",
  Effect.fn(function* (handlers) {
    const securityEvents = yield* SecurityEvents

    return handlers.handle("list", ({ query: { cursor, kind, limit, serverId, severity } }) =>
      Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
        securityEvents.list(organizationId, {
          kinds: kind ?? [],
          severities: severity ?? [],
          serverId: serverId ?? null,
          limit: limit ?? usualLimit,
          cursor: cursor ?? null
        })
      )
    )
  })
)
