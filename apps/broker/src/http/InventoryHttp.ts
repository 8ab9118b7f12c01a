import { Actor } from "@broker/core/audit/Actor"
import { Inventory } from "@broker/core/inventory/Inventory"
import { DateTime, Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import * as Downloading from "./Downloading.ts"
import { InventoryExportApi } from "./InventoryExportApi.ts"

const contentTypes = { csv: "text/csv; charset=utf-8; header=present", json: "application/json" }

export const InventoryHttp = HttpApiBuilder.group(
  InventoryExportApi,
  "inventory",
  Effect.fn(function* (handlers) {
    const inventory = yield* Inventory
    const admit = yield* Downloading.make

    return handlers.handle("export", ({ query: { format } }) =>
      Effect.gen(function* () {
        const { actor, admin, cut } = yield* admit("inventory:export", "GET /rpc/inventory/export")
        const text = inventory
          .export(admin.organizationId, format)
          .pipe(Stream.provideService(Actor, actor), Stream.encodeText)
        const day = DateTime.formatIso(yield* DateTime.now).slice(0, 10)
        // A file that was cut short must not look like a whole one: the download fails.
        return HttpServerResponse.stream(Stream.interruptWhen(text, Effect.andThen(cut, Effect.interrupt)), {
          headers: {
            "content-type": contentTypes[format],
            "content-disposition": `attachment; filename="inventory-${day}.${format}"`,
            "cache-control": "no-store"
          }
        })
      })
    )
  })
)
