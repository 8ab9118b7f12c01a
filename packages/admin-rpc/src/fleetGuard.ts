import { FleetGuards } from "@broker/core/fleet-guard/FleetGuards"
import { FleetGuard, FleetGuardId } from "@broker/domain/FleetGuard"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const fleetGuard = router({
  current: procedure("fleet-guard:read")
    .output(Wire.output(Schema.NullOr(FleetGuard)))
    .query(({ ctx }) => ctx.run(FleetGuards.use((guards) => guards.current(ctx.admin.organizationId)))),

  list: procedure("fleet-guard:read")
    .output(Wire.output(Schema.Array(FleetGuard)))
    .query(({ ctx }) => ctx.run(FleetGuards.use((guards) => guards.list(ctx.admin.organizationId)))),

  confirm: procedure("fleet-guard:confirm")
    .input(Wire.input(Schema.Struct({ id: FleetGuardId })))
    .output(Wire.output(FleetGuard))
    .mutation(({ ctx, input }) =>
      ctx.run(FleetGuards.use((guards) => guards.confirm(ctx.admin.organizationId, input.id)))
    )
})
