/**
 * How long the database takes for heartbeats: `node bench/heartbeats.ts [servers] [rounds]`.
 *
 * Every server beats once a round, 30 s after the one before, in batches of 1,000 as brokers write them, with the eight
 * metrics of the agent. Told is what one batch took.
 */
import { randomUUID } from "node:crypto"
import { BeatSql } from "@broker/core/Database"
import * as HeartbeatsSql from "@broker/core/heartbeats/HeartbeatsSql"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { ServerId } from "@broker/domain/Server"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { percentile } from "./measure.ts"

const [count = 5_000, rounds = 40] = process.argv.slice(2, 4).map(Number)
const batch = 1_000

await Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                         endpoints, capabilities, tags, labels, registered_at)
    select id, ${defaultOrganizationId}::uuid, id::text, id::text, 'approved', now(), 'serving', now(),
           decode(replace(id::text, '-', '') || replace(id::text, '-', ''), 'hex'), '[]', '{}', '{}', '{}', now()
      from (select gen_random_uuid() as id from generate_series(1, ${count}::int)) as ids`
  yield* sql`insert into server_presence (server_id, liveness_since) select id, now() from servers`
  const ids = (yield* sql`select id from servers`).map(({ id }) => ServerId.make(String(id)))
  const { beat } = HeartbeatsSql.make(yield* BeatSql, ServersPolicy.defaultValue())
  const boots = new Map(ids.map((id) => [id, randomUUID()]))
  const began = Date.now() - rounds * 30_000
  const times: Array<number> = []
  for (let round = 1; round <= rounds; round++) {
    for (let first = 0; first < count; first += batch) {
      const beats = ids.slice(first, first + batch).map((serverId, index) => ({
        serverId,
        bootId: boots.get(serverId) ?? "",
        seq: round,
        seenAt: new Date(began + round * 30_000 + index),
        address: "203.0.113.7",
        skewSeconds: 0,
        intervalSeconds: 30,
        activeConnections: 7,
        metrics: {
          cpu: Math.round(Math.random() * 1_000) / 1_000,
          memoryUsedBytes: 4_000_000_000 + index * 1_000,
          memoryTotalBytes: 8_589_934_592,
          rxBytes: round * 1_234_567 + index,
          txBytes: round * 7_654_321 + index,
          load1: Math.round(Math.random() * 400) / 100,
          uptimeSeconds: 86_400 + round * 30,
          rttMs: Math.round(Math.random() * 60)
        }
      }))
      const from = performance.now()
      yield* beat({ beats, lateBefore: DateTime.makeUnsafe(0) })
      times.push(performance.now() - from)
    }
  }
  // The first rounds fill caches and write rows for the first time.
  const settled = times.slice(times.length >> 2)
  const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => percentile(settled, share).toFixed(1))
  const mean = settled.reduce((sum, took) => sum + took, 0) / settled.length
  console.log(`${settled.length} batches: mean ${mean.toFixed(1)} ms, p50 ${p50}, p90 ${p90}, p99 ${p99}`)
}).pipe(Effect.provide(TestDatabase.layer), Effect.scoped, Effect.runPromise)
