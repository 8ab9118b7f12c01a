import { GroupId } from "@broker/domain/Server"
import { error } from "@sveltejs/kit"
import { Schema } from "effect"
import { groupTree } from "#lib/groups.ts"
import { kept } from "#lib/kept.svelte.ts"
import { need } from "#lib/need.ts"
import { groupsKey } from "../doing.ts"
import type { PageLoad } from "./$types"

const isGroupId = Schema.is(GroupId)

export const load = kept((async ({ depends, params: { id }, parent }) => {
  depends(groupsKey)
  const { session } = await parent()
  need(session.permissions, "groups:read")
  const groups = await groupTree()
  const group = isGroupId(id) ? groups.find((one) => one.id === id) : undefined
  if (group === undefined) error(404, "There is no such group")
  return { group, groups }
}) satisfies PageLoad)
