import { kept } from "#lib/kept.svelte.ts"
import { brokerKey, decodeBrokerState, decodeGuards } from "#lib/monitoring.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"

export const load = kept((async ({ depends, parent }) => {
  depends(brokerKey)
  const { session } = await parent()
  need(session.permissions, "broker:read")
  const [state, guards] = await Promise.all([
    rpc.monitoring.broker.query().then(decodeBrokerState),
    session.permissions.includes("fleet-guard:read") ? rpc.fleetGuard.list.query().then(decodeGuards) : null
  ])
  return { state, guards }
}) satisfies PageLoad)
