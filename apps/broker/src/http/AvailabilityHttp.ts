import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Availability } from "@broker/core/availability/Availability"
import { FleetGuards } from "@broker/core/fleet-guard/FleetGuards"
import { Verification } from "@broker/core/verification/Verification"
import { BrokerOutage, GroupAvailability, ListedWindow } from "@broker/domain/Availability"
import { FleetGuard } from "@broker/domain/FleetGuard"
import { DateTime, Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { verifiedServer } from "./FleetHttp.ts"
import { pageOf, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const groupAvailability = resource(GroupAvailability, GroupAvailability.fields)
const outage = resource(BrokerOutage, BrokerOutage.fields)
const maintenanceWindow = resource(ListedWindow.json, ListedWindow.json.fields)
const fleetGuard = resource(FleetGuard, FleetGuard.fields)

export const AvailabilityHttp = HttpApiBuilder.group(
  Api,
  "availability",
  Effect.fn(function* (handlers) {
    const availability = yield* Availability
    const guards = yield* FleetGuards
    const verification = yield* Verification

    return handlers.handleAll({
      ofGroups: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          groupAvailability.page(
            pageOf(availability.ofGroups(organizationId, query), query, ({ groupId }) => groupId ?? ""),
            query.fields
          )
        ),
      outages: ({ query }) =>
        outage.page(
          pageOf(availability.outages(query), query, ({ beganAt }) => DateTime.formatIso(beganAt)),
          query.fields
        ),
      windows: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          maintenanceWindow.page(
            pageOf(availability.windows(organizationId), query, ({ id }) => id),
            query.fields
          )
        ),
      verification: ({ query: { cursor, fields, groupId, limit, list } }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          verifiedServer.page(
            verification.list(organizationId, {
              list,
              groupId: groupId ?? null,
              limit: limit ?? usualLimit,
              cursor: cursor ?? null
            }),
            fields
          )
        ),
      fleetGuards: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          fleetGuard.page(
            pageOf(guards.list(organizationId), query, ({ id }) => id),
            query.fields
          )
        )
    })
  })
)
