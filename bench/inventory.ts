/**
 * How long an inventory takes to be exported, looked at and imported: `node bench/inventory.ts [servers] [changed]`.
 *
 * All servers are exported as CSV; so many of them get a group, two tags and a label by one import. Told is how much
 * memory the process had at most as well: an export streams.
 */
import { loadavg } from "node:os"
import { Actor, broker } from "@broker/core/audit/Actor"
import * as Database from "@broker/core/Database"
import { Inventory } from "@broker/core/inventory/Inventory"
import { ServerTokens } from "@broker/core/servers/ServerTokens"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Permission } from "@broker/domain/Permission"
import { bigFleet } from "@broker/testing/BigFleet"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { Console, Effect, Layer, Stream } from "effect"
import { milliseconds } from "./measure.ts"

const [servers = 100_000, changed = 10_000] = process.argv.slice(2, 4).map(Number)

const megabytes = () => Math.round(process.memoryUsage().rss / 1e6)

const measure = Effect.fnUntraced(function* <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) {
  let result: A | undefined
  const took = yield* milliseconds(Effect.tap(effect, (done) => Effect.sync(() => (result = done))))
  yield* Console.log(`${what}: ${took.toFixed(0)} ms, ${megabytes()} MB, load ${loadavg()[0]?.toFixed(1)}`)
  return result
})

const bench = Effect.gen(function* () {
  const inventory = yield* Inventory
  const organizationId = defaultOrganizationId
  let most = megabytes()
  const names: Array<string> = []
  const exporting = Stream.runForEach(inventory.export(organizationId, "csv"), (part) =>
    Effect.sync(() => {
      most = Math.max(most, megabytes())
      if (names.length >= changed) return
      for (const [, name = ""] of part.matchAll(/^server,[^,]*,([^,]*),/gm)) names.push(name)
    })
  )
  yield* Console.log(`${servers} servers; ${megabytes()} MB before`)
  yield* measure("export", exporting)
  yield* Console.log(`${most} MB at most`)
  const groups = Array.from({ length: 20 }, (_, n) => `group,area-${n},,,`)
  const rows = names.slice(0, changed).map((name, n) => `server,area-${n % 20},${name},edge prod,rack=r${n % 500}`)
  const text = ["kind,group,name,tags,labels", ...groups, ...rows].join("\n")
  const importer = { organizationId, permissions: new Set(Permission.literals) }
  const plan = yield* measure(`look at ${rows.length} rows`, inventory.plan(importer, "csv", text))
  yield* Console.log(JSON.stringify(plan?.totals))
  yield* measure("import", inventory.apply(importer, "csv", text, plan?.digest ?? ""))
  yield* measure("look again: nothing changes", inventory.plan(importer, "csv", text))
})

const main = Effect.gen(function* () {
  const url = yield* TestDatabase.createDatabase
  yield* Effect.provide(bigFleet(servers), TestServer.connect(url))
  const services = Inventory.layer.pipe(
    Layer.provide(ServerTokens.layer),
    Layer.provideMerge(Database.layer({ url })),
    Layer.provideMerge(Layer.succeed(Actor, broker))
  )
  yield* Effect.provide(bench, services)
})

await Effect.runPromise(Effect.scoped(main))
