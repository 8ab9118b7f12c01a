/** What the list of webhooks shows, as it stands in the URL. There are few: they are filtered here. */

import { listed, searchOf } from "#lib/views.ts"
import { hostOf, standingOf, standingOrder, type WebhookStanding, type WebhookView } from "#lib/webhooks.ts"

export interface WebhooksView {
  readonly text: string
  readonly states: ReadonlyArray<WebhookStanding>
  /** Whether the dialog that makes one is open. */
  readonly creating: boolean
}

const isStanding = (word: string): word is WebhookStanding => standingOrder.some((standing) => standing === word)

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): WebhooksView => ({
  text: (params.get("q") ?? "").slice(0, 128),
  states: listed(params.get("state")).filter(isStanding),
  creating: params.get("create") === "1"
})

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = ({ creating, states, text }: WebhooksView) =>
  searchOf([
    ["q", text],
    ["state", states.join(",")],
    ["create", creating ? "1" : ""]
  ])

export const isFiltered = ({ states, text }: WebhooksView) => text !== "" || states.length > 0

export const filtered = (webhooks: ReadonlyArray<WebhookView>, { states, text }: WebhooksView) => {
  const wanted = text.trim().toLowerCase()
  return webhooks.filter(
    (webhook) =>
      (wanted === "" ||
        webhook.id === wanted ||
        [webhook.name, hostOf(webhook.url), ...webhook.types].some((words) => words.toLowerCase().includes(wanted))) &&
      (states.length === 0 || states.includes(standingOf(webhook)))
  )
}
