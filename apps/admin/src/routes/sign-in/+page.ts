import { isSetupOpen } from "#lib/http.ts"

export const load = async () => ({ setupOpen: await isSetupOpen() })
