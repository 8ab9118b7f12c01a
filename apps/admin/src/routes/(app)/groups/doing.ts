/** What is being done to a group, and what of it one may do. */
import type { Permission } from "@broker/domain/Permission"
import type { GroupId } from "@broker/domain/Server"
import type { GroupView } from "#lib/groups.ts"

export type Doing =
  | { readonly act: "create"; readonly parentId: GroupId | null }
  | { readonly act: "edit"; readonly group: GroupView }
  | { readonly act: "delete"; readonly group: GroupView }

export const allowed = (permissions: ReadonlyArray<Permission>) => ({
  create: permissions.includes("groups:create"),
  update: permissions.includes("groups:update"),
  delete: permissions.includes("groups:delete"),
  metrics: permissions.includes("metrics:read"),
  availability: permissions.includes("maintenance:read"),
  servers: permissions.includes("servers:read")
})

/** What pages of groups depend on. */
export const groupsKey = "broker:groups"
/** Counts change with every heartbeat: they need not be of this second. */
export const freshEvery = 10_000
/** Of so many days, today being the last, the availability is told. */
export const availabilityDays = 30
