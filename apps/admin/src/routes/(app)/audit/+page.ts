import { Schema } from "effect"
import { decodeAuditPage } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView, toQuery } from "./filters.ts"

const decodeActions = Schema.decodeUnknownSync(Schema.Array(Schema.String))

/** Every reading is in the log itself, so nothing here asks again by itself. */
export const load = kept((async ({ parent, url }) => {
  const { session } = await parent()
  need(session.permissions, "audit:read")
  const view = parseView(url.searchParams)
  const now = Date.now()
  const [page, actions] = await Promise.all([
    rpc.audit.list.query(toQuery(view, now)).then(decodeAuditPage),
    rpc.audit.actions.query().then(decodeActions)
  ])
  const items = page.items.map((entry) => ({ ...entry, id: String(entry.seq) }))
  return { view, now, entries: { items, nextCursor: page.nextCursor }, actions }
}) satisfies PageLoad)
