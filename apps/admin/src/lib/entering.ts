/** The last step of signing in, however it began. */
import { goto } from "$app/navigation"
import { decodeSession } from "./fleet.ts"
import { explain } from "./problems.ts"
import { rpc } from "./rpc.ts"
import { enrolHref } from "./sign-in.ts"

/**
 * Goes where one was going, or first to enrol a second factor where that is demanded. False where the browser did not
 * keep the session's cookie: the answer that set it does not tell, only using it does.
 */
export const enter = async (to: string) => {
  try {
    const session = decodeSession(await rpc.session.current.query())
    await goto(session.mustEnrol ? enrolHref(to) : to)
    return true
  } catch (error) {
    if (explain(error).code !== "not_signed_in") throw error
    return false
  }
}
