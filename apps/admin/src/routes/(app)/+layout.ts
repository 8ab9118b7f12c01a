import { redirect } from "@sveltejs/kit"
import { decodeSession } from "#lib/fleet.ts"
import { kept } from "#lib/kept.svelte.ts"
import { admitted, rpc } from "#lib/rpc.ts"
import { enrolHref } from "#lib/sign-in.ts"
import type { LayoutLoad } from "./$types"

export const load = kept((async ({ untrack, url }) => {
  const session = decodeSession(await rpc.session.current.query())
  // Read untracked: who is signed in does not change with the page.
  const here = untrack(() => url.pathname + url.search)
  if (session.mustEnrol) redirect(307, enrolHref(here))
  admitted()
  return { session }
}) satisfies LayoutLoad)
