import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { AuditEntry } from "@broker/domain/AuditEntry"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { asMachine, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const auditEntry = resource(AuditEntry, AuditEntry.fields)

export const AuditEntriesHttp = HttpApiBuilder.group(
  Api,
  "auditEntries",
  Effect.fn(function* (handlers) {
    const log = yield* AuditLog

    return handlers.handle("list", ({ query }) =>
      Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
        auditEntry.page(
          log.list(organizationId, {
            from: query.from ?? null,
            to: query.to ?? null,
            text: query.text ?? "",
            action: query.action ?? null,
            actorKinds: query.actorKind ?? [],
            actorId: query.actorId ?? null,
            subjectKind: query.subjectKind ?? null,
            subjectId: query.subjectId ?? null,
            outcome: query.outcome ?? null,
            limit: query.limit ?? usualLimit,
            cursor: query.cursor ?? null
          }),
          query.fields
        )
      ).pipe(asMachine)
    )
  })
)
