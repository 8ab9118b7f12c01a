/** What the fields of events mean, for the OpenAPI document and for the catalogue in docs/events.md. */
import { eventTypes, titleOf } from "@broker/domain/Event"

const envelope = {
  id: "The same however often the event is read or delivered",
  type: "What happened",
  version: "Of the shape of `data`",
  at: "When it happened",
  place: "Where it stands in the feed: it grows from event to event, with gaps",
  subject: "What it is about. Events of one subject come in the order in which they happened",
  data: "By the type"
}

const moved = {
  server: "The server",
  group: "The path of its group; null for none",
  before: "Where it stood; null where it is new",
  after: "Where it stands",
  reason: "Why, as a stable word such as `missed_heartbeats`, or as an admin said; null where there is no more to say"
}

/** By schema and field. */
export const eventFields: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ...Object.fromEntries(eventTypes.map((type) => [titleOf(type), envelope])),
  EventsPage: {
    items: "In the order of the feed",
    next: "Where to go on: pass it as `after`. It moves on over events that were not asked for, too",
    more: "Whether there is more already"
  },
  EventsGone: { oldest: "The place to go on from: events after it are kept" },
  EventSubject: {
    kind: "A noun, such as `server`",
    id: "Its id",
    name: "As it was called then; null where it has no name"
  },
  Named: { name: "As it was called then" },
  AdmissionMove: moved,
  LivenessMove: moved,
  DutyMove: moved,
  VerificationMove: moved,
  ServerUpdate: {
    server: "The server",
    group: "The path of its group; null for none",
    changed:
      "Which fields: any of `name`, `version`, `endpoints`, `capabilities`, `tags`, `labels`, `group`, `location`, `connectionLimit`, `publicKey`"
  },
  ConnectionAccount: {
    user: "Who connected",
    device: "From which device",
    server: "To which server",
    group: "The path of the server's group when it was asked for; null for none",
    status: "Where it stands",
    createdAt: "When it was asked for",
    startedAt: "When the server reported it active; null if it never did",
    endedAt: "When it ended; null while it lives",
    endedBy: "Who ended it first",
    reason: "A word of the broker's, such as `server_lost` or `key_revoked`, or what that side gave as its reason",
    rxBytes: "What the client received, as far as anybody has told",
    txBytes: "What the client sent, as far as anybody has told",
    verdict: "What the accounts of both sides come to; null until it is settled"
  },
  GuardAccount: {
    expected: "Live servers when it began",
    seen: "Those of them that were heard",
    held: "Those that were held as unknown",
    cause: "What the silent ones have in common, as far as there is anything",
    causeDetail: "The network, group or version they have in common",
    end: "How it ended; null when it began",
    endedBy: "Who said that they are gone; null if nobody did"
  },
  Suspicion: {
    kind: "One of a growing list, such as `challenge_failed`: see `/api/v1/security-events`",
    severity: "How bad it may be",
    server: "Whom it is about, where that is a server",
    address: "Where it came from",
    details: "What else there is to say, by the kind"
  },
  AuditRecord: {
    entry: "Its number in the audit log",
    action: "`noun:verb`",
    actor: "Who did it",
    subjectKind: "What it was done to",
    details: "What else there is to say, by the action"
  },
  EventActor: {
    kind: "What kind of actor",
    id: "Who, by id; null where there is none",
    name: "As the actor was called then"
  },
  WebhookPause: {
    webhook: "The webhook",
    because: "Whether an admin paused it, or it failed for days",
    problem: "What was wrong the last time, of one that failed"
  },
  WebhookAlone: { webhook: "The webhook" },
  ReportMade: {
    run: "What was made: its files are there under this id",
    kind: "What kind of report",
    from: "The beginning of what it tells of",
    to: "The end of what it tells of",
    slotAt: "Which slot of its schedule it was made for; null when somebody asked",
    complete: "Whether the time was over and counted: then the same bytes come of it again",
    files: "What it was written as"
  },
  SecurityEvent: {
    id: "A whole number as text, which grows from one to the next",
    at: "When it was noticed",
    kind: "What was noticed",
    severity: "How bad it may be",
    server: "Whom it is about, where that is a server",
    address: "Where it came from",
    details: "What else there is to say, by the kind"
  }
}
