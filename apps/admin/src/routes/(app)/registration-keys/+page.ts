import { decodeKeysPage, decodeServers } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { pageSize, parseView } from "./filters.ts"

export const load = kept((async ({ url }) => {
  const view = parseView(url.searchParams)
  const [keys, members] = await Promise.all([
    rpc.registrationKeys.list.query({ states: view.states, limit: pageSize, cursor: view.cursor }),
    view.open === null ? [] : rpc.registrationKeys.members.query({ id: view.open })
  ])
  return { view, keys: decodeKeysPage(keys), members: decodeServers(members) }
}) satisfies PageLoad)
