import { redirect } from "@sveltejs/kit"
import { decodeSession } from "#lib/fleet.ts"
import { isSetupOpen } from "#lib/http.ts"
import { rpc } from "#lib/rpc.ts"
import type { PageLoad } from "./$types"

const steps = ["admin", "address", "key"] as const

/** The first admin is created by a visitor; the steps after that need the session it opened. */
export const load: PageLoad = async ({ url }) => {
  const step = steps.find((each) => each === url.searchParams.get("step")) ?? "admin"
  if (step === "admin") return { step, open: await isSetupOpen(), session: null }
  const session = await rpc.session.current.query().then(decodeSession, () => null)
  if (session === null) redirect(307, "/sign-in")
  return { step, open: false, session }
}
