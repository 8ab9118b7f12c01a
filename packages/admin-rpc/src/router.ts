import { account } from "./account.ts"
import { admins } from "./admins.ts"
import { analytics } from "./analytics.ts"
import { apiTokens } from "./apiTokens.ts"
import { audit } from "./audit.ts"
import { availability } from "./availability.ts"
import { bulkActs } from "./bulkActs.ts"
import { connections } from "./connections.ts"
import { devices } from "./devices.ts"
import { fleet } from "./fleet.ts"
import { fleetGuard } from "./fleetGuard.ts"
import { groups } from "./groups.ts"
import { metrics } from "./metrics.ts"
import { monitoring } from "./monitoring.ts"
import { personalKeys } from "./personalKeys.ts"
import { registrationKeys } from "./registrationKeys.ts"
import { roles } from "./roles.ts"
import { savedViews } from "./savedViews.ts"
import { securityPolicy } from "./securityPolicy.ts"
import { servers } from "./servers.ts"
import { session } from "./session.ts"
import { signInFailures } from "./signInFailures.ts"
import { router } from "./trpc.ts"
import { users } from "./users.ts"
import { verification } from "./verification.ts"

export const adminRouter = router({
  account,
  admins,
  analytics,
  apiTokens,
  audit,
  availability,
  bulkActs,
  connections,
  devices,
  fleet,
  fleetGuard,
  groups,
  metrics,
  monitoring,
  personalKeys,
  registrationKeys,
  roles,
  savedViews,
  securityPolicy,
  servers,
  session,
  signInFailures,
  users,
  verification
})

export type AdminRouter = typeof adminRouter
