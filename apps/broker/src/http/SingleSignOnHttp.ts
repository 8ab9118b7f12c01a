/**
 * The way to the identity provider and back, as plain pages that browsers are sent to.
 *
 * What comes back comes from another site, so the cookies that say which sign-in it belongs to are not with it, and
 * nothing is done: a page of our own sends the browser on, and that request is our own again, with its cookies.
 */
import { Actor } from "@broker/core/audit/Actor"
import { Installation } from "@broker/core/Installation"
import { callback, SingleSignOn } from "@broker/core/single-sign-on/SingleSignOn"
import { SingleSignOnFailed } from "@broker/domain/AdminSession"
import { Effect, Option } from "effect"
import { Base64Url } from "effect/encoding"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as RateLimiting from "./RateLimiting.ts"
import { requestActor } from "./RequestActor.ts"
import * as SessionCookie from "./SessionCookie.ts"

const way = "/rpc/single-sign-on"

const asStranger = Effect.provideServiceEffect(Actor, requestActor({ kind: "stranger", id: null, name: "browser" }))

/** A path of ours that a browser may be sent to afterwards; anything else is the first page. */
const landing = (to: string | null, audience: string) => {
  const url = to === null ? null : URL.parse(to, audience)
  // `//` at the begin of a path is another host to a browser, wherever the path came from.
  return url?.origin === audience && !url.pathname.startsWith("//") ? url.pathname + url.search : "/"
}

const signIn = (parameters: Readonly<Record<string, string>>) => `/sign-in?${new URLSearchParams(parameters)}`

const moved = (to: string) => HttpServerResponse.redirect(to, { status: 302 })

/** The sign-in page says what was wrong. */
const explained = ({ code }: { readonly code: string }) => Effect.succeed(moved(signIn({ problem: code })))

/** The address that was asked for, as browsers see it. */
const asked = Effect.gen(function* () {
  const { audience } = yield* Installation
  const { url } = yield* HttpServerRequest.HttpServerRequest
  return new URL(url, audience)
})

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;")

const bounce = Effect.map(asked, ({ search }) => {
  const to = `${way}/finish${search}`
  return HttpServerResponse.text(
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>Signing in</title><a href="${escaped(to)}">Continue</a></html>`,
    { contentType: "text/html; charset=utf-8", headers: { refresh: `0; url=${to}` } }
  )
})

export const SingleSignOnHttp = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { audience } = yield* Installation
    const singleSignOn = yield* SingleSignOn
    const spend = yield* RateLimiting.makeSpendByAddress

    const begin = Effect.gen(function* () {
      const to = landing((yield* asked).searchParams.get("to"), audience)
      // Whoever came by another site's link presses the button themselves.
      yield* SessionCookie.sameSite
      yield* spend("sign-in")
      const { ticket, url } = yield* singleSignOn.begin(to)
      return yield* SessionCookie.waiting(ticket, moved(url))
    }).pipe(
      Effect.catchTag("CrossSiteRequest", () => Effect.succeed(moved("/sign-in"))),
      Effect.catchTag(["RateLimited", "SingleSignOnUnavailable"], explained)
    )

    const finish = Effect.gen(function* () {
      yield* SessionCookie.sameSite
      yield* spend("sign-in")
      const ticket = yield* SessionCookie.ceremony
      if (Option.isNone(ticket)) return yield* new SingleSignOnFailed()
      const { search } = yield* asked
      const cameTo = new URL(callback + search, audience)
      const { step, to } = yield* singleSignOn.finish(ticket.value, cameTo, yield* SessionCookie.browser)
      if (step._tag === "Open") return yield* SessionCookie.signedIn(step.session, moved(to))
      // Behind the `#`, where the page reads what it has to ask, and nobody else does.
      const question = Base64Url.encode(JSON.stringify(step.ceremony.asked))
      return yield* SessionCookie.waiting(step.ceremony.ticket, moved(`${signIn({ step: "factor", to })}#${question}`))
    }).pipe(
      asStranger,
      Effect.catchTag("CrossSiteRequest", () => explained(new SingleSignOnFailed())),
      Effect.catchTag(
        ["RateLimited", "SingleSignOnFailed", "SingleSignOnRefused", "SingleSignOnUnavailable"],
        explained
      )
    )

    yield* router.add("GET", way, begin)
    yield* router.add("GET", callback, bounce)
    yield* router.add("GET", `${way}/finish`, finish)
  })
)
