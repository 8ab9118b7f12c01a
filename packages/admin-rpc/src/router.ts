import { fleet } from "./fleet.ts"
import { registrationKeys } from "./registrationKeys.ts"
import { servers } from "./servers.ts"
import { session } from "./session.ts"
import { router } from "./trpc.ts"

export const adminRouter = router({ fleet, registrationKeys, servers, session })

export type AdminRouter = typeof adminRouter
