import type { Actor } from "@broker/core/audit/Actor"
import { Devices } from "@broker/core/devices/Devices"
import { Device, DeviceId, DeviceNotFound } from "@broker/domain/Device"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { DateTime, Effect, type Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import * as Output from "../Output.ts"
import { cutBy, cutWords } from "./cutting.ts"
import { findUser } from "./findUser.ts"
import { idOf } from "./idOf.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

type OfDevice = Common & { readonly id: string }

const encode = Schema.encodeSync(Device.json)
const encodeList = Schema.encodeSync(Schema.Array(Device.json))

const deviceId = (text: string) => idOf(DeviceId, text, () => new DeviceNotFound())

const state = ({ blockedAt, blockedReason }: Device) => {
  if (blockedAt === null) return "allowed"
  return blockedReason === null ? "blocked" : `blocked (${blockedReason})`
}

const row = (now: DateTime.Utc) => (device: Device) => [
  device.id,
  device.name,
  device.platform,
  state(device),
  `${device.liveConnections} of ${device.connectionLimit}`,
  Output.relative(device.lastSeenAt, now),
  Output.or(device.lastAddress)
]

export const list = Effect.fnUntraced(function* (flags: Common & { readonly user: string }) {
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const user = yield* findUser(flags.user)
      const devices = yield* Devices.use((devices) => devices.list(defaultOrganizationId, user.id))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        { items: encodeList(devices), nextCursor: null },
        Output.table(["ID", "NAME", "PLATFORM", "STATE", "CONNECTIONS", "LAST SEEN", "ADDRESS"], devices.map(row(now))),
        `${user.name} has no devices. A device is registered when it first signs in.`
      )
    })
  )
})

/** What a command does to one device that cuts its connections. */
const cutting = <E>(
  flags: OfDevice,
  change: (id: DeviceId) => Effect.Effect<Device, E, Devices | Actor>,
  told: (device: Device) => string
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* deviceId(flags.id)
      const { connections, subject: device } = yield* cutBy(change(id))
      yield* Output.either(flags.json, { ...encode(device), cutConnections: connections }, [
        `${told(device)} ${cutWords(connections)}`
      ])
    })
  )

export const block = (flags: OfDevice & { readonly reason: string }) =>
  cutting(
    flags,
    (id) => Devices.use((devices) => devices.block(defaultOrganizationId, id, flags.reason)),
    ({ name }) => `${name} is blocked.`
  )

export const unblock = (flags: OfDevice) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* deviceId(flags.id)
      const device = yield* Devices.use((devices) => devices.unblock(defaultOrganizationId, id))
      yield* Output.either(flags.json, encode(device), [`${device.name} may connect again.`])
    })
  )

export const remove = (flags: OfDevice) =>
  cutting(
    flags,
    (id) =>
      Effect.gen(function* () {
        const devices = yield* Devices
        const device = yield* devices.get(defaultOrganizationId, id)
        yield* devices.remove(defaultOrganizationId, id)
        return device
      }),
    ({ name }) => `${name} is forgotten.`
  )
