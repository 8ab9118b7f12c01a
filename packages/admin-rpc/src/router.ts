import { account } from "./account.ts"
import { admins } from "./admins.ts"
import { analytics } from "./analytics.ts"
import { apiTokens } from "./apiTokens.ts"
import { audit } from "./audit.ts"
import { connections } from "./connections.ts"
import { devices } from "./devices.ts"
import { fleet } from "./fleet.ts"
import { personalKeys } from "./personalKeys.ts"
import { registrationKeys } from "./registrationKeys.ts"
import { roles } from "./roles.ts"
import { securityPolicy } from "./securityPolicy.ts"
import { servers } from "./servers.ts"
import { session } from "./session.ts"
import { signInFailures } from "./signInFailures.ts"
import { router } from "./trpc.ts"
import { users } from "./users.ts"

export const adminRouter = router({
  account,
  admins,
  analytics,
  apiTokens,
  audit,
  connections,
  devices,
  fleet,
  personalKeys,
  registrationKeys,
  roles,
  securityPolicy,
  servers,
  session,
  signInFailures,
  users
})

export type AdminRouter = typeof adminRouter
