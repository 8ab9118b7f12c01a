/** Permissions in words: by noun, with what they mean, and who has them. */
import {
  BuiltInRole,
  builtInPermissions,
  meanings,
  ownersOwn,
  Permission,
  type Permission as PermissionName
} from "@broker/domain/Permission"
import { isBuiltIn, type RoleId } from "@broker/domain/Role"
import { capital } from "./words.ts"

const titles: Readonly<Record<string, string>> = {
  "api-tokens": "API tokens",
  audit: "Audit log",
  "audit-log": "Audit log",
  "sign-in-failures": "Failed sign-ins"
}

/** "registration-keys" as a title. */
export const nounTitle = (noun: string) => titles[noun] ?? capital(noun.replaceAll("-", " "))

const nounOf = (permission: PermissionName) => permission.slice(0, permission.indexOf(":"))
export const verbOf = (permission: PermissionName) => permission.slice(permission.indexOf(":") + 1)

/** Permissions by their noun, in the order of the catalogue. */
export const byNoun = (permissions: ReadonlyArray<PermissionName>) => {
  const groups = new Map<string, Array<PermissionName>>()
  for (const permission of permissions) {
    const noun = nounOf(permission)
    groups.set(noun, [...(groups.get(noun) ?? []), permission])
  }
  return [...groups].map(([noun, permissions]) => ({ noun, title: nounTitle(noun), permissions }))
}

export const catalogue = byNoun(Permission.literals)

export const meaningOf = (permission: PermissionName) => meanings[permission]

/** In the order of the catalogue. */
export const sorted = (permissions: Iterable<PermissionName>) => {
  const held = new Set(permissions)
  return Permission.literals.filter((permission) => held.has(permission))
}

interface RoleLike {
  readonly id: RoleId
  readonly permissions: ReadonlyArray<PermissionName>
}

/** What a role may do; undefined for one that is not known here. */
export const heldBy = (id: RoleId, roles: ReadonlyArray<RoleLike>): ReadonlyArray<PermissionName> | undefined =>
  roles.find((role) => role.id === id)?.permissions ?? (isBuiltIn(id) ? [...builtInPermissions[id]] : undefined)

/** What a role of the organization's own may be given: never what is the owners' own, whoever gives it. */
export const grantable = (permissions: ReadonlyArray<PermissionName>) =>
  permissions.filter((permission) => !ownersOwn.has(permission))

/** A5: what one would have to hold as well. */
export const beyond = (permissions: ReadonlyArray<PermissionName>, mine: ReadonlyArray<PermissionName>) =>
  permissions.filter((permission) => !mine.includes(permission))

const many: Record<BuiltInRole, string> = {
  owner: "owners",
  admin: "admins",
  operator: "operators",
  auditor: "auditors",
  viewer: "viewers"
}

export const conjunction = (words: ReadonlyArray<string>) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`

/** Which of the roles that come with the broker have it: "Owners, admins and auditors have it." */
export const whoHas = (permission: PermissionName) => {
  const roles = BuiltInRole.literals.filter((role) => builtInPermissions[role].has(permission))
  return `${capital(conjunction(roles.map((role) => many[role])))} have it.`
}
