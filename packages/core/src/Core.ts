/** Every service of the broker, on whichever database is provided. */
import { Layer } from "effect"
import { Account } from "./account/Account.ts"
import { AdminLinks } from "./admin-links/AdminLinks.ts"
import { AdminSessions } from "./admin-sessions/AdminSessions.ts"
import { Ceremonies } from "./admin-sessions/Ceremonies.ts"
import { Admins } from "./admins/Admins.ts"
import { Analytics } from "./analytics/Analytics.ts"
import { ApiTokens } from "./api-tokens/ApiTokens.ts"
import { Audit } from "./audit/Audit.ts"
import { AuditLog } from "./audit/AuditLog.ts"
import { Availability } from "./availability/Availability.ts"
import { BulkActs } from "./bulk-acts/BulkActs.ts"
import { Challenges } from "./challenges/Challenges.ts"
import { ClientSessions } from "./client-sessions/ClientSessions.ts"
import { Connections } from "./connections/Connections.ts"
import { Cuts } from "./connections/Cuts.ts"
import { Encryption } from "./crypto/Encryption.ts"
import { Devices } from "./devices/Devices.ts"
import { Discovery } from "./discovery/Discovery.ts"
import { Events } from "./events/Events.ts"
import { Fleet } from "./fleet/Fleet.ts"
import { FleetGuards } from "./fleet-guard/FleetGuards.ts"
import { Groups } from "./groups/Groups.ts"
import { Holds } from "./Holds.ts"
import { Heartbeats } from "./heartbeats/Heartbeats.ts"
import { Liveness } from "./heartbeats/Liveness.ts"
import { Idempotency } from "./Idempotency.ts"
import { Inventory } from "./inventory/Inventory.ts"
import { KeptAnswers } from "./KeptAnswers.ts"
import { Metrics } from "./metrics/Metrics.ts"
import { Monitoring } from "./monitoring/Monitoring.ts"
import { Nodes } from "./nodes/Nodes.ts"
import { PersonalKeys } from "./personal-keys/PersonalKeys.ts"
import { RateLimits } from "./rate-limits/RateLimits.ts"
import { RegistrationKeys } from "./registration-keys/RegistrationKeys.ts"
import { Reports } from "./reports/Reports.ts"
import { Roles } from "./roles/Roles.ts"
import { SavedViews } from "./saved-views/SavedViews.ts"
import { Passkeys } from "./second-factors/Passkeys.ts"
import { SecondFactors } from "./second-factors/SecondFactors.ts"
import { SecurityEvents } from "./security-events/SecurityEvents.ts"
import { SecurityPolicies } from "./security-policies/SecurityPolicies.ts"
import { ServerNotes } from "./server-notes/ServerNotes.ts"
import { Registrations } from "./servers/Registrations.ts"
import { Servers } from "./servers/Servers.ts"
import { ServerTokens } from "./servers/ServerTokens.ts"
import { SignInDefence } from "./sign-in-defence/SignInDefence.ts"
import { SigningKeys } from "./signing-keys/SigningKeys.ts"
import { SingleSignOn } from "./single-sign-on/SingleSignOn.ts"
import { Users } from "./users/Users.ts"
import { CapabilityChecks } from "./verification/CapabilityChecks.ts"
import { Forks } from "./verification/Forks.ts"
import { Verification } from "./verification/Verification.ts"
import { Deliveries } from "./webhooks/Deliveries.ts"
import { Webhooks } from "./webhooks/Webhooks.ts"

/** Who may do what, and how they prove who they are. */
const access = Layer.mergeAll(Account.layer, SingleSignOn.layer).pipe(
  Layer.provideMerge(Layer.mergeAll(AdminLinks.layer, Admins.layer)),
  Layer.provideMerge(Layer.mergeAll(Roles.layer, SecurityPolicies.layer)),
  Layer.provideMerge(ApiTokens.layer),
  Layer.provideMerge(AdminSessions.layer),
  Layer.provideMerge(Passkeys.layer),
  Layer.provideMerge(SecondFactors.layer),
  Layer.provideMerge(Layer.mergeAll(Ceremonies.layer, SignInDefence.layer, AuditLog.layer, RateLimits.layer))
)

export const layer = Layer.mergeAll(
  access,
  Analytics.layer,
  Availability.layer,
  BulkActs.layer,
  Devices.layer,
  Events.layer,
  Fleet.layer,
  Metrics.layer,
  Monitoring.layer,
  SavedViews.layer,
  ServerNotes.layer,
  Verification.layer,
  Heartbeats.layer,
  Holds.layer,
  Idempotency.layer,
  Inventory.layer,
  KeptAnswers.layer,
  Liveness.layer,
  PersonalKeys.layer,
  Registrations.layer,
  Reports.layer,
  SecurityEvents.layer,
  Servers.layer,
  Users.layer,
  Deliveries.layer,
  Webhooks.layer
).pipe(
  Layer.provideMerge(Layer.mergeAll(ClientSessions.layer, FleetGuards.layer, Groups.layer)),
  Layer.provideMerge(Connections.layer),
  Layer.provideMerge(
    Layer.mergeAll(Challenges.layer, CapabilityChecks.layer, Discovery.layer, Forks.layer, RegistrationKeys.layer)
  ),
  Layer.provideMerge(Layer.mergeAll(Cuts.layer, Nodes.layer, ServerTokens.layer, SigningKeys.layer)),
  Layer.provideMerge(Encryption.layer),
  Layer.provideMerge(Audit.layer)
)

export type Services = Layer.Success<typeof layer>
