import { layer } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Usage from "../analytics/usage.ts"

import { execSync } from "node:child_process"
/** CPU of this database's backends, in ms. */
let db = ""
const cpu = () => db === "" ? 0 : execSync(`ps -eo cputimes=,pid=,args= | grep "[b]roker broker_test" | grep ${db} | awk '{print $2}' | xargs -r -I{} cat /proc/{}/stat 2>/dev/null || true`, { encoding: "utf8" }).trim().split("\n").filter(Boolean).reduce((t, l) => { const f = l.slice(l.lastIndexOf(")") + 2).split(" "); return t + (Number(f[11]) + Number(f[12])) * 10 }, 0)
const timed = <A, E, R>(name: string, e: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const a = performance.now()
    const r = yield* e
    console.log(name, Math.round(performance.now() - a), "ms", typeof r === "number" ? r : "")
    return r
  })
layer(Usage.layer, { timeout: "10 minutes" })("measure", (it) => {
  it.effect(
    "x",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const [d] = yield* sql`select current_database() as name`
    db = String(d?.["name"]).slice(0, 40)
    console.log(db, execSync("ps -eo args | grep '[p]ostgres: .*broker' | head -3", { encoding: "utf8" }))
    yield* Effect.forEach(Array.from({ length: 200 }), (_, i) => Usage.server(`s${i}`))
        yield* sql`alter table connections disable trigger user`
        const N = 100_000
        yield* sql`set statement_timeout = 0`
        for (let k = 0; k < 10; k++)
          yield* timed(
            "insert 10k",
            sql`
      insert into connections (id, organization_id, status, user_id, user_name, personal_key_id, personal_key_name, device_id,
                             device_name, platform, server_id, server_name, created_at, expires_at,
                             grant_expires_at, active_at, ended_at, ended_by, end_reason, server_tx_bytes, server_rx_bytes, verdict, settled_at)
      select gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'ended', ('00000000-0000-4000-8000-' || lpad((u % 1000)::text, 12, '0'))::uuid, 'user ' || u % 1000, gen_random_uuid(), 'k',
             ('00000000-0000-4000-8001-' || lpad((u)::text, 12, '0'))::uuid, 'dev', (array['linux','ios','windows'])[1 + u % 3],
             srv.ids[1 + (random() * 199)::int], 's', at, at + interval '1 minute', at + interval '2 minutes', at, at + (-ln(1 - random()) * interval '1 hour'), 'client', 'closed', (random()*1e9)::bigint, (random()*1e8)::bigint, 'confirmed', at + interval '3 days'
        from (select (random()*1499)::int as u, timestamptz '2026-10-20' + random() * interval '30 days' as at from generate_series(1, ${N / 10}::int)) x,
             (select array_agg(id) as ids from servers) srv`
          )
        yield* sql`alter table connections enable trigger user`
        yield* Usage.allDue
        const [c] = yield* sql`select count(*)::int as n from connection_usage_due`
        console.log("due rows", c)
        if (process.env["ANALYZE"] === "1") yield* sql`analyze`
        const now = Date.parse("2026-11-20T00:00:00Z")
        for (const row of yield* sql`explain (analyze, buffers) select d.quarter, c.id from unnest(array['00000000-0000-7000-8000-000000000001']::uuid[], array['2026-11-01 00:00Z']::timestamptz[]) as d (organization_id, quarter) cross join lateral (select * from connections where tstzrange(active_at, ended_at, '[]') && tstzrange(d.quarter, d.quarter + interval '15 minutes') and active_at is not null and organization_id = d.organization_id) c`)
          console.log(Object.values(row)[0])
        yield* timed(
          "all",
          Effect.gen(function* () {
            for (let run = 0; run < 30; run++) {
              const n = yield* timed("run", Usage.rollUpAt(now))
              const [left] = yield* sql`select 1 from connection_usage_due limit 1`
              if (left === undefined) break
            }
          })
        )
        console.log(
          yield* sql`select count(*)::int as rows, pg_size_pretty(pg_total_relation_size('connection_usage')) as size, pg_size_pretty(pg_relation_size('connections_time_idx')) as gist from connection_usage`
        )
        yield* sql`analyze`
        for (const by of ["server", "user", "group", "platform"] as const)
          for (const step of ["day", "hour"] as const)
            yield* timed(
              `report ${step} ${by}`,
              Usage.report({
                from: Usage.instant("2026-10-20T00:00:00Z"),
                to: Usage.instant("2026-11-19T00:00:00Z"),
                timeZone: "Europe/Berlin",
                step,
                by
              })
            )
        yield* timed(
          "report again",
          Usage.report({
            from: Usage.instant("2026-10-20T00:00:00Z"),
            to: Usage.instant("2026-11-19T00:00:00Z"),
            timeZone: "Europe/Berlin",
            step: "day",
            by: "server"
          })
        )
        yield* timed(
          "report 1 day",
          Usage.report({
            from: Usage.instant("2026-11-18T00:00:00Z"),
            to: Usage.instant("2026-11-19T00:00:00Z"),
            timeZone: "Europe/Berlin",
            step: "hour",
            by: "server"
          })
        )
        yield* timed("idle", Usage.rollUpAt(now + 30_000))
        yield* timed("idle", Usage.rollUpAt(now + 60_000))
      }),
    600_000
  )
})
