/**
 * Checks that a request to a webhook comes from the broker, and reads the event in it. Signed by the Standard Webhooks
 * scheme (https://www.standardwebhooks.com), so that any library for it does the same.
 */
import { Event } from "@broker/domain/Event"
import { Clock, Effect, Redacted, Schema } from "effect"

/**
 * - `malformed`: without the headers of a webhook, or with a secret that is none
 * - `expired`, `early`: signed too long ago, or in the future
 * - `signature`: not signed by any of the secrets, or tampered with
 * - `unknown_event`: signed by the broker, but no event that this version knows
 */
export const WebhookFault = Schema.Literals(["malformed", "expired", "early", "signature", "unknown_event"])
export type WebhookFault = typeof WebhookFault.Type

/** Answer 400 and do nothing else: the request is not to be believed. For `unknown_event` answer 200, and update. */
export class WebhookRefused extends Schema.TaggedError<WebhookRefused>()("WebhookRefused", {
  reason: WebhookFault,
  detail: Schema.String
}) {
  override get message() {
    return `${this.detail} (${this.reason})`
  }
}

export interface Options {
  /** How far the time of the signature may be from now: 300 seconds unless told otherwise. */
  readonly toleranceSeconds?: number | undefined
}

/** Headers as servers have them: a Fetch `Headers`, or Node's `request.headers`. */
export type WebhookHeaders =
  | { readonly get: (name: string) => string | null }
  | Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

type Secret = string | Redacted.Redacted<string>

const usualTolerance = 300

const refuse = (reason: WebhookFault, detail: string) => new WebhookRefused({ reason, detail })

const isFetch = (headers: WebhookHeaders): headers is { readonly get: (name: string) => string | null } =>
  typeof headers["get"] === "function"

const headerOf = (headers: WebhookHeaders, name: string): string | null => {
  if (isFetch(headers)) return headers.get(name)
  const [, value] = Object.entries(headers).find(([key]) => key.toLowerCase() === name) ?? []
  return typeof value === "string" ? value : null
}

const bytesOf = (base64: string) => {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  } catch {
    return undefined
  }
}

/** The key that a secret stands for, with or without its prefix. */
const keyOf = Effect.fnUntraced(function* (secret: Secret) {
  const text = Redacted.isRedacted(secret) ? Redacted.value(secret) : secret
  const bytes = bytesOf(text.replace(/^whsec_/, ""))
  if (bytes === undefined || bytes.length === 0) {
    return yield* refuse("malformed", "The secret is not as the broker showed it: `whsec_` and base64.")
  }
  return yield* Effect.promise(() =>
    crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"])
  )
})

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Event))

/**
 * The event in a request. `body` is the request's body exactly as it came, before anything parsed it. While a secret is
 * being changed, give both, in any order. The same event may come more than once: its `id` tells.
 */
export const verifyWebhook = Effect.fn("Webhook.verifyWebhook")(function* (
  secrets: Secret | ReadonlyArray<Secret>,
  headers: WebhookHeaders,
  body: string | Uint8Array,
  { toleranceSeconds = usualTolerance }: Options = {}
) {
  const [id, timestamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((name) =>
    headerOf(headers, name)
  )
  if (!id || !timestamp || !signatures || !/^\d{1,12}$/.test(timestamp)) {
    return yield* refuse("malformed", "The request lacks the headers of a webhook.")
  }
  const age = (yield* Clock.currentTimeMillis) / 1_000 - Number(timestamp)
  if (age > toleranceSeconds) return yield* refuse("expired", "The request was signed too long ago.")
  if (age < -toleranceSeconds) return yield* refuse("early", "The request is of the future.")

  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body
  const head = new TextEncoder().encode(`${id}.${timestamp}.`)
  const signed = new Uint8Array(head.length + bytes.length)
  signed.set(head)
  signed.set(bytes, head.length)
  const keys = yield* Effect.forEach(isList(secrets) ? secrets : [secrets], keyOf)
  const candidates = signatures
    .split(" ")
    .flatMap((part) => (part.startsWith("v1,") ? [bytesOf(part.slice(3))] : []))
    .filter((candidate) => candidate !== undefined)
  let isGenuine = false
  for (const key of keys) {
    for (const candidate of candidates) {
      // The comparison takes as long whatever differs.
      isGenuine ||= yield* Effect.promise(() => crypto.subtle.verify("HMAC", key, candidate, signed))
    }
  }
  if (!isGenuine) return yield* refuse("signature", "No signature of the request fits its body and the secret.")

  const event = yield* decode(new TextDecoder().decode(bytes)).pipe(
    Effect.mapError(() => refuse("unknown_event", "The event is none that this version knows."))
  )
  if (event.id !== id) return yield* refuse("unknown_event", "The event is another one than the request says.")
  return event
})

const isList = (secrets: Secret | ReadonlyArray<Secret>): secrets is ReadonlyArray<Secret> => Array.isArray(secrets)

/** The same as a promise, for programs that do not use Effect: rejects with a `WebhookRefused`. */
export const webhookVerifier =
  (secrets: string | ReadonlyArray<string>, options: Options = {}) =>
  (headers: WebhookHeaders, body: string | Uint8Array): Promise<Event> =>
    Effect.runPromise(verifyWebhook(secrets, headers, body, options))
