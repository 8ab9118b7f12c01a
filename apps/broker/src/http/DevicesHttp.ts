import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import { Devices } from "@broker/core/devices/Devices"
import { Holds } from "@broker/core/Holds"
import { Device, type DeviceId } from "@broker/domain/Device"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { asMachine, gone, makeWrites } from "./Machine.ts"
import { resource } from "./Resource.ts"

/** What clients say of their device when they sign in moves without anybody changing it. */
export const device = resource(Device.json, Device.json.fields, [
  "name",
  "platform",
  "publicKey",
  "lastSeenAt",
  "lastAddress",
  "liveConnections"
])

export const DevicesHttp = HttpApiBuilder.group(
  Api,
  "devices",
  Effect.fn(function* (handlers) {
    const devices = yield* Devices
    const holds = yield* Holds
    const { guarded } = yield* makeWrites

    const guard = Effect.fnUntraced(function* (id: DeviceId) {
      const { organizationId } = yield* CurrentApiToken
      return {
        organizationId,
        of: device,
        hold: holds.device(organizationId, id),
        read: devices.get(organizationId, id)
      }
    })

    return handlers.handleAll({
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          device.one(devices.get(organizationId, params.id), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      block: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        const blocked = devices.block(on.organizationId, id, payload.reason ?? "")
        return yield* guarded(headers, on, Effect.flatMap(blocked, device.changed))
      }, asMachine),
      unblock: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.flatMap(devices.unblock(on.organizationId, id), device.changed))
      }, asMachine),
      delete: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.as(devices.remove(on.organizationId, id), gone))
      }, asMachine)
    })
  })
)
