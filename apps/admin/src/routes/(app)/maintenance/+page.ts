import { decodeGroupAvailabilities, decodeOutages, decodeWindows } from "#lib/availability.ts"
import { groupTree } from "#lib/groups.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView, rangeOf } from "./range.ts"

export const load = kept((async ({ depends, parent, url }) => {
  depends("broker:maintenance")
  const { session } = await parent()
  need(session.permissions, "maintenance:read")
  const view = parseView(url.searchParams)
  const range = rangeOf(view, Date.now())
  const [windows, outages, availability, groups] = await Promise.all([
    rpc.availability.windows.query().then(decodeWindows),
    rpc.availability.outages.query(range).then(decodeOutages),
    rpc.availability.ofGroups.query(range).then(decodeGroupAvailabilities),
    session.permissions.includes("groups:read") ? groupTree() : []
  ])
  return { view, range, windows, outages, availability, groups }
}) satisfies PageLoad)
