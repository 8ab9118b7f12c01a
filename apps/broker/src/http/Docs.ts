/** The public API as OpenAPI, and a page to read and try it. Both come from the definition that serves requests. */
import { Effect, type Layer } from "effect"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { type HttpApi, type HttpApiGroup, HttpApiScalar, OpenApi } from "effect/http-api"
import * as Static from "./Static.ts"

/** Scalar's page without what would lead to, or load from, Scalar's own site. */
const appearance = {
  withDefaultFonts: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  telemetry: false
} as const

/** The page asks nothing of other hosts, and runs only the scripts it was made with. */
const pageHeaders = (html: string) => ({
  "cache-control": "no-cache",
  "content-security-policy": [
    "default-src 'none'",
    `script-src ${Static.scriptHashes(html)}`,
    "style-src 'unsafe-inline'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join("; ")
})

/** Effect's page comes as a route. Asked for once here, so that it can be compressed and get a CSP of its own. */
const pageOf = Effect.fnUntraced(function* (route: Layer.Layer<never, never, HttpRouter.HttpRouter>) {
  const app = yield* HttpRouter.toHttpEffect(route)
  const response = yield* Effect.provideService(
    Effect.orDie(app),
    HttpServerRequest.HttpServerRequest,
    HttpServerRequest.fromWeb(new Request("http://localhost/docs"))
  )
  const body = response.body._tag === "Uint8Array" ? response.body.body : new Uint8Array()
  return yield* Static.compressed(body, "text/html; charset=utf-8", pageHeaders(new TextDecoder().decode(body)))
}, Effect.scoped)

/** Serves `/docs` and `/api/v1/openapi.json`. The page has 3 MB and is made when it is first asked for. */
export const layer = <Id extends string, Groups extends HttpApiGroup.Constraint>(api: HttpApi.HttpApi<Id, Groups>) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const page = yield* Effect.cached(pageOf(HttpApiScalar.layer(api, { path: "/docs", scalar: appearance })))
      const spec = yield* Static.compressed(
        new TextEncoder().encode(JSON.stringify(OpenApi.fromApi(api))),
        "application/json",
        { "cache-control": "no-cache" }
      )
      yield* router.add("GET", "/docs", (request) => Effect.map(page, (made) => Static.respond(made, request)))
      yield* router.add("GET", "/api/v1/openapi.json", (request) => Effect.succeed(Static.respond(spec, request)))
    })
  )
