/** What is asked of the broker for a view. */
import type { RouterInputs } from "#lib/rpc.ts"
import type { AnalyticsView, Span } from "./range.ts"

export const analyticsKey = "broker:analytics"

export const toQuery = (view: AnalyticsView, { from, step, to, zone }: Span): RouterInputs["analytics"]["report"] => ({
  from: new Date(from).toISOString(),
  to: new Date(to).toISOString(),
  timeZone: zone,
  step,
  by: view.by,
  serverId: view.serverId,
  userId: view.userId,
  deviceId: view.deviceId,
  platform: view.platform
})
