/** One use of one server by one device, from the intent to the end, as both sides tell it. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { DeviceId } from "./Device.ts"
import { Criteria, DiscoveredServer, Explanation } from "./Discovery.ts"
import { OrganizationId } from "./Organization.ts"
import { PersonalKeyId } from "./PersonalKey.ts"
import { Count, Instant, MaybeInstant, PageLimit, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { ServerId } from "./Server.ts"
import { UserId } from "./User.ts"

export const ConnectionId = Uuid.pipe(Schema.brand("ConnectionId"))
export type ConnectionId = typeof ConnectionId.Type

/**
 * C1: `intent → active → ended`, `intent → expired | refused`.
 * - `intent`: the client has a grant, and is on its way
 * - `active`: the server reported that it accepted
 * - `expired`: it never came to be: too late, called off, or cut before it began
 * - `refused`: the server did not accept it
 */
export const ConnectionStatus = Schema.Literals(["intent", "active", "ended", "expired", "refused"])
export type ConnectionStatus = typeof ConnectionStatus.Type

/** Who ended it first. */
export const ConnectionParty = Schema.Literals(["client", "server", "broker", "admin"])
export type ConnectionParty = typeof ConnectionParty.Type

/** A stable word of the broker's, such as `server_lost` or `key_revoked`, or what a side gave as its reason. */
export const EndReason = Text(128).check(Schema.isMinLength(1))

/**
 * What the two accounts of an ended connection come to.
 * - `confirmed`: both told its end, and count alike
 * - `client_only`, `server_only`: the other side never told the end
 * - `byte_mismatch`: both did, and their bytes differ by more than a twentieth and 64 KiB
 */
export const Verdict = Schema.Literals(["confirmed", "client_only", "server_only", "byte_mismatch"])
export type Verdict = typeof Verdict.Type

/** Computed when read. */
const told = Model.FieldOnly(["select", "json"])
const bytes = told(Schema.NullOr(Schema.Finite))

/** A connection, as its client and its server see it. Bytes are as the client counts them. */
export class Connection extends Model.Class<Connection>("Connection")({
  id: ConnectionId,
  organizationId: Model.FieldOnly(["select"])(OrganizationId),
  status: ConnectionStatus,
  userId: UserId,
  deviceId: DeviceId,
  serverId: ServerId,
  serverName: Schema.String,
  createdAt: Instant,
  /** Until when the intent waits for the server to report it active. */
  expiresAt: Instant,
  grantExpiresAt: Instant,
  activeAt: MaybeInstant,
  /** C5: since when the server has been offline. */
  staleSince: MaybeInstant,
  endedAt: MaybeInstant,
  endedBy: Schema.NullOr(ConnectionParty),
  endReason: Schema.NullOr(Schema.String),
  rxBytes: bytes,
  txBytes: bytes,
  rttMs: bytes,
  lossRatio: bytes
}) {}

/** A connection as admins see it: with names, and both sides of the ledger. */
export class LedgerConnection extends Model.Class<LedgerConnection>("LedgerConnection")({
  ...Model.fields(Connection),
  userName: Schema.String,
  personalKeyId: PersonalKeyId,
  personalKeyName: Schema.String,
  deviceName: Schema.String,
  platform: Schema.String,
  clientAddress: Schema.NullOr(Schema.String),
  clientOpenedAt: MaybeInstant,
  clientReportedAt: MaybeInstant,
  clientEndedAt: MaybeInstant,
  clientReason: Schema.NullOr(Schema.String),
  /** What the client received and sent, as it counts. */
  clientRxBytes: bytes,
  clientTxBytes: bytes,
  serverReportedAt: MaybeInstant,
  serverEndedAt: MaybeInstant,
  serverReason: Schema.NullOr(Schema.String),
  /** What the server received and sent, as it counts: the client's the other way round. */
  serverRxBytes: bytes,
  serverTxBytes: bytes,
  verdict: Schema.NullOr(Verdict),
  settledAt: MaybeInstant,
  /** When the server was told to cut it, by whose order, and when it had. */
  cutOrderedAt: MaybeInstant,
  cutOrderedBy: Schema.NullOr(Schema.String),
  cutConfirmedAt: MaybeInstant
}) {}

/** Figures as one side counts them, from its own point of view. All are totals since the connection began. */
export const ConnectionMetrics = Schema.Struct({
  rttMs: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 3_600_000 }))),
  lossRatio: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
  rxBytes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }))),
  txBytes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })))
}).annotate({ title: "ConnectionMetrics" })
export type ConnectionMetrics = typeof ConnectionMetrics.Type

/** What a client asks for: a server by its id, or the best one that fits. */
export const ConnectionRequest = Schema.Union([
  Schema.Struct({ serverId: ServerId }).annotate({ title: "ConnectionByServer" }),
  Schema.Struct({ select: Criteria }).annotate({ title: "ConnectionBySelection" })
])
export type ConnectionRequest = typeof ConnectionRequest.Type

/** A compact JWS (C3): whoever holds it may use the connection, so it is shown to nobody else. */
export const Grant = Schema.RedactedFromValue(Schema.String.check(Schema.isMaxLength(4_096)), { label: "grant" })
export type Grant = typeof Grant.Type

export class ConnectionGranted extends Schema.Class<ConnectionGranted>("ConnectionGranted")(
  {
    connection: Connection.json,
    grant: Grant,
    server: DiscoveredServer.json,
    /** Why this server, where the broker chose. */
    explanation: Schema.optionalKey(Explanation)
  },
  { httpApiStatus: 201, description: "A grant, and the connection that it is for" }
) {}

