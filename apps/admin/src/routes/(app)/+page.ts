import { redirect } from "@sveltejs/kit"
import { decodeOverview } from "#lib/fleet.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { pagesFor } from "./navigation.ts"

/** Whoever may not see the overview starts at the first page that they may. */
export const load: PageLoad = async ({ parent }) => {
  const { session } = await parent()
  const [home] = pagesFor(session.permissions)
  if (home !== undefined && home.href !== "/") redirect(307, home.href)
  need(session.permissions, "overview:read")
  return { overview: decodeOverview(await rpc.fleet.overview.query()) }
}
