/** What lists of servers read: never all that the servers of a large fleet say of themselves. */
import * as ServersSql from "@broker/core/servers/ServersSql"
import { ServerSort, ServersQuery } from "@broker/domain/Fleet"
import type { OrganizationId } from "@broker/domain/Organization"
import { ServerId } from "@broker/domain/Server"
import * as ServerSearch from "@broker/domain/ServerSearch"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Context, DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { put } from "../discovery/fleet.ts"
import { groups } from "../groups/tree.ts"

const servers = 6_000

/** An organization with enough servers that PostgreSQL would rather use an index than read them all. */
class Fleet extends Context.Service<Fleet, OrganizationId>()("Fleet") {}

const fleet = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const organizationId = yield* Fixtures.organization
  const [, frankfurt, amsterdam] = yield* groups(organizationId, ["eu", "eu/frankfurt", "eu/amsterdam"])
  const rows = Array.from({ length: servers }, (_, n) => ({
    name: `server-${n}`,
    tags: [n % 2 === 0 ? "even" : "odd", ...(n % 1_000 === 999 ? ["rare"] : [])],
    labels: { description: `What this one is for, and who looks after it, at some length: ${"x".repeat(64)}` },
    version: `1.${n % 50}.0`,
    groupId: (n % 100 === 99 ? frankfurt?.id : amsterdam?.id) ?? null,
    live: n % 900,
    seen: (n * 7) % servers
  }))
  // In parts, as no statement may take long.
  for (let from = 0; from < rows.length; from += 500) yield* put(organizationId, rows.slice(from, from + 500))
  yield* sql`update server_presence set metrics = '{"cpu": 0.5}'`
  // An index is enough once every page is seen to be old, which whoever reads meanwhile, such as autovacuum, puts off.
  const vacuum = Effect.gen(function* () {
    for (const table of ["servers", "server_presence", "server_loads"]) yield* sql`vacuum analyze ${sql(table)}`
    const [row] = yield* sql`
      select relallvisible >= relpages as settled, pg_sleep(0.1) from pg_class where oid = 'servers'::regclass`
    return row?.["settled"] === true
  })
  yield* vacuum.pipe(Effect.repeat({ until: (settled) => settled, times: 50 }))
  return organizationId
})

const fleetLayer = Layer.effect(Fleet, fleet).pipe(Layer.provideMerge(Fixtures.layer))

/** One step of a plan as PostgreSQL tells it. */
interface Step {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Actual Rows": number
  readonly "Actual Loops": number
  readonly "Rows Removed by Filter"?: number
  readonly "Rows Removed by Index Recheck"?: number
  readonly Plans?: ReadonlyArray<Step>
}
const Step: Schema.Codec<Step> = Schema.Struct({
  "Node Type": Schema.String,
  "Relation Name": Schema.optionalKey(Schema.String),
  "Actual Rows": Schema.Finite,
  "Actual Loops": Schema.Finite,
  "Rows Removed by Filter": Schema.optionalKey(Schema.Finite),
  "Rows Removed by Index Recheck": Schema.optionalKey(Schema.Finite),
  Plans: Schema.optionalKey(Schema.Array(Schema.suspend(() => Step)))
})
const decodePlan = Schema.decodeUnknownSync(Schema.Tuple([Schema.Struct({ Plan: Step })]))

const stepsOf = (step: Step): ReadonlyArray<Step> => [step, ...(step.Plans ?? []).flatMap(stepsOf)]

/** Rows that were looked at where they stand, and in an index alone. */
const read = (plan: Step) => {
  const scans = stepsOf(plan)
    .filter((step) => step["Relation Name"] !== undefined)
    .map((step) => ({
      isWide: step["Relation Name"] === "servers" && step["Node Type"] !== "Index Only Scan",
      rows:
        step["Actual Loops"] *
        (step["Actual Rows"] + (step["Rows Removed by Filter"] ?? 0) + (step["Rows Removed by Index Recheck"] ?? 0))
    }))
  const sum = (some: typeof scans) => some.reduce((all, { rows }) => all + rows, 0)
  return { all: sum(scans), wide: sum(scans.filter(({ isWide }) => isWide)) }
}

