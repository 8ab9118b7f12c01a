/** W1: what the SDK believes of a webhook's requests, with the kept library as the sender. */
import { randomBytes } from "node:crypto"
import { verifyWebhook, webhookVerifier } from "@broker/client/Webhook"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { Webhook } from "standardwebhooks"

const secretOf = () => `whsec_${randomBytes(32).toString("base64")}`

const body = JSON.stringify({
  id: "0193c0de-0000-7000-8000-000000000001",
  type: "server.liveness_changed",
  version: 1,
  at: "2026-11-22T10:00:00.000Z",
  place: "42",
  subject: { kind: "server", id: "0193c0de-0000-7000-8000-000000000002", name: "fra-1" },
  data: {
    server: { id: "0193c0de-0000-7000-8000-000000000002", name: "fra-1" },
    group: null,
    before: "online",
    after: "offline",
    reason: null
  }
})
const id = "0193c0de-0000-7000-8000-000000000001"
const at = DateTime.makeUnsafe("2026-11-22T10:00:05Z")

const signed = (secret: string, text = body, seconds = at.epochMilliseconds / 1_000) => ({
  "webhook-id": id,
  "webhook-timestamp": String(seconds),
  "webhook-signature": new Webhook(secret).sign(id, new Date(seconds * 1_000), text)
})

const reasonOf = (...given: Parameters<typeof verifyWebhook>) =>
  Effect.map(Effect.flip(verifyWebhook(...given)), ({ reason }) => reason)

const now = TestClock.setTime(at.epochMilliseconds)

describe("verifyWebhook", () => {
  it.effect("reads the event of whatever the library signed, however the headers come", () =>
    Effect.gen(function* () {
      yield* now
      const secret = secretOf()
      const headers = signed(secret)
      const event = yield* verifyWebhook(secret, headers, body)
      assert.strictEqual(event.type, "server.liveness_changed")
      if (event.type === "server.liveness_changed") assert.strictEqual(event.data.after, "offline")
      assert.strictEqual((yield* verifyWebhook(secret, new Headers(headers), Buffer.from(body))).id, id)
      const upper = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]))
      assert.strictEqual((yield* verifyWebhook(Redacted.make(secret.slice(6)), upper, body)).place, "42")
    })
  )

  it.effect("refuses what was tampered with, is old, of the future, or of somebody else", () =>
    Effect.gen(function* () {
      yield* now
      const secret = secretOf()
      const headers = signed(secret)
      const seconds = at.epochMilliseconds / 1_000
      assert.strictEqual(yield* reasonOf(secret, headers, body.replace("offline", "online")), "signature")
      assert.strictEqual(yield* reasonOf(secret, { ...headers, "webhook-id": "another" }, body), "signature")
      assert.strictEqual(
        yield* reasonOf(secret, { ...headers, "webhook-timestamp": String(seconds + 1) }, body),
        "signature"
      )
      assert.strictEqual(yield* reasonOf(secretOf(), headers, body), "signature")
      const asymmetric = { ...headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v1a,") }
      assert.strictEqual(yield* reasonOf(secret, asymmetric, body), "signature")
      assert.strictEqual(yield* reasonOf(secret, { ...headers, "webhook-signature": "v1,%%% v1" }, body), "signature")
      assert.strictEqual(yield* reasonOf(secret, signed(secret, body, seconds - 301), body), "expired")
      assert.strictEqual(yield* reasonOf(secret, signed(secret, body, seconds + 301), body), "early")
      assert.strictEqual(
        yield* reasonOf(secret, signed(secret, body, seconds - 10), body, { toleranceSeconds: 9 }),
        "expired"
      )
      yield* verifyWebhook(secret, signed(secret, body, seconds - 300), body)
      for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
        assert.strictEqual(yield* reasonOf(secret, { ...headers, [name]: undefined }, body), "malformed")
      }
      assert.strictEqual(yield* reasonOf(secret, { ...headers, "webhook-timestamp": "1e9" }, body), "malformed")
      assert.strictEqual(yield* reasonOf("whsec_%%%", headers, body), "malformed")
      const strange = body.replace("server.liveness_changed", "server.exploded")
      assert.strictEqual(yield* reasonOf(secret, signed(secret, strange), strange), "unknown_event")
      const other = body.replace(id, "0193c0de-0000-7000-8000-00000000000f")
      assert.strictEqual(yield* reasonOf(secret, signed(secret, other), other), "unknown_event")
    })
  )

  it.effect("while a secret changes, either is believed", () =>
    Effect.gen(function* () {
      yield* now
      const [former, next] = [secretOf(), secretOf()]
      // The broker signs by both, and the receiver has one of them or both.
      const both = {
        ...signed(next),
        "webhook-signature": [next, former].map((secret) => signed(secret)["webhook-signature"]).join(" ")
      }
      for (const secrets of [former, next, [former, next], [secretOf(), former]]) {
        assert.strictEqual((yield* verifyWebhook(secrets, both, body)).id, id)
      }
      assert.strictEqual((yield* verifyWebhook([former, next], signed(next), body)).id, id)
      assert.strictEqual(yield* reasonOf([secretOf(), secretOf()], both, body), "signature")
    })
  )

  it.live("the same as a promise", () =>
    Effect.gen(function* () {
      const secret = secretOf()
      const seconds = Math.floor(Date.now() / 1_000)
      const verify = webhookVerifier([secret])
      const event = yield* Effect.promise(() => verify(signed(secret, body, seconds), body))
      assert.strictEqual(event.id, id)
      const refused = yield* Effect.promise(() =>
        verify(signed(secret, body, seconds), `${body} `).catch((error) => error)
      )
      assert.deepInclude(refused, { _tag: "WebhookRefused", reason: "signature" })
    })
  )
})
