import { Availability } from "@broker/core/availability/Availability"
import {
  AvailabilityDay,
  AvailabilityOfServers,
  AvailabilityRange,
  BrokerOutage,
  GroupAvailability,
  ListedWindow,
  MaintenanceWindowId,
  MaintenanceWindowRequest,
  ServerAvailability
} from "@broker/domain/Availability"
import { ServerId } from "@broker/domain/Server"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const availability = router({
  ofServer: procedure("maintenance:read")
    .input(Wire.input(Schema.Struct({ id: ServerId, range: AvailabilityRange })))
    .output(Wire.output(ServerAvailability))
    .query(({ ctx, input }) =>
      ctx.run(Availability.use((all) => all.ofServer(ctx.admin.organizationId, input.id, input.range)))
    ),

  ofServers: procedure("maintenance:read")
    .input(Wire.input(AvailabilityOfServers))
    .output(Wire.output(Schema.Record(Schema.String, Schema.Array(AvailabilityDay))))
    .query(({ ctx, input }) =>
      ctx.run(Availability.use((all) => all.ofServers(ctx.admin.organizationId, input.ids, input.range)))
    ),

  ofGroups: procedure("maintenance:read")
    .input(Wire.input(AvailabilityRange))
    .output(Wire.output(Schema.Array(GroupAvailability)))
    .query(({ ctx, input }) => ctx.run(Availability.use((all) => all.ofGroups(ctx.admin.organizationId, input)))),

  outages: procedure("maintenance:read")
    .input(Wire.input(AvailabilityRange))
    .output(Wire.output(Schema.Array(BrokerOutage)))
    .query(({ ctx, input }) => ctx.run(Availability.use((all) => all.outages(input)))),

  windows: procedure("maintenance:read")
    .output(Wire.output(Schema.Array(ListedWindow.json)))
    .query(({ ctx }) => ctx.run(Availability.use((all) => all.windows(ctx.admin.organizationId)))),

  announce: procedure("maintenance:create")
    .input(Wire.input(MaintenanceWindowRequest))
    .output(Wire.output(ListedWindow.json))
    .mutation(({ ctx, input }) => ctx.run(Availability.use((all) => all.announce(ctx.admin.organizationId, input)))),

  callOff: procedure("maintenance:delete")
    .input(Wire.input(Schema.Struct({ id: MaintenanceWindowId })))
    .mutation(({ ctx, input }) => ctx.run(Availability.use((all) => all.callOff(ctx.admin.organizationId, input.id))))
})
