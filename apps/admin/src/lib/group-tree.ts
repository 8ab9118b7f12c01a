/** The tree of groups, in the order in which people read it. */
import type { GroupId } from "@broker/domain/Server"
import type { GroupView } from "./groups.ts"
import { count, plural } from "./numbers.ts"

const byName = new Intl.Collator("en", { numeric: true, sensitivity: "base" })

/** Each group right before those in it; groups in one group by name. */
export const arranged = <Group extends Pick<GroupView, "id" | "parentId" | "name">>(
  groups: ReadonlyArray<Group>
): ReadonlyArray<Group> => {
  const known = new Set<string>(groups.map(({ id }) => id))
  const children = Map.groupBy(groups, ({ parentId }) => (parentId !== null && known.has(parentId) ? parentId : null))
  const below = (parent: GroupId | null): ReadonlyArray<Group> =>
    (children.get(parent) ?? [])
      .toSorted((one, other) => byName.compare(one.name, other.name))
      .flatMap((group) => [group, ...below(group.id)])
  return below(null)
}

/** The groups that a group is in, from the top down. */
export const above = <Group extends Pick<GroupView, "id" | "parentId">>(
  group: Pick<GroupView, "parentId">,
  groups: ReadonlyArray<Group>
): ReadonlyArray<Group> => {
  const parent = groups.find(({ id }) => id === group.parentId)
  return parent === undefined ? [] : [...above(parent, groups), parent]
}

/** The group itself, and all below it: where it cannot be moved to. */
export const withBelow = (id: GroupId, groups: ReadonlyArray<Pick<GroupView, "id" | "parentId">>) => {
  const found = new Set<GroupId>([id])
  let before = 0
  while (found.size !== before) {
    before = found.size
    for (const group of groups) if (group.parentId !== null && found.has(group.parentId)) found.add(group.id)
  }
  return found
}

const policies = ["heartbeatIntervalSeconds", "verificationPeriodSeconds", "connectionLimit"] as const
export type PolicyKey = (typeof policies)[number]

/** Where a value of a group's policy comes from: itself, a group above by its path, or the broker's settings. */
export const originOf = (
  group: Pick<GroupView, "parentId"> & Pick<GroupView, PolicyKey>,
  key: PolicyKey,
  groups: ReadonlyArray<GroupView>
): { readonly value: number; readonly from: GroupView | "itself" } | null => {
  const own = group[key]
  if (own !== null) return { value: own, from: "itself" }
  let above = groups.find(({ id }) => id === group.parentId)
  while (above !== undefined) {
    const value = above[key]
    if (value !== null) return { value, from: above }
    const parent: GroupId | null = above.parentId
    above = groups.find(({ id }) => id === parent)
  }
  return null
}

/** Seconds by the largest unit that divides them. */
export const period = (seconds: number) => {
  if (seconds % 86_400 === 0) return plural(seconds / 86_400, "day")
  if (seconds % 3_600 === 0) return `${count(seconds / 3_600)} h`
  if (seconds % 60 === 0) return `${count(seconds / 60)} min`
  return `${count(seconds)} s`
}

export const policyValue = (key: PolicyKey, value: number) => (key === "connectionLimit" ? count(value) : period(value))
