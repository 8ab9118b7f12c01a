/** The files of reports as downloads: a plain route beside tRPC, because they stream. Not part of the public API. */
import { RequiredPermission } from "@broker/api/Authentication"
import { RateLimiting, SpentBudget } from "@broker/api/RateLimiting"
import { Validation } from "@broker/api/Validation"
import { CrossSiteRequest, NotSignedIn } from "@broker/domain/AdminSession"
import { PermissionMissing } from "@broker/domain/Permission"
import { ReportFileNotFound, ReportFormat, ReportRunId, ReportRunNotFound } from "@broker/domain/Report"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { Asks } from "./SessionsApi.ts"

export class ReportFiles extends HttpApiGroup.make("reportFiles")
  .add(
    HttpApiEndpoint.get("download", "/reports/runs/:id/:format", {
      params: { id: ReportRunId, format: ReportFormat },
      success: HttpApiSchema.StreamUint8Array({ contentType: ["application/pdf", "text/csv", "application/json"] }),
      error: [NotSignedIn, PermissionMissing, CrossSiteRequest, ReportRunNotFound, ReportFileNotFound]
    })
      .annotate(SpentBudget, "dashboard")
      .annotate(Asks, "session")
      .annotate(RequiredPermission, "reports:read")
  )
  .prefix("/rpc") {}

export class ReportFilesApi extends HttpApi.make("report-files")
  .add(ReportFiles)
  .middleware(Validation)
  .middleware(RateLimiting)
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" }) {}
