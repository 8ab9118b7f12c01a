/**
 * How much room an hour of metrics takes, and how long it takes to be rolled up: `node bench/metrics.ts [servers]`.
 *
 * A heartbeat every 30 s with the eight metrics of the agent; servers stand in 40 groups, two deep.
 */
import { loadavg } from "node:os"
import * as Database from "@broker/core/Database"
import { Metrics } from "@broker/core/metrics/Metrics"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as TestDatabase from "@broker/testing/TestDatabase"
import * as TestServer from "@broker/testing/TestServer"
import { Console, DateTime, Duration, Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"

const [servers = 5_000] = process.argv.slice(2).map(Number)

/** The last whole hour that is over for good. */
const hour = new Date(Math.floor((Date.now() - 900_000) / 3_600_000) * 3_600_000 - 3_600_000)

const fleet = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    insert into groups (id, organization_id, name, name_key, created_at)
    select md5('top' || n)::uuid, ${defaultOrganizationId}::uuid, 'g' || n, 'g' || n, now() from generate_series(0, 3) as n`
  yield* sql`
    insert into groups (id, organization_id, parent_id, name, name_key, created_at)
    select md5('sub' || n)::uuid, ${defaultOrganizationId}::uuid, md5('top' || n % 4)::uuid, 's' || n, 's' || n, now()
      from generate_series(0, 39) as n`
  yield* sql`
    insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                         endpoints, capabilities, tags, labels, registered_at, group_id)
    select gen_random_uuid(), ${defaultOrganizationId}::uuid, 's' || n, 's' || n, 'approved', now(), 'serving', now(),
           sha256(n::text::bytea), '[]', '{}', '{}', '{}', now(), md5('sub' || n % 40)::uuid
      from generate_series(1, ${servers}::int) as n`
  yield* sql`
    insert into server_presence (server_id, liveness, liveness_since, last_seen_at, metrics)
    select id, 'online', now(), now(),
           '{"cpu": 0.5, "memoryUsedBytes": 1, "memoryTotalBytes": 2, "rxBytes": 3, "txBytes": 4, "load1": 1, "uptimeSeconds": 1, "rttMs": 3}'
      from servers`
  yield* sql`
    insert into metric_samples (server_id, at, boot_id, seq, metrics)
    select id, ${hour}::timestamptz + make_interval(secs => beat * 30 + random() * 3), id, beat,
           jsonb_build_object(
             'cpu', round(random()::numeric, 3), 'memoryUsedBytes', floor(4e9 + random() * 1e9),
             'memoryTotalBytes', 8589934592, 'rxBytes', beat * 1234567 + floor(random() * 1000),
             'txBytes', beat * 7654321 + floor(random() * 1000), 'load1', round((random() * 4)::numeric, 2),
             'uptimeSeconds', 86400 + beat * 30, 'rttMs', floor(random() * 60))
      from generate_series(0, 119) as beat, servers
     order by beat`
  yield* sql`analyze`
})

const sizes = SqlClient.SqlClient.use(
  (sql) => sql`
    select parent.relname as name, sum(pg_total_relation_size(part.oid))::float8 as bytes,
           (select count(*)::int from metric_minutes) as minutes
      from pg_inherits i
      join pg_class parent on parent.oid = i.inhparent
      join pg_class part on part.oid = i.inhrelid
     where parent.relname in ('metric_samples', 'metric_minutes', 'metric_hours', 'metric_group_minutes', 'metric_group_hours')
     group by 1
     order by 1`
)

const empty = new Map<unknown, number>()

const bench = Effect.gen(function* () {
  const metrics = yield* Metrics
  yield* Console.log(`${servers} servers, load of the machine before: ${loadavg()[0]?.toFixed(1)}`)
  let [minutes, hours, millis] = [0, 0, 0]
  while (hours === 0) {
    const [took, done] = yield* Effect.timed(metrics.rollUp)
    minutes += done.minutes
    hours += done.hours
    millis += Duration.toMillis(took)
    yield* Console.log(`a run: ${done.minutes} minutes, ${done.hours} hours, ${Math.round(Duration.toMillis(took))} ms`)
  }
  yield* Console.log(`in all: ${minutes} minutes and ${hours} hours in ${Math.round(millis)} ms`)
  for (const { bytes, name } of yield* sizes) {
    const day = ((Number(bytes) - (empty.get(name) ?? 0)) * 24) / servers
    yield* Console.log(
      `${String(name).padEnd(22)} ${Math.round(day).toLocaleString("en").padStart(12)} bytes per server and day`
    )
  }
  const now = yield* DateTime.now
  const asked = { names: [], from: DateTime.subtract(now, { hours: 4 }), to: now, step: 60 }
  const [fleet] = yield* Effect.timed(
    metrics.query(defaultOrganizationId, { ...asked, scope: { _tag: "Fleet" } }).pipe(Effect.orDie)
  )
  const [exposed, lines] = yield* Effect.timed(
    Stream.runFold(
      Stream.unwrap(metrics.exposition(defaultOrganizationId)),
      () => 0,
      (length, text) => length + text.length
    )
  )
  yield* Console.log(`the fleet's chart: ${Math.round(Duration.toMillis(fleet))} ms`)
  yield* Console.log(`exposition: ${(lines / 1e6).toFixed(1)} MB in ${Math.round(Duration.toMillis(exposed))} ms`)
})

const main = Effect.gen(function* () {
  const url = yield* TestDatabase.createDatabase
  for (const { bytes, name } of yield* Effect.provide(sizes, TestServer.connect(url))) empty.set(name, Number(bytes))
  yield* Effect.provide(fleet, TestServer.connect(url))
  yield* Effect.provide(bench, Layer.provideMerge(Metrics.layer, Database.layer({ url })))
})

await Effect.runPromise(Effect.scoped(main))
