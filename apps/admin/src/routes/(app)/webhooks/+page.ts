import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import { decodeFigures, decodeWebhooks, webhooksKey } from "#lib/webhooks.ts"
import type { PageLoad } from "./$types"
import { parseView } from "./filters.ts"

export const load = kept((async ({ depends, parent, url }) => {
  depends(webhooksKey)
  const { session } = await parent()
  need(session.permissions, "webhooks:read")
  const [webhooks, figures] = await Promise.all([
    rpc.webhooks.list.query().then(decodeWebhooks),
    rpc.webhooks.figures.query().then(decodeFigures)
  ])
  return {
    view: parseView(url.searchParams),
    webhooks,
    figures: new Map(figures.map((each) => [each.webhookId, each]))
  }
}) satisfies PageLoad)
