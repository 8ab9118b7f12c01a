import { error } from "@sveltejs/kit"
import type { PageLoad } from "./$types"

export const load = (async ({ parent, url }) => {
  const { session } = await parent()
  const may = {
    export: session.permissions.includes("inventory:export"),
    import: session.permissions.includes("inventory:import")
  }
  if (!may.export && !may.import) {
    error(403, { message: "Your role does not let you see this", permission: "inventory:export" })
  }
  const wanted = url.searchParams.get("do") === "import" ? "import" : "export"
  return { may, tab: may[wanted] ? wanted : wanted === "import" ? "export" : "import" } as const
}) satisfies PageLoad