/** What a client tells of its connection. What is left out stays. */
export const ClientReport = Schema.Struct({
  status: Schema.optionalKey(Schema.Literal("ended")),
  reason: Schema.optionalKey(EndReason),
  metrics: Schema.optionalKey(ConnectionMetrics)
}).annotate({ title: "ClientReport" })
export type ClientReport = typeof ClientReport.Type

/** What a server tells of a connection; `active` again is progress. */
export const ServerReport = Schema.Struct({
  status: Schema.Literals(["active", "ended", "refused"]),
  reason: Schema.optionalKey(EndReason),
  metrics: Schema.optionalKey(ConnectionMetrics)
}).annotate({ title: "ServerReport" })
export type ServerReport = typeof ServerReport.Type

/** What an admin looks for. */
export const ConnectionsQuery = Schema.Struct({
  /** Live ones (intents and active), those that are over, or both. */
  scope: Schema.Literals(["live", "over", "all"]),
  /** Part of the name of a user, a device or a server; or the whole of an id or a client's address. */
  text: Text(128),
  statuses: Schema.Array(ConnectionStatus),
  stale: Schema.NullOr(Schema.Boolean),
  verdicts: Schema.Array(Verdict),
  reasons: Schema.Array(Text(128)).check(Schema.isMaxLength(16)),
  userId: Schema.NullOr(UserId),
  deviceId: Schema.NullOr(DeviceId),
  serverId: Schema.NullOr(ServerId),
  personalKeyId: Schema.NullOr(PersonalKeyId),
  limit: PageLimit,
  cursor: Schema.NullOr(Text(512))
})
export type ConnectionsQuery = typeof ConnectionsQuery.Type

/** C6: what an act of cutting came to. */
export const CutSubject = Schema.Literals(["connection", "personal-key", "device", "user", "server"])
export type CutSubject = typeof CutSubject.Type

export class Cut extends Model.Class<Cut>("Cut")({
  id: Uuid,
  reason: Schema.String,
  subjectKind: CutSubject,
  subjectId: Uuid,
  /** As it was called then. */
  subjectName: Schema.String,
  orderedBy: Schema.String,
  orderedAt: Instant,
  connections: Count,
  confirmedConnections: Count,
  /** Servers that were told to cut, those that have cut all they had to, and those that are late. */
  servers: Count,
  confirmedServers: Count,
  overdueServers: Count,
  /** How long the slowest of those that confirmed took; null while none has. */
  slowestSeconds: Schema.NullOr(Schema.Finite),
  medianSeconds: Schema.NullOr(Schema.Finite)
}) {}

/** What a revocation would end, for whoever is about to order it. */
export const CutPreview = Schema.Struct({ connections: Count, servers: Count })
export type CutPreview = typeof CutPreview.Type

/** A connection that a server has to end. */
export const CutOrder = Schema.Struct({ id: Uuid, reason: Schema.String }).annotate({ title: "CutOrder" })
export type CutOrder = typeof CutOrder.Type

/** How many connections stand where, for the head of the page. */
export const ConnectionCounts = Schema.Struct({
  intents: Count,
  active: Count,
  stale: Count,
  /** Orders to cut that no server has confirmed, and those of them that are late. */
  cutsOpen: Count,
  cutsOverdue: Count,
  /** Of the connections that ended within the last 24 hours. */
  verdicts: Schema.Record(Verdict, Count),
  /** Of intents of the last 24 hours. */
  outcomes: Schema.Struct({ connected: Count, expired: Count, refused: Count })
})
export type ConnectionCounts = typeof ConnectionCounts.Type

export class ConnectionNotFound extends Problem<ConnectionNotFound>()("ConnectionNotFound", {
  code: "connection_not_found",
  status: 404,
  title: "Connection not found",
  detail: "There is no such connection, or it is not yours.",
  remedy: "Check the id. A server is told by the grant which connection it is."
}) {}

/** C1: `ended`, `expired` and `refused` are final. */
export class ConnectionOver extends Problem<ConnectionOver>()("ConnectionOver", {
  code: "connection_over",
  status: 409,
  title: "Connection is over",
  detail: "The connection is over, and stays so.",
  remedy: "Close it on your side. To connect again, ask for a new connection."
}) {}

/** A move that the state machine does not have, of a connection that is not over. */
export class ConnectionConflict extends Problem<ConnectionConflict>()("ConnectionConflict", {
  code: "connection_conflict",
  status: 409,
  title: "Not possible in this state",
  detail: "The connection is active already, so it can't be refused any more.",
  remedy: "Report it as ended."
}) {}

export class ServerUnavailable extends Problem<ServerUnavailable>()("ServerUnavailable", {
  code: "server_unavailable",
  status: 409,
  title: "Server unavailable",
  detail: "The server takes no new connections now.",
  remedy: "Choose another server, or send `select` and let the broker choose."
}) {}

export class NoServerMatches extends Problem<NoServerMatches>()("NoServerMatches", {
  code: "no_server_matches",
  status: 404,
  title: "No server matches",
  detail: "No available server fits what was asked for.",
  remedy: "Ask for less: leave out a tag, a label, a capability or the version."
}) {}

/** C2: of the personal key, the device or the server, whichever is full. */
export class ConnectionLimitReached extends Problem<ConnectionLimitReached>()(
  "ConnectionLimitReached",
  {
    code: "connection_limit",
    status: 409,
    title: "Connection limit reached",
    detail: "No more connections may be open at once.",
    remedy: "End a connection first, or have an admin raise the limit. Of a full server, choose another one."
  },
  { scope: Schema.Literals(["personal-key", "device", "server"]) }
) {}
