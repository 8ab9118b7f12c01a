import { decodeUsersPage } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { usersKey } from "./acts.ts"
import { parseView, toQuery } from "./filters.ts"

export const load = kept((async ({ depends, url }) => {
  depends(usersKey)
  const view = parseView(url.searchParams)
  return { view, users: decodeUsersPage(await rpc.users.list.query(toQuery(view))) }
}) satisfies PageLoad)
