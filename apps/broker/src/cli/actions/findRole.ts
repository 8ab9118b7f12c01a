import { Roles } from "@broker/core/roles/Roles"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { RoleNotFound } from "@broker/domain/Role"
import { nameKey } from "@broker/domain/Server"
import { Effect } from "effect"

/** By id or by name, which only one role has. */
export const findRole = Effect.fnUntraced(function* (typed: string) {
  const roles = yield* Roles.use((roles) => roles.list(defaultOrganizationId))
  const text = nameKey(typed)
  return roles.find(({ id, name }) => id === text || nameKey(name) === text) ?? (yield* new RoleNotFound())
})
