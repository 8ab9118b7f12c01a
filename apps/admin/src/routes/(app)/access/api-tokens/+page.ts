import { apiTokensKey, decodeApiTokens } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"
import { parseView } from "./filters.ts"

export const load = kept((async ({ depends, parent, url }) => {
  depends(apiTokensKey)
  const { session } = await parent()
  need(session.permissions, "api-tokens:read")
  return { view: parseView(url.searchParams), tokens: decodeApiTokens(await rpc.apiTokens.list.query()) }
}) satisfies PageLoad)
