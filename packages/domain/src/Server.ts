/**
 * A gateway as the broker knows it: who it is, what it says of itself, and on which of three axes it stands where.
 */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { SecretDigestFromBytes } from "./Credential.ts"
import { OrganizationId } from "./Organization.ts"
import {
  Base64UrlBytes,
  Base64UrlFromBytes,
  Count,
  Instant,
  Jsonb,
  MaybeInstant,
  Text,
  Timestamp,
  Uuid
} from "./Primitives.ts"
import { Problem } from "./Problem.ts"

export const ServerId = Uuid.pipe(Schema.brand("ServerId"))
export type ServerId = typeof ServerId.Type

/** A group's: here, as a server names the one it is in. */
export const GroupId = Uuid.pipe(Schema.brand("GroupId"))
export type GroupId = typeof GroupId.Type

/** Nothing invisible: no control, format or unassigned characters, so that names can be read and signed. */
export const isVisible = Schema.isPattern(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, { message: "must not hold control characters" })

/** The name an operator gives a server, trimmed. Unique in its organization (B3). */
export const ServerName = Schema.String.check(
  Schema.isTrimmed(),
  Schema.isBetweenLength(1, 64, { message: "must be 1 to 64 characters" }),
  isVisible
).pipe(Schema.brand("ServerName"))
export type ServerName = typeof ServerName.Type

/**
 * What names are compared by (B3): NFKC, trimmed, and case-folded. Folding goes down, up and down again, as only lower
 * case makes ß of ẞ, and only upper case makes SS of ß.
 */
export const nameKey = (name: string) =>
  name.normalize("NFKC").trim().toLowerCase().toUpperCase().toLowerCase().normalize("NFKC")

/** A raw Ed25519 public key. Whether it is a sound point of the curve is the broker's to check (B10). */
export const PublicKey = Base64UrlBytes(32).pipe(Schema.brand("PublicKey"))
export type PublicKey = typeof PublicKey.Type
export const PublicKeyFromBytes = Base64UrlFromBytes.pipe(Schema.decodeTo(PublicKey))

/** An Ed25519 signature. */
export const Signature = Base64UrlBytes(64).pipe(Schema.brand("Signature"))
export type Signature = typeof Signature.Type

/** Whether an admin lets it in: `pending → approved ⇄ suspended`, and from any of them to `retired`, for good. */
export const Admission = Schema.Literals(["pending", "approved", "suspended", "retired"])
export type Admission = typeof Admission.Type

/** Whether the broker hears from it. */
export const Liveness = Schema.Literals(["never_seen", "online", "degraded", "offline", "unknown"])
export type Liveness = typeof Liveness.Type

/** Whether it wants new connections. */
export const Duty = Schema.Literals(["serving", "draining", "maintenance"])
export type Duty = typeof Duty.Type

/**
 * The three axes in one word, for people: the most important first. Computed by the database (`fleet.status`), so that
 * lists, pages and exports all show the same.
 */
export const ServerStatus = Schema.Literals([
  "online",
  "degraded",
  "offline",
  "unknown",
  "never_seen",
  "pending",
  "draining",
  "maintenance",
  "suspended",
  "retired"
])
export type ServerStatus = typeof ServerStatus.Type

export const Endpoint = Schema.Struct({
  protocol: Schema.String.check(
    Schema.isPattern(/^[a-z][a-z0-9+.-]{0,31}$/u, { message: "must be a protocol name such as webrtc" })
  ),
  host: Text(253).check(
    Schema.isPattern(/^[A-Za-z0-9._:-]+$/u, { message: "must be a host name or an IP address without brackets" })
  ),
  port: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))
}).annotate({ title: "Endpoint" })

const maxDetailDepth = 4

/** Walks without recursion, as the depth of what it walks is what it is there to bound. */
const isShallow = Schema.makeFilter((details: unknown) => {
  const open: Array<readonly [value: unknown, depth: number]> = [[details, 0]]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [value, depth] = next
    if (typeof value === "string") {
      if (!value.isWellFormed() || value.includes("\u0000")) return "must hold well-formed text without U+0000"
    } else if (typeof value === "number") {
      // JSON.parse makes infinity of 1e999, and JSON.stringify makes null of infinity.
      if (!Number.isFinite(value)) return "must hold finite numbers"
    } else if (typeof value === "object" && value !== null) {
      if (depth === maxDetailDepth) return `must not be nested more than ${maxDetailDepth} levels deep`
      for (const [key, inner] of Object.entries(value)) open.push([key, depth + 1], [inner, depth + 1])
    }
  }
  return true
})

