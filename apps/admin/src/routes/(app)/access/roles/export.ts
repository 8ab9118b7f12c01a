/** Who may do what as CSV: a line for each permission, a column for each role. */
import { meanings, type Permission } from "@broker/domain/Permission"
import type { Role } from "@broker/domain/Role"
import type { Sheet } from "#lib/csv.ts"

export const sheet = (roles: ReadonlyArray<Role>): Sheet<Permission> => ({
  name: "roles",
  header: ["permission", "meaning", ...roles.map(({ name }) => name)],
  cells: (permission) => [
    permission,
    meanings[permission],
    ...roles.map(({ permissions }) => (permissions.includes(permission) ? "yes" : "no"))
  ]
})
