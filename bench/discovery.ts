/**
 * How long discovery takes in the broker over 100,000 servers: `node bench/discovery.ts [servers] [rounds]`.
 *
 * Each query of a round is another one (another tag of the same frequency, another place), so that none is answered
 * from the cache; the last column is the same question again while the answer is fresh.
 */
import { loadavg } from "node:os"
import * as Database from "@broker/core/Database"
import { Discovery } from "@broker/core/discovery/Discovery"
import type { DiscoveryQuery } from "@broker/domain/Discovery"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { bigFleet } from "@broker/testing/BigFleet"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { Console, Effect, Layer } from "effect"
import { milliseconds, percentile } from "./measure.ts"

const [servers = 100_000, rounds = 200] = process.argv.slice(2).map(Number)

const cities = [
  [50.11, 8.68],
  [40.71, -74],
  [35.68, 139.69],
  [-33.87, 151.2],
  [1.35, 103.82]
] as const
const place = (n: number) => {
  const [latitude, longitude] = cities[n % cities.length] ?? cities[0]
  return { latitude: latitude + (n % 97) / 50, longitude: longitude + (n % 89) / 50 }
}
const halves = ["tag", "label", "capability"] as const
type Half = (typeof halves)[number]
const half: Record<Half, DiscoveryQuery> = {
  tag: { tag: ["half"] },
  label: { label: ["tier:gold"] },
  capability: { capability: ["lan"] }
}
const rare = (n: number) => ({ tag: [`rare-${1 + (n % 9_000)}`] })
const word = (n: number) => ({ tag: [`word-${1 + (n % 199)}`] })
/** Words that make queries differ which would be the same otherwise, and fit everything. */
const other = (n: number): DiscoveryQuery => ({ minVersion: `0.${n}` })

const cases: Record<string, (n: number) => DiscoveryQuery> = {
  "no filter": other,
  "tag 1:2": (n) => ({ ...half.tag, ...other(n) }),
  "tag 1:10,000": rare,
  "any word + capability 1:2": (n) => ({ ...word(n), ...half.capability }),
  "any word + capability 1:10": (n) => ({ ...word(n), capability: ["relay"] }),
  "any word + label 1:2": (n) => ({ ...word(n), ...half.label }),
  "any word + label 1:500": (n) => ({ ...word(n), label: [`rack:r${n % 500}`] }),
  "region far down the names + capability 1:2": (n) => ({
    tag: [`region-${30 + (n % 10)}`],
    ...half.capability,
    ...other(n)
  }),
  "text (3 letters) + tag 1:2": (n) => ({ q: (n * 7).toString(16).padStart(3, "a").slice(0, 3), ...half.tag }),
  "text (a name) + tag 1:2": (n) => ({ q: `-${n * 431}`, ...half.tag }),
  "text (1 letter) + any word": (n) => ({ q: (n % 10).toString(), ...word(n) }),
  "minVersion 1:2 + any word": (n) => ({ minVersion: `1.${13 + (n % 3)}`, ...word(n) }),
  "minVersion 1:30 + tag 1:2": (n) => ({ minVersion: `1.29.0.${n}`, ...half.tag }),
  nearest: (n) => ({ near: place(n) }),
  "nearest + tag 1:2": (n) => ({ near: place(n), ...half.tag }),
  "nearest + any word + capability 1:2": (n) => ({ near: place(n), ...word(n), ...half.capability }),
  "nearest + tag 1:10,000": (n) => ({ near: place(n), ...rare(n) }),
  load: (n) => ({ sort: "load", ...other(n) }),
  "load + any word + capability 1:2": (n) => ({ sort: "load", ...word(n), ...half.capability }),
  "-load + tag 1:10,000": (n) => ({ sort: "-load", ...rare(n) }),
  "-lastSeen": (n) => ({ sort: "-lastSeen", ...other(n) }),
  "-lastSeen + tag 1:2 + capability 1:2": (n) => ({ sort: "-lastSeen", ...half.tag, ...half.capability, ...other(n) }),
  "lastSeen + any word + capability 1:2": (n) => ({ sort: "lastSeen", ...word(n), ...half.capability }),
  "lastSeen + tag 1:10,000": (n) => ({ sort: "lastSeen", ...rare(n) })
}

const bench = Effect.gen(function* () {
  const discovery = yield* Discovery
  yield* Console.log(`${servers} servers, ${rounds} queries of each kind, pages of 50, milliseconds`)
  // On a machine that has other things to do, all figures are of both.
  yield* Console.log(`load of the machine before: ${loadavg()[0]?.toFixed(1)}\n`)
  yield* Console.log("| query | page | p50 | p99 | again, p99 |\n| --- | ---: | ---: | ---: | ---: |")
  for (const [name, query] of Object.entries(cases)) {
    const [times, again]: [Array<number>, Array<number>] = [[], []]
    let found = 0
    for (let n = -10; n < rounds; n += 1) {
      const ask = discovery.list(defaultOrganizationId, query(n + 10))
      const time = yield* milliseconds(ask)
      if (n >= 0) times.push(time)
      again.push(yield* milliseconds(ask))
      found += (yield* ask).page.items.length
    }
    const page = Math.round(found / (rounds + 10))
    yield* Console.log(
      `| ${name} | ${page} | ${percentile(times, 0.5).toFixed(2)} | ${percentile(times, 0.99).toFixed(2)} | ${percentile(again, 0.99).toFixed(2)} |`
    )
  }
})

const main = Effect.gen(function* () {
  const url = yield* TestDatabase.createDatabase
  // Filling a database takes longer than the broker lets any statement take.
  yield* Effect.provide(bigFleet(servers), TestServer.connect(url))
  yield* Effect.provide(bench, Layer.provide(Discovery.layer, Database.layer({ url })))
})

await Effect.runPromise(Effect.scoped(main))
