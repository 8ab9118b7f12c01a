/** Who downloads a file by a plain route of the dashboard, whether they may, and until when. */
import { AdminSessions } from "@broker/core/admin-sessions/AdminSessions"
import { Actor } from "@broker/core/audit/Actor"
import { Audit } from "@broker/core/audit/Audit"
import { NotSignedIn } from "@broker/domain/AdminSession"
import { type Permission, PermissionMissing } from "@broker/domain/Permission"
import { Deferred, Effect, Option, Schedule } from "effect"
import { Closing } from "./Listener.ts"
import { requestActor } from "./RequestActor.ts"
import * as SessionCookie from "./SessionCookie.ts"

/** How soon a download ends after its session did, or after its admin may no longer have it. */
const lookAtSessionEvery = "2 seconds"

export const make = Effect.gen(function* () {
  const sessions = yield* AdminSessions
  const audit = yield* Audit
  const closing = yield* Closing

  /** Refuses whoever has not the permission, which is recorded (A6). */
  return Effect.fn("Downloading.admit")(function* (permission: Permission, endpoint: string) {
    yield* SessionCookie.sameSite
    const found = yield* SessionCookie.read
    if (Option.isNone(found)) return yield* new NotSignedIn()
    const ticket = found.value
    const admin = yield* sessions.authenticate(ticket)
    const { id, name, organizationId } = admin
    const actor = yield* requestActor({ kind: "admin", id, name })
    if (!admin.permissions.has(permission)) {
      yield* audit
        .record({
          organizationId,
          action: permission,
          subjectKind: "endpoint",
          subjectId: null,
          outcome: "refused",
          details: { endpoint, role: admin.roleName }
        })
        .pipe(Effect.provideService(Actor, actor))
      return yield* new PermissionMissing({ permission })
    }
    const over = sessions.look(ticket).pipe(
      Effect.map(Option.exists(({ permissions }) => permissions.has(permission))),
      // As long as nobody can tell, it is not over.
      Effect.catchDefect(() => Effect.succeed(true)),
      Effect.repeat({ while: (goesOn) => goesOn, schedule: Schedule.spaced(lookAtSessionEvery) })
    )
    /** When what is on its way has to end. */
    const cut = Effect.raceFirst(Deferred.await(closing.begun), over)
    return { admin, actor, cut }
  })
})
