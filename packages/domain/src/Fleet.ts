/** The fleet as admins see it: the question a list asks, counts, and what is live. */
import { Schema } from "effect"
import { ActorKind } from "./AuditEntry.ts"
import { ChallengePurpose, ChallengeState } from "./Challenge.ts"
import { ConnectionCounts, ConnectionId, LedgerConnection } from "./Connection.ts"
import { FleetGuard } from "./FleetGuard.ts"
import { Count, PageLimit, Text } from "./Primitives.ts"
import { FleetServer, GroupId, ServerId, ServerStatus, Tag, Transition } from "./Server.ts"

/** What a list is sorted by; a minus turns it round. Ties go by id, so that pages are stable. */
export const ServerSort = Schema.Literals([
  "name",
  "-name",
  "lastSeen",
  "-lastSeen",
  "registered",
  "-registered",
  "version",
  "-version",
  "load",
  "-load"
])
export type ServerSort = typeof ServerSort.Type

/** Which servers, in which order, from where on. */
export const ServersQuery = Schema.Struct({
  /** What `ServerSearch` reads: words, `tag:eu`, `version:<1.4` and the like, all of which have to hold. */
  text: Text(512),
  statuses: Schema.Array(ServerStatus),
  tags: Schema.Array(Tag).check(Schema.isMaxLength(8)),
  verified: Schema.NullOr(Schema.Boolean),
  /** In this group or below. */
  groupId: Schema.optionalKey(Schema.NullOr(GroupId)),
  sort: ServerSort,
  limit: PageLimit,
  cursor: Schema.NullOr(Text(512))
})
export type ServersQuery = typeof ServersQuery.Type

/** How many servers stand where, and what moved last. */
export const Overview = Schema.Struct({
  total: Count,
  counts: Schema.Record(ServerStatus, Count),
  available: Count,
  /** As servers count them, with those that the broker did not grant. */
  activeConnections: Count,
  /** As the broker tracks them: granted by it, and reported active. */
  liveConnections: Count,
  /** Registration keys that can still be used. */
  activeKeys: Count,
  /** What holds while much of the fleet is silent at once (H6); null while nothing does. */
  guard: Schema.NullOr(FleetGuard),
  /**
   * Servers that need a person: suspended, pending, offline, degraded; the gravest first. Those that are silent in a
   * maintenance window are left out.
   */
  attention: Schema.Array(FleetServer.json),
  /** How many need one; `attention` shows the first of them. */
  attentionTotal: Count,
  transitions: Schema.Array(Transition.json)
})
export type Overview = typeof Overview.Type

/** The last metrics of one server in one minute. */
export const Sample = Schema.Struct({
  minute: Schema.DateTimeUtcFromString,
  metrics: Schema.Record(Schema.String, Schema.Finite)
})
export type Sample = typeof Sample.Type

/** A challenge as its server's page shows it. */
export const ChallengeSummary = Schema.Struct({
  id: Schema.String,
  purpose: ChallengePurpose,
  state: ChallengeState,
  issuedAt: Schema.DateTimeUtcFromString,
  expiresAt: Schema.DateTimeUtcFromString,
  answeredAt: Schema.NullOr(Schema.DateTimeUtcFromString)
})

/** What changed about a server: the fields that differ, as they were and as they are. */
export const ServerChange = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  /** `noun:verb`. */
  action: Schema.String,
  actorKind: ActorKind,
  /** Null for whoever may not read the audit log. */
  actorName: Schema.NullOr(Schema.String),
  before: Schema.Record(Schema.String, Schema.Unknown),
  after: Schema.Record(Schema.String, Schema.Unknown)
})
export type ServerChange = typeof ServerChange.Type

/** So many transitions a history tells, the newest ones. */
export const maxTransitions = 200

/** All that a server's page shows beside the server. */
export const ServerHistory = Schema.Struct({
  transitions: Schema.Array(Transition.json),
  challenges: Schema.Array(ChallengeSummary),
  samples: Schema.Array(Sample),
  /** The key it joined with, where it is known. */
  joinedWith: Schema.NullOr(Schema.Struct({ id: Schema.String, name: Schema.String, createdBy: Schema.String }))
})
export type ServerHistory = typeof ServerHistory.Type

/** What one tab of the dashboard watches. */
export const Watch = Schema.Struct({
  overview: Schema.Boolean,
  /** The servers on screen. */
  servers: Schema.Array(ServerId).check(Schema.isMaxLength(200)),
  /** Whether servers that join are announced. */
  joining: Schema.Boolean,
  /** The connections on screen. */
  connections: Schema.Array(ConnectionId).check(Schema.isMaxLength(200)),
  /** Whether the counts of connections are told, and that new ones were made. */
  connecting: Schema.Boolean
})
export type Watch = typeof Watch.Type

/** What the dashboard is told as it happens. The first of each kind is the state at the start of watching. */
export const LiveEvent = Schema.Union([
  Schema.TaggedStruct("Overview", { overview: Overview }),
  /** Servers that look different from when they were last sent. */
  Schema.TaggedStruct("Servers", { servers: Schema.Array(FleetServer.json) }),
  /** How many servers the organization has, retired ones included, and the newest of them. */
  Schema.TaggedStruct("Joined", { total: Count, newest: Schema.NullOr(FleetServer.json) }),
  /** Connections that look different from when they were last sent. */
  Schema.TaggedStruct("Connections", { connections: Schema.Array(LedgerConnection.json) }),
  /** How many connections stand where, and the newest of all. */
  Schema.TaggedStruct("Connecting", { counts: ConnectionCounts, newest: Schema.NullOr(ConnectionId) })
])
export type LiveEvent = typeof LiveEvent.Type
