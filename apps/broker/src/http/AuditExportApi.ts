/** The audit log as a file: a plain route beside tRPC, because it streams. Not part of the public API. */
import { RequiredPermission } from "@broker/api/Authentication"
import { RateLimiting, SpentBudget } from "@broker/api/RateLimiting"
import { Validation } from "@broker/api/Validation"
import { CrossSiteRequest, NotSignedIn } from "@broker/domain/AdminSession"
import { ActorKind, AuditExportFormat, Outcome, SubjectKind } from "@broker/domain/AuditEntry"
import { PermissionMissing } from "@broker/domain/Permission"
import { Text, Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { Asks } from "./SessionsApi.ts"

/** The filter of the audit page, as its address has it. */
export const AuditExportQuery = Schema.Struct({
  format: AuditExportFormat,
  from: Schema.optionalKey(Schema.DateTimeUtcFromString),
  to: Schema.optionalKey(Schema.DateTimeUtcFromString),
  text: Schema.optionalKey(Text(128)),
  action: Schema.optionalKey(Text(64)),
  /** May be repeated: any of them. */
  actorKinds: Schema.optionalKey(Schema.ArrayEnsure(ActorKind)),
  actorId: Schema.optionalKey(Uuid),
  subjectKind: Schema.optionalKey(SubjectKind),
  subjectId: Schema.optionalKey(Uuid),
  outcome: Schema.optionalKey(Outcome)
})

export class AuditExport extends HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("export", "/audit/export", {
      query: AuditExportQuery,
      success: HttpApiSchema.StreamUint8Array(),
      error: [NotSignedIn, PermissionMissing, CrossSiteRequest]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "session")
      .annotate(RequiredPermission, "audit:export")
  )
  .prefix("/rpc") {}

export class AuditExportApi extends HttpApi.make("audit-export")
  .add(AuditExport)
  .middleware(Validation)
  .middleware(RateLimiting)
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" }) {}
