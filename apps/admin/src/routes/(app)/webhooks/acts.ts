/** What is done to webhooks from more than one place. */
import { toast } from "svelte-sonner"
import { complain } from "#lib/acts.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import { type WebhookView, webhookKey, webhooksKey } from "#lib/webhooks.ts"
import { invalidate } from "$app/navigation"

const undoFor = 8_000

type Which = Pick<WebhookView, "id" | "name" | "state">

/** All that can be done is, whatever became of one; then what went wrong is told. Those that it was done to. */
const set = async (webhooks: ReadonlyArray<Which>, paused: boolean) => {
  const done: Array<Which> = []
  for (const webhook of webhooks) {
    const { id } = webhook
    const act = paused ? rpc.webhooks.pause.mutate({ id }) : rpc.webhooks.resume.mutate({ id })
    await act.then(() => done.push(webhook), complain)
  }
  await Promise.all([invalidate(webhooksKey), invalidate(webhookKey)])
  return done
}

/** Nothing is lost by it, so that it is done at once, and can be undone: but nobody can put a webhook to rest. */
export const setPaused = async (webhooks: ReadonlyArray<Which>, paused: boolean) => {
  const done = await set(webhooks, paused)
  const [first] = done
  if (first === undefined) return
  const who = done.length === 1 ? `${first.name} is` : `${done.length} webhooks are`
  const before = done.filter(({ state }) => state === "paused")
  toast.success(paused ? `${who} paused` : `${who} sent events again`, {
    duration: undoFor,
    ...(paused || before.length === done.length
      ? { action: { label: "Undo", onClick: () => void set(done, !paused) } }
      : {})
  })
}
