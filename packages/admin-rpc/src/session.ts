import { permissions } from "@broker/domain/Admin"
import { Session } from "@broker/domain/Session"
import { router, signedIn } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const session = router({
  /** Who is signed in, and to what. Needs no permission but the session itself. */
  current: signedIn
    .output(Wire.output(Session))
    .query(({ ctx }) => ({ admin: ctx.admin, permissions: [...permissions[ctx.admin.role]], broker: ctx.broker }))
})
