/** What somebody may do who acts on others: nobody grants more than they hold (A5). */
import type { AdminId } from "@broker/domain/Admin"
import type { OrganizationId } from "@broker/domain/Organization"
import { MoreThanHeld, Permission } from "@broker/domain/Permission"
import { Effect } from "effect"

export interface Authority {
  /** Null for the command line, which is nobody's. */
  readonly id: AdminId | null
  readonly organizationId: OrganizationId
  readonly permissions: ReadonlySet<Permission>
}

/** Of whoever runs commands on the broker's own machine. */
export const everything = (organizationId: OrganizationId): Authority => ({
  id: null,
  organizationId,
  permissions: new Set(Permission.literals)
})

/** Refuses what goes beyond an authority, and names it. */
export const within = Effect.fnUntraced(function* (authority: Authority, permissions: Iterable<Permission>) {
  const more = [...permissions].filter((permission) => !authority.permissions.has(permission))
  if (more.length > 0) return yield* new MoreThanHeld({ permissions: more })
})
