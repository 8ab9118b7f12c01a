/**
 * How long what admins look at takes over 100,000 servers: `node bench/fleet.ts [servers] [rounds]`.
 *
 * The fleet is in 40 groups and has a week behind it: five transitions and 28 challenges a server, four hours of
 * metrics. The last column is how many times as long as the first page by name it takes, in the same run.
 */
import { loadavg } from "node:os"
import { Availability } from "@broker/core/availability/Availability"
import * as Core from "@broker/core/Core"
import * as Database from "@broker/core/Database"
import { Fleet } from "@broker/core/fleet/Fleet"
import { Groups } from "@broker/core/groups/Groups"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Metrics } from "@broker/core/metrics/Metrics"
import { Monitoring } from "@broker/core/monitoring/Monitoring"
import { Servers } from "@broker/core/servers/Servers"
import { Verification } from "@broker/core/verification/Verification"
import type { ServersQuery } from "@broker/domain/Fleet"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { bigFleet } from "@broker/testing/BigFleet"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestEncryption from "@broker/testing/TestEncryption"
import * as TestServer from "@broker/testing/TestServer"
import { Cause, Console, DateTime, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { milliseconds, percentile } from "./measure.ts"

const [servers = 100_000, rounds = 9] = process.argv.slice(2).map(Number)

/** Groups, and what happened in the last week. */
const history = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    insert into groups (id, organization_id, parent_id, name, name_key, heartbeat_interval_seconds, created_at)
    select gen_random_uuid(), ${defaultOrganizationId}::uuid, null, 'area-' || n, 'area-' || n, 30, now() from generate_series(0, 7) as n`
  yield* sql`
    insert into groups (id, organization_id, parent_id, name, name_key, created_at)
    select gen_random_uuid(), organization_id, id, 'site-' || n, 'site-' || n, now()
      from groups, generate_series(0, 3) as n`
  yield* sql`
    with leaf as (
      select array_agg(id order by path) as ids from groups where parent_id is not null
    )
    update servers set group_id = ids[1 + abs(hashtext(name)) % 32] from leaf`
  yield* sql`
    insert into server_transitions (organization_id, server_id, axis, before, after, reason, at)
    select s.organization_id, s.id, 'liveness', case n % 2 when 0 then 'online' else 'offline' end,
           case n % 2 when 0 then 'offline' else 'online' end, null,
           now() - interval '1 day' * (6 - n) - interval '1 second' * (abs(hashtext(s.name)) % 80000)
      from generate_series(1, 5) as n, servers s
     order by 7`
  yield* sql`update servers set registered_at = now() - interval '8 days'`
  yield* sql`update server_presence set liveness_since = now() - interval '12 hours'`
  yield* sql`
    insert into challenges (id, server_id, purpose, nonce, state, issued_at, expires_at, answered_at)
    select gen_random_uuid(), id, 'scheduled', decode(repeat('00', 32), 'hex'),
           case when n = 3 and abs(hashtext(name)) % 100 = 0 then 'failed' else 'passed' end, at,
           at + interval '1 minute', at + interval '20 ms' * (1 + abs(hashtext(name)) % 50)
      from (select s.id, s.name, n,
                   now() - interval '6 hours' * n - interval '1 second' * (abs(hashtext(s.name)) % 21600) as at
              from servers s, generate_series(0, 27) as n) as asked`
  yield* sql`
    insert into metric_samples (server_id, at, boot_id, seq, metrics)
    select server_id, date_trunc('minute', now()) - interval '1 minute' * n - interval '30 seconds' * h, null, n * 2 + h,
           jsonb_build_object('cpu', random(), 'memoryUsedBytes', 4e9, 'rxBytes', (100 - n) * 1e6, 'txBytes', (100 - n) * 2e6,
                              'load1', random(), 'rttMs', random() * 60, 'uptimeSeconds', 86400, 'memoryTotalBytes', 8e9)
      from generate_series(1, 4) as n, generate_series(0, 1) as h, server_presence`
  for (const table of [
    "servers",
    "server_presence",
    "server_transitions",
    "challenges",
    "server_verifications",
    "metric_samples",
    "groups"
  ])
    yield* sql`vacuum analyze ${sql(table)}`
})

const query = (given: Partial<ServersQuery>): ServersQuery => ({ ...Fixtures.everyServer, limit: 100, ...given })

const lists: Readonly<Record<string, Partial<ServersQuery>>> = {
  "by name": {},
  "by name, down": { sort: "-name" },
  "by last heartbeat": { sort: "lastSeen" },
  "by last heartbeat, down": { sort: "-lastSeen" },
  "by time of joining": { sort: "-registered" },
  "by version": { sort: "version" },
  "by load, down": { sort: "-load" },
  offline: { statuses: ["offline"] },
  "offline, by last heartbeat": { statuses: ["offline"], sort: "-lastSeen" },
  online: { statuses: ["online"], sort: "-load" },
  "tag:half": { text: "tag:half" },
  "tag:rare-7": { text: "tag:rare-7" },
  "tag:half cap:lan version:<1.4": { text: "tag:half cap:lan version:<1.4" },
  "-tag:half": { text: "-tag:half" },
  "label:rack:r7, by load": { text: "label:rack=r7", sort: "-load" },
  "cap:exotic": { text: "cap:exotic" },
  "group:area-3": { text: "group:area-3" },
  "group:area-3/site-1, by last heartbeat": { text: "group:area-3/site-1", sort: "-lastSeen" },
  "seen:>1h": { text: "seen:>1h" },
  "seen:<10s, by last heartbeat": { text: "seen:<10s", sort: "-lastSeen" },
  "load:>0.95": { text: "load:>0.95" },
  "connections:>900": { text: "connections:>900" },
  "metric.cpu:>0.9 (none)": { text: "metric.cpu:>0.9" },
  "a word that many have": { text: "-1" },
  "a word that one has": { text: "-77431" },
  "a word that none has": { text: "zebra" },
  "an address (none)": { text: "ip:203.0.113.0/24" },
  "never seen (none)": { text: "seen:never" },
  "unverified (none)": { verified: false }
}

const bench = Effect.gen(function* () {
  const all = yield* Servers
  const now = yield* DateTime.now
  const verification = yield* Verification
  const monitoring = yield* Monitoring
  const metrics = yield* Metrics
  const availability = yield* Availability
  const groups = yield* Groups
  const fleet = yield* Fleet
  const { sweep } = yield* Liveness
  const range = { from: DateTime.subtract(now, { days: 7 }), to: now }
  yield* Console.log(
    `${servers} servers, ${rounds} rounds, milliseconds; load of the machine ${loadavg()[0]?.toFixed(1)}\n`
  )
  yield* Console.log("| what | p50 | most | × by name |\n| --- | ---: | ---: | ---: |")
  let peer: number | undefined
  const measure = Effect.fnUntraced(function* <A, E>(name: string, effect: Effect.Effect<A, E>, times = rounds) {
    const took: Array<number> = []
    for (let n = 0; n < times; n++) {
      let failure: string | undefined
      const noted = Effect.catchCause(effect, (cause) => {
        failure = Cause.pretty(cause)
        return Effect.void
      })
      took.push(yield* milliseconds(noted))
      if (failure === undefined) continue
      return yield* Console.log(`| ${name} | failed after ${took.at(-1)?.toFixed(0)}: ${failure.slice(0, 200)} | | |`)
    }
    const p50 = percentile(took, 0.5)
    peer ??= p50
    yield* Console.log(`| ${name} | ${p50.toFixed(1)} | ${Math.max(...took).toFixed(1)} | ${(p50 / peer).toFixed(1)} |`)
  })
  for (const [name, given] of Object.entries(lists)) {
    yield* measure(name, all.list(defaultOrganizationId, query(given)))
  }
  for (const text of ["", "tag:half cap:lan version:<1.4", "seen:>1h", "zebra", "load:>0.5"]) {
    yield* measure(`count of "${text}"`, all.count(defaultOrganizationId, query({ text })), 3)
  }
  yield* measure("tree of groups", groups.tree(defaultOrganizationId), 3)
  yield* measure("overview", fleet.overview(defaultOrganizationId), 1)
  yield* measure("fleet now", monitoring.fleetAt(defaultOrganizationId, null), 3)
  for (const hours of [1, 24, 150]) {
    yield* measure(
      `fleet ${hours} h ago`,
      monitoring.fleetAt(defaultOrganizationId, DateTime.subtract(now, { hours })),
      3
    )
  }
  yield* measure("moment noted", monitoring.note, 1)
  yield* measure("verification figures", verification.figures(defaultOrganizationId), 1)
  for (const list of ["due", "failed", "passed"] as const) {
    yield* measure(
      `verification list ${list}`,
      verification.list(defaultOrganizationId, { list, groupId: null, limit: 50, cursor: null }),
      3
    )
  }
  yield* measure("availability of groups over 7 days", availability.ofGroups(defaultOrganizationId, range), 1)
  yield* measure("sweep", sweep, 3)
  yield* measure("metrics rolled up, first run", metrics.rollUp, 1)
  yield* measure("metrics rolled up, further runs", metrics.rollUp, 8)
  yield* measure("exposition", Stream.runDrain(Stream.unwrap(metrics.exposition(defaultOrganizationId))), 1)
})

const main = Effect.gen(function* () {
  const url = yield* TestDatabase.createDatabase
  // Filling a database takes longer than the broker lets any statement take.
  yield* Effect.provide(Effect.andThen(bigFleet(servers), history), TestServer.connect(url))
  yield* Effect.provide(
    bench,
    Core.layer.pipe(Layer.provideMerge(Layer.mergeAll(Database.layer({ url }), TestEncryption.layer)))
  )
})

await Effect.runPromise(Effect.scoped(main))
