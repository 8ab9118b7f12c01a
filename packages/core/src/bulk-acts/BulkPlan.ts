/** What a bulk action means for one server: nothing, not possible, or a change and what is kept to put it back. */
import type { BulkAction } from "@broker/domain/BulkAct"
import type { Permission } from "@broker/domain/Permission"
import {
  Duty,
  type FleetServer,
  GroupId,
  type Labels,
  maxAssigned,
  type ServerAssignment,
  ServerConnectionLimit,
  Tag
} from "@broker/domain/Server"
import { Schema } from "effect"

/** The permission that the act on one server asks for. */
export const permissionOf: Readonly<Record<BulkAction["_tag"], Permission>> = {
  Tag: "servers:update",
  Label: "servers:update",
  Move: "servers:update",
  SetDuty: "servers:drain",
  LimitConnections: "servers:limit",
  Verify: "servers:verify",
  Approve: "servers:approve",
  Suspend: "servers:suspend",
  Retire: "servers:retire"
}

/** What is put back where nobody changed it since; all else is a new decision. */
const undoable: ReadonlySet<BulkAction["_tag"]> = new Set(["Tag", "Label", "Move", "SetDuty", "LimitConnections"])
export const isUndoable = ({ _tag }: Pick<BulkAction, "_tag">) => undoable.has(_tag)

/** What ends connections, and is started only with the number of servers that a preview said. */
const dangerous: ReadonlySet<BulkAction["_tag"]> = new Set(["Suspend", "Retire"])
export const isDangerous = ({ _tag }: Pick<BulkAction, "_tag">) => dangerous.has(_tag)

/** Why an action is not possible for a server, as people read it. */
export const reasons = {
  retired: "The server is retired.",
  shutOut: "A suspended server is not asked to verify itself.",
  declaredTag: "The server declares the tag itself.",
  declaredLabel: "The server declares the label itself.",
  tooManyTags: `It would have more than ${maxAssigned} tags of admins.`,
  tooManyLabels: `It would have more than ${maxAssigned} labels of admins.`,
  changedSince: "Somebody changed it since."
} as const

const MaybeText = Schema.NullOr(Schema.String)

/** What was there, and for tags and labels what there was afterwards. */
export const Kept = Schema.Union([
  Schema.TaggedStruct("Tag", { added: Schema.Array(Tag), removed: Schema.Array(Tag) }),
  /** By key; null for none. */
  Schema.TaggedStruct("Label", {
    before: Schema.Record(Schema.String, MaybeText),
    after: Schema.Record(Schema.String, MaybeText)
  }),
  Schema.TaggedStruct("Move", { groupId: Schema.NullOr(GroupId), after: Schema.NullOr(GroupId) }),
  Schema.TaggedStruct("SetDuty", { duty: Duty, after: Duty }),
  Schema.TaggedStruct("LimitConnections", {
    limit: Schema.NullOr(ServerConnectionLimit),
    after: Schema.NullOr(ServerConnectionLimit)
  })
])
export type Kept = typeof Kept.Type

/** What a service is asked to do. */
export type Change =
  | { readonly _tag: "Assign"; readonly assignment: ServerAssignment }
  | { readonly _tag: "SetDuty"; readonly duty: Duty }
  | { readonly _tag: "LimitConnections"; readonly limit: ServerConnectionLimit | null }
  | { readonly _tag: "Verify" }
  | { readonly _tag: "Approve" }
  | { readonly _tag: "Suspend"; readonly reason: string }
  | { readonly _tag: "Retire"; readonly reason: string }

export type Plan =
  | { readonly _tag: "Same" }
  | { readonly _tag: "Impossible"; readonly reason: string }
  | { readonly _tag: "Change"; readonly change: Change; readonly kept: Kept | null }

const same: Plan = { _tag: "Same" }
const impossible = (reason: string): Plan => ({ _tag: "Impossible", reason })

const without = <A>(items: ReadonlyArray<A>, gone: ReadonlyArray<A>) => items.filter((item) => !gone.includes(item))

/** What is added is not taken away. */
export const toRemove = (action: BulkAction & { readonly _tag: "Tag" | "Label" }): ReadonlyArray<string> =>
  action._tag === "Tag"
    ? without(action.remove, action.add)
    : action.remove.filter((key) => !Object.hasOwn(action.set, key))

const planTags = (action: BulkAction & { readonly _tag: "Tag" }, server: FleetServer): Plan => {
  const gone = toRemove(action)
  const added = without(action.add, server.assignedTags)
  const removed = server.assignedTags.filter((tag) => gone.includes(tag))
  if (added.length + removed.length === 0) {
    return server.declaredTags.some((tag) => gone.includes(tag)) ? impossible(reasons.declaredTag) : same
  }
  const tags = [...without(server.assignedTags, removed), ...added]
  if (tags.length > maxAssigned) return impossible(reasons.tooManyTags)
  return {
    _tag: "Change",
    change: { _tag: "Assign", assignment: { tags: { add: added, remove: removed } } },
    kept: { _tag: "Tag", added, removed }
  }
}

const valueOf = (labels: Readonly<Record<string, string | null>>, key: string) =>
  Object.hasOwn(labels, key) ? (labels[key] ?? null) : null

/** Labels with some set, and some taken away where the value is null. */
const withLabels = (labels: typeof Labels.Type, values: Readonly<Record<string, string | null>>) =>
  Object.fromEntries(
    Object.entries({ ...labels, ...values }).flatMap(([key, value]) => (value === null ? [] : [[key, value] as const]))
  )

