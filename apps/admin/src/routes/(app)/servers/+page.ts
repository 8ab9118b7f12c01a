import { decodeServersPage } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import { decodeSavedViews } from "#lib/saved-views.ts"
import type { PageLoad } from "./$types"
import { parseView, toQuery } from "./filters.ts"

const none = { items: [], nextCursor: null }

export const load = kept((async ({ url }) => {
  const view = parseView(url.searchParams)
  const [found, views] = await Promise.all([
    rpc.servers.list.query(toQuery(view)).then(
      (json) => ({ servers: decodeServersPage(json), refused: null }),
      (error: unknown) => {
        // What is wrong with the search stands below its field; anything else is the page's to say.
        const problem = explain(error)
        if (problem.code !== "invalid_search") throw error
        return { servers: none, refused: problem }
      }
    ),
    // The list is worth showing without them.
    rpc.savedViews.list.query({ page: "servers" }).then(decodeSavedViews, () => [])
  ])
  return { view, views, ...found }
}) satisfies PageLoad)
