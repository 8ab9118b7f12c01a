import { WebhookId } from "@broker/domain/Webhook"
import { error } from "@sveltejs/kit"
import { Schema } from "effect"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { explain } from "#lib/problems.ts"
import { rpc } from "#lib/rpc.ts"
import { decodeDeliveries, decodeWebhook, webhookKey } from "#lib/webhooks.ts"
import type { PageLoad } from "./$types"
import { parseView, toQuery } from "./filters.ts"

const isWebhookId = Schema.is(WebhookId)
const missing = () => error(404, "There is no such webhook")

export const load = kept((async ({ depends, params, parent, url }) => {
  depends(webhookKey)
  const { session } = await parent()
  need(session.permissions, "webhooks:read")
  const { id } = params
  if (!isWebhookId(id)) missing()
  const view = parseView(url.searchParams)
  try {
    const [webhook, deliveries] = await Promise.all([
      rpc.webhooks.get.query({ id }).then(decodeWebhook),
      rpc.webhooks.deliveries.query({ id, query: toQuery(view, Date.now()) }).then(decodeDeliveries)
    ])
    return { view, webhook, deliveries }
  } catch (failure) {
    if (explain(failure).code === "webhook_not_found") missing()
    throw failure
  }
}) satisfies PageLoad)
