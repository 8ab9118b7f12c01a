import { accessKey, decodeAdmins, decodeSecurityPolicy } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"

export const load = kept((async ({ depends, parent }) => {
  depends(accessKey)
  const { session } = await parent()
  need(session.permissions, "security-policy:read")
  const [policy, admins] = await Promise.all([
    rpc.securityPolicy.get.query().then(decodeSecurityPolicy),
    session.permissions.includes("admins:read") ? rpc.admins.list.query().then(decodeAdmins) : null
  ])
  return { policy, admins }
}) satisfies PageLoad)
