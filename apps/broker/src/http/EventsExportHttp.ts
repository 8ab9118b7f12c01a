import { type EventReader, Events } from "@broker/core/events/Events"
import * as EventsFile from "@broker/core/events/EventsFile"
import type { EventsFilter } from "@broker/domain/Event"
import { DateTime, Effect, Option, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import * as Downloading from "./Downloading.ts"
import { EventsExportApi } from "./EventsExportApi.ts"

const contentTypes = { csv: "text/csv; charset=utf-8; header=present", ndjson: "application/x-ndjson" }

const pageSize = 200

export const EventsExportHttp = HttpApiBuilder.group(
  EventsExportApi,
  "events",
  Effect.fn(function* (handlers) {
    const events = yield* Events
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
        const { admin, cut } = yield* admit("events:read", "GET /rpc/events/export")
        const { format, ...asked } = query
        const filter = { from: null, to: null, types: [], subjectId: null, text: "", ...asked }
        const lines = EventsFile.lines(format, matching(admin, filter)).pipe(Stream.encodeText)
        const day = DateTime.formatIso(yield* DateTime.now).slice(0, 10)
        return HttpServerResponse.stream(Stream.interruptWhen(lines, cut), {
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
