import { type BuiltInRole, builtInPermissions, Permission } from "@broker/domain/Permission"
import { Schema } from "effect"

/** Whether this release knows it. */
export const isPermission = Schema.is(Permission)

/**
 * What a membership gives, those permissions included that only a later release knows: what nobody here holds, nobody
 * here passes on (A5).
 */
export const givenBy = (role: BuiltInRole, own: ReadonlyArray<string> | null): ReadonlySet<string> =>
  own === null ? builtInPermissions[role] : new Set(own)

/**
 * What a membership lets one do: by the organization's own role where there is one, else by one that comes with the
 * broker. Permissions that only a later release knows mean nothing here (J4).
 */
export const permissionsOf = (role: BuiltInRole, own: ReadonlyArray<string> | null): ReadonlySet<Permission> =>
  own === null ? builtInPermissions[role] : new Set(own.filter(isPermission))
