import { account } from "./account.ts"
import { admins } from "./admins.ts"
import { analytics } from "./analytics.ts"
import { apiTokens } from "./apiTokens.ts"
import { audit } from "./audit.ts"
import { availability } from "./availability.ts"
import { bulkActs } from "./bulkActs.ts"
import { connections } from "./connections.ts"
import { devices } from "./devices.ts"
import { events } from "./events.ts"
import { fleet } from "./fleet.ts"
import { fleetGuard } from "./fleetGuard.ts"
import { groups } from "./groups.ts"
import { inventory } from "./inventory.ts"
import { metrics } from "./metrics.ts"
import { monitoring } from "./monitoring.ts"
import { personalKeys } from "./personalKeys.ts"
import { registrationKeys } from "./registrationKeys.ts"
import { reports } from "./reports.ts"
import { roles } from "./roles.ts"
import { savedViews } from "./savedViews.ts"
import { securityPolicy } from "./securityPolicy.ts"
import { servers } from "./servers.ts"
import { session } from "./session.ts"
import { signInFailures } from "./signInFailures.ts"
import { router } from "./trpc.ts"
import { users } from "./users.ts"
import { verification } from "./verification.ts"
import { webhooks } from "./webhooks.ts"

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
  events,
  fleet,
  fleetGuard,
  groups,
  inventory,
  metrics,
  monitoring,
  personalKeys,
  registrationKeys,
  reports,
  roles,
  savedViews,
  securityPolicy,
  servers,
  session,
  signInFailures,
  users,
  verification,
  webhooks
})

export type AdminRouter = typeof adminRouter
