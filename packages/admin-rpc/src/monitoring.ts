import { Monitoring } from "@broker/core/monitoring/Monitoring"
import { BrokerState, FleetAt, FleetMoment, JobState } from "@broker/domain/Monitoring"
import { Schema } from "effect"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const monitoring = router({
  /** Nodes, jobs and the database are everybody's on this installation. */
  broker: procedure("broker:read")
    .output(Wire.output(BrokerState))
    .query(({ ctx }) => ctx.run(Monitoring.use((monitoring) => monitoring.broker))),

  jobs: procedure("broker:read")
    .output(Wire.output(Schema.Array(JobState)))
    .query(({ ctx }) => ctx.run(Monitoring.use((monitoring) => monitoring.jobs))),

  fleetAt: procedure("overview:read")
    .input(Wire.input(Schema.Struct({ at: Schema.NullOr(Schema.DateTimeUtcFromString) })))
    .output(Wire.output(FleetAt))
    .query(({ ctx, input }) =>
      ctx.run(Monitoring.use((monitoring) => monitoring.fleetAt(ctx.admin.organizationId, input.at)))
    ),

  trend: procedure("overview:read")
    .input(Wire.input(Schema.Struct({ from: Schema.DateTimeUtcFromString, to: Schema.DateTimeUtcFromString })))
    .output(Wire.output(Schema.Array(FleetMoment)))
    .query(({ ctx, input }) =>
      ctx.run(Monitoring.use((monitoring) => monitoring.trend(ctx.admin.organizationId, input)))
    )
})
