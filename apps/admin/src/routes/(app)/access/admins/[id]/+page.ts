import { AdminId } from "@broker/domain/Admin"
import { error } from "@sveltejs/kit"
import { Schema } from "effect"
import { accessKey, decodeAdmin, decodeApiTokens, decodeAuditPage } from "#lib/access.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { explain } from "#lib/problems.ts"
import { rolesFor } from "#lib/roles.ts"
import { rpc } from "#lib/rpc.ts"
import { defaults, toQuery } from "../../../audit/filters.ts"
import type { PageLoad } from "./$types"

const shownEntries = 10

const isAdminId = Schema.is(AdminId)
const missing = () => error(404, "There is no such admin")

const adminOf = async (id: AdminId) => {
  try {
    return decodeAdmin(await rpc.admins.get.query({ id }))
  } catch (failure) {
    if (explain(failure).code === "admin_not_found") missing()
    throw failure
  }
}

export const load = kept((async ({ depends, params: { id }, parent }) => {
  depends(accessKey)
  const { session } = await parent()
  need(session.permissions, "admins:read")
  if (!isAdminId(id)) missing()
  const adminId = AdminId.make(id)
  const may = (permission: (typeof session.permissions)[number]) => session.permissions.includes(permission)
  const entries = async (who: { readonly actorId: string } | { readonly subjectId: string }) =>
    may("audit:read")
      ? decodeAuditPage(await rpc.audit.list.query(toQuery({ ...defaults, ...who, limit: shownEntries }, Date.now())))
          .items
      : null
  const [admin, roles, tokens, did, met] = await Promise.all([
    adminOf(adminId),
    rolesFor(session.permissions),
    may("api-tokens:read") ? rpc.apiTokens.list.query().then(decodeApiTokens) : [],
    entries({ actorId: id }),
    entries({ subjectId: id })
  ])
  return { admin, roles, tokens: tokens.filter(({ ownerId }) => ownerId === adminId), did, met }
}) satisfies PageLoad)
