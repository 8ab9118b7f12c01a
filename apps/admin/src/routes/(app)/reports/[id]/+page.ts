import { ReportId } from "@broker/domain/Report"
import { error, redirect } from "@sveltejs/kit"
import { Schema } from "effect"
import { groupTree } from "#lib/groups.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { explain } from "#lib/problems.ts"
import { decodeReport, decodeRunsPage } from "#lib/reports.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { reportKey } from "./key.ts"

const isReportId = Schema.is(ReportId)
const runsShown = 25

export const load = kept((async ({ depends, params, parent, url }) => {
  depends(reportKey)
  const { session } = await parent()
  need(session.permissions, "reports:read")
  if (!isReportId(params.id)) error(404, "There is no such report")
  const cursor = url.searchParams.get("cursor")
  try {
    const [report, runs] = await Promise.all([
      rpc.reports.get.query({ id: params.id }).then(decodeReport),
      rpc.reports.runs.query({ reportId: params.id, limit: runsShown, cursor }).then(decodeRunsPage)
    ])
    const { groupId } = report.parameters
    const groups = groupId !== null && session.permissions.includes("groups:read") ? await groupTree() : []
    return { report, runs, cursor, group: groups.find(({ id }) => id === groupId)?.path ?? null }
  } catch (failure) {
    if (explain(failure).code !== "report_not_found") throw failure
    // The audit log knows one that was never saved by what was made of it.
    const made = await rpc.reports.getRun.query({ id: params.id }).catch(() => null)
    if (made !== null) redirect(307, "/reports?tab=made")
    error(404, "There is no such report")
  }
}) satisfies PageLoad)
