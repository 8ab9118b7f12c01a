import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import { AuditLog } from "@broker/core/audit/AuditLog"
import { NotSignedIn } from "@broker/domain/AdminSession"
import { PermissionMissing } from "@broker/domain/Permission"
import { DateTime, Deferred, Effect, Option, Schedule, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { AuditExportApi } from "./AuditExportApi.ts"
import { Closing } from "./Listener.ts"
import { requestActor } from "./RequestActor.ts"
import * as SessionCookie from "./SessionCookie.ts"

const contentTypes = { csv: "text/csv; charset=utf-8; header=present", json: "application/x-ndjson" }
/** How soon an export ends after its session did, or after its admin may no longer export. */
const lookAtSessionEvery = "2 seconds"

const extensions = { csv: "csv", json: "ndjson" }

export const AuditHttp = HttpApiBuilder.group(
  AuditExportApi,
  "audit",
  Effect.fn(function* (handlers) {
    const sessions = yield* AdminSessions
    const audit = yield* Audit
    const log = yield* AuditLog
    const closing = yield* Closing

    const whoever = Effect.gen(function* () {
      yield* SessionCookie.sameSite
      const ticket = yield* SessionCookie.read
      if (Option.isNone(ticket)) return yield* new NotSignedIn()
      return { ticket: ticket.value, admin: yield* sessions.authenticate(ticket.value) }
    })

    return handlers.handle("export", ({ query }) =>
      Effect.gen(function* () {
        const { admin, ticket } = yield* whoever
        const { id, name, organizationId } = admin
        const actor = yield* requestActor({ kind: "admin", id, name })
        const permission = "audit:export"
        if (!admin.permissions.has(permission)) {
          yield* audit
            .record({
              organizationId,
              action: permission,
              subjectKind: "endpoint",
              subjectId: null,
              outcome: "refused",
              details: { endpoint: "GET /rpc/audit/export", role: admin.roleName }
            })
            .pipe(Effect.provideService(Actor, actor))
          return yield* new PermissionMissing({ permission })
        }
        const { format, ...asked } = query
        const lines = log
          .export(
            organizationId,
            {
              from: null,
              to: null,
              text: "",
              action: null,
              actorKinds: [],
              actorId: null,
              subjectKind: null,
              subjectId: null,
              outcome: null,
              ...asked
            },
            format
          )
          .pipe(Stream.provideService(Actor, actor), Stream.encodeText)
        const day = DateTime.formatIso(yield* DateTime.now).slice(0, 10)
        const over = sessions.look(ticket).pipe(
          Effect.map(Option.exists(({ permissions }) => permissions.has(permission))),
          // As long as nobody can tell, it is not over.
          Effect.catchDefect(() => Effect.succeed(true)),
          Effect.repeat({ while: (goesOn) => goesOn, schedule: Schedule.spaced(lookAtSessionEvery) })
        )
        const cut = Effect.raceFirst(Deferred.await(closing.begun), over)
        // Cut short, it lacks its last line.
        return HttpServerResponse.stream(Stream.interruptWhen(lines, cut), {
          headers: {
            "content-type": contentTypes[format],
            "content-disposition": `attachment; filename="audit-log-${day}.${extensions[format]}"`,
            "cache-control": "no-store"
          }
        })
      })
    )
  })
)