/** Refuses a record for each key that is not of the pattern: a plain record schema would drop such keys in silence. */
const hasKeys = (pattern: RegExp, max: number, message: string) =>
  Schema.makeFilter((record: object) => {
    const keys = Object.keys(record)
    if (keys.length > max) return `must not have more than ${max} keys`
    const wrong = keys.find((key) => !pattern.test(key))
    return wrong === undefined || { path: [wrong], issue: message }
  })

/** Typed abilities with their details, such as `{ "vpn": { "ipv6": true } }`. */
export const Capabilities = Schema.Record(Schema.String, Schema.Unknown).check(
  isShallow,
  hasKeys(/^[a-z][a-z0-9_.-]{0,31}$/, 32, "must be a capability's name: lower case, at most 32 characters"),
  Schema.makeFilter((capabilities) => {
    const wrong = Object.entries(capabilities).find(
      ([, details]) => typeof details !== "object" || details === null || Array.isArray(details)
    )
    return wrong === undefined || { path: [wrong[0]], issue: "must be an object" }
  })
)

/** A free word. */
export const Tag = Schema.String.check(
  Schema.isPattern(/^[\p{L}\p{N}][\p{L}\p{N}._:/-]{0,31}$/u, {
    message: "must be a word of at most 32 letters, digits and . _ : / -"
  })
)

/** So many tags, and so many labels, a server declares at most, and admins give it. */
export const maxAssigned = 32

export const Tags = Schema.Array(Tag).check(
  Schema.isMaxLength(maxAssigned),
  Schema.isUnique({ message: "must not name a tag twice" })
)

const labels = (max: number) =>
  Schema.Record(Schema.String, Text(128)).check(
    hasKeys(/^[A-Za-z][A-Za-z0-9_./-]{0,62}$/, max, "must be a label's key: letters, digits and _ . / -")
  )

export const Labels = labels(maxAssigned)

/** What a server says of itself and what admins say of it, together. */
const AllTags = Schema.Array(Tag).check(Schema.isMaxLength(2 * maxAssigned))
const AllLabels = labels(2 * maxAssigned)

/** Where it says it is, in degrees. */
export const Location = Schema.Struct({
  latitude: Schema.Finite.check(Schema.isBetween({ minimum: -90, maximum: 90 })),
  longitude: Schema.Finite.check(Schema.isBetween({ minimum: -180, maximum: 180 }))
}).annotate({ title: "Location" })

export const Version = Text(64)

/** Fields that the broker alone writes. */
const maintained = Model.FieldExcept(["insert", "update", "jsonCreate", "jsonUpdate"])

/** Fields that never leave the broker. */
const internal = Model.FieldOnly(["select", "insert"])

/**
 * One row of `servers`, read through the view `fleet`, which adds what the broker heard last. The variants are the
 * only shapes a server has: `Server.insert` for SQL, `Server.json` for both APIs.
 */
export class Server extends Model.Class<Server>("Server")({
  id: Model.UuidV7Insert(ServerId),
  organizationId: internal(OrganizationId),
  name: ServerName,
  nameKey: Model.FieldOnly(["insert"])(Schema.String),
  admission: Admission,
  liveness: maintained(Liveness),
  duty: Duty,
  verified: maintained(Schema.Boolean),
  publicKey: Model.Field({
    select: PublicKeyFromBytes,
    insert: PublicKeyFromBytes,
    json: PublicKey
  }),
  version: Schema.NullOr(Version),
  endpoints: Jsonb(Schema.Array(Endpoint)),
  capabilities: Jsonb(Capabilities),
  tags: Model.Field({ select: AllTags, insert: Tags, json: AllTags }),
  labels: Model.Field({ select: AllLabels, insert: Schema.fromJsonString(Labels), json: AllLabels }),
  assignedTags: Model.FieldOnly(["insert"])(Tags),
  /** The path of its group, such as `eu/frankfurt`. */
  groupId: Model.FieldOnly(["insert"])(Schema.NullOr(GroupId)),
  group: maintained(Schema.NullOr(Schema.String)),
  location: Model.Field({
    select: Schema.NullOr(Location),
    insert: Schema.NullOr(Schema.fromJsonString(Location)),
    json: Schema.NullOr(Location)
  }),
  publicAddress: Schema.NullOr(Schema.String),
  registrationKeyId: internal(Schema.NullOr(Uuid)),
  registeredAt: Instant,
  lastSeenAt: MaybeInstant
}) {}

