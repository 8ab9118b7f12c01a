/** What is done with a saved report, the same from the list and from its page. */
import { toast } from "svelte-sonner"
import { complain } from "#lib/acts.svelte.ts"
import type { ReportView } from "#lib/reports.ts"
import { rpc } from "#lib/rpc.ts"

/** Whether it is on its way. */
export const runNow = async ({ id, name }: Pick<ReportView, "id" | "name">) => {
  try {
    await rpc.reports.runSaved.mutate({ id })
    toast.success(`${name} is being made`)
    return true
  } catch (error) {
    complain(error)
    return false
  }
}
