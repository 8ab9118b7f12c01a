import * as ReportFile from "@broker/core/reports/ReportFile"
import { Reports } from "@broker/core/reports/Reports"
import { Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import * as Downloading from "./Downloading.ts"
import { ReportFilesApi } from "./ReportFilesApi.ts"

export const ReportFilesHttp = HttpApiBuilder.group(
  ReportFilesApi,
  "reportFiles",
  Effect.fn(function* (handlers) {
    const reports = yield* Reports
    const admit = yield* Downloading.make

    return handlers.handle("download", ({ params: { format, id } }) =>
      Effect.gen(function* () {
        const { admin, cut } = yield* admit("reports:read", "GET /rpc/reports/runs/:id/:format")
        const { bytes, content, name, type } = yield* reports.file(admin, id, format)
        return HttpServerResponse.stream(Stream.interruptWhen(content, cut), {
          contentType: type,
          contentLength: bytes,
          headers: {
            "content-disposition": ReportFile.disposition(name),
            "cache-control": "no-store"
          }
        })
      })
    )
  })
)
