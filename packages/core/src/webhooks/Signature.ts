/**
 * How requests are signed: Standard Webhooks (https://www.standardwebhooks.com), version 1. HMAC-SHA256 over the id, the
 * time and the body, by each secret that is valid, so that receivers may change theirs in their own time.
 */
import { createHmac } from "node:crypto"
import type { SigningSecret } from "@broker/domain/Webhook"
import { Redacted } from "effect"

/** How many random bytes a secret has. */
export const secretSize = 32

/** How a secret is written down. */
export const spell = (secret: Uint8Array): SigningSecret =>
  Redacted.make(`whsec_${Buffer.from(secret).toString("base64")}`, { label: "secret" })

/** What of a secret may be shown again. */
export const hintOf = (secret: Uint8Array) => `${Redacted.value(spell(secret)).slice(0, 10)}…`

/** The headers that vouch for a body; the first secret is the one of now. */
export const headers = (
  secrets: ReadonlyArray<Uint8Array>,
  { body, epochSeconds, id }: { readonly id: string; readonly epochSeconds: number; readonly body: string }
) => ({
  "webhook-id": id,
  "webhook-timestamp": String(epochSeconds),
  "webhook-signature": secrets
    .map((secret) => `v1,${createHmac("sha256", secret).update(`${id}.${epochSeconds}.${body}`).digest("base64")}`)
    .join(" ")
})
