import { decodeAnalytics } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { namesOf } from "#lib/names.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { analyticsKey, toQuery } from "./query.ts"
import { parseView, spanBefore, spanOf } from "./range.ts"

export const load = kept((async ({ depends, url }) => {
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
}) satisfies PageLoad)
