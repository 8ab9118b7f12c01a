/** Who did what to what, in the order in which it happened, each entry sealed by the hash of the one before (A6). */
import { Schema } from "effect"
import { Count, PageLimit, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"

/** `database` is whoever changed the database without saying who they are: a prompt, or a broker of an older release. */
export const ActorKind = Schema.Literals([
  "admin",
  "api-token",
  "server",
  "client",
  "command",
  "broker",
  "stranger",
  "database"
])
export type ActorKind = typeof ActorKind.Type

export const SubjectKind = Schema.Literals([
  "server",
  "group",
  "maintenance-window",
  "fleet-guard",
  "saved-view",
  "bulk-act",
  "registration-key",
  "admin",
  "challenge",
  "user",
  "personal-key",
  "device",
  "connection",
  "role",
  "invitation",
  "passkey",
  "admin-session",
  "api-token",
  "audit-log",
  "sign-in-failure",
  "security-policy",
  "organization",
  "signing-key",
  "encryption-key",
  "webhook",
  "report",
  "inventory",
  "procedure",
  "endpoint"
])
export type SubjectKind = typeof SubjectKind.Type

export const Outcome = Schema.Literals(["done", "refused"])

const Row = Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))

/** A row that the act changed: only the fields that differ; secrets are "(hidden)". Null before it was, and after it. */
export const AuditChange = Schema.Struct({
  table: Schema.String,
  id: Schema.NullOr(Schema.String),
  before: Row,
  after: Row
}).annotate({ title: "AuditChange" })
export type AuditChange = typeof AuditChange.Type

export const AuditEntry = Schema.Struct({
  /** Its number in the organization's chain: from 1 on, without a gap. */
  seq: Count,
  at: Schema.DateTimeUtcFromString,
  actorKind: ActorKind,
  actorId: Schema.NullOr(Schema.String),
  actorName: Schema.String,
  address: Schema.NullOr(Schema.String),
  requestId: Schema.NullOr(Schema.String),
  /** `noun:verb`. */
  action: Schema.String,
  subjectKind: SubjectKind,
  subjectId: Schema.NullOr(Schema.String),
  outcome: Outcome,
  details: Schema.Record(Schema.String, Schema.Unknown),
  changes: Schema.Array(AuditChange),
  /** SHA-256 over the hash before it and all of the above, as hex. */
  hash: Schema.String
}).annotate({ title: "AuditEntry" })
export type AuditEntry = typeof AuditEntry.Type

const MaybeTime = Schema.NullOr(Schema.DateTimeUtcFromString)

/** All that is asked for has to hold. */
export const AuditFilter = Schema.Struct({
  from: MaybeTime,
  to: MaybeTime,
  /** Part of an actor's or a subject's name, an action, an id, an address or a request id. */
  text: Text(128),
  /** `noun:verb`, or `noun:` for all of a noun. */
  action: Schema.NullOr(Text(64)),
  actorKinds: Schema.Array(ActorKind),
  actorId: Schema.NullOr(Uuid),
  subjectKind: Schema.NullOr(SubjectKind),
  subjectId: Schema.NullOr(Uuid),
  outcome: Schema.NullOr(Outcome)
})
export type AuditFilter = typeof AuditFilter.Type

export const AuditQuery = Schema.Struct({
  ...AuditFilter.fields,
  limit: PageLimit,
  cursor: Schema.NullOr(Text(512))
})
export type AuditQuery = typeof AuditQuery.Type

/** What is wrong with a chain, at which entry. */
export const AuditFault = Schema.Struct({
  seq: Count,
  kind: Schema.Literals(["changed", "missing", "reordered", "checkpoint"]),
  detail: Schema.String
})
export type AuditFault = typeof AuditFault.Type

/** What a verification found. */
export const AuditVerdict = Schema.Struct({
  /** Whether every entry follows from the one before, and every checkpoint holds. */
  intact: Schema.Boolean,
  entries: Count,
  /** The first and the last that are kept; entries before the first were past their time. */
  first: Schema.NullOr(Count),
  last: Schema.NullOr(Count),
  /** The hash of the last, to compare with one that was written down elsewhere. */
  hash: Schema.NullOr(Schema.String),
  checkpoints: Count,
  lastCheckpointAt: MaybeTime,
  /** The first hundred. */
  faults: Schema.Array(AuditFault)
})
export type AuditVerdict = typeof AuditVerdict.Type

export const AuditExportFormat = Schema.Literals(["csv", "json"])
export type AuditExportFormat = typeof AuditExportFormat.Type

export class AuditEntryNotFound extends Problem<AuditEntryNotFound>()("AuditEntryNotFound", {
  code: "audit_entry_not_found",
  status: 404,
  title: "Audit entry not found",
  detail: "There is no entry with this number.",
  remedy: "It may be past its time: entries are kept as long as the security settings say."
}) {}