/** What a server says of itself, on joining and whenever it changes. Each may be left out. */
export const description = {
  version: Schema.optionalKey(Version),
  endpoints: Schema.optionalKey(Schema.Array(Endpoint).check(Schema.isMaxLength(16))),
  capabilities: Schema.optionalKey(Capabilities),
  tags: Schema.optionalKey(Tags),
  labels: Schema.optionalKey(Labels),
  location: Schema.optionalKey(Schema.NullOr(Location))
}

/** What a server may change about itself. What is left out stays. */
export const ServerPatch = Schema.Struct({ ...description, duty: Schema.optionalKey(Duty) }).annotate({
  title: "ServerPatch"
})
export type ServerPatch = typeof ServerPatch.Type

/** What a server sends to change its key (V4): signed by the old key, and by the new one as `proof`. */
export const KeyRotation = Schema.Struct({
  publicKey: PublicKey,
  timestamp: Timestamp,
  signature: Signature,
  proof: Signature
}).annotate({ title: "KeyRotation" })
export type KeyRotation = typeof KeyRotation.Type

/**
 * What admins change about a server. What is not named stays, also of its tags and labels: somebody else may have
 * given it others meanwhile. What is both given and taken away is given.
 */
export const ServerAssignment = Schema.Struct({
  groupId: Schema.optionalKey(Schema.NullOr(GroupId)),
  tags: Schema.optionalKey(Schema.Struct({ add: Tags, remove: Tags })),
  labels: Schema.optionalKey(
    Schema.Struct({ set: Labels, remove: Schema.Array(Text(63)).check(Schema.isMaxLength(maxAssigned)) })
  )
})
export type ServerAssignment = typeof ServerAssignment.Type

/** How many connections a server may have at once (C2); 0 takes none. */
export const ServerConnectionLimit = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))
export type ServerConnectionLimit = typeof ServerConnectionLimit.Type

/** What is left out stays. Tags and labels either as a whole, or as what to add and what to take away. */
export const ServerChanges = Schema.Struct({
  groupId: Schema.optionalKey(Schema.NullOr(GroupId)),
  assignedTags: Schema.optionalKey(Tags),
  assignedLabels: Schema.optionalKey(Labels),
  tags: ServerAssignment.fields.tags,
  labels: ServerAssignment.fields.labels,
  ownConnectionLimit: Schema.optionalKey(Schema.NullOr(ServerConnectionLimit))
})
  .annotate({ title: "ServerChanges" })
  .check(
    Schema.makeFilter(({ assignedLabels, assignedTags, labels, tags }) =>
      assignedTags !== undefined && tags !== undefined
        ? { path: ["tags"], issue: "cannot be given beside assignedTags" }
        : assignedLabels !== undefined && labels !== undefined
          ? { path: ["labels"], issue: "cannot be given beside assignedLabels" }
          : true
    )
  )
export type ServerChanges = typeof ServerChanges.Type

export const ServerTokenId = Uuid.pipe(Schema.brand("ServerTokenId"))

/** One row of `server_tokens`: the digest of a bearer secret, and how long it is good for. */
export class ServerToken extends Model.Class<ServerToken>("ServerToken")({
  id: Model.UuidV7Insert(ServerTokenId),
  serverId: ServerId,
  digest: Model.Sensitive(SecretDigestFromBytes),
  createdAt: Instant
}) {}

