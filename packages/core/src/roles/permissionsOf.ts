import { type BuiltInRole, builtInPermissions, Permission } from "@broker/domain/Permission"
import { Schema } from "effect"

const isPermission = Schema.is(Permission)

/**
 * What a membership lets one do: by the organization's own role where there is one, else by one that comes with the
 * broker. Permissions that only a later release knows mean nothing here (J4).
 */
export const permissionsOf = (role: BuiltInRole, own: ReadonlyArray<string> | null): ReadonlySet<Permission> =>
  own === null ? builtInPermissions[role] : new Set(own.filter(isPermission))
