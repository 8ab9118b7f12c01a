import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import { type EventReader, Events } from "@broker/core/events/Events"
import * as EventsFile from "@broker/core/events/EventsFile"
import { catalogue, type EventsFilter, type EventType } from "@broker/domain/Event"
import { DateTime, Effect, Option, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import * as Downloading from "./Downloading.ts"
import { EventsExportApi } from "./EventsExportApi.ts"

const contentTypes = { csv: "text/csv; charset=utf-8; header=present", ndjson: "application/x-ndjson" }

const pageSize = 200

const ofAudit: EventType = "audit.recorded"

/** What the audit log says is in the file of whoever may export that, and of nobody else. */
const exporting = ({ organizationId, permissions }: EventReader): EventReader => {
  if (permissions.has("audit:export")) return { organizationId, permissions }
  const others = [...permissions].filter((permission) => permission !== catalogue[ofAudit].permission)
  return { organizationId, permissions: new Set(others) }
}

/** Then it is recorded, as every export of the audit log is (A6). */
const isOfAudit = ({ permissions }: EventReader, { types }: EventsFilter) =>
  permissions.has(catalogue[ofAudit].permission) && (types.length === 0 || types.includes(ofAudit))

export const EventsExportHttp = HttpApiBuilder.group(
  EventsExportApi,
  "events",
  Effect.fn(function* (handlers) {
    const events = yield* Events
    const audit = yield* Audit
    const admit = yield* Downloading.make

    /** The newest first, as the list has them. */
    const matching = (reader: EventReader, filter: EventsFilter) =>
      Stream.paginate(null, (cursor: string | null) =>
        // A cursor that was just given out is a sound one.
        events.list(reader, { ...filter, limit: pageSize, cursor }).pipe(
          Effect.orDie,
          Effect.map(({ items, nextCursor }) => [items, Option.fromNullishOr(nextCursor)] as const)
        )
      )

    return handlers.handle("export", ({ query }) =>
      Effect.gen(function* () {
        const { actor, admin, cut } = yield* admit("events:read", "GET /rpc/events/export")
        const { format, ...asked } = query
        const filter: EventsFilter = { from: null, to: null, types: [], subjectId: null, text: "", ...asked }
        const reader = exporting(admin)
        if (isOfAudit(reader, filter)) {
          yield* audit
            .record({
              organizationId: admin.organizationId,
              action: "audit-log:export",
              subjectKind: "audit-log",
              subjectId: null,
              details: { as: "events", format }
            })
            .pipe(Effect.provideService(Actor, actor))
        }
        const lines = EventsFile.lines(format, matching(reader, filter)).pipe(Stream.encodeText)
        const day = DateTime.formatIso(yield* DateTime.now).slice(0, 10)
        // A file that was cut short must not look like a whole one: the download fails.
        return HttpServerResponse.stream(Stream.interruptWhen(lines, Effect.andThen(cut, Effect.interrupt)), {
          headers: {
            "content-type": contentTypes[format],
            "content-disposition": `attachment; filename="events-${day}.${format}"`,
            "cache-control": "no-store"
          }
        })
      })
    )
  })
)
