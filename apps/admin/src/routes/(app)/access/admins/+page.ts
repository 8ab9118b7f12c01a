import { accessKey, decodeAdmins, decodeInvitations } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rolesFor } from "#lib/roles.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView } from "./filters.ts"

export const load = kept((async ({ depends, parent, url }) => {
  depends(accessKey)
  const { session } = await parent()
  need(session.permissions, "admins:read")
  const [admins, invitations, roles] = await Promise.all([
    rpc.admins.list.query().then(decodeAdmins),
    rpc.admins.invitations.query().then(decodeInvitations),
    rolesFor(session.permissions)
  ])
  return { view: parseView(url.searchParams), admins, invitations, roles }
}) satisfies PageLoad)
