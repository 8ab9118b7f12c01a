import { Api } from "@broker/api/Api"
import { CurrentApiToken } from "@broker/api/Authentication"
import * as Cursor from "@broker/core/Cursor"
import { Groups } from "@broker/core/groups/Groups"
import { Holds } from "@broker/core/Holds"
import { Group, GroupInTree, pathKey } from "@broker/domain/Group"
import type { GroupId } from "@broker/domain/Server"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { asMachine, gone, made, makeWrites, usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const group = resource(Group.json, Group.json.fields)
const groupInTree = resource(GroupInTree.json, GroupInTree.json.fields)

const isBefore = (some: ReadonlyArray<string>, others: ReadonlyArray<string>): boolean => {
  const at = some.findIndex((name, index) => name !== others[index])
  if (at === -1) return some.length < others.length
  const other = others[at]
  return other !== undefined && (some[at] ?? "") < other
}

/** A tree is read as a whole, and its pages are cut from it. What stood at the end of a page may be gone since. */
const pageOf = (
  tree: ReadonlyArray<GroupInTree>,
  { cursor, limit = usualLimit }: { readonly cursor?: string; readonly limit?: number }
) =>
  Effect.map(Cursor.decode(cursor ?? null), (position) => {
    if (position === null) return Cursor.page(tree, limit, ({ id, path }) => [path, id])
    const [path, id] = position
    // One that was put elsewhere since says nothing of what comes after the place where it stood.
    const stood = tree.findIndex((group) => group.id === id && group.path === path)
    const names = pathKey(path).split("/")
    const rest =
      stood === -1 ? tree.filter((group) => isBefore(names, pathKey(group.path).split("/"))) : tree.slice(stood + 1)
    return Cursor.page(rest, limit, (group) => [group.path, group.id])
  })

export const GroupsHttp = HttpApiBuilder.group(
  Api,
  "groups",
  Effect.fn(function* (handlers) {
    const groups = yield* Groups
    const holds = yield* Holds
    const { guarded, once } = yield* makeWrites

    const guard = Effect.fnUntraced(function* (id: GroupId) {
      const { organizationId } = yield* CurrentApiToken
      return { organizationId, of: group, hold: holds.groups(organizationId), read: groups.get(organizationId, id) }
    })

    return handlers.handleAll({
      list: ({ query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          groupInTree.page(
            Effect.flatMap(groups.tree(organizationId), (tree) => pageOf(tree, query)),
            query.fields
          )
        ),
      get: ({ headers, params, query }) =>
        Effect.flatMap(CurrentApiToken, ({ organizationId }) =>
          group.one(groups.get(organizationId, params.id), {
            condition: headers["if-none-match"],
            fields: query.fields
          })
        ),
      create: Effect.fnUntraced(function* ({ headers, payload }) {
        const { organizationId } = yield* CurrentApiToken
        return yield* once(
          headers,
          Effect.gen(function* () {
            const created = yield* groups.create(organizationId, {
              parentId: null,
              heartbeatIntervalSeconds: null,
              verificationPeriodSeconds: null,
              connectionLimit: null,
              ...payload
            })
            return made(`/api/v1/groups/${created.id}`)(yield* group.changed(created))
          })
        )
      }, asMachine),
      update: Effect.fnUntraced(function* ({ headers, params: { id }, payload }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.flatMap(groups.amend(on.organizationId, id, payload), group.changed))
      }, asMachine),
      delete: Effect.fnUntraced(function* ({ headers, params: { id } }) {
        const on = yield* guard(id)
        return yield* guarded(headers, on, Effect.as(groups.delete(on.organizationId, id), gone))
      }, asMachine)
    })
  })
)
