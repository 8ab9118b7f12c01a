import { Actor } from "@broker/core/audit/Actor"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { DateTime, Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { AuditExportApi } from "./AuditExportApi.ts"
import * as Downloading from "./Downloading.ts"

const contentTypes = { csv: "text/csv; charset=utf-8; header=present", json: "application/x-ndjson" }

const extensions = { csv: "csv", json: "ndjson" }

export const AuditHttp = HttpApiBuilder.group(
  AuditExportApi,
  "audit",
  Effect.fn(function* (handlers) {
    const log = yield* AuditLog
    const admit = yield* Downloading.make

    return handlers.handle("export", ({ query }) =>
      Effect.gen(function* () {
        const { actor, admin, cut } = yield* admit("audit:export", "GET /rpc/audit/export")
        const { format, ...asked } = query
        const lines = log
          .export(
            admin.organizationId,
            {
              from: null,
              to: null,
              text: "",
              action: null,
              actorKinds: [],
              actorId: null,
              subjectKind: null,
              subjectId: null,
              outcome: null,
              ...asked
            },
            format
          )
          .pipe(Stream.provideService(Actor, actor), Stream.encodeText)
        const day = DateTime.formatIso(yield* DateTime.now).slice(0, 10)
        // Cut short, it lacks its last line.
        return HttpServerResponse.stream(Stream.interruptWhen(lines, cut), {
          headers: {
            "content-type": contentTypes[format],
            "content-disposition": `attachment; filename="audit-log-${day}.${extensions[format]}"`,
            "cache-control": "no-store"
          }
        })
      })
    )
  })
)
