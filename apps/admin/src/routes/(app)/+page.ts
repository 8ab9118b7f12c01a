import { decodeOverview } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"

export const load = async () => ({ overview: decodeOverview(await rpc.fleet.overview.query()) })
