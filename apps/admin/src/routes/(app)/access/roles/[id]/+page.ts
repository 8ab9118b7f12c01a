import { RoleId } from "@broker/domain/Role"
import { error } from "@sveltejs/kit"
import { Schema } from "effect"
import { accessKey, decodeAdmins, decodeInvitations, decodeRole } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"

const isRoleId = Schema.is(RoleId)
const missing = () => error(404, "There is no such role")

const roleOf = async (id: RoleId) => {
  try {
    return decodeRole(await rpc.roles.get.query({ id }))
  } catch (failure) {
    if (explain(failure).code === "role_not_found") missing()
    throw failure
  }
}

export const load = kept((async ({ depends, params: { id }, parent }) => {
  depends(accessKey)
  const { session } = await parent()
  need(session.permissions, "roles:read")
  if (!isRoleId(id)) missing()
  const seesAdmins = session.permissions.includes("admins:read")
  const [role, admins, invitations] = await Promise.all([
    roleOf(Schema.decodeSync(RoleId)(id)),
    seesAdmins ? rpc.admins.list.query().then(decodeAdmins) : [],
    seesAdmins ? rpc.admins.invitations.query().then(decodeInvitations) : []
  ])
  return {
    role,
    admins: admins.filter((admin) => admin.role === role.id),
    invitations: invitations.filter((invitation) => invitation.role === role.id)
  }
}) satisfies PageLoad)
