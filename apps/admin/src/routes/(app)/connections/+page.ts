import {
  type CutView,
  decodeConnectionCounts,
  decodeConnectionsPage,
  decodeCuts,
  decodeServer,
  decodeUser
} from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { type ConnectionsView, parseView, toQuery } from "./filters.ts"

const shownCuts = 100

const none: ReturnType<typeof decodeConnectionsPage> = { items: [], nextCursor: null }

/** How those are called that the list is filtered by; by their id where they are gone. */
const namesOf = async ({ serverId, userId }: ConnectionsView) => {
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

export const load: PageLoad = async ({ url }) => {
  const view = parseView(url.searchParams)
  const isList = view.tab === "connections"
  const [page, cuts, counts, names] = await Promise.all([
    isList ? rpc.connections.list.query(toQuery(view)).then(decodeConnectionsPage) : none,
    isList
      ? ([] as ReadonlyArray<CutView>)
      : rpc.connections.cuts.query({ subjectId: null, limit: shownCuts }).then(decodeCuts),
    rpc.connections.counts.query().then(decodeConnectionCounts),
    namesOf(view)
  ])
  return { view, connections: page, cuts, counts, names }
}
