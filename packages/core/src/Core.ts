/** Every service of the broker, on whichever database is provided. */
import { Layer } from "effect"
import { Admins } from "./admins/Admins.ts"
import { Challenges } from "./challenges/Challenges.ts"
import { Fleet } from "./fleet/Fleet.ts"
import { Heartbeats } from "./heartbeats/Heartbeats.ts"
import { Liveness } from "./heartbeats/Liveness.ts"
import { Idempotency } from "./Idempotency.ts"
import { Nodes } from "./nodes/Nodes.ts"
import { RegistrationKeys } from "./registration-keys/RegistrationKeys.ts"
import { Registrations } from "./servers/Registrations.ts"
import { Servers } from "./servers/Servers.ts"
import { ServerTokens } from "./servers/ServerTokens.ts"

export const layer = Layer.mergeAll(
  Admins.layer,
  Fleet.layer,
  Heartbeats.layer,
  Idempotency.layer,
  Liveness.layer,
  Servers.layer,
  Registrations.layer
).pipe(
  Layer.provideMerge(Layer.mergeAll(Challenges.layer, RegistrationKeys.layer, Nodes.layer)),
  Layer.provideMerge(ServerTokens.layer)
)

export type Services = Layer.Success<typeof layer>
