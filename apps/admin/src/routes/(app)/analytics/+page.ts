import { decodeAnalytics, decodeServer, decodeUser } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { analyticsKey, toQuery } from "./query.ts"
import { type AnalyticsView, parseView, spanBefore, spanOf } from "./range.ts"

/** How those are called that the figures are filtered by; by a stand-in where they are gone. */
const namesOf = async ({ serverId, userId }: AnalyticsView) => {
  const [user, server] = await Promise.all([
    userId === null
      ? null
      : rpc.users.get.query({ id: userId }).then(
          (json) => ({ id: userId, name: decodeUser(json).name }),
          () => ({ id: userId, name: "A user who is gone" })
        ),
    serverId === null
      ? null
      : rpc.servers.get.query({ id: serverId }).then(
          (json) => ({ id: serverId, name: decodeServer(json).name }),
          () => ({ id: serverId, name: "A server that is gone" })
        )
  ])
  return { user, server }
}

export const load: PageLoad = async ({ depends, url }) => {
  depends(analyticsKey)
  const view = parseView(url.searchParams)
  const now = Date.now()
  const span = spanOf(view, now, Intl.DateTimeFormat().resolvedOptions().timeZone)
  const [report, before, names] = await Promise.all([
    rpc.analytics.report.query(toQuery(view, span)).then(decodeAnalytics),
    rpc.analytics.report.query(toQuery(view, spanBefore(span, now))).then(decodeAnalytics),
    namesOf(view)
  ])
  return { view, span, now, report, before: before.totals, names }
}
