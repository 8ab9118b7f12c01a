/**
 * What admins may do: the roles that come with the broker, and those that an organization made of permissions.
 *
 * A change of a role holds from the next request on, on every node, for sessions and API tokens alike. It ends no
 * session: whoever has the role did nothing, and is asked for each permission anew anyway. Another role does (A4).
 */
import type { OrganizationId } from "@broker/domain/Organization"
import { BuiltInRole, builtInPermissions, type MoreThanHeld, Permission } from "@broker/domain/Permission"
import {
  CustomRole,
  CustomRoleId,
  isBuiltIn,
  type Role,
  type RoleId,
  RoleInUse,
  RoleNameTaken,
  RoleNotFound,
  type RoleRequest
} from "@broker/domain/Role"
import { nameKey } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { AdminSessions } from "../admin-sessions/AdminSessions.ts"
import { type Authority, within } from "../admins/Authority.ts"
import * as StandingSql from "../admins/StandingSql.ts"
import { ApiTokens } from "../api-tokens/ApiTokens.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { givenBy, isPermission, permissionsOf } from "./permissionsOf.ts"
import * as RolesSql from "./RolesSql.ts"

/** What those that come with the broker are for. */
const purposes: Readonly<Record<BuiltInRole, string>> = {
  owner: "Everything, the rules for all admins and the help for those who lost a factor included",
  admin: "Everything but the security policy, and resets of other admins' passwords and factors",
  operator: "Sees the fleet, and keeps it running",
  auditor: "Sees everything, and exports and verifies the audit log",
  viewer: "Sees the fleet"
}

/** In the order of the catalogue, whatever the order they were asked for in. */
const sorted = (permissions: Iterable<Permission>) => {
  const set = new Set(permissions)
  return Permission.literals.filter((permission) => set.has(permission))
}

const builtIn = (id: BuiltInRole, admins: number): Role => ({
  id,
  name: id,
  description: purposes[id],
  permissions: sorted(builtInPermissions[id]),
  builtIn: true,
  admins
})

const custom = ({ permissions, ...row }: RolesSql.Row): Role => ({
  ...row,
  permissions: sorted(permissionsOf("viewer", permissions)),
  builtIn: false
})

const isReserved = Schema.is(BuiltInRole)

/** The names of those that come with the broker are taken too. */
const refuseReserved = (name: string) => (isReserved(nameKey(name)) ? Effect.fail(new RoleNameTaken()) : Effect.void)

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
    /** The same, with permissions that only a later release knows (J4). */
    given(organizationId: OrganizationId, id: RoleId): Effect.Effect<ReadonlySet<string>, RoleNotFound>
  }
