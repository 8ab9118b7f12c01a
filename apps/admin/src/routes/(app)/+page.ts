import { redirect } from "@sveltejs/kit"
import { decodeOverview } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { decodeFleetAt, overviewKey, parseAt, parseSpan } from "#lib/monitoring.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { pagesFor } from "./navigation.ts"

/** Whoever may not see the overview starts at the first page that they may. */
export const load = kept((async ({ depends, parent, url }) => {
  depends(overviewKey)
  const { session } = await parent()
  const [home] = pagesFor(session.permissions)
  if (home !== undefined && home.href !== "/") redirect(307, home.href)
  need(session.permissions, "overview:read")
  const at = parseAt(url.searchParams.get("at"), Date.now())
  const [overview, fleet] = await Promise.all([
    rpc.fleet.overview.query().then(decodeOverview),
    rpc.monitoring.fleetAt.query({ at: at === null ? null : new Date(at).toISOString() }).then(decodeFleetAt)
  ])
  return { at, span: parseSpan(url.searchParams.get("span")), overview, fleet }
}) satisfies PageLoad)
