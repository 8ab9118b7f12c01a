import { Metrics } from "@broker/core/metrics/Metrics"
import { MetricsAnswer, MetricsQuery } from "@broker/domain/Metric"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const metrics = router({
  query: procedure("metrics:read")
    .input(Wire.input(MetricsQuery))
    .output(Wire.output(MetricsAnswer))
    .query(({ ctx, input }) => ctx.run(Metrics.use((metrics) => metrics.query(ctx.admin.organizationId, input))))
})
