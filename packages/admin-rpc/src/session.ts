import { Session } from "@broker/domain/Session"
import { router, signedIn } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const session = router({
  /** Who is signed in, and to what. Needs no permission but the session itself. */
  current: signedIn.output(Wire.output(Session)).query(({ ctx }) => ({
    admin: ctx.admin,
    permissions: [...ctx.admin.permissions],
    mustEnrol: ctx.admin.mustEnrol,
    factors: ctx.admin.factors,
    method: ctx.admin.method,
    broker: ctx.broker
  }))
})
