import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { decodeReportData, decodeReports, decodeRunsPage } from "#lib/reports.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { reportsKey, toParameters } from "./query.ts"
import { parseView, type ReportsView } from "./view.ts"
import { kindsFor } from "./words.ts"

const runsShown = 25

const shownIn = async (view: ReportsView) => {
  const { tab } = view
  switch (tab) {
    case "look":
      return { tab, report: decodeReportData(await rpc.reports.preview.query(toParameters(view))) }
    case "saved":
      return { tab, reports: decodeReports(await rpc.reports.list.query()) }
    case "made":
      return {
        tab,
        runs: decodeRunsPage(await rpc.reports.runs.query({ reportId: null, limit: runsShown, cursor: view.cursor }))
      }
  }
}

export const load = kept((async ({ depends, parent, url }) => {
  depends(reportsKey)
  const { session } = await parent()
  need(session.permissions, "reports:read")
  const asked = parseView(url.searchParams)
  const kinds = kindsFor(session.permissions)
  // Whoever may not see the first kind begins with one that they may.
  const [first] = kinds
  const kind = kinds.includes(asked.kind) ? asked.kind : first
  if (kind === undefined) return { view: asked, kinds, shown: null }
  const view = { ...asked, kind }
  return { view, kinds, shown: await shownIn(view) }
}) satisfies PageLoad)
