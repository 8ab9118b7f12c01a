import { need } from "#lib/need.ts"
import type { PageLoad } from "./$types"

export const load: PageLoad = async ({ parent }) => {
  const { session } = await parent()
  need(session.permissions, "metrics:read")
}
