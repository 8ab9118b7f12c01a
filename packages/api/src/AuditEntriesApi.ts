import { ActorKind, AuditEntry, Outcome, SubjectKind } from "@broker/domain/AuditEntry"
import { InvalidCursor, Moment, Page, Text, Uuid } from "@broker/domain/Primitives"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, requires } from "./Authentication.ts"
import { paged } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** All that is given has to hold. */
const AuditEntriesQuery = Schema.Struct({
  from: Schema.optionalKey(Moment),
  to: Schema.optionalKey(Moment),
  text: Schema.optionalKey(Text(128)),
  action: Schema.optionalKey(Text(64)),
  /** May be repeated: any of them. */
  actorKind: Schema.optionalKey(Schema.ArrayEnsure(ActorKind)),
  actorId: Schema.optionalKey(Uuid),
  subjectKind: Schema.optionalKey(SubjectKind),
  subjectId: Schema.optionalKey(Uuid),
  outcome: Schema.optionalKey(Outcome),
  ...paged
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
      .annotateMerge(
        example({
          query: { action: "users:create", limit: "10" },
          answer: {
            items: [
              {
                seq: 9,
                at: "2026-11-22T10:08:00.000Z",
                actorKind: "admin",
                actorId: sample.admin,
                actorName: "grace",
                address: "203.0.113.20",
                requestId: "019ab8f0-5a00-7c1d-8e2f-3a4b5c6d7e14",
                action: "users:create",
                subjectKind: "user",
                subjectId: sample.user,
                outcome: "done",
                details: { name: "Ada Lovelace", email: "ada@example.com" },
                changes: [
                  {
                    table: "users",
                    id: sample.user,
                    before: null,
                    after: {
                      id: sample.user,
                      name: "Ada Lovelace",
                      note: "",
                      email: "ada@example.com",
                      state: "active",
                      created_at: "2026-11-22T10:08:00.000+00:00",
                      state_since: "2026-11-22T10:08:00.000+00:00",
                      state_reason: null,
                      organization_id: "00000000-0000-7000-8000-000000000001"
                    }
                  }
                ],
                hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
              }
            ],
            nextCursor: null
          },
          varies: ["seq", "address", "hash"]
        })
      )
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
