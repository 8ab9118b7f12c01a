import { Api } from "@broker/api/Api"
import { CurrentReader } from "@broker/api/Authentication"
import { Discovery } from "@broker/core/discovery/Discovery"
import { DiscoveredServer, DiscoveryPage } from "@broker/domain/Discovery"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { conditional } from "./EntityTag.ts"

const page = HttpServerResponse.schemaJson(DiscoveryPage)
const one = HttpServerResponse.schemaJson(DiscoveredServer.json)

export const DiscoveryHttp = HttpApiBuilder.group(
  Api,
  "discovery",
  Effect.fn(function* (handlers) {
    const discovery = yield* Discovery

    return handlers.handleAll({
      list: ({ headers, query }) =>
        Effect.flatMap(CurrentReader, ({ organizationId }) => discovery.list(organizationId, query)).pipe(
          Effect.flatMap((found) => conditional(found.etag, headers["if-none-match"], Effect.orDie(page(found.page))))
        ),
      get: ({ headers, params }) =>
        Effect.flatMap(CurrentReader, ({ organizationId }) => discovery.get(organizationId, params.id)).pipe(
          Effect.flatMap((found) => conditional(found.etag, headers["if-none-match"], Effect.orDie(one(found.server))))
        )
    })
  })
)