>()("@broker/core/roles/Roles") {
  static readonly layerNoDeps = Layer.effect(
    Roles,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* RolesSql.make
      const standing = yield* StandingSql.make
      const sessions = yield* AdminSessions
      const tokens = yield* ApiTokens
      const secrets = yield* Secrets
      const audit = yield* Audit

      const list = Effect.fn("Roles.list")(function* (organizationId: OrganizationId) {
        const counted = yield* statements.countBuiltIn(organizationId)
        const admins = new Map(counted.map((one) => [one.role, one.admins]))
        return [
          ...BuiltInRole.literals.map((id) => builtIn(id, admins.get(id) ?? 0)),
          ...(yield* statements.list(organizationId)).map(custom)
        ]
      }, Effect.orDie)

      const read = Effect.fnUntraced(function* (organizationId: OrganizationId, id: CustomRoleId) {
        return custom(yield* statements.get({ organizationId, id }))
      })

      const get = Effect.fn("Roles.get")(
        function* (organizationId: OrganizationId, id: RoleId) {
          if (!isBuiltIn(id)) return yield* read(organizationId, id)
          const counted = yield* statements.countBuiltIn(organizationId)
          return builtIn(id, counted.find(({ role }) => role === id)?.admins ?? 0)
        },
        Effect.catchTag("NoSuchElementError", () => new RoleNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const permissions = Effect.fn("Roles.permissions")(function* (organizationId: OrganizationId, id: RoleId) {
        if (isBuiltIn(id)) return builtInPermissions[id]
        return new Set((yield* get(organizationId, id)).permissions)
      })

      const given = Effect.fn("Roles.given")(
        function* (organizationId: OrganizationId, id: RoleId) {
          if (isBuiltIn(id)) return givenBy(id, null)
          return givenBy("viewer", (yield* statements.get({ organizationId, id })).permissions)
        },
        Effect.catchTag("NoSuchElementError", () => new RoleNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const create = Effect.fn("Roles.create")(
        function* (by: Authority, request: RoleRequest) {
          const { organizationId } = by
          yield* refuseReserved(request.name)
          yield* standing.hold(organizationId)
          yield* within(yield* standing.remaining(by), request.permissions)
          const now = yield* DateTime.now
          const id = CustomRoleId.make(yield* secrets.id)
          yield* statements
            .insert(
              CustomRole.insert.make({
                ...request,
                id,
                organizationId,
                nameKey: nameKey(request.name),
                permissions: sorted(request.permissions),
                createdAt: now,
                updatedAt: now
              })
            )
            .pipe(Effect.catchReason("SqlError", "UniqueViolation", () => new RoleNameTaken()))
          const role = yield* read(organizationId, id)
          yield* audit.record({
            organizationId,
            action: "roles:create",
            subjectKind: "role",
            subjectId: id,
            details: { name: role.name, permissions: role.permissions }
          })
          return role
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const update = Effect.fn("Roles.update")(
        function* (by: Authority, id: CustomRoleId, request: RoleRequest) {
          const { organizationId } = by
          yield* refuseReserved(request.name)
          yield* standing.hold(organizationId)
          const stored = yield* statements.get({ organizationId, id })
          const before = custom(stored)
          yield* within(yield* standing.remaining(by), [...stored.permissions, ...request.permissions])
          // What only a later release knows, nobody could have left out on purpose.
          const unknown = stored.permissions.filter((permission) => !isPermission(permission))
          yield* statements
            .update({
              organizationId,
              id,
              changes: {
                ...request,
                nameKey: nameKey(request.name),
                permissions: [...sorted(request.permissions), ...unknown],
                updatedAt: yield* DateTime.now
              }
            })
            .pipe(Effect.catchReason("SqlError", "UniqueViolation", () => new RoleNameTaken()))
          const role = yield* read(organizationId, id)
          yield* audit.record({
            organizationId,
            action: "roles:update",
            subjectKind: "role",
            subjectId: id,
            details: {
              name: role.name,
              gained: role.permissions.filter((permission) => !before.permissions.includes(permission)),
              lost: before.permissions.filter((permission) => !role.permissions.includes(permission))
            }
          })
          yield* sessions.forget
          yield* tokens.forget
          return role
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new RoleNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const remove = Effect.fn("Roles.delete")(
        function* (by: Authority, id: CustomRoleId) {
          const { organizationId } = by
          const one = { organizationId, id }
          yield* standing.hold(organizationId)
          yield* statements.lock(one)
          const stored = yield* statements.get({ organizationId, id })
          const role = custom(stored)
          yield* within(yield* standing.remaining(by), stored.permissions)
          const holders = yield* statements.holders(one)
          const invited = yield* statements.invited({ ...one, now: yield* DateTime.now })
          if (holders.length + invited.length > 0) {
            return yield* new RoleInUse({
              admins: holders.map(({ name }) => name),
              invitations: invited.map(({ name }) => name)
            })
          }
          yield* statements.release(one)
          yield* statements.remove(one)
          yield* audit.record({
            organizationId,
            action: "roles:delete",
            subjectKind: "role",
            subjectId: id,
            details: { name: role.name, permissions: role.permissions }
          })
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new RoleNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Roles.of({ list, get, create, update, delete: remove, permissions, given })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
