import { redirect } from "@sveltejs/kit"
import { decodeSession } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { landing } from "#lib/sign-in.ts"
import type { PageLoad } from "./$types"

/** Where admins are led who have to enrol a second factor before anything else (A2). */
export const load: PageLoad = async ({ url }) => {
  const session = decodeSession(await rpc.session.current.query())
  const to = landing(url.searchParams.get("to"))
  if (!session.mustEnrol) redirect(307, to)
  return { session, to }
}
