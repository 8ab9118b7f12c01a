/** Groups, and what admins say of servers, as a file that goes both ways. */
import { Schema } from "effect"
import { HeartbeatIntervalSeconds, VerificationPeriodSeconds } from "./Group.ts"
import { Count, Text } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import {
  Duty,
  Endpoint,
  GroupId,
  Labels,
  PublicKey,
  ServerConnectionLimit,
  ServerId,
  ServerName,
  ServerStatus,
  Tags,
  Version
} from "./Server.ts"

export const InventoryFormat = Schema.Literals(["json", "csv"])
export type InventoryFormat = typeof InventoryFormat.Type

/** What an import takes at most. */
export const maxInventory = { bytes: 10 * 1024 * 1024, rows: 20_000 } as const

/** The form of the document. What it says otherwise one day has another number. */
export const inventoryVersion = 1

/** A group by its path; null leaves what it says to the group above. */
export const InventoryGroup = Schema.Struct({
  id: GroupId,
  path: Schema.String,
  heartbeatIntervalSeconds: Schema.NullOr(HeartbeatIntervalSeconds),
  verificationPeriodSeconds: Schema.NullOr(VerificationPeriodSeconds),
  connectionLimit: Schema.NullOr(ServerConnectionLimit)
})
export type InventoryGroup = typeof InventoryGroup.Type

/** A server: what admins say of it, and for reading what it is and does. */
export const InventoryServer = Schema.Struct({
  id: ServerId,
  name: ServerName,
  /** The path of its group. */
  group: Schema.NullOr(Schema.String),
  /** Those that admins give it; what it says itself is declared. */
  tags: Tags,
  labels: Labels,
  /** Its own; null where its group's holds. */
  connectionLimit: Schema.NullOr(ServerConnectionLimit),
  status: ServerStatus,
  duty: Duty,
  version: Schema.NullOr(Version),
  endpoints: Schema.Array(Endpoint),
  declaredTags: Tags,
  declaredLabels: Labels,
  publicAddress: Schema.NullOr(Schema.String),
  publicKey: PublicKey,
  registeredAt: Schema.DateTimeUtcFromString,
  lastSeenAt: Schema.NullOr(Schema.DateTimeUtcFromString)
})
export type InventoryServer = typeof InventoryServer.Type

/** The whole as JSON, as an export writes it. An import takes it with any fields of a row left out. */
export const InventoryDocument = Schema.Struct({
  format: Schema.Literal("broker-inventory"),
  version: Schema.Literal(inventoryVersion),
  exportedAt: Schema.DateTimeUtcFromString,
  groups: Schema.Array(InventoryGroup),
  servers: Schema.Array(InventoryServer)
})

export const InventoryKind = Schema.Literals(["group", "server"])
export type InventoryKind = typeof InventoryKind.Type

/** One field of a row, in words as a cell of the CSV has them; empty for nothing. */
export const InventoryChange = Schema.Struct({ field: Schema.String, before: Schema.String, after: Schema.String })
export type InventoryChange = typeof InventoryChange.Type

/** A row of which something becomes of. Only groups are created: servers join by registering. */
export const InventoryEffect = Schema.Struct({
  /** Where the row begins in the file, from 1 on. */
  line: Count,
  kind: InventoryKind,
  /** Null for what is created. */
  id: Schema.NullOr(Schema.String),
  /** A server's name, or a group's path. */
  name: Schema.String,
  changes: Schema.Array(InventoryChange)
})
export type InventoryEffect = typeof InventoryEffect.Type

/** What is wrong with the file, where, and what to do. */
export const InventoryRemark = Schema.Struct({
  line: Count,
  /** The field or column; null where it is about the whole row, or the whole file. */
  field: Schema.NullOr(Schema.String),
  message: Schema.String
})
export type InventoryRemark = typeof InventoryRemark.Type

/** What an import would do. Lists show the first of each; `totals` count all. */
export const InventoryPlan = Schema.Struct({
  /** To apply exactly this; null where problems stand in the way. */
  digest: Schema.NullOr(Schema.String),
  totals: Schema.Struct({
    rows: Count,
    creates: Count,
    updates: Count,
    unchanged: Count,
    problems: Count,
    ignored: Count
  }),
  creates: Schema.Array(InventoryEffect),
  updates: Schema.Array(InventoryEffect),
  problems: Schema.Array(InventoryRemark),
  /** What only the server or the broker says, and differs by now: it is left as it is, and stands in nobody's way. */
  ignored: Schema.Array(InventoryRemark)
})
export type InventoryPlan = typeof InventoryPlan.Type

/** How many of each a plan shows. */
export const maxPlanShown = 500

export const InventoryDigest = Text(64)

/** What an import did. */
export const InventoryImported = Schema.Struct({ created: Count, updated: Count, unchanged: Count })
export type InventoryImported = typeof InventoryImported.Type

export class InventoryChanged extends Problem<InventoryChanged>()("InventoryChanged", {
  code: "inventory_changed",
  status: 409,
  title: "It would do something else by now",
  detail: "The file, or what it is about, is not what was looked at.",
  remedy: "Look at what the import would do again, and apply that."
}) {}

export class InventoryTooLarge extends Problem<InventoryTooLarge>()("InventoryTooLarge", {
  code: "inventory_too_large",
  status: 413,
  title: "Inventory too large",
  detail: `An import takes 10 MB, and ${maxInventory.rows} rows at most.`,
  remedy:
    "Take the file apart, and import one part after the other: groups first. Rows that do not change can be left out."
}) {}
