import { brokerKey, decodeBrokerState } from "#lib/monitoring.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"

export const load: PageLoad = async ({ depends, parent }) => {
  depends(brokerKey)
  const { session } = await parent()
  need(session.permissions, "broker:read")
  return { state: decodeBrokerState(await rpc.monitoring.broker.query()) }
}
