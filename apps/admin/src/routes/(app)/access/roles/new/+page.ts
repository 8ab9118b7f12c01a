import { RoleId } from "@broker/domain/Role"
import { Schema } from "effect"
import { decodeRole } from "#lib/access.ts"
import { need } from "#lib/need.ts"
import { beyond, grantable } from "#lib/permissions.ts"
import { rpc } from "#lib/rpc.ts"
import { one } from "#lib/views.ts"
import type { PageLoad } from "./$types"

const isRoleId = Schema.is(RoleId)

/** A copy of the role that the URL names, as far as one may grant it; otherwise an empty one. */
export const load: PageLoad = async ({ parent, url }) => {
  const { session } = await parent()
  need(session.permissions, "roles:create")
  const from = one(isRoleId, url.searchParams.get("from"))
  if (from === null || !session.permissions.includes("roles:read")) {
    return { copied: null, left: 0, start: { name: "", description: "", permissions: [] } }
  }
  const role = decodeRole(await rpc.roles.get.query({ id: from }))
  const mine = grantable(session.permissions)
  return {
    copied: role.name,
    left: beyond(role.permissions, mine).length,
    start: {
      name: `${role.name} copy`.slice(0, 64),
      description: role.description,
      permissions: role.permissions.filter((permission) => mine.includes(permission))
    }
  }
}
