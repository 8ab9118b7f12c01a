/** One act on many servers: looked at beforehand, carried out in the background, and put back where that makes sense. */
import { Schema } from "effect"
import { ServersQuery } from "./Fleet.ts"
import { Count, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { Duty, GroupId, Labels, ServerConnectionLimit, ServerId, Tags } from "./Server.ts"

export const BulkActId = Uuid.pipe(Schema.brand("BulkActId"))
export type BulkActId = typeof BulkActId.Type

/** What is done to each of them. */
export const BulkAction = Schema.Union([
  Schema.TaggedStruct("Tag", { add: Tags, remove: Tags }),
  /** Labels to set, and keys to take away. */
  Schema.TaggedStruct("Label", { set: Labels, remove: Schema.Array(Text(63)).check(Schema.isMaxLength(32)) }),
  Schema.TaggedStruct("Move", { groupId: Schema.NullOr(GroupId) }),
  Schema.TaggedStruct("SetDuty", { duty: Duty }),
  Schema.TaggedStruct("LimitConnections", { limit: Schema.NullOr(ServerConnectionLimit) }),
  Schema.TaggedStruct("Verify", {}),
  Schema.TaggedStruct("Approve", {}),
  Schema.TaggedStruct("Suspend", { reason: Text(256) }),
  Schema.TaggedStruct("Retire", { reason: Text(256) })
])
export type BulkAction = typeof BulkAction.Type

/** Those that were ticked, or all that a list finds. */
export const Selection = Schema.Union([
  Schema.TaggedStruct("Ticked", { ids: Schema.Array(ServerId).check(Schema.isBetweenLength(1, 5_000)) }),
  Schema.TaggedStruct("Found", { query: ServersQuery })
])
export type Selection = typeof Selection.Type

export const BulkRequest = Schema.Struct({
  action: BulkAction,
  selection: Selection,
  /** How many servers the preview said it changes: where it would be another number by now, it does not start. */
  expected: Schema.optionalKey(Count)
})
export type BulkRequest = typeof BulkRequest.Type

/** What an act would touch. */
export const BulkPreview = Schema.Struct({
  total: Count,
  /** Those that it changes, and those that are so already. */
  changes: Count,
  same: Count,
  /** Those that it is not possible for, by why. */
  impossible: Schema.Array(Schema.Struct({ reason: Schema.String, servers: Count })),
  /** Live connections that end. */
  connectionsEnd: Count,
  /** The first of those that it changes. */
  names: Schema.Array(Schema.String),
  undoable: Schema.Boolean
})
export type BulkPreview = typeof BulkPreview.Type

export const BulkAct = Schema.Struct({
  id: BulkActId,
  action: BulkAction,
  adminName: Schema.String,
  state: Schema.Literals(["running", "done", "stopped"]),
  /** Why it stopped by itself; null also where an admin stopped it. */
  stoppedBecause: Schema.NullOr(Schema.String),
  total: Count,
  changed: Count,
  same: Count,
  failed: Count,
  /** Why some failed, the most frequent first. */
  problems: Schema.Array(Schema.Struct({ problem: Schema.String, servers: Count })),
  undoable: Schema.Boolean,
  /** The act that put it back, and the one that it put back. */
  undoneBy: Schema.NullOr(BulkActId),
  undoes: Schema.NullOr(BulkActId),
  createdAt: Schema.DateTimeUtcFromString,
  finishedAt: Schema.NullOr(Schema.DateTimeUtcFromString)
})
export type BulkAct = typeof BulkAct.Type

export class BulkActNotFound extends Problem<BulkActNotFound>()("BulkActNotFound", {
  code: "bulk_act_not_found",
  status: 404,
  title: "Bulk action not found",
  detail: "There is no such bulk action.",
  remedy: "Bulk actions are kept for 30 days."
}) {}

export class BulkActConflict extends Problem<BulkActConflict>()("BulkActConflict", {
  code: "bulk_act_conflict",
  status: 409,
  title: "Not possible for this bulk action",
  detail: "It is still at work, was undone already, or cannot be undone.",
  remedy: "Wait until it has ended, or change the servers anew."
}) {}

export class BulkSelectionChanged extends Problem<BulkSelectionChanged>()("BulkSelectionChanged", {
  code: "bulk_selection_changed",
  status: 409,
  title: "It would change other servers by now",
  detail: "It would not change as many servers as the preview said.",
  remedy: "Look at the preview again, and start with the number that it says (`expected`)."
}) {}
