/** The dashboard's session in its cookie, and the check that a request with it comes from the dashboard itself. */
import type { OpenSession, Ticket } from "@broker/core/admins/Admins"
import { Installation } from "@broker/core/Installation"
import { CrossSiteRequest } from "@broker/domain/AdminSession"
import { DateTime, Effect, Option, Redacted } from "effect"
import { type Cookies, HttpServerRequest, HttpServerResponse } from "effect/http"

/**
 * Over https the cookie is bound to this host and never sent in clear. Over plain http browsers would drop such a
 * cookie on any host but this machine, so there it is a plain one, and the dashboard warns.
 */
const attributesOf = (audience: string) => {
  const secure = audience.startsWith("https://")
  return {
    name: secure ? "__Host-broker_session" : "broker_session",
    options: { httpOnly: true, sameSite: "strict", path: "/", secure } satisfies Cookies.Cookie["options"]
  }
}

/** The secret in the request's cookie. */
export const read = Effect.gen(function* () {
  const { name } = attributesOf((yield* Installation).audience)
  const value = (yield* HttpServerRequest.HttpServerRequest).cookies[name]
  return Option.map(Option.fromUndefinedOr(value), (text): Ticket => Redacted.make(text, { label: "ticket" }))
})

/** An empty answer that signs in. */
export const given = Effect.fnUntraced(function* (session: OpenSession) {
  const { name, options } = attributesOf((yield* Installation).audience)
  return HttpServerResponse.setCookieUnsafe(HttpServerResponse.empty(), name, Redacted.value(session.ticket), {
    ...options,
    expires: DateTime.toDateUtc(session.expiresAt)
  })
})

/** An empty answer that signs out. */
export const taken = Effect.gen(function* () {
  const { name, options } = attributesOf((yield* Installation).audience)
  return HttpServerResponse.expireCookieUnsafe(HttpServerResponse.empty(), name, options)
})

/**
 * Browsers tell where a request comes from by `Sec-Fetch-Site`, but only on secure origins; elsewhere by `Origin`.
 * Whatever sends neither is no browser, and has no cookie that it did not bring itself.
 */
export const sameSite = Effect.gen(function* () {
  const { headers, method } = yield* HttpServerRequest.HttpServerRequest
  const site = headers["sec-fetch-site"]
  const { audience } = yield* Installation
  const origin = headers["origin"]
  const local = origin === undefined || origin === audience || URL.parse(origin)?.host === headers["host"]
  const safe = site === undefined ? local : site === "same-origin" || (site === "none" && method === "GET")
  if (!safe) return yield* new CrossSiteRequest()
})
