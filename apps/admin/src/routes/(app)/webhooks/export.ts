/** Webhooks as CSV. */
import { iso, type Sheet } from "#lib/csv.ts"
import { standingOf, type WebhookView, waitingWords, webhookStandings } from "#lib/webhooks.ts"

export const sheet: Sheet<WebhookView> = {
  name: "webhooks",
  header: [
    "name",
    "id",
    "url",
    "state",
    "types",
    "version",
    "waiting",
    "failures_in_row",
    "failing_since",
    "last_problem",
    "last_success",
    "last_failure",
    "created_by",
    "created_at"
  ],
  cells: (webhook) => [
    webhook.name,
    webhook.id,
    webhook.url,
    webhookStandings[standingOf(webhook)].word,
    webhook.types.join(" "),
    webhook.version,
    waitingWords(webhook.pending),
    webhook.failuresInRow,
    iso(webhook.failingSince),
    webhook.lastProblem,
    iso(webhook.lastSuccessAt),
    iso(webhook.lastFailureAt),
    webhook.createdBy,
    iso(webhook.createdAt)
  ]
}
