import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Availability } from "@broker/core/availability/Availability"
import { Challenges } from "@broker/core/challenges/Challenges"
import { Holds } from "@broker/core/Holds"
import { ServerNotes } from "@broker/core/server-notes/ServerNotes"
import { Servers } from "@broker/core/servers/Servers"
import { Verification } from "@broker/core/verification/Verification"
import { ServerAvailability } from "@broker/domain/Availability"
import type { GroupId, ServerId } from "@broker/domain/Server"
import { FleetServer } from "@broker/domain/Server"
import { ServerNote } from "@broker/domain/ServerNote"
import { CapabilityStanding, VerifiedServer } from "@broker/domain/Verification"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { makePermittedFields } from "./Authentication.ts"
import { asMachine, gone, makeWrites, pageOf, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

/** A server as admins see it. Its status, load and metrics move without anybody changing it. */
export const fleetServer = resource(FleetServer.json, FleetServer.json.fields, [
  "liveness",
  "verified",
  "verifiedAt",
  "lastSeenAt",
  "publicAddress",
  "status",
  "statusReason",
  "statusSince",
  "activeConnections",
  "liveConnections",
  "metrics",
  "heartbeatIntervalSeconds",
  "available",
  "skewSeconds",
  "falls"
])

export const verifiedServer = resource(VerifiedServer, VerifiedServer.fields)
const standing = resource(CapabilityStanding, CapabilityStanding.fields)
const availableFor = resource(ServerAvailability, ServerAvailability.fields)
const note = resource(ServerNote.json, ServerNote.json.fields)

export const FleetHttp = HttpApiBuilder.group(
  Api,
  "fleet",
  Effect.fn(function* (handlers) {
    const servers = yield* Servers
    const holds = yield* Holds
    const challenges = yield* Challenges
    const verification = yield* Verification
    const availability = yield* Availability
    const notes = yield* ServerNotes
    const permitted = yield* makePermittedFields
    const { guarded } = yield* makeWrites

    const guard = Effect.fnUntraced(function* (id: ServerId, groupId: GroupId | null = null) {
      const { organizationId } = yield* CurrentApiToken
      return {
        organizationId,
        of: fleetServer,
        hold: holds.server(organizationId, id, groupId),
        read: servers.get(organizationId, id)
      }
    })
    const changed = Effect.flatMap(fleetServer.changed)

    return handlers.handleAll({
      update: Effect.fnUntraced(function* ({ endpoint, headers, params: { id }, payload }) {
        yield* permitted(endpoint, payload)
        const on = yield* guard(id, payload.groupId ?? null)
        return yield* guarded(headers, on, changed(servers.amend(on.organizationId, id, payload)))
      }, asMachine),
      setDuty: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, changed(servers.setDuty(on.organizationId, id, payload.duty)))
      }, asMachine),
      approve: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, changed(servers.approve(on.organizationId, id)))
      }, asMachine),
      suspend: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, changed(servers.suspend(on.organizationId, id, payload.reason ?? "")))
      }, asMachine),
      retire: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, changed(servers.retire(on.organizationId, id, payload.reason ?? "")))
      }, asMachine),
      verify: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.as(challenges.request(on.organizationId, id), gone))
      }, asMachine),
      verification: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          verifiedServer.one(verification.ofServer(organizationId, params.id), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      capabilities: ({ params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          standing.page(
            pageOf(verification.capabilities(organizationId, params.id), query, ({ capability }) => capability),
            query.fields
          )
        ),
      availability: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          availableFor.one(availability.ofServer(organizationId, params.id, query), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      notes: ({ params, query: { cursor, fields, limit } }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          note.page(
            notes.list(organizationId, params.id, { limit: limit ?? usualLimit, cursor: cursor ?? null }),
            fields
          )
        )
    })
  })
)
