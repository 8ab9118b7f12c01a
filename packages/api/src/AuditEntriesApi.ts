import { ActorKind, AuditEntry, Outcome, SubjectKind } from "@broker/domain/AuditEntry"
import { InvalidCursor, Page, PageLimit, Text, Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** All that is given has to hold. */
const AuditEntriesQuery = Schema.Struct({
  from: Schema.optionalKey(Schema.DateTimeUtcFromString),
  to: Schema.optionalKey(Schema.DateTimeUtcFromString),
  text: Schema.optionalKey(Text(128)),
  action: Schema.optionalKey(Text(64)),
  /** May be repeated: any of them. */
  actorKind: Schema.optionalKey(Schema.ArrayEnsure(ActorKind)),
  actorId: Schema.optionalKey(Uuid),
  subjectKind: Schema.optionalKey(SubjectKind),
  subjectId: Schema.optionalKey(Uuid),
  outcome: Schema.optionalKey(Outcome),
  limit: Schema.optionalKey(PageLimit),
  cursor: Schema.optionalKey(Text(512))
})

/** Who did what, for log collectors. */
export class AuditEntriesApi extends HttpApiGroup.make("auditEntries")
  .add(
    HttpApiEndpoint.get("list", "/", {
      query: AuditEntriesQuery,
      success: Page(AuditEntry),
      error: InvalidCursor
    })
      .middleware(ApiTokenAuthentication)
      .annotateMerge(requires("audit:read"))
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Read the audit log, the newest first")
      .annotate(
        OpenApi.Description,
        "`seq` numbers the entries of an organization without a gap: whoever collects them goes on until an entry it has. Reading is recorded too."
      )
  )
  .prefix("/audit-entries")
  .annotateMerge(
    OpenApi.annotations({ title: "Audit log", description: "For machines with an API token: who did what." })
  ) {}
