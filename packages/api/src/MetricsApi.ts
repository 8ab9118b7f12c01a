import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { example, sample } from "./Example.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** Of the text format that Prometheus reads. */
export const expositionType = "text/plain; version=0.0.4; charset=utf-8"

/** What the fleet measures, for monitoring systems. */
export class MetricsApi extends HttpApiGroup.make("metrics")
  .add(
    HttpApiEndpoint.get("read", "/", {
      success: HttpApiSchema.StreamUint8Array({ contentType: expositionType })
    })
      .middleware(ApiTokenAuthentication)
      .annotateMerge(requires("metrics:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          answer: [
            "# TYPE broker_server_up gauge",
            `broker_server_up{server="fra-1",id="${sample.server}",group="eu/frankfurt"} 1`
          ].join("\n")
        })
      )
      .annotate(OpenApi.Summary, "Read the fleet as Prometheus does")
      .annotate(
        OpenApi.Description,
        "Prometheus' text format 0.0.4: for each server whether it is heard, its status, when it was seen last, its connections and their limit, and as `broker_metric_…` the latest of what it measures itself, each with the labels `server`, `id` and `group`; and whether the fleet guard holds any. An answer that could not be read in full ends with a cut connection, and is not to be used."
      )
  )
  .prefix("/metrics")
  .annotateMerge(
    OpenApi.annotations({ title: "Metrics", description: "For machines with an API token: the fleet in numbers." })
  ) {}
