/** Events as a file: a plain route beside tRPC, because it streams. Not part of the public API. */
import { RequiredPermission } from "@broker/api/Authentication"
import { RateLimiting, SpentBudget } from "@broker/api/RateLimiting"
import { Validation } from "@broker/api/Validation"
import { CrossSiteRequest, NotSignedIn } from "@broker/domain/AdminSession"
import { EventsExportFormat, EventType } from "@broker/domain/Event"
import { PermissionMissing } from "@broker/domain/Permission"
import { Text, Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { Asks } from "./SessionsApi.ts"

/** The filter of the page of events, as its address has it. */
export const EventsExportQuery = Schema.Struct({
  format: EventsExportFormat,
  from: Schema.optionalKey(Schema.DateTimeUtcFromString),
  to: Schema.optionalKey(Schema.DateTimeUtcFromString),
  text: Schema.optionalKey(Text(128)),
  /** May be repeated: any of them. */
  types: Schema.optionalKey(Schema.ArrayEnsure(EventType)),
  subjectId: Schema.optionalKey(Uuid)
})

export class EventsExport extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("export", "/events/export", {
      query: EventsExportQuery,
      success: HttpApiSchema.StreamUint8Array(),
      error: [NotSignedIn, PermissionMissing, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "session")
      .annotate(RequiredPermission, "events:read")
  )
  .prefix("/rpc") {}

export class EventsExportApi extends HttpApi.make("events-export")
  .add(EventsExport)
  .middleware(Validation)
  .middleware(RateLimiting)
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" }) {}
