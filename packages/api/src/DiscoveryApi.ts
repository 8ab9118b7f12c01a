import { DiscoveredServer, DiscoveryPage, DiscoveryQuery } from "@broker/domain/Discovery"
import { InvalidCursor } from "@broker/domain/Primitives"
import { ServerId, ServerNotFound } from "@broker/domain/Server"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ReaderAuthentication, requires } from "./Authentication.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** An entity tag that the client has seen (RFC 9110). */
const conditional = { "if-none-match": Schema.optionalKey(Schema.String) }

/** How clients find servers. */
export class DiscoveryApi extends HttpApiGroup.make("discovery")
  .add(
    HttpApiEndpoint.get("list", "/", {
      headers: conditional,
      query: DiscoveryQuery,
      success: DiscoveryPage,
      error: InvalidCursor
    })
      .middleware(ReaderAuthentication)
      .annotateMerge(requires("servers:read"))
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Find servers that are available")
      .annotate(
        OpenApi.Description,
        "All that is asked for has to hold. Pages are stable while the fleet changes: pass on `nextCursor` with the same query. The answer has an `ETag`; with `If-None-Match` it is 304 while nothing has changed but when servers were last seen."
      ),
    HttpApiEndpoint.get("get", "/:id", {
      params: { id: ServerId },
      headers: conditional,
      success: DiscoveredServer.json,
      error: ServerNotFound
    })
      .middleware(ReaderAuthentication)
      .annotateMerge(requires("servers:read"))
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Read one server that is available")
  )
  .prefix("/servers")
  .annotateMerge(
    OpenApi.annotations({
      title: "Discovery",
      description: "For clients, and for machines with an API token: find a server."
    })
  ) {}
