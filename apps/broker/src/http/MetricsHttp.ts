import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { expositionType } from "@broker/api/MetricsApi"
import { Metrics } from "@broker/core/metrics/Metrics"
import { Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"

export const MetricsHttp = HttpApiBuilder.group(
  Api,
  "metrics",
  Effect.fn(function* (handlers) {
    const metrics = yield* Metrics

    return handlers.handle("read", () =>
      Effect.gen(function* () {
        const { organizationId } = yield* CurrentApiToken
        const lines = yield* metrics.exposition(organizationId)
        // A broker that stops lets it end, or cuts the connection when it takes too long: half a fleet is no answer.
        return HttpServerResponse.stream(Stream.encodeText(lines), {
          contentType: expositionType,
          headers: { "cache-control": "no-store" }
        })
      })
    )
  })
)
