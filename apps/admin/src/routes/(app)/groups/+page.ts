import { groupTree } from "#lib/groups.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import type { PageLoad } from "./$types"
import { groupsKey } from "./doing.ts"
import { parseView } from "./filters.ts"

export const load = kept((async ({ depends, parent, url }) => {
  depends(groupsKey)
  const view = parseView(url.searchParams)
  const { session } = await parent()
  need(session.permissions, "groups:read")
  return { view, groups: await groupTree() }
}) satisfies PageLoad)
