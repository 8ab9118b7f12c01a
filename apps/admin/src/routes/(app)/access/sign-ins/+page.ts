import { decodeSignInFailures, signInsKey } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView } from "./filters.ts"

export const load = kept((async ({ depends, parent, url }) => {
  depends(signInsKey)
  const { session } = await parent()
  need(session.permissions, "sign-in-failures:read")
  return {
    view: parseView(url.searchParams),
    failures: decodeSignInFailures(await rpc.signInFailures.list.query())
  }
}) satisfies PageLoad)
