import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Holds } from "@broker/core/Holds"
import { Servers } from "@broker/core/servers/Servers"
import type { GroupId, ServerId } from "@broker/domain/Server"
import { FleetServer } from "@broker/domain/Server"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { makePermittedFields } from "./Authentication.ts"
import { asMachine, makeWrites } from "./Machine.ts"
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

export const FleetHttp = HttpApiBuilder.group(
  Api,
  "fleet",
  Effect.fn(function* (handlers) {
    const servers = yield* Servers
    const holds = yield* Holds
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
      }, asMachine)
    })
  })
)
