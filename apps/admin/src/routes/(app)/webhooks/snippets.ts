/** How a receiver checks what it was sent, and how it is tried without a broker. */

export const javascriptSnippet = `import { webhookVerifier } from "@broker/client/Webhook"

const verify = webhookVerifier(process.env.BROKER_WEBHOOK_SECRET)

// In the handler of POST: the body as it came, before anything parses it. Throws what is not to be believed.
const event = await verify(request.headers, await request.text())
// The same event may come more than once: its id tells.
console.log(event.id, event.type, event.data)`

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`

/** The Standard Webhooks scheme by hand. */
export const curlSnippet = (url: string, secret: string) => `secret=${quoted(secret)}
id=test-1; time=$(date +%s); body='{"type":"webhook.test"}'
key=$(printf %s "\${secret#whsec_}" | base64 -d | od -An -tx1 | tr -d ' \\n')
signature=$(printf %s "$id.$time.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
curl ${quoted(url)} --data "$body" -H 'content-type: application/json' \\
  -H "webhook-id: $id" -H "webhook-timestamp: $time" -H "webhook-signature: v1,$signature"`
