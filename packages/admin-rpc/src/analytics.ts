import { Analytics } from "@broker/core/analytics/Analytics"
import { AnalyticsQuery, Analytics as Report } from "@broker/domain/Analytics"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

export const analytics = router({
  report: procedure("analytics:read")
    .input(Wire.input(AnalyticsQuery))
    .output(Wire.output(Report))
    .query(({ ctx, input }) => ctx.run(Analytics.use((analytics) => analytics.report(ctx.admin.organizationId, input))))
})
