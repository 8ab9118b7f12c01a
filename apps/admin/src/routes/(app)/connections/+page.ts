import { type CutView, decodeConnectionCounts, decodeConnectionsPage, decodeCuts } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { namesOf } from "#lib/names.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView, toQuery } from "./filters.ts"

const shownCuts = 100

const none: ReturnType<typeof decodeConnectionsPage> = { items: [], nextCursor: null }

export const load = kept((async ({ url }) => {
  const view = parseView(url.searchParams)
  const isList = view.tab === "connections"
  const [page, cuts, counts, names] = await Promise.all([
    isList ? rpc.connections.list.query(toQuery(view)).then(decodeConnectionsPage) : none,
    isList
      ? ([] as ReadonlyArray<CutView>)
      : rpc.connections.cuts.query({ subjectId: null, limit: shownCuts }).then(decodeCuts),
    rpc.connections.counts.query().then(decodeConnectionCounts),
    namesOf(view)
  ])
  return { view, connections: page, cuts, counts, names }
}) satisfies PageLoad)
