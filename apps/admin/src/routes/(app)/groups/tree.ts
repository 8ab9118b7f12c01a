/** Which rows of the tree are on screen. */
import type { GroupView } from "#lib/groups.ts"

type Row = Pick<GroupView, "id" | "parentId" | "path">

/** Without what is in a folded group. Of a search: what fits, with all above it. */
export const visible = <Group extends Row>(
  groups: ReadonlyArray<Group>,
  folded: ReadonlySet<string>,
  text: string
): ReadonlyArray<Group> => {
  const byId = new Map<string, Group>(groups.map((group) => [group.id, group]))
  const above = (group: Group): ReadonlyArray<Group> => {
    const parent = group.parentId === null ? undefined : byId.get(group.parentId)
    return parent === undefined ? [] : [parent, ...above(parent)]
  }
  const wanted = text.trim().toLowerCase()
  if (wanted === "") return groups.filter((group) => !above(group).some(({ id }) => folded.has(id)))
  const fitting = groups.filter(({ path }) => path.toLowerCase().includes(wanted))
  const shown = new Set<string>(fitting.flatMap((group) => [group, ...above(group)]).map(({ id }) => id))
  return groups.filter(({ id }) => shown.has(id))
}

export const isParent = (group: Pick<GroupView, "id">, groups: ReadonlyArray<Pick<GroupView, "parentId">>) =>
  groups.some(({ parentId }) => parentId === group.id)
