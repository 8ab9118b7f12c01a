import { groupTree } from "#lib/groups.ts"
import { need } from "#lib/need.ts"
import type { PageLoad } from "./$types"
import { parseView } from "./filters.ts"

export const load: PageLoad = async ({ depends, parent, url }) => {
  depends("broker:groups")
  const view = parseView(url.searchParams)
  const { session } = await parent()
  need(session.permissions, "groups:read")
  return { view, groups: await groupTree() }
}
