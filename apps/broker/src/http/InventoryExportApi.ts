/** The inventory as a file: a plain route beside tRPC, because it streams. Not part of the public API. */
import { RequiredPermission } from "@broker/api/Authentication"
import { RateLimiting, SpentBudget } from "@broker/api/RateLimiting"
import { Validation } from "@broker/api/Validation"
import { CrossSiteRequest, NotSignedIn } from "@broker/domain/AdminSession"
import { InventoryFormat } from "@broker/domain/Inventory"
import { PermissionMissing } from "@broker/domain/Permission"
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { Asks } from "./SessionsApi.ts"

export class InventoryExport extends HttpApiGroup.make("inventory")
  .add(
    HttpApiEndpoint.get("export", "/inventory/export", {
      query: Schema.Struct({ format: InventoryFormat }),
      success: HttpApiSchema.StreamUint8Array(),
      error: [NotSignedIn, PermissionMissing, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "session")
      .annotate(RequiredPermission, "inventory:export")
  )
  .prefix("/rpc") {}

export class InventoryExportApi extends HttpApi.make("inventory-export")
  .add(InventoryExport)
  .middleware(Validation)
  .middleware(RateLimiting)
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" }) {}
