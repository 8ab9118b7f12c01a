import { Discovery } from "@broker/core/discovery/Discovery"
import * as DiscoverySql from "@broker/core/discovery/DiscoverySql"
import * as GroupsSql from "@broker/core/groups/GroupsSql"
import type { Criteria } from "@broker/domain/Discovery"
import type { OrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { groups } from "../groups/tree.ts"
import { put } from "./fleet.ts"

const frankfurt = { latitude: 50.11, longitude: 8.68 }

/** An organization with enough servers that PostgreSQL would rather use an index than read them all. */
class Fleet extends Context.Service<Fleet, OrganizationId>()("Fleet") {}

const fleet = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const organizationId = yield* Fixtures.organization
  const [, frankfurtGroup, amsterdamGroup] = yield* groups(organizationId, ["eu", "eu/frankfurt", "eu/amsterdam"])
  const rows = Array.from({ length: 6_000 }, (_, n) => ({
    name: `server-${n}`,
    tags: [n % 2 === 0 ? "even" : "odd", ...(n % 1_000 === 999 ? ["rare"] : [])],
    capabilities: n % 3 === 0 ? { vpn: {} } : { lan: {} },
    version: `1.${n % 50}.0`,
    groupId: (n % 100 === 99 ? frankfurtGroup?.id : amsterdamGroup?.id) ?? null,
    location: { latitude: (n % 120) - 60, longitude: (n % 300) - 150 },
    live: n % 900
  }))
  // In parts, as no statement may take long.
  for (let from = 0; from < rows.length; from += 500) yield* put(organizationId, rows.slice(from, from + 500))
  for (const table of ["servers", "server_presence", "server_loads"]) yield* sql`vacuum analyze ${sql(table)}`
  return organizationId
})

const fleetLayer = Layer.effect(Fleet, fleet).pipe(Layer.provideMerge(Fixtures.layer))

type Path = "walk" | "seek"
type Shape = readonly [path: Path, order: DiscoverySql.Order, index: string, criteria: Criteria]

const shapes: ReadonlyArray<Shape> = [
  ["walk", "name", "servers_discovery_name_idx", {}],
  ["walk", "name", "servers_discovery_name_idx", { tag: ["even"], capability: ["vpn"] }],
  ["walk", "load", "server_loads_load_idx", { tag: ["even"] }],
  ["walk", "distance", "servers_discovery_place_idx", { tag: ["even"], label: ["a:b"] }],
  ["seek", "name", "servers_discovery_facets_idx", { tag: ["rare"] }],
  ["seek", "load", "servers_discovery_facets_idx", { tag: ["rare"], capability: ["vpn"] }],
  ["seek", "lastSeen", "servers_discovery_facets_idx", { tag: ["rare"] }],
  ["seek", "distance", "servers_discovery_facets_idx", { label: ["rack:none"] }],
  ["seek", "name", "servers_group_idx", { group: "eu/frankfurt" }],
  ["seek", "load", "servers_group_idx", { group: "eu/frankfurt", tag: ["even"] }],
  ["seek", "name", "servers_name_search_idx", { q: "server-5999" }],
  ["seek", "name", "servers_discovery_version_idx", { minVersion: "1.49.1" }]
]

layer(fleetLayer)("Plans of discovery", (it) => {
  it.effect("C8 finds what is rare far behind the beginning of a list", () =>
    Effect.gen(function* () {
      const discovery = yield* Discovery
      const organizationId = yield* Fleet
      const { page } = yield* discovery.list(organizationId, { tag: ["rare"], limit: 3 })
      assert.deepStrictEqual(
        page.items.map(({ name }): string => name),
        ["server-1999", "server-2999", "server-3999"]
      )
    })
  )

  it.effect.each(shapes)("C8 a %s by %s goes by %s for %j", ([path, order, index, criteria]) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* DiscoverySql.make
      const groupsSql = yield* GroupsSql.make
      const organizationId = yield* Fleet
      const below =
        criteria.group === undefined ? [] : yield* groupsSql.below({ organizationId, group: criteria.group })
      const [statement, values] = statements[path]({
        organizationId,
        criteria,
        order,
        descending: false,
        place: order === "distance" ? frankfurt : null,
        after: null,
        count: 11,
        withRoom: false,
        groups: below.map(({ id }) => id)
      }).compile()
      const rows = yield* sql.unsafe<Record<string, string>>(`explain ${statement}`, values)
      const plan = rows.map((row) => Object.values(row).join()).join("\n")
      assert.include(plan, index)
      assert.notMatch(plan, /Seq Scan on servers/)
    })
  )
})
