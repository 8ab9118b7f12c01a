/** Every service of the broker, on whichever database is provided. */
import { Layer } from "effect"
import { Admins } from "./admins/Admins.ts"
import { Analytics } from "./analytics/Analytics.ts"
import { Challenges } from "./challenges/Challenges.ts"
import { ClientSessions } from "./client-sessions/ClientSessions.ts"
import { Connections } from "./connections/Connections.ts"
import { Cuts } from "./connections/Cuts.ts"
import { Devices } from "./devices/Devices.ts"
import { Discovery } from "./discovery/Discovery.ts"
import { Fleet } from "./fleet/Fleet.ts"
import { Heartbeats } from "./heartbeats/Heartbeats.ts"
import { Liveness } from "./heartbeats/Liveness.ts"
import { Idempotency } from "./Idempotency.ts"
import { Nodes } from "./nodes/Nodes.ts"
import { PersonalKeys } from "./personal-keys/PersonalKeys.ts"
import { RegistrationKeys } from "./registration-keys/RegistrationKeys.ts"
import { Registrations } from "./servers/Registrations.ts"
import { Servers } from "./servers/Servers.ts"
import { ServerTokens } from "./servers/ServerTokens.ts"
import { SigningKeys } from "./signing-keys/SigningKeys.ts"
import { Users } from "./users/Users.ts"

export const layer = Layer.mergeAll(
  Admins.layer,
  Analytics.layer,
  Devices.layer,
  Fleet.layer,
  Heartbeats.layer,
  Idempotency.layer,
  Liveness.layer,
  PersonalKeys.layer,
  Registrations.layer,
  Servers.layer,
  Users.layer
).pipe(
  Layer.provideMerge(ClientSessions.layer),
  Layer.provideMerge(Connections.layer),
  Layer.provideMerge(Layer.mergeAll(Challenges.layer, Discovery.layer, RegistrationKeys.layer, Nodes.layer)),
  Layer.provideMerge(Layer.mergeAll(Cuts.layer, ServerTokens.layer, SigningKeys.layer))
)

export type Services = Layer.Success<typeof layer>
