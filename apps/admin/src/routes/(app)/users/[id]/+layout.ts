import { decodeUser } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { rpc } from "#lib/rpc.ts"
import { usersKey } from "../acts.ts"
import type { LayoutLoad } from "./$types"
import { headKey } from "./keys.ts"
import { ofUser } from "./missing.ts"

export const load = kept((async ({ depends, params }) => {
  depends(usersKey, headKey)
  return { user: await ofUser(params.id, async (id) => decodeUser(await rpc.users.get.query({ id }))) }
}) satisfies LayoutLoad)
