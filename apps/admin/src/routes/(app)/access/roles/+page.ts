import { accessKey, decodeRoles } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"

export const load = kept((async ({ depends, parent, url }) => {
  depends(accessKey)
  const { session } = await parent()
  need(session.permissions, "roles:read")
  return {
    roles: decodeRoles(await rpc.roles.list.query()),
    /** Part of a noun, a verb or a meaning. */
    text: (url.searchParams.get("q") ?? "").slice(0, 128)
  }
}) satisfies PageLoad)
