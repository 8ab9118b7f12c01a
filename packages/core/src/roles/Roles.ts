/** What admins may do: the roles that come with the broker, and those that an organization made of permissions. */
import type { OrganizationId } from "@broker/domain/Organization"
import type { MoreThanHeld, Permission } from "@broker/domain/Permission"
import type {
  CustomRoleId,
  Role,
  RoleId,
  RoleInUse,
  RoleNameTaken,
  RoleNotFound,
  RoleRequest
} from "@broker/domain/Role"
import { Context, type Effect, Layer } from "effect"
import type { Authority } from "../admins/Authority.ts"
import type { Actor } from "../audit/Actor.ts"

export class Roles extends Context.Service<
  Roles,
  {
    /** Those that come with the broker first, then the organization's own by name. */
    list(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<Role>>
    get(organizationId: OrganizationId, id: RoleId): Effect.Effect<Role, RoleNotFound>
    /** A5: of permissions that one holds. */
    create(by: Authority, request: RoleRequest): Effect.Effect<Role, RoleNameTaken | MoreThanHeld, Actor>
    /** A5: neither what it held before nor what it holds then may be more than one holds. Holds from the next request on. */
    update(
      by: Authority,
      id: CustomRoleId,
      request: RoleRequest
    ): Effect.Effect<Role, RoleNotFound | RoleNameTaken | MoreThanHeld, Actor>
    delete(by: Authority, id: CustomRoleId): Effect.Effect<void, RoleNotFound | RoleInUse | MoreThanHeld, Actor>
    /** What a role lets one do. */
    permissions(organizationId: OrganizationId, id: RoleId): Effect.Effect<ReadonlySet<Permission>, RoleNotFound>
  }
>()("@broker/core/roles/Roles") {
  static readonly layer = Layer.mock(Roles)({})
}
