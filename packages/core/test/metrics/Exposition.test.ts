import { randomUUID } from "node:crypto"
import { families, sanitized } from "@broker/core/metrics/Exposition"
import { Metrics } from "@broker/core/metrics/Metrics"
import { defaultOrganizationId, OrganizationId } from "@broker/domain/Organization"
import { parse } from "@broker/testing/Exposition"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const now = Date.parse("2027-01-01T00:00:00Z")

const server = Effect.fnUntraced(function* (
  name: string,
  metrics: Readonly<Record<string, number>>,
  { admission = "approved", groupId = null as string | null, liveness = "online" } = {}
) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  yield* sql`
    insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                         endpoints, capabilities, tags, labels, registered_at, group_id)
    values (${id}, ${defaultOrganizationId}, ${name}, ${id}, ${admission}, now(), 'serving', now(),
            ${Buffer.from(id.slice(0, 32))}, '[]', '{}', '{}', '{}', now(), ${groupId}::uuid)`
  yield* sql`
    insert into server_presence (server_id, liveness, liveness_since, last_seen_at, active_connections, metrics)
    values (${id}, ${liveness}, now(), ${new Date(now - 1_500)}, 3, ${JSON.stringify(metrics)}::text::jsonb)`
  return id
})

const exposed = (organizationId = defaultOrganizationId) =>
  Effect.map(
    Metrics.use((metrics) => Stream.mkString(Stream.unwrap(metrics.exposition(organizationId)))),
    parse
  )

layer(Metrics.layer.pipe(Layer.provideMerge(TestDatabase.layer)))("exposition", (it) => {
  it.effect("names are such as Prometheus takes, and no two metrics share one", () =>
    Effect.sync(() => {
      assert.strictEqual(sanitized("rxBytes"), "rx_bytes")
      assert.strictEqual(sanitized("disk.sda1.ReadMs"), "disk_sda1_read_ms")
      assert.deepStrictEqual(
        families(["my_own", "rxBytes", "my.own", "requestsTotal", "myOwn"]).map(([metric, { name, type }]) => [
          metric,
          name,
          type
        ]),
        [
          ["my.own", "broker_metric_my_own", "gauge"],
          ["myOwn", "broker_metric_my_own_2", "gauge"],
          ["my_own", "broker_metric_my_own_3", "gauge"],
          ["requestsTotal", "broker_metric_requests_total", "counter"],
          ["rxBytes", "broker_metric_rx_bytes_total", "counter"]
        ]
      )
    })
  )

  it.effect("a fleet of several pages, with names that need escaping", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* TestClock.setTime(now)
      const group = randomUUID()
      yield* sql`
        insert into groups (id, organization_id, name, name_key, created_at)
        values (${group}, ${defaultOrganizationId}, 'eu "west"', 'eu "west"', now())`
      const odd = yield* server(
        'a "quoted\\name"\nof two lines',
        { cpu: 0.25, rxBytes: 12, "my.own": -1e21 },
        { groupId: group }
      )
      const gone = yield* server("gone", { cpu: 1 }, { liveness: "offline" })
      const retired = yield* server("retired", { cpu: 1, secret: 1 }, { admission: "retired" })
      for (const first of [0, 700, 1_400]) {
        yield* sql`
          with many as (
            insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since,
                                 public_key, endpoints, capabilities, tags, labels, registered_at)
            select gen_random_uuid(), ${defaultOrganizationId}::uuid, 'many-' || n, 'many-' || n, 'approved', now(),
                   'serving', now(), sha256(n::text::bytea), '[]', '{}', '{}', '{}', now()
              from generate_series(${first}::int + 1, ${first}::int + 700) as n
            returning id)
          insert into server_presence (server_id, liveness, liveness_since, last_seen_at, metrics)
          select id, 'online', now(), now(), '{"cpu": 0.5}' from many`
      }
      const found = yield* exposed()
      const of = (family: string, id: string) => found.get(family)?.samples.find(({ labels }) => labels["id"] === id)
      assert.lengthOf(found.get("broker_server_up")?.samples ?? [], 2_102)
      assert.lengthOf(found.get("broker_metric_cpu")?.samples ?? [], 2_101)
      assert.deepStrictEqual(of("broker_server_up", odd), {
        name: "broker_server_up",
        labels: { server: 'a "quoted\\name"\nof two lines', id: odd, group: 'eu "west"' },
        value: 1
      })
      assert.strictEqual(of("broker_server_last_seen_age_seconds", odd)?.value, 1.5)
      assert.strictEqual(of("broker_server_connections", odd)?.value, 3)
      assert.strictEqual(of("broker_server_connection_limit", odd)?.value, 1_000)
      assert.strictEqual(of("broker_metric_my_own", odd)?.value, -1e21)
      assert.strictEqual(found.get("broker_metric_rx_bytes_total")?.type, "counter")
      assert.strictEqual(of("broker_metric_rx_bytes_total", odd)?.value, 12)
      assert.strictEqual(of("broker_server_up", gone)?.value, 0)
      assert.strictEqual(of("broker_server_status", gone)?.labels["status"], "offline")
      assert.isUndefined(of("broker_metric_cpu", gone))
      assert.isUndefined(of("broker_server_up", retired))
      assert.isFalse(found.has("broker_metric_secret"))
    })
  )

  it.effect("more metrics than are held in memory at once, and none of them twice", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 60 }, (_, index) => `own${index}`)
      const id = yield* server("many numbers", Object.fromEntries(names.map((name, index) => [name, index])))
      const found = yield* exposed()
      assert.deepStrictEqual(
        names.map(
          (name) => found.get(`broker_metric_${name}`)?.samples.find(({ labels }) => labels["id"] === id)?.value
        ),
        names.map((_, index) => index)
      )
    })
  )

  it.effect("H6 the guard, and those it holds as unknown", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const id = yield* server("held", { cpu: 1 }, { liveness: "unknown" })
      yield* sql`
        insert into fleet_guards (id, organization_id, began_at, expected, held, seen, cause, steady_held, steady_since, ends_at)
        values (${randomUUID()}, ${defaultOrganizationId}, now(), 10, 5, 5, 'unclear', 5, now(), now())`
      const found = yield* exposed()
      assert.strictEqual(found.get("broker_fleet_guard_open")?.samples[0]?.value, 1)
      const status = found.get("broker_server_status")?.samples.find(({ labels }) => labels["id"] === id)
      assert.strictEqual(status?.labels["status"], "unknown")
      yield* sql`update fleet_guards set ended_at = now(), end_kind = 'recovered'`
      assert.strictEqual((yield* exposed()).get("broker_fleet_guard_open")?.samples[0]?.value, 0)
    })
  )

  it.effect("nothing of another organization", () =>
    Effect.gen(function* () {
      yield* server("somebody's", { cpu: 1 })
      const found = yield* exposed(OrganizationId.make(randomUUID()))
      assert.deepStrictEqual(
        [...found.values()].flatMap(({ samples }) => samples),
        [{ name: "broker_fleet_guard_open", labels: {}, value: 0 }]
      )
    })
  )
})
