/** The roles there are, as far as one may know them. */
import { BuiltInRole, builtInPermissions, type Permission } from "@broker/domain/Permission"
import type { Role } from "@broker/domain/Role"
import { decodeRoles } from "./access.ts"
import { sorted } from "./permissions.ts"
import { rpc } from "./rpc.ts"
import { capital } from "./words.ts"

/** What everybody can know: those that come with the broker. */
const builtIn = (): ReadonlyArray<Role> =>
  BuiltInRole.literals.map((id) => ({
    id,
    name: capital(id),
    description: "",
    permissions: sorted(builtInPermissions[id]),
    builtIn: true,
    admins: 0
  }))

export const rolesFor = async (permissions: ReadonlyArray<Permission>): Promise<ReadonlyArray<Role>> =>
  permissions.includes("roles:read") ? decodeRoles(await rpc.roles.list.query()) : builtIn()
