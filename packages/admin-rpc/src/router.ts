import { analytics } from "./analytics.ts"
import { connections } from "./connections.ts"
import { devices } from "./devices.ts"
import { fleet } from "./fleet.ts"
import { personalKeys } from "./personalKeys.ts"
import { registrationKeys } from "./registrationKeys.ts"
import { servers } from "./servers.ts"
import { session } from "./session.ts"
import { router } from "./trpc.ts"
import { users } from "./users.ts"

export const adminRouter = router({
  analytics,
  connections,
  devices,
  fleet,
  personalKeys,
  registrationKeys,
  servers,
  session,
  users
})

export type AdminRouter = typeof adminRouter
