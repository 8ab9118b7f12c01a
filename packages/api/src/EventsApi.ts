import { EventPlace, EventsGone, EventsPage, EventType, TooManyEventStreams } from "@broker/domain/Event"
import { InvalidCursor, Page, PageLimit, Text, Uuid } from "@broker/domain/Primitives"
import { SecurityEvent, SecurityEventKind, Severity } from "@broker/domain/SecurityEvent"
import { ServerId } from "@broker/domain/Server"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { example, sample } from "./Example.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** What a stream of Server-Sent Events is sent as. */
export const eventStreamType = "text/event-stream"

const sought = {
  after: Schema.optionalKey(EventPlace),
  /** May be repeated: any of them. */
  type: Schema.optionalKey(Schema.ArrayEnsure(EventType)),
  subject: Schema.optionalKey(Uuid)
}

const registered = {
  id: "019ab8f0-8a01-7c3e-9d21-6b4f8e2a5c0b",
  type: "server.registered",
  version: 1,
  at: "2026-11-22T10:00:00.000Z",
  place: "42",
  subject: { kind: "server", id: sample.server, name: "fra-1" },
  data: {
    server: { id: sample.server, name: "fra-1" },
    group: "eu/frankfurt",
    before: null,
    after: "approved",
    reason: "registered"
  }
}

const reused = {
  id: "7",
  at: "2026-11-22T10:20:00.000Z",
  kind: "public_key_reused",
  severity: "high",
  server: null,
  address: "203.0.113.20",
  details: {
    name: "fra-2",
    publicKey: "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
    registrationKey: sample.registrationKey
  }
}

/** W1: what happened, for systems that follow it. */
export class EventsApi extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("feed", "/", {
      query: Schema.Struct({ ...sought, limit: Schema.optionalKey(PageLimit) }),
      success: EventsPage,
      error: EventsGone
    })
      .middleware(ApiTokenAuthentication)
      .annotateMerge(requires("events:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { type: "server.registered", subject: sample.server, limit: "10" },
          answer: { items: [registered], next: "57", more: false },
          varies: ["place", "next"]
        })
      )
      .annotate(OpenApi.Summary, "Read the events after a place, in their order")
      .annotate(
        OpenApi.Description,
        "A token hears only of what it may see: each type asks for a scope of its own. Begin without `after`, which is at the oldest event that is kept; then pass `next` as `after`, again and again. No event is ever put in before a place that was given out, so that nobody who goes on from theirs misses any. Whoever stays away for longer than events are kept gets 410 `events_gone`, with the place to go on from."
      ),
    HttpApiEndpoint.get("stream", "/stream", {
      query: Schema.Struct(sought),
      headers: { "last-event-id": Schema.optionalKey(EventPlace) },
      success: HttpApiSchema.StreamUint8Array({ contentType: eventStreamType }),
      error: [EventsGone, TooManyEventStreams]
    })
      .middleware(ApiTokenAuthentication)
      .annotateMerge(requires("events:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { type: "server.registered", subject: sample.server, after: "0" },
          answer: ["retry: 2000", "id: 42", "event: server.registered", `data: ${JSON.stringify(registered)}`].join(
            "\n"
          )
        })
      )
      .annotate(OpenApi.Summary, "Follow the events as they happen")
      .annotate(
        OpenApi.Description,
        "Server-Sent Events: the `id` is the place, the `event` the type, the `data` the event as JSON. It goes on after `Last-Event-ID`, else after `after`, else from now. An `id` without data says how far it has come while there was nothing that was asked for; a comment every 15 seconds that it goes on. It ends when the broker stops and when what the token may do changes: connect again with the last `id`."
      )
  )
  .prefix("/events")
  .annotateMerge(
    OpenApi.annotations({ title: "Events", description: "For machines with an API token: what happened." })
  ) {}

/** What the broker found suspicious, for whoever collects it. */
export class SecurityEventsApi extends HttpApiGroup.make("securityEvents")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: Schema.Struct({
        kind: Schema.optionalKey(Schema.ArrayEnsure(SecurityEventKind)),
        severity: Schema.optionalKey(Schema.ArrayEnsure(Severity)),
        serverId: Schema.optionalKey(ServerId),
        limit: Schema.optionalKey(PageLimit),
        cursor: Schema.optionalKey(Text(512))
      }),
      success: Page(SecurityEvent),
      error: InvalidCursor
    })
      .middleware(ApiTokenAuthentication)
      .annotateMerge(requires("security-events:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { kind: "public_key_reused", severity: "high", limit: "10" },
          answer: { items: [reused], nextCursor: null },
          varies: ["id", "address", "publicKey"]
        })
      )
      .annotate(OpenApi.Summary, "Read what the broker found suspicious, the newest first")
      .annotate(
        OpenApi.Description,
        "All of it, however long ago. To hear of it as it happens, follow the events of the type `security_event.raised`."
      )
  )
  .prefix("/security-events")
  .annotateMerge(
    OpenApi.annotations({
      title: "Security events",
      description: "For machines with an API token: what the broker found suspicious."
    })
  ) {}
