/** What is done to webhooks from more than one place. */
import { toast } from "svelte-sonner"
import { complain } from "#lib/acts.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import { type WebhookView, webhookKey, webhooksKey } from "#lib/webhooks.ts"
import { invalidate } from "$app/navigation"

const undoFor = 8_000

const set = async (webhooks: ReadonlyArray<Pick<WebhookView, "id">>, paused: boolean) => {
  for (const { id } of webhooks) {
    if (paused) await rpc.webhooks.pause.mutate({ id })
    else await rpc.webhooks.resume.mutate({ id })
  }
  await Promise.all([invalidate(webhooksKey), invalidate(webhookKey)])
}

/** Nothing is lost by it, so that it is done at once, and can be undone. */
export const setPaused = async (webhooks: ReadonlyArray<Pick<WebhookView, "id" | "name">>, paused: boolean) => {
  const [first] = webhooks
  if (first === undefined) return
  const who = webhooks.length === 1 ? first.name : `${webhooks.length} webhooks`
  const done = paused
    ? `${who} ${webhooks.length === 1 ? "is" : "are"} paused`
    : `${who} ${webhooks.length === 1 ? "is" : "are"} sent events again`
  try {
    await set(webhooks, paused)
    toast.success(done, {
      duration: undoFor,
      action: { label: "Undo", onClick: () => void set(webhooks, !paused).catch(complain) }
    })
  } catch (error) {
    complain(error)
  }
}
