/** What somebody may do who acts on others: nobody grants more than they hold (A5). */
import type { AdminId } from "@broker/domain/Admin"
import type { OrganizationId } from "@broker/domain/Organization"
import { MoreThanHeld, Permission } from "@broker/domain/Permission"
import { Effect } from "effect"
import { isPermission } from "../roles/permissionsOf.ts"

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

/**
 * Refuses what goes beyond an authority, and names it. Permissions that only a later release knows are held by nobody
 * but the command line: a broker of that release may tell who holds them (J4).
 */
export const within = Effect.fnUntraced(function* (authority: Authority, permissions: Iterable<string>) {
  const held: ReadonlySet<string> = authority.permissions
  const more = [...permissions].filter((permission) => !held.has(permission))
  const known = more.filter(isPermission)
  const unknown = authority.id === null ? [] : more.filter((permission) => !isPermission(permission))
  if (unknown.length > 0) {
    const detail = `This concerns permissions that only a later release of the broker knows: ${unknown.join(", ")}.`
    return yield* new MoreThanHeld({ permissions: known, detail })
  }
  if (known.length > 0) return yield* new MoreThanHeld({ permissions: known })
})
