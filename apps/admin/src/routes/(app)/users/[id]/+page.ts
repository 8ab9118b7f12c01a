import type { UserId } from "@broker/domain/User"
import { decodeActivity, decodeConnectionsPage, decodeDevices, decodePersonalKeys } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import { usersKey } from "../acts.ts"
import type { PageLoad } from "./$types"
import { tabKey } from "./keys.ts"
import { ofUser } from "./missing.ts"
import { parseView, toQuery, type UserPageView } from "./view.ts"

const shownIn = async (view: UserPageView, userId: UserId) => {
  const { tab } = view
  switch (tab) {
    case "keys":
      return { tab, keys: decodePersonalKeys(await rpc.personalKeys.list.query({ userId })) }
    case "devices":
      return { tab, devices: decodeDevices(await rpc.devices.list.query({ userId })) }
    case "activity":
      return { tab, activity: decodeActivity(await rpc.users.activity.query({ id: userId })) }
    case "connections":
      return { tab, connections: decodeConnectionsPage(await rpc.connections.list.query(toQuery(view, userId))) }
  }
}

export const load = kept((async ({ depends, params, url }) => {
  depends(usersKey, tabKey)
  const view = parseView(url.searchParams)
  return { view, shown: await ofUser(params.id, (id) => shownIn(view, id)) }
}) satisfies PageLoad)
