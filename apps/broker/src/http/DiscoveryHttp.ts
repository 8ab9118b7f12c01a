import { Api } from "@broker/api/Api"
import { CurrentReader } from "@broker/api/Authentication"
import type { ServersQuery } from "@broker/api/DiscoveryApi"
import { Discovery } from "@broker/core/discovery/Discovery"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import { DiscoveredServer, DiscoverySort } from "@broker/domain/Discovery"
import { ServerSort } from "@broker/domain/Fleet"
import type { OrganizationId } from "@broker/domain/Organization"
import { PermissionMissing } from "@broker/domain/Permission"
import { ValidationFailed } from "@broker/domain/Problem"
import type { Term } from "@broker/domain/ServerSearch"
import * as ServerSearch from "@broker/domain/ServerSearch"
import { Effect, Option, Schema } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { conditional } from "./EntityTag.ts"
import { fleetServer } from "./FleetHttp.ts"
import { usualLimit } from "./Machine.ts"
import { resource } from "./Resource.ts"

const discovered = resource(DiscoveredServer.json, DiscoveredServer.json.fields)

const notHere = (parameter: string, message: string) =>
  new ValidationFailed({ errors: [{ pointer: `/query/${parameter}`, message }] })

const isDiscoverySort = Schema.is(DiscoverySort)
const isServerSort = Schema.is(ServerSort)

/** The longest search that a list of servers takes. */
const longestSearch = 512

/** What discovery asks for, in the language of the dashboard's lists: one statement finds servers for both. */
const searchOf = ({ capability = [], label = [], minVersion, q, search, tag = [] }: ServersQuery) => {
  const holding = (condition: Term["condition"]): Term => ({ negated: false, condition })
  const terms = [
    ...tag.map((one) => holding({ _tag: "Tag", tags: [one] })),
    ...label.map((pair) => {
      const at = pair.indexOf(":")
      return holding({ _tag: "Label", key: pair.slice(0, at), value: pair.slice(at + 1) })
    }),
    ...capability.map((name) => holding({ _tag: "Capability", names: [name] })),
    ...(minVersion === undefined ? [] : [holding({ _tag: "Version", compare: ">=", version: minVersion })]),
    ...(q === undefined || q.trim() === "" ? [] : [holding({ _tag: "Name", text: q.trim() })])
  ]
  return [ServerSearch.print(terms), search ?? ""].filter((text) => text.trim() !== "").join(" ")
}

export const DiscoveryHttp = HttpApiBuilder.group(
  Api,
  "discovery",
  Effect.fn(function* (handlers) {
    const discovery = yield* Discovery
    const servers = yield* Servers
    const groups = yield* Groups

    /** C8: whoever sees all servers is a machine, in the place of an admin. */
    const machineOnly = Effect.flatMap(CurrentReader, ({ machine }) =>
      machine === null ? Effect.fail(new PermissionMissing({ permission: "servers:read" })) : Effect.void
    )

    const listFleet = Effect.fnUntraced(function* (organizationId: OrganizationId, query: ServersQuery) {
      yield* machineOnly
      const sort = query.sort ?? "name"
      if (!isServerSort(sort)) return yield* notHere("sort", "is for available servers only")
      if (query.near !== undefined) return yield* notHere("near", "is for available servers only")
      const text = searchOf(query)
      if (text.length > longestSearch) return yield* notHere("search", "is too long, together with what else is asked")
      const group = query.group === undefined ? null : yield* Effect.option(groups.find(organizationId, query.group))
      if (group !== null && Option.isNone(group)) return { items: [], nextCursor: null }
      return yield* servers.list(organizationId, {
        text,
        statuses: query.status ?? [],
        tags: [],
        verified: query.verified ?? null,
        groupId: group === null ? null : group.value.id,
        sort,
        limit: query.limit ?? usualLimit,
        cursor: query.cursor ?? null
      })
    })

    const listAvailable = Effect.fnUntraced(function* (organizationId: OrganizationId, query: ServersQuery) {
      const { fields: _, search, sort, verified, view: __, ...criteria } = query
      if (search !== undefined) return yield* notHere("search", "is for view=fleet only")
      if (verified !== undefined) return yield* notHere("verified", "is for view=fleet only")
      if (sort === undefined) return yield* discovery.list(organizationId, criteria)
      if (!isDiscoverySort(sort)) return yield* notHere("sort", "is for view=fleet only")
      return yield* discovery.list(organizationId, { ...criteria, sort })
    })

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ headers, query }) {
        const { organizationId } = yield* CurrentReader
        if (query.view === "fleet") {
          const condition = headers["if-none-match"]
          return yield* fleetServer.page(listFleet(organizationId, query), query.fields, { condition })
        }
        yield* discovered.choose(query.fields)
        const found = yield* listAvailable(organizationId, query)
        return yield* conditional(
          found.etag,
          headers["if-none-match"],
          discovered.page(Effect.succeed(found.page), query.fields)
        )
      }),
      get: Effect.fnUntraced(function* ({ headers, params, query }) {
        const { organizationId } = yield* CurrentReader
        const condition = headers["if-none-match"]
        if (query.view === "fleet") {
          yield* machineOnly
          return yield* fleetServer.one(servers.get(organizationId, params.id), { condition, fields: query.fields })
        }
        const found = yield* discovery.get(organizationId, params.id)
        return yield* conditional(found.etag, condition, discovered.shown(found.server, query.fields))
      })
    })
  })
)
