/** What an admin may do in an organization: a role that comes with the broker, or one that the organization made. */
import { Schema } from "effect"
import { Model } from "effect/schema"
import { OrganizationId } from "./Organization.ts"
import { BuiltInRole, ownersOwn, Permission } from "./Permission.ts"
import { Count, Instant, Text, Uuid } from "./Primitives.ts"
import { Problem } from "./Problem.ts"
import { isVisible } from "./Server.ts"

export const CustomRoleId = Uuid.pipe(Schema.brand("CustomRoleId"))
export type CustomRoleId = typeof CustomRoleId.Type

/** The name of a role that comes with the broker, or the id of one that does not. */
export const RoleId = Schema.Union([BuiltInRole, CustomRoleId])
export type RoleId = typeof RoleId.Type

const known = Schema.is(BuiltInRole)

export const isBuiltIn = (role: RoleId): role is BuiltInRole => known(role)

/** Unique in its organization, compared like server names. */
export const RoleName = Schema.String.check(
  Schema.isTrimmed(),
  Schema.isBetweenLength(2, 64, { message: "must be 2 to 64 characters" }),
  isVisible
)

const Description = Text(256)

const sparesOwners = Schema.makeFilter<ReadonlyArray<Permission>>((permissions) => {
  const taken = permissions.filter((permission) => ownersOwn.has(permission))
  return taken.length === 0 || `must leave to owners what is theirs alone: ${taken.join(", ")}`
})

/** At least one, as a role without any would be of no use, and none of those that are the owners' own. */
const Permissions = Schema.Array(Permission).check(
  Schema.isMinLength(1, { message: "must hold at least one permission" }),
  Schema.isUnique(),
  sparesOwners
)

/** One row of `roles`. */
export class CustomRole extends Model.Class<CustomRole>("CustomRole")({
  id: Model.UuidV7Insert(CustomRoleId),
  organizationId: Model.FieldOnly(["select", "insert"])(OrganizationId),
  name: RoleName,
  nameKey: Model.FieldOnly(["insert"])(Schema.String),
  description: Description,
  permissions: Schema.Array(Permission),
  createdAt: Instant,
  updatedAt: Instant
}) {}

/** A role of either kind, as admins see it. */
export const Role = Schema.Struct({
  id: RoleId,
  name: Schema.String,
  description: Schema.String,
  permissions: Schema.Array(Permission),
  builtIn: Schema.Boolean,
  /** How many admins have it. */
  admins: Count
}).annotate({ title: "Role" })
export type Role = typeof Role.Type

export const RoleRequest = Schema.Struct({ name: RoleName, description: Description, permissions: Permissions })
export type RoleRequest = typeof RoleRequest.Type

/** What a change of role would give and take away, before anybody makes it. */
export const RoleEffect = Schema.Struct({
  gained: Schema.Array(Permission),
  lost: Schema.Array(Permission),
  /** Sessions that end (A4). */
  sessions: Count,
  /** API tokens whose scopes shrink or grow with it. */
  apiTokens: Count
})
export type RoleEffect = typeof RoleEffect.Type

export class RoleNotFound extends Problem<RoleNotFound>()("RoleNotFound", {
  code: "role_not_found",
  status: 404,
  title: "Role not found",
  detail: "There is no such role.",
  remedy: "Check the id."
}) {}

export class RoleNameTaken extends Problem<RoleNameTaken>()("RoleNameTaken", {
  code: "role_name_taken",
  status: 409,
  title: "Name taken",
  detail: "Another role of the organization has this name.",
  remedy: "Choose another name."
}) {}

/** A7: names the blockers. */
export class RoleInUse extends Problem<RoleInUse>()(
  "RoleInUse",
  {
    code: "role_in_use",
    status: 409,
    title: "Role in use",
    detail: "Admins or invitations still have this role.",
    remedy: "Give them another role first."
  },
  { admins: Schema.Array(Schema.String), invitations: Schema.Array(Schema.String) }
) {}
