import { Analytics } from "@broker/core/analytics/Analytics"
import { type AnalyticsDimension, AnalyticsQuery, Analytics as Report } from "@broker/domain/Analytics"
import { type Permission, PermissionMissing } from "@broker/domain/Permission"
import { toTRPCError } from "./errors.ts"
import { procedure, router } from "./trpc.ts"
import * as Wire from "./wire.ts"

/** Figures are for whoever may see analytics; whose they are, for whoever may see users and servers. */
const naming: Partial<Record<AnalyticsDimension, Permission>> = { user: "users:read", server: "servers:read" }

export const analytics = router({
  report: procedure("analytics:read")
    .input(Wire.input(AnalyticsQuery))
    .output(Wire.output(Report))
    .query(async ({ ctx, input }) => {
      const { permissions } = ctx.admin
      if ((input.userId !== null || input.deviceId !== null) && !permissions.has("users:read")) {
        throw toTRPCError(new PermissionMissing({ permission: "users:read" }))
      }
      const report = await ctx.run(Analytics.use((analytics) => analytics.report(ctx.admin.organizationId, input)))
      const needed = naming[input.by]
      return needed === undefined || permissions.has(needed) ? report : { ...report, groups: [], moreGroups: 0 }
    })
})
