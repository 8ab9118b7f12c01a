/** Traces of every request, statement and job, for whoever runs an OpenTelemetry collector. */
import { Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { OtlpSerialization, OtlpTracer } from "effect/observability"
import { version } from "./version.ts"

/** Nothing without a collector's address. */
export const layer = (collector: string | undefined) =>
  collector === undefined
    ? Layer.empty
    : OtlpTracer.layer({
        url: `${collector}/v1/traces`,
        resource: { serviceName: "broker", serviceVersion: version },
        exportInterval: "2 seconds"
      }).pipe(Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]))
