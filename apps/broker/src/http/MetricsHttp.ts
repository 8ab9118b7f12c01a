import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { expositionType } from "@broker/api/MetricsApi"
import { Metrics } from "@broker/core/metrics/Metrics"
import { Deferred, Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Closing } from "./Listener.ts"

export const MetricsHttp = HttpApiBuilder.group(
  Api,
  "metrics",
  Effect.fn(function* (handlers) {
    const metrics = yield* Metrics
    const closing = yield* Closing

    return handlers.handle("read", () =>
      Effect.map(CurrentApiToken, ({ organizationId }) =>
        HttpServerResponse.stream(
          metrics
            .exposition(organizationId)
            .pipe(Stream.interruptWhen(Deferred.await(closing.begun)), Stream.encodeText),
          { contentType: expositionType, headers: { "cache-control": "no-store" } }
        )
      )
    )
  })
)