/** Who waits for whom: what the dashboard shows of a server beside `Server.json`. */
export class FleetServer extends Model.Class<FleetServer>("FleetServer")({
  ...Model.fields(Server),
  status: ServerStatus,
  /** Why, as a stable word such as `missed_heartbeats`; null where the status says it all. */
  statusReason: Schema.NullOr(Schema.String),
  statusSince: Instant,
  /** As the server tells. */
  activeConnections: Count,
  /** Intents and active connections as the broker counts them, and how many there may be (C2). */
  liveConnections: Count,
  connectionLimit: Count,
  metrics: Schema.Record(Schema.String, Schema.Finite),
  /** The interval it was last told (H1). */
  heartbeatIntervalSeconds: Schema.NullOr(Schema.Finite),
  verifiedAt: MaybeInstant,
  available: Schema.Boolean,
  groupId: Schema.NullOr(GroupId),
  /** What the server says of itself, and what admins say of it: `tags` and `labels` are both together. */
  declaredTags: Tags,
  declaredLabels: Jsonb(Labels),
  assignedTags: Tags,
  assignedLabels: Jsonb(Labels),
  /** Its own limit; null where its group's, or the default, holds. */
  ownConnectionLimit: Schema.NullOr(Count),
  /** How far its clock is off, as it was heard last; positive is ahead (H4). */
  skewSeconds: Schema.NullOr(Schema.Finite),
  /** How often it fell lately (H2). */
  falls: Count
}) {}

/** Every move on an axis, once (H2). */
export const TransitionAxis = Schema.Literals(["admission", "liveness", "duty", "verification"])
export class Transition extends Model.Class<Transition>("Transition")({
  /** Grows with time; what lists are paged by. */
  id: Schema.Finite,
  serverId: ServerId,
  serverName: ServerName,
  axis: TransitionAxis,
  before: Schema.NullOr(Schema.String),
  after: Schema.String,
  reason: Schema.NullOr(Schema.String),
  at: Instant
}) {}

export class NameTaken extends Problem<NameTaken>()("NameTaken", {
  code: "name_taken",
  status: 409,
  title: "Name taken",
  detail: "Another server of the organization has this name.",
  remedy: "Choose another name, or have an admin issue a replacement key for the server of that name."
}) {}

export class PublicKeyInUse extends Problem<PublicKeyInUse>()("PublicKeyInUse", {
  code: "public_key_in_use",
  status: 409,
  title: "Public key in use",
  detail: "This public key identifies a server already, or did once.",
  remedy: "Create a new key pair. A key pair is never shared between servers, nor used again after one is retired."
}) {}

export class ServerNotFound extends Problem<ServerNotFound>()("ServerNotFound", {
  code: "server_not_found",
  status: 404,
  title: "Server not found",
  detail: "There is no such server.",
  remedy: "Check the id or the name."
}) {}

export class AssignmentTooLarge extends Problem<AssignmentTooLarge>()("AssignmentTooLarge", {
  code: "assignment_too_large",
  status: 409,
  title: "Too many tags or labels",
  detail: `The server would have more than ${maxAssigned} tags, or more than ${maxAssigned} labels, of admins.`,
  remedy: "Take some away first."
}) {}

/** H8: stop, and wait for an admin; heartbeats may be tried again now and then. */
export class ServerSuspended extends Problem<ServerSuspended>()("ServerSuspended", {
  code: "server_suspended",
  status: 403,
  title: "Server suspended",
  detail: "The server is suspended.",
  remedy: "An admin can approve it again. Until then try at long intervals."
}) {}

/** H8: stop for good. */
export class ServerRetired extends Problem<ServerRetired>()("ServerRetired", {
  code: "server_retired",
  status: 410,
  title: "Server retired",
  detail: "The server is retired, for good.",
  remedy: "Stop. To join again, register with a new key pair and a new registration key."
}) {}

/** A move that the admission axis does not have. */
export class AdmissionConflict extends Problem<AdmissionConflict>()("AdmissionConflict", {
  code: "admission_conflict",
  status: 409,
  title: "Not possible in this state",
  detail: "The server's admission does not allow this.",
  remedy: "Look at the server's state: a retired server stays retired, and only approved ones are suspended."
}) {}
