/** What the dashboard keeps in cookies, and the check that a request with them comes from the dashboard itself. */
import type { Browser, Ceremony, OpenSession, SignInStep } from "@broker/core/admin-sessions/AdminSessions"
import type { Ticket } from "@broker/core/admin-sessions/Ticket"
import { Installation } from "@broker/core/Installation"
import { CrossSiteRequest } from "@broker/domain/AdminSession"
import { DateTime, Duration, Effect, Option, Redacted } from "effect"
import { type Cookies, HttpServerRequest, HttpServerResponse } from "effect/http"
import { isSameOrigin } from "./SameOrigin.ts"

/**
 * The session; the sign-in or step-up that waits for its answer; and the browser, by which it is known again. Each has
 * 256 random bits, and none says anything by itself.
 */
type Kind = "session" | "ceremony" | "browser"

/** A ceremony is over before that; a browser is forgotten when it was not used for so long. */
const lifetimes = { ceremony: Duration.minutes(10), browser: Duration.days(365) }

/**
 * Over https a cookie is bound to this host and never sent in clear. Over plain http browsers would drop such a cookie
 * on any host but this machine, so there it is a plain one, and the dashboard warns.
 */
const attributesOf = (kind: Kind, audience: string) => {
  const secure = audience.startsWith("https://")
  return {
    name: secure ? `__Host-broker_${kind}` : `broker_${kind}`,
    options: { httpOnly: true, sameSite: "strict", path: "/", secure } satisfies Cookies.Cookie["options"]
  }
}

const readKind = Effect.fnUntraced(function* (kind: Kind) {
  const { name } = attributesOf(kind, (yield* Installation).audience)
  const value = (yield* HttpServerRequest.HttpServerRequest).cookies[name]
  return Option.map(Option.fromUndefinedOr(value), (text): Ticket => Redacted.make(text, { label: "ticket" }))
})

/** The secret of the request's session. */
export const read = readKind("session")

/** The secret of the sign-in or step-up that this request answers. */
export const ceremony = readKind("ceremony")

/** The browser that the request comes from. */
export const browser: Effect.Effect<Browser, never, HttpServerRequest.HttpServerRequest> = Effect.gen(function* () {
  const { headers } = yield* HttpServerRequest.HttpServerRequest
  return { userAgent: headers["user-agent"] ?? null, known: yield* readKind("browser"), former: yield* read }
})

const set = (
  response: HttpServerResponse.HttpServerResponse,
  audience: string,
  kind: Kind,
  ticket: Ticket,
  until: { readonly expires: Date } | { readonly maxAge: Duration.Duration }
) => {
  const { name, options } = attributesOf(kind, audience)
  return HttpServerResponse.setCookieUnsafe(response, name, Redacted.value(ticket), { ...options, ...until })
}

const expire = (response: HttpServerResponse.HttpServerResponse, audience: string, kind: Kind) => {
  const { name, options } = attributesOf(kind, audience)
  return HttpServerResponse.expireCookieUnsafe(response, name, options)
}

/** Puts a session into an answer; the ceremony that led to it is over. */
export const signedIn = Effect.fnUntraced(function* (
  session: OpenSession,
  response: HttpServerResponse.HttpServerResponse = HttpServerResponse.empty()
) {
  const { audience } = yield* Installation
  const expires = DateTime.toDateUtc(session.expiresAt)
  const open = expire(set(response, audience, "session", session.ticket, { expires }), audience, "ceremony")
  return session.browser === null
    ? open
    : set(open, audience, "browser", session.browser, { maxAge: lifetimes.browser })
})

/** Puts into an answer what the next step is known by. */
export const waiting = Effect.fnUntraced(function* (ticket: Ticket, response: HttpServerResponse.HttpServerResponse) {
  const { audience } = yield* Installation
  return set(response, audience, "ceremony", ticket, { maxAge: lifetimes.ceremony })
})

/** An answer that says what is still asked for, and keeps what it was asked by. */
export const asked = ({ asked, ticket }: Ceremony, body: unknown = asked) =>
  waiting(ticket, HttpServerResponse.jsonUnsafe(body))

/** Either of them. */
export const step = (step: SignInStep) => (step._tag === "Open" ? signedIn(step.session) : asked(step.ceremony))

/** An empty answer that signs out. */
export const signedOut = Effect.gen(function* () {
  const { audience } = yield* Installation
  return expire(expire(HttpServerResponse.empty(), audience, "session"), audience, "ceremony")
})

/** Refuses whatever another site's page makes a browser send. */
export const sameSite = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  const { audience } = yield* Installation
  if (!isSameOrigin(request, audience)) return yield* new CrossSiteRequest()
})
