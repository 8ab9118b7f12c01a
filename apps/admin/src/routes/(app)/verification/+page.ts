import { groupTree } from "#lib/groups.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import { decodeVerificationFigures, decodeVerifiedPage } from "#lib/verification.ts"
import type { PageLoad } from "./$types"
import { parseView, toQuery, verificationKey } from "./filters.ts"

export const load = kept((async ({ depends, parent, url }) => {
  depends(verificationKey)
  const { session } = await parent()
  need(session.permissions, "verification:read")
  const view = parseView(url.searchParams)
  const [figures, page, groups] = await Promise.all([
    rpc.verification.figures.query().then(decodeVerificationFigures),
    rpc.verification.list.query(toQuery(view)).then(decodeVerifiedPage),
    session.permissions.includes("groups:read") ? groupTree() : []
  ])
  return {
    view,
    figures,
    groups,
    servers: { items: page.items.map((server) => ({ ...server, id: server.serverId })), nextCursor: page.nextCursor }
  }
}) satisfies PageLoad)
