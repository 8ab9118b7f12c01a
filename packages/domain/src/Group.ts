/** Folders of servers, one in another. What a group says holds for all below it that say nothing of their own. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { OrganizationId } from "./Organization.ts"
import { Count, Instant } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { GroupId, isVisible, nameKey, ServerConnectionLimit } from "./Server.ts"

/** Unique among those in the same group. No slash, as paths such as `eu/frankfurt` are made of names. */
export const GroupName = Schema.String.check(
  Schema.isTrimmed(),
  Schema.isBetweenLength(1, 64, { message: "must be 1 to 64 characters" }),
  isVisible,
  // Nor what is compared as one, such as ／ and ℀.
  Schema.makeFilter<string>(
    (name) => !`${name}${nameKey(name)}`.includes("/") || "must not hold a slash: a group in a group is made of two"
  )
)

/** How deep groups stand in each other at most. */
export const maxGroupDepth = 8

/** What paths are compared by: each of their names folded. A slash at either end is nobody's mistake. */
export const pathKey = (path: string) =>
  path
    .trim()
    .replace(/^\/|\/$/gu, "")
    .split("/")
    .map(nameKey)
    .join("/")

/** In seconds: from one to an hour. */
export const HeartbeatIntervalSeconds = Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 3_600 }))

/** In seconds: from a minute to 30 days. */
export const VerificationPeriodSeconds = Schema.Finite.check(Schema.isBetween({ minimum: 60, maximum: 2_592_000 }))

/** What a group says of its servers; null leaves it to the group above, and to the broker's settings in the end. */
const policy = {
  heartbeatIntervalSeconds: Schema.NullOr(HeartbeatIntervalSeconds),
  verificationPeriodSeconds: Schema.NullOr(VerificationPeriodSeconds),
  connectionLimit: Schema.NullOr(ServerConnectionLimit)
}

/** Fields that the database works out from the tree. */
const settled = Model.FieldExcept(["insert", "update", "jsonCreate", "jsonUpdate"])

/** One row of `groups`. */
export class Group extends Model.Class<Group>("Group")({
  id: Model.UuidV7Insert(GroupId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  parentId: Schema.NullOr(GroupId),
  name: GroupName,
  nameKey: Model.FieldOnly(["insert"])(Schema.String),
  ...policy,
  /** The names from the top down, such as `eu/frankfurt`. */
  path: settled(Schema.String),
  depth: settled(Count),
  /** What holds, its own or from above; null where the broker's settings do. */
  effectiveHeartbeatIntervalSeconds: settled(Schema.NullOr(HeartbeatIntervalSeconds)),
  effectiveVerificationPeriodSeconds: settled(Schema.NullOr(VerificationPeriodSeconds)),
  effectiveConnectionLimit: settled(Schema.NullOr(ServerConnectionLimit)),
  createdAt: Instant
}) {}

/** A group with how its servers do, retired ones left out. */
export class GroupInTree extends Model.Class<GroupInTree>("GroupInTree")({
  ...Model.fields(Group),
  /** In the group itself, and in it or any below. */
  servers: Count,
  serversBelow: Count,
  /** Of those in it or below, how many can be offered to clients now. */
  availableBelow: Count
}) {}

export const GroupRequest = Schema.Struct({ parentId: Schema.NullOr(GroupId), name: GroupName, ...policy })
export type GroupRequest = typeof GroupRequest.Type

/** What is left out stays. */
export const GroupPatch = Schema.Struct({
  parentId: Schema.optionalKey(GroupRequest.fields.parentId),
  name: Schema.optionalKey(GroupRequest.fields.name),
  heartbeatIntervalSeconds: Schema.optionalKey(policy.heartbeatIntervalSeconds),
  verificationPeriodSeconds: Schema.optionalKey(policy.verificationPeriodSeconds),
  connectionLimit: Schema.optionalKey(policy.connectionLimit)
})
export type GroupPatch = typeof GroupPatch.Type

/** What a change of a group's policy or place would touch. */
export const GroupPreview = Schema.Struct({
  servers: Count,
  /** Servers that are told another interval, are proven at another period, and take another number of connections. */
  intervals: Count,
  periods: Count,
  limits: Count
})
export type GroupPreview = typeof GroupPreview.Type

export class GroupNotFound extends Problem<GroupNotFound>()("GroupNotFound", {
  code: "group_not_found",
  status: 404,
  title: "Group not found",
  detail: "There is no such group.",
  remedy: "Check the id or the path."
}) {}

export class GroupNameTaken extends Problem<GroupNameTaken>()("GroupNameTaken", {
  code: "group_name_taken",
  status: 409,
  title: "Group name taken",
  detail: "Another group at this place has this name.",
  remedy: "Choose another name, or another group to put it into."
}) {}

/** A7: what is in use names the blockers. */
export class GroupInUse extends Problem<GroupInUse>()(
  "GroupInUse",
  {
    code: "group_in_use",
    status: 409,
    title: "Group in use",
    detail: "The group holds servers, groups, registration keys or maintenance that is announced.",
    remedy:
      "Move its servers and groups elsewhere, revoke the keys that let servers into it, and call its maintenance off."
  },
  { servers: Count, groups: Count, registrationKeys: Count, maintenanceWindows: Count }
) {}

export class GroupMisplaced extends Problem<GroupMisplaced>()("GroupMisplaced", {
  code: "group_misplaced",
  status: 409,
  title: "Not possible at this place",
  detail: "A group cannot stand below itself, nor more than 8 deep.",
  remedy: "Choose another group to put it into."
}) {}
