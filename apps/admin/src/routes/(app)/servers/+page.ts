import { decodeServersPage } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView, toQuery } from "./filters.ts"

export const load: PageLoad = async ({ url }) => {
  const view = parseView(url.searchParams)
  return { view, servers: decodeServersPage(await rpc.servers.list.query(toQuery(view))) }
}
