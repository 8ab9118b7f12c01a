/**
 * What happened, as other systems read it: in the feed, in webhooks, on the dashboard (W1).
 *
 * The catalogue is the contract: `docs/events.md` and the schemas of both APIs are made from it. A type is never
 * renamed, and its data only ever gain fields; what has to change otherwise gets a new version of the payload.
 */
import { Schema } from "effect"
import { Base64Url } from "effect/encoding"
import { ActorKind, SubjectKind } from "./AuditEntry.ts"
import { ConnectionParty, ConnectionStatus, Verdict } from "./Connection.ts"
import { GuardCause, GuardEnd } from "./FleetGuard.ts"
import type { Permission } from "./Permission.ts"
import { PageLimit, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { ReportFile, ReportKind } from "./Report.ts"
import { Severity } from "./SecurityEvent.ts"
import { Admission, Duty, Liveness } from "./Server.ts"

export const EventId = Uuid.pipe(Schema.brand("EventId"))
export type EventId = typeof EventId.Type

/**
 * Where an event stands in its organization's feed: a whole number as text, which grows from event to event. With 18
 * digits at most it is one that the database can hold, too.
 */
export const EventPlace = Schema.String.check(
  Schema.isPattern(/^(0|[1-9]\d{0,17})$/, { message: "must be the place of an event, such as 1234" })
).pipe(Schema.brand("EventPlace"))
export type EventPlace = typeof EventPlace.Type

const Named = Schema.Struct({ id: Uuid, name: Schema.String }).annotate({ title: "Named" })
const MaybeTime = Schema.NullOr(Schema.DateTimeUtcFromString)

const moved = <Value extends Schema.Top>(axis: string, value: Value) =>
  Schema.Struct({
    server: Named,
    /** The path of its group. */
    group: Schema.NullOr(Schema.String),
    before: Schema.NullOr(value),
    after: value,
    reason: Schema.NullOr(Schema.String)
  }).annotate({ title: `${axis}Move` })

const connection = Schema.Struct({
  user: Named,
  device: Named,
  server: Named,
  /** The path of the server's group at that time. */
  group: Schema.NullOr(Schema.String),
  status: ConnectionStatus,
  createdAt: Schema.DateTimeUtcFromString,
  startedAt: MaybeTime,
  endedAt: MaybeTime,
  endedBy: Schema.NullOr(ConnectionParty),
  reason: Schema.NullOr(Schema.String),
  /** What the client received and sent, as far as anybody has told. */
  rxBytes: Schema.NullOr(Schema.Finite),
  txBytes: Schema.NullOr(Schema.Finite),
  verdict: Schema.NullOr(Verdict)
}).annotate({ title: "ConnectionAccount" })

const guard = Schema.Struct({
  expected: Schema.Int,
  seen: Schema.Int,
  held: Schema.Int,
  cause: GuardCause,
  causeDetail: Schema.NullOr(Schema.String),
  end: Schema.NullOr(GuardEnd),
  endedBy: Schema.NullOr(Schema.String)
}).annotate({ title: "GuardAccount" })

const WebhookAlone = Schema.Struct({ webhook: Named }).annotate({ title: "WebhookAlone" })

interface Declaration<Data extends Schema.Top> {
  readonly data: Data
  /** What one has to be allowed to, to hear of it. */
  readonly permission: Permission
  /** For people who choose what to listen to. */
  readonly meaning: string
}

const type = <Data extends Schema.Top>(permission: Permission, meaning: string, data: Data): Declaration<Data> => ({
  data,
  permission,
  meaning
})

/** Every type of event there is. */
export const catalogue = {
  "server.registered": type("servers:read", "A server joined the fleet.", moved("Admission", Admission)),
  "server.admission_changed": type(
    "servers:read",
    "A server was approved, suspended or retired.",
    moved("Admission", Admission)
  ),
  "server.liveness_changed": type(
    "servers:read",
    "A server was heard again, or fell silent.",
    moved("Liveness", Liveness)
  ),
  "server.duty_changed": type("servers:read", "A server serves, drains or is in maintenance.", moved("Duty", Duty)),
  "server.verification_changed": type(
    "servers:read",
    "A server proved who it is, or is in doubt.",
    moved("Verification", Schema.Literals(["verified", "unverified"]))
  ),
  "server.updated": type(
    "servers:read",
    "What a server is or offers changed.",
    Schema.Struct({
      server: Named,
      group: Schema.NullOr(Schema.String),
      /** The fields that changed, such as `tags`. */
      changed: Schema.Array(Schema.String)
    }).annotate({ title: "ServerUpdate" })
  ),
  "connection.created": type("connections:read", "A client got a grant, and is on its way.", connection),
  "connection.started": type("connections:read", "A server reported that it accepted a connection.", connection),
  "connection.ended": type("connections:read", "A connection ended.", connection),
  "connection.expired": type("connections:read", "A connection never came to be.", connection),
  "connection.refused": type("connections:read", "A server did not accept a connection.", connection),
  "connection.settled": type(
    "connections:read",
    "Both sides told the end of a connection, or the broker waits no longer: its bytes and its verdict stand.",
    connection
  ),
  "fleet_guard.began": type(
    "fleet-guard:read",
    "Much of the fleet fell silent at once, and is held as unknown.",
    guard
  ),
  "fleet_guard.ended": type("fleet-guard:read", "The fleet guard ended.", guard),
  "security_event.raised": type(
    "security-events:read",
    "The broker noticed something suspicious.",
    Schema.Struct({
      /** One of a growing list, such as `challenge_failed`. */
      kind: Schema.String,
      severity: Severity,
      server: Schema.NullOr(Named),
      address: Schema.NullOr(Schema.String),
      details: Schema.Record(Schema.String, Schema.Unknown)
    }).annotate({ title: "Suspicion" })
  ),
  "webhook.paused": type(
    "webhooks:read",
    "A webhook is sent nothing any more: somebody paused it, or it failed for days. The webhook itself is not told.",
    Schema.Struct({
      webhook: Named,
      because: Schema.Literals(["admin", "failing"]),
      /** What was wrong the last time, of one that failed. */
      problem: Schema.NullOr(Schema.String)
    }).annotate({ title: "WebhookPause" })
  ),
  "webhook.resumed": type(
    "webhooks:read",
    "A paused webhook is sent events again. The webhook itself is not told.",
    WebhookAlone
  ),
  "webhook.test": type(
    "webhooks:read",
    "Somebody tests a webhook: sent to that webhook alone, whatever it listens to.",
    WebhookAlone
  ),
  "report.ready": type(
    "reports:read",
    "A saved report was made that webhooks are to hear of, on its schedule or because somebody asked.",
    Schema.Struct({
      /** What was made: its files are there under this id. */
      run: Uuid,
      kind: ReportKind,
      from: Schema.DateTimeUtcFromString,
      to: Schema.DateTimeUtcFromString,
      /** Which slot of its schedule it was made for; null when somebody asked. */
      slotAt: MaybeTime,
      /** Whether the time was over and counted: then the same bytes come of it again. */
      complete: Schema.Boolean,
      files: Schema.Array(ReportFile)
    }).annotate({ title: "ReportMade" })
  ),
  "audit.recorded": type(
    "audit:read",
    "Somebody changed something: what the audit log says of it, without what was before and after.",
    Schema.Struct({
      /** Its number in the audit log. */
      entry: Schema.Int,
      /** `noun:verb`. */
      action: Schema.String.check(Schema.isPattern(/^[a-z-]+:[a-z-]+$/)),
      actor: Schema.Struct({ kind: ActorKind, id: Schema.NullOr(Schema.String), name: Schema.String }).annotate({
        title: "EventActor"
      }),
      subjectKind: SubjectKind,
      details: Schema.Record(Schema.String, Schema.Unknown)
    }).annotate({ title: "AuditRecord" })
  )
} as const satisfies Record<string, Declaration<Schema.Top>>

export type EventType = keyof typeof catalogue

export const eventTypes = Object.keys(catalogue) as ReadonlyArray<EventType>
export const EventType = Schema.Literals(eventTypes as readonly [EventType, ...Array<EventType>])

/** The versions of what is sent. An endpoint keeps the one it was made with. */
export const EventVersion = Schema.Literals([1])
export type EventVersion = typeof EventVersion.Type
export const currentVersion: EventVersion = 1

export const EventSubject = Schema.Struct({
  /** A noun, such as `server`. */
  kind: SubjectKind,
  id: Uuid,
  /** As it was called then, where it has a name. */
  name: Schema.NullOr(Schema.String)
}).annotate({ title: "EventSubject" })

/** What the schema of a type is called: `ServerRegistered`. */
export const titleOf = (type: EventType) =>
  type.replaceAll(/(?:^|[._])([a-z])/g, (_, letter: string) => letter.toUpperCase())

const eventOf = <Type extends EventType>(type: Type) =>
  Schema.Struct({
    /** The same however often it is delivered. */
    id: EventId,
    type: Schema.Literal(type),
    version: EventVersion,
    at: Schema.DateTimeUtcFromString,
    place: EventPlace,
    /** What it is about. Events of one subject come in the order in which they happened. */
    subject: EventSubject,
    data: catalogue[type].data as (typeof catalogue)[Type]["data"]
  }).annotate({ title: titleOf(type) })

type EventSchemas = { readonly [Type in EventType]: ReturnType<typeof eventOf<Type>> }

/** The schema of each type of event. */
export const events = Object.fromEntries(eventTypes.map((type) => [type, eventOf(type)])) as unknown as EventSchemas

export const Event = Schema.Union(Object.values(events) as ReadonlyArray<EventSchemas[EventType]>)
export type Event = typeof Event.Type

/** Which events; all that is given has to hold. Without a place, from the oldest that is kept. */
export const EventsQuery = Schema.Struct({
  after: Schema.NullOr(EventPlace),
  /** Any of them; of all types where there are none. */
  types: Schema.Array(EventType),
  subjectId: Schema.NullOr(Uuid),
  limit: PageLimit
})
export type EventsQuery = typeof EventsQuery.Type

/** A piece of the feed, in its order. */
export const EventsPage = Schema.Struct({
  items: Schema.Array(Event),
  /** Where to go on: pass it as `after`. It moves on over events that were not asked for, too. */
  next: EventPlace,
  /** Whether there is more already. */
  more: Schema.Boolean
}).annotate({ title: "EventsPage" })
export type EventsPage = typeof EventsPage.Type

/** Events after that place may be gone: whoever goes on from it would miss some without knowing. */
export class EventsGone extends Problem<EventsGone>()(
  "EventsGone",
  {
    code: "events_gone",
    status: 410,
    title: "Events gone",
    detail: "Events after that place were past their time, and are gone.",
    remedy: "Read the present state of what you follow, then go on from `oldest`."
  },
  { oldest: EventPlace }
) {}

/** What an admin looks for, the newest first. */
export const EventsFilter = Schema.Struct({
  from: MaybeTime,
  to: MaybeTime,
  types: Schema.Array(EventType),
  subjectId: Schema.NullOr(Uuid),
  /** Part of the name of the subject, or of the server, user, device or actor that is concerned. */
  text: Text(128)
})
export type EventsFilter = typeof EventsFilter.Type

export const EventsListQuery = Schema.Struct({
  ...EventsFilter.fields,
  limit: PageLimit,
  cursor: Schema.NullOr(Text(512))
})
export type EventsListQuery = typeof EventsListQuery.Type

/** Where the list goes on below an event. */
export const cursorBelow = (place: EventPlace) => Base64Url.encode(place)

export const EventsExportFormat = Schema.Literals(["csv", "ndjson"])
export type EventsExportFormat = typeof EventsExportFormat.Type

/** Streams of one token, or of all, on one node. */
export class TooManyEventStreams extends Problem<TooManyEventStreams>()("TooManyEventStreams", {
  code: "too_many_event_streams",
  status: 429,
  title: "Too many streams of events",
  detail: "As many streams of events are open already as this token, or this node, may have.",
  remedy:
    "Close those that nobody reads: one stream may carry several types. Or read `/api/v1/events` from time to time."
}) {}

export class EventNotFound extends Problem<EventNotFound>()("EventNotFound", {
  code: "event_not_found",
  status: 404,
  title: "Event not found",
  detail: "There is no such event, or you may not see what it is about.",
  remedy: "It may be past its time: events are kept for 30 days unless the broker is set up otherwise."
}) {}
