import { DiscoveredServer, DiscoveryPage, DiscoveryQuery, DiscoverySort } from "@broker/domain/Discovery"
import { ServerSort } from "@broker/domain/Fleet"
import { InvalidCursor, Page, Text } from "@broker/domain/Primitives"
import { FleetServer, ServerId, ServerNotFound } from "@broker/domain/Server"
import { InvalidSearch } from "@broker/domain/ServerSearch"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ReaderAuthentication, requires } from "./Authentication.ts"
import { ifNoneMatch, sparse } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { SpentBudget } from "./RateLimiting.ts"
import { drawn, frankfurt } from "./Samples.ts"

/**
 * C8: clients, and machines that do not ask for more, see available servers as clients do; `fleet` is all of them, as
 * admins see them, for machines alone.
 */
const view = Schema.optionalKey(Schema.Literals(["available", "fleet"]))

/** What discovery takes, and what only the view of the fleet takes. */
export const ServersQuery = Schema.Struct({
  view,
  ...DiscoveryQuery.fields,
  sort: Schema.optionalKey(Schema.Literals([...new Set([...DiscoverySort.literals, ...ServerSort.literals])])),
  search: Schema.optionalKey(Text(512)),
  verified: Schema.optionalKey(Schema.Boolean),
  ...sparse
})
export type ServersQuery = typeof ServersQuery.Type

const found = { ...frankfurt, version: "1.4.3", labels: { rack: "b4" }, load: 0.01, distanceKm: 0 }

/** How clients find servers, and machines the fleet. */
export class DiscoveryApi extends HttpApiGroup.make("discovery")
  .add(
    HttpApiEndpoint.get("list", "/", {
      headers: ifNoneMatch,
      query: ServersQuery,
      success: Schema.Union([Page(FleetServer.json), DiscoveryPage]),
      error: [InvalidCursor, InvalidSearch]
    })
      .middleware(ReaderAuthentication)
      .annotateMerge(requires("servers:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { capability: "vpn", tag: "eu", near: "50.11,8.68", limit: "5" },
          answer: { items: [found], nextCursor: null },
          varies: [...drawn, "load"]
        })
      )
      .annotate(OpenApi.Summary, "Find servers")
      .annotate(
        OpenApi.Description,
        "All that is asked for has to hold. Pages are stable while the fleet changes: pass on `nextCursor` with the same query. The answer has an `ETag`; with `If-None-Match` it is 304 while nothing has changed but when servers were last seen. A machine with an API token that asks for `view=fleet` gets all servers, whatever their state, as admins see them: with status, reasons and load; `search` takes the language of the dashboard, and `near` is not for it."
      ),
    HttpApiEndpoint.get("get", "/:id", {
      params: { id: ServerId },
      headers: ifNoneMatch,
      query: Schema.Struct({ view, ...sparse }),
      success: Schema.Union([FleetServer.json, DiscoveredServer.json]),
      error: ServerNotFound
    })
      .middleware(ReaderAuthentication)
      .annotateMerge(requires("servers:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({ path: { id: sample.server }, answer: { ...found, distanceKm: null }, varies: [...drawn, "load"] })
      )
      .annotate(OpenApi.Summary, "Read a server")
      .annotate(
        OpenApi.Description,
        "One that is available, as clients see it; or any, as admins see it, for a machine that asks for `view=fleet`: its `ETag` is the one for `If-Match`."
      )
  )
  .prefix("/servers")
  .annotateMerge(
    OpenApi.annotations({
      title: "Discovery",
      description: "For clients, and for machines with an API token: find a server."
    })
  ) {}
