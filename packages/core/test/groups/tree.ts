/** Trees of groups for tests that are about what is in them. */
import { Groups } from "@broker/core/groups/Groups"
import type { Group, GroupRequest } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import { Effect } from "effect"

/** A group that leaves everything to those above it, unless asked otherwise. */
export const request = (name: string, fields: Partial<GroupRequest> = {}): GroupRequest => ({
  parentId: null,
  name,
  heartbeatIntervalSeconds: null,
  verificationPeriodSeconds: null,
  connectionLimit: null,
  ...fields
})

/** What a group is like, asked for again. */
export const requestOf = (group: Group, fields: Partial<GroupRequest> = {}): GroupRequest => ({
  parentId: group.parentId,
  name: group.name,
  heartbeatIntervalSeconds: group.heartbeatIntervalSeconds,
  verificationPeriodSeconds: group.verificationPeriodSeconds,
  connectionLimit: group.connectionLimit,
  ...fields
})

/** Groups by their paths, those above first. */
export const groups = Effect.fnUntraced(function* (organizationId: OrganizationId, paths: ReadonlyArray<string>) {
  const service = yield* Groups
  const made: Array<Group> = []
  for (const path of paths) {
    const names = path.split("/")
    const above = names.slice(0, -1).join("/")
    const parentId = made.find((one) => one.path === above)?.id ?? null
    made.push(yield* service.create(organizationId, request(names.at(-1) ?? "", { parentId })))
  }
  return made
})