/** The same as an assignment. */
const labelChanges = (values: Readonly<Record<string, string | null>>): ServerAssignment => ({
  labels: { set: withLabels({}, values), remove: Object.keys(values).filter((key) => values[key] === null) }
})

const planLabels = (action: BulkAction & { readonly _tag: "Label" }, server: FleetServer): Plan => {
  const wanted: Readonly<Record<string, string | null>> = {
    ...action.set,
    ...Object.fromEntries(toRemove(action).map((key) => [key, null]))
  }
  const after = Object.fromEntries(
    Object.entries(wanted).filter(([key, value]) => valueOf(server.assignedLabels, key) !== value)
  )
  const keys = Object.keys(after)
  if (keys.length === 0) {
    const isDeclared = toRemove(action).some((key) => Object.hasOwn(server.declaredLabels, key))
    return isDeclared ? impossible(reasons.declaredLabel) : same
  }
  const labels = withLabels(server.assignedLabels, after)
  if (Object.keys(labels).length > maxAssigned) return impossible(reasons.tooManyLabels)
  const before = Object.fromEntries(keys.map((key) => [key, valueOf(server.assignedLabels, key)]))
  return {
    _tag: "Change",
    change: { _tag: "Assign", assignment: labelChanges(after) },
    kept: { _tag: "Label", before, after }
  }
}

/** What an action does to a server as it is now. */
export const plan = (action: BulkAction, server: FleetServer): Plan => {
  const isRetired = server.admission === "retired"
  switch (action._tag) {
    case "Tag":
      return planTags(action, server)
    case "Label":
      return planLabels(action, server)
    case "Move": {
      const { groupId } = action
      if (server.groupId === groupId) return same
      return {
        _tag: "Change",
        change: { _tag: "Assign", assignment: { groupId } },
        kept: { _tag: "Move", groupId: server.groupId, after: groupId }
      }
    }
    case "SetDuty": {
      const { duty } = action
      if (isRetired) return impossible(reasons.retired)
      if (server.duty === duty) return same
      return {
        _tag: "Change",
        change: { _tag: "SetDuty", duty },
        kept: { _tag: "SetDuty", duty: server.duty, after: duty }
      }
    }
    case "LimitConnections": {
      const { limit } = action
      if (server.ownConnectionLimit === limit) return same
      return {
        _tag: "Change",
        change: { _tag: "LimitConnections", limit },
        kept: { _tag: "LimitConnections", limit: server.ownConnectionLimit, after: limit }
      }
    }
    case "Verify":
      if (isRetired) return impossible(reasons.retired)
      if (server.admission === "suspended") return impossible(reasons.shutOut)
      return { _tag: "Change", change: { _tag: "Verify" }, kept: null }
    case "Approve":
      if (isRetired) return impossible(reasons.retired)
      return server.admission === "approved" ? same : { _tag: "Change", change: { _tag: "Approve" }, kept: null }
    case "Suspend": {
      const { reason } = action
      if (isRetired) return impossible(reasons.retired)
      return server.admission === "suspended"
        ? same
        : { _tag: "Change", change: { _tag: "Suspend", reason }, kept: null }
    }
    case "Retire": {
      const { reason } = action
      return isRetired ? same : { _tag: "Change", change: { _tag: "Retire", reason }, kept: null }
    }
  }
}

/** Puts back what was kept, as far as it still is what the action made of it. */
export const planUndo = (kept: Kept, server: FleetServer): Plan => {
  const isRetired = server.admission === "retired"
  switch (kept._tag) {
    case "Tag": {
      const gone = server.assignedTags.filter((tag) => kept.added.includes(tag))
      const back = without(kept.removed, server.assignedTags)
      if (gone.length + back.length === 0) return impossible(reasons.changedSince)
      const tags = [...without(server.assignedTags, gone), ...back]
      if (tags.length > maxAssigned) return impossible(reasons.tooManyTags)
      return {
        _tag: "Change",
        change: { _tag: "Assign", assignment: { tags: { add: back, remove: gone } } },
        kept: null
      }
    }
    case "Label": {
      const back = Object.fromEntries(
        Object.entries(kept.before).filter(([key]) => valueOf(server.assignedLabels, key) === valueOf(kept.after, key))
      )
      if (Object.keys(back).length === 0) return impossible(reasons.changedSince)
      const labels = withLabels(server.assignedLabels, back)
      if (Object.keys(labels).length > maxAssigned) return impossible(reasons.tooManyLabels)
      return { _tag: "Change", change: { _tag: "Assign", assignment: labelChanges(back) }, kept: null }
    }
    case "Move":
      return server.groupId === kept.after
        ? { _tag: "Change", change: { _tag: "Assign", assignment: { groupId: kept.groupId } }, kept: null }
        : impossible(reasons.changedSince)
    case "SetDuty":
      if (isRetired) return impossible(reasons.retired)
      return server.duty === kept.after
        ? { _tag: "Change", change: { _tag: "SetDuty", duty: kept.duty }, kept: null }
        : impossible(reasons.changedSince)
    case "LimitConnections":
      return server.ownConnectionLimit === kept.after
        ? { _tag: "Change", change: { _tag: "LimitConnections", limit: kept.limit }, kept: null }
        : impossible(reasons.changedSince)
  }
}
