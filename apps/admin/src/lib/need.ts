/** What a page asks of whoever opens it. */
import type { Permission } from "@broker/domain/Permission"
import { error } from "@sveltejs/kit"

/** Stops the loading of a page that one may not read, before anything is asked. */
export const need = (permissions: ReadonlyArray<Permission>, permission: Permission) => {
  if (!permissions.includes(permission)) error(403, { message: "Your role does not let you see this", permission })
}
