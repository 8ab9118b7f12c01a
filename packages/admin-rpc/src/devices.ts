import { Devices } from "@broker/core/devices/Devices"
import { Device, DeviceId } from "@broker/domain/Device"
import { Text } from "@broker/domain/Primitives"
import { UserId } from "@broker/domain/User"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

const Id = Wire.input(Schema.Struct({ id: DeviceId }))
const One = Wire.output(Device.json)

export const devices = router({
  /** Of one user. */
  list: procedure("users:read")
    .input(Wire.input(Schema.Struct({ userId: UserId })))
    .output(Wire.output(Schema.Array(Device.json)))
    .query(({ ctx, input }) => ctx.run(Devices.use((devices) => devices.list(ctx.admin.organizationId, input.userId)))),

  block: procedure("devices:block")
    .input(Wire.input(Schema.Struct({ id: DeviceId, reason: Text(256) })))
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Devices.use((devices) => devices.block(ctx.admin.organizationId, input.id, input.reason)))
    ),

  unblock: procedure("devices:block")
    .input(Id)
    .output(One)
    .mutation(({ ctx, input }) =>
      ctx.run(Devices.use((devices) => devices.unblock(ctx.admin.organizationId, input.id)))
    ),

  remove: procedure("devices:block")
    .input(Id)
    .mutation(({ ctx, input }) => ctx.run(Devices.use((devices) => devices.remove(ctx.admin.organizationId, input.id))))
})
