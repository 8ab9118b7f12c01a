/** The port, the address that others know, and the mail server. */
import { Mail, MailSettings } from "@broker/core/mail/Mail"
import { DateTime, Duration, Effect, Layer, Result } from "effect"
import { inUrl, isLoopback } from "../Loopback.ts"
import * as Serving from "../Serving.ts"
import { mailServer, publicOrigin, type Reading, type Values } from "../Settings.ts"
import * as Tls from "../Tls.ts"
import { error, type Finding, ok, warning } from "./Finding.ts"

const patience = Duration.toMillis("3 seconds")

/** What the broker at an address calls itself; undefined when no broker answers there. */
const audienceAt = (origin: string) =>
  Effect.promise(async (): Promise<string | undefined> => {
    try {
      const response = await fetch(`${origin}/.well-known/broker`, { signal: AbortSignal.timeout(patience) })
      const statement: unknown = await response.json()
      return typeof statement === "object" && statement !== null && "audience" in statement
        ? String(statement.audience)
        : undefined
    } catch {
      return undefined
    }
  })

const unspecified = new Map([
  ["0.0.0.0", "127.0.0.1"],
  ["::", "[::1]"]
])

/** Free, or taken by a broker. */
export const port = Effect.fnUntraced(function* (values: Values): Effect.fn.Return<ReadonlyArray<Finding>> {
  if (values.port === 0) return [ok("port", "any free one")]
  if (yield* Serving.isFree(values.port, values.host)) return [ok("port", `${values.port} is free`)]
  const scheme = values.tlsCertFile === undefined ? "http" : "https"
  const audience = yield* audienceAt(`${scheme}://${unspecified.get(values.host) ?? inUrl(values.host)}:${values.port}`)
  if (audience === undefined) {
    return [
      error(
        "port",
        `${values.port} on ${values.host} is taken, or not ours to take`,
        "Choose another one with --port or PORT."
      )
    ]
  }
  return audience === publicOrigin(values)
    ? [ok("port", `${values.port}: the broker runs there`)]
    : [
        warning(
          "port",
          `${values.port}: a broker runs there that calls itself ${audience}`,
          "Is that the one you mean?"
        )
      ]
})

/** How long before its end a certificate should have been renewed. */
const renewal = Duration.days(14)

/** The broker's own certificate, where it has one: usable, and for how long. */
export const certificate = Effect.fnUntraced(function* ({ tlsCertFile: cert, tlsKeyFile: key }: Values) {
  if (cert === undefined || key === undefined) return []
  const pair = yield* Effect.result(Tls.load({ cert, key }))
  if (Result.isFailure(pair)) {
    return [
      error("certificate", pair.failure.message, "Set TLS_CERT_FILE and TLS_KEY_FILE to a pair that belongs together.")
    ]
  }
  const { expiresAt } = pair.success
  const left = DateTime.toEpochMillis(expiresAt) - DateTime.toEpochMillis(yield* DateTime.now)
  const day = DateTime.formatIsoDateUtc(expiresAt)
  if (left <= 0)
    return [error("certificate", `${cert} is over since ${day}`, "Renew it; the broker takes a new one by itself.")]
  return left < Duration.toMillis(renewal)
    ? [warning("certificate", `${cert} is over on ${day}`, "Renew it; the broker takes a new one by itself.")]
    : [ok("certificate", `${cert} is good until ${day}`)]
})

const proxied = (values: Values): ReadonlyArray<Finding> =>
  values.trustedProxies.length > 0 || values.tlsCertFile !== undefined
    ? []
    : [
        warning(
          "public URL",
          "it is https, so a proxy is in front, and none is trusted: every client seems to have the proxy's address",
          "Set TRUSTED_PROXIES to the proxy's address."
        )
      ]

/** What others are told to use has to lead here, and by a way that keeps their secrets. */
export const publicUrl = Effect.fnUntraced(function* ({ values }: Reading): Effect.fn.Return<ReadonlyArray<Finding>> {
  const origin = publicOrigin(values)
  const { hostname, protocol } = new URL(origin)
  if (values.publicUrl === undefined) {
    return isLoopback(values.host)
      ? [ok("public URL", `${origin}, for this machine only`)]
      : [
          warning(
            "public URL",
            `the broker listens on ${values.host}, and tells everyone to use ${origin}`,
            "Set PUBLIC_URL to the address that people and servers use, before the first server joins."
          )
        ]
  }
  const audience = yield* audienceAt(origin)
  if (audience !== undefined && audience !== origin) {
    return [
      error(
        "public URL",
        `the broker at ${origin} calls itself ${audience}`,
        "Set PUBLIC_URL to the same for all brokers."
      )
    ]
  }
  if (protocol === "http:" && !isLoopback(hostname)) {
    return [
      warning(
        "public URL",
        `${origin} is not encrypted: passwords and tokens can be read on the way, and browsers drop the session`,
        "Set TLS_CERT_FILE and TLS_KEY_FILE, or put a proxy with TLS in front; and set PUBLIC_URL to the https address."
      )
    ]
  }
  const reached = ok(
    "public URL",
    audience === undefined ? `${origin}; nobody answers there now` : `${origin} leads here`
  )
  return [reached, ...(protocol === "https:" ? proxied(values) : [])]
})

/** The mail server, where one is set up: whether it answers and lets the broker in. Nothing is sent. */
export const mail = Effect.fnUntraced(function* (values: Values): Effect.fn.Return<ReadonlyArray<Finding>> {
  const settings = mailServer(values)
  if (settings === null) return [ok("mail", "none is set up; reports are not sent")]
  const server = Mail.layer.pipe(Layer.provide(Layer.succeed(MailSettings, settings)))
  const checked = yield* Effect.result(
    Effect.provide(
      Mail.use(({ check }) => check),
      server
    )
  )
  return [
    Result.isSuccess(checked)
      ? ok("mail", `the mail server takes what ${settings.from} sends`)
      : error(
          "mail",
          `the mail server does not let the broker in: ${checked.failure.detail}`,
          "Set SMTP_URL to one that does."
        )
  ]
})
