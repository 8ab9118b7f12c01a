import { isSetupOpen, signInMethods } from "#lib/http.ts"
import { landing } from "#lib/sign-in.ts"
import type { PageLoad } from "./$types"

export const load: PageLoad = async ({ url }) => {
  const [setupOpen, { singleSignOn }] = await Promise.all([isSetupOpen(), signInMethods()])
  return {
    setupOpen,
    singleSignOn,
    /** Where to go afterwards. */
    to: landing(url.searchParams.get("to")),
    /** What single sign-on came back with. */
    problem: url.searchParams.get("problem"),
    isFactorAsked: url.searchParams.get("step") === "factor"
  }
}
