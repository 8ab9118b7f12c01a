import { decodeEvent, decodeEventsPage, decodePlace } from "#lib/events.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import { decodeSavedViews } from "#lib/saved-views.ts"
import type { PageLoad } from "./$types"
import { eventOf, parseView, toQuery, viewSearch } from "./filters.ts"

const linkedEvent = async (id: ReturnType<typeof eventOf>) => {
  if (id === null) return null
  try {
    return decodeEvent(await rpc.events.get.query({ id }))
  } catch (error) {
    if (explain(error).code === "event_not_found") return null
    throw error
  }
}

export const load = kept((async ({ parent, untrack, url }) => {
  const { session } = await parent()
  need(session.permissions, "events:read")
  const view = parseView(url.searchParams)
  const now = Date.now()
  // First: what comes while the list is asked for is then in both, rather than in neither.
  const newest = decodePlace(await rpc.events.newest.query())
  const [events, views, linked] = await Promise.all([
    rpc.events.list.query(toQuery(view, now)).then(decodeEventsPage),
    // The list is worth showing without them.
    rpc.savedViews.list.query({ page: "events" }).then(decodeSavedViews, () => []),
    // It may be on no page of the list. One that is looked into later is.
    linkedEvent(untrack(() => eventOf(url.searchParams)))
  ])
  return { view, search: viewSearch(view), now, newest, events, views, linked }
}) satisfies PageLoad)