const decodeQuery = Schema.decodeSync(ServersQuery)

const explained = Effect.fnUntraced(function* (statement: {
  compile(): readonly [sql: string, params: ReadonlyArray<unknown>]
}) {
  const sql = yield* SqlClient.SqlClient
  const [text, values] = statement.compile()
  const [row] = yield* sql.unsafe<Record<string, unknown>>(
    `explain (analyze, timing off, buffers off, format json) ${text}`,
    values
  )
  const [{ Plan }] = decodePlan(Object.values(row ?? {})[0])
  return read(Plan)
})

const wanted = Effect.fnUntraced(function* (text: string, sort: ServerSort, statuses: ServersQuery["statuses"] = []) {
  const organizationId = yield* Fleet
  const query = decodeQuery({ text, statuses, tags: [], verified: null, sort, limit: 50, cursor: null })
  return { organizationId, query, search: yield* ServerSearch.read(text), now: yield* DateTime.now }
})

type Shape = readonly [text: string, sort: ServerSort, statuses?: ServersQuery["statuses"]]

/** Where a page is found at once: it reads little more than the page. */
const near: ReadonlyArray<Shape> = [
  ...ServerSort.literals.filter((sort) => !sort.endsWith("lastSeen")).map((sort): Shape => ["", sort]),
  ["", "-load", ["online"]],
  ["", "name", ["online"]],
  ["tag:even", "name"],
  ["-tag:rare", "-load"],
  ["tag:rare", "lastSeen"],
  ["tag:rare tag:even", "name"],
  ["server-5999", "name"],
  ["name:zebra", "-load"],
  ["ip:203.0.113.0/24", "name"],
  ["2001:db8::1", "name"],
  ["verified:no", "name"],
  ["version:1.49", "name"],
  ["version:1.49-rc.1", "name"],
  ["version:nightly", "-load"]
]

/** Where all servers are looked at, they are in what is narrow. */
const narrow: ReadonlyArray<Shape> = [
  ["", "lastSeen"],
  ["", "-lastSeen"],
  ["status:online", "lastSeen"],
  ["group:eu/frankfurt", "-lastSeen"],
  ["seen:>5h", "name"],
  ["seen:never", "name"],
  ["load:>0.89", "name"],
  ["connections:>890", "name"],
  ["metric.cpu:>0.9", "name"],
  ["-metric.cpu:>0.1", "name"]
]

layer(fleetLayer)("Plans of lists of servers", (it) => {
  it.effect.each(near)("C8 %s by %s reads little more than its page", ([text, sort, statuses]) =>
    Effect.gen(function* () {
      const statements = yield* ServersSql.make
      const { all } = yield* explained(statements.page({ ...(yield* wanted(text, sort, statuses)), after: null }))
      assert.isBelow(all, servers / 4)
    })
  )

  it.effect.each(narrow)("C8 %s by %s reads all of them in what is narrow", ([text, sort, statuses]) =>
    Effect.gen(function* () {
      const statements = yield* ServersSql.make
      const { wide } = yield* explained(statements.page({ ...(yield* wanted(text, sort, statuses)), after: null }))
      assert.isBelow(wide, servers / 4)
    })
  )

  it.effect.each(["", "status:online", "seen:>5h", "load:>0.5", "connections:>10", "metric.cpu:>0.9"])(
    "C8 counting %s reads nothing that is wide",
    (text) =>
      Effect.gen(function* () {
        const statements = yield* ServersSql.make
        const { wide } = yield* explained(statements.counted({ ...(yield* wanted(text, "name")), limit: servers }))
        assert.isBelow(wide, servers / 4)
      })
  )

  it.effect.each(["load", "-load", "name", "version"] as const)(
    "C8 a page far behind by %s begins where it stands",
    (sort) =>
      Effect.gen(function* () {
        const statements = yield* ServersSql.make
        const whole = yield* wanted("", sort)
        const keys = { load: "0.5", "-load": "0.5", name: "server-5", version: "{1,25,0,0,1}" }
        const after = [keys[sort], ServerId.make("80000000-0000-4000-8000-000000000000")] as const
        assert.isBelow((yield* explained(statements.page({ ...whole, after }))).all, servers / 4)
      })
  )
})
