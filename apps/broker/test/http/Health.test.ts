import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Readiness } from "../../src/http/Health.ts"
import { broker } from "./TinyBroker.ts"
import { get } from "./Wire.ts"

const token = "metrics-secret"

layer(broker(), { excludeTestServices: true })("health", (it) => {
  it.effect("lives and is ready", () =>
    Effect.gen(function* () {
      const alive = yield* get("/healthz")
      assert.strictEqual(alive.status, 200)
      assert.deepStrictEqual(alive.json, { status: "ok" })
      const ready = yield* get("/readyz")
      assert.strictEqual(ready.status, 200)
      assert.deepStrictEqual(ready.json, { status: "ready", checks: [{ name: "listener", ok: true }] })
    })
  )

  it.effect("tells its figures to this machine", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* get("/metrics")
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
      assert.include(body, `broker_build_info{node="${process.version}",version="1.2.3"} 1`)
      for (const name of ["process_resident_memory_bytes", "process_uptime_seconds", "process_cpu_seconds_total"]) {
        assert.match(body, new RegExp(`^${name} \\d`, "m"))
      }
      assert.match(body, /^nodejs_eventloop_delay_p99_seconds [\d.e-]+$/m)
    })
  )

  it.effect("hides them from whoever comes through a proxy on this machine", () =>
    Effect.gen(function* () {
      for (const name of ["x-forwarded-for", "forwarded", "via", "x-real-ip"]) {
        const answer = yield* get("/metrics", { [name]: "127.0.0.1" })
        assert.strictEqual(answer.status, 404)
        assert.strictEqual(answer.json.code, "not_found")
      }
    })
  )
})

layer(broker({ health: { metricsToken: Redacted.make(token) } }), { excludeTestServices: true })(
  "metrics with a token",
  (it) => {
    it.effect("are read with it from anywhere, and without it from this machine", () =>
      Effect.gen(function* () {
        const elsewhere = { "x-forwarded-for": "198.51.100.7" }
        const refused = yield* get("/metrics", elsewhere)
        assert.strictEqual(refused.status, 401)
        assert.strictEqual(refused.json.code, "metrics_token_refused")
        assert.strictEqual(refused.headers["www-authenticate"], "Bearer")
        assert.strictEqual((yield* get("/metrics", { ...elsewhere, authorization: "Bearer wrong" })).status, 401)
        assert.strictEqual((yield* get("/metrics", { ...elsewhere, authorization: `Bearer ${token}` })).status, 200)
        assert.strictEqual((yield* get("/metrics")).status, 200)
      })
    )
  }
)

const failing = Layer.provide(
  broker({ health: { checkTimeout: "100 millis" } }),
  Layer.succeed(Readiness, [
    { name: "database", run: Effect.void },
    { name: "clock", run: Effect.fail("Two seconds behind the database") },
    { name: "migrations", run: Effect.die(new Error("postgres://secret")) },
    { name: "listen", run: Effect.never }
  ])
)

layer(failing, { excludeTestServices: true })("not ready", (it) => {
  it.effect("says what is missing, and no more", () =>
    Effect.gen(function* () {
      const answer = yield* get("/readyz")
      assert.strictEqual(answer.status, 503)
      assert.strictEqual(answer.headers["content-type"], "application/problem+json")
      assert.match(answer.headers["retry-after"] ?? "", /^[1-5]$/)
      assert.strictEqual(answer.json.code, "not_ready")
      assert.strictEqual(answer.json.requestId, answer.headers["x-request-id"])
      assert.deepStrictEqual(answer.json.checks, [
        { name: "listener", ok: true },
        { name: "database", ok: true },
        { name: "clock", ok: false, detail: "Two seconds behind the database" },
        { name: "migrations", ok: false, detail: "The check itself failed" },
        { name: "listen", ok: false, detail: "No answer in time" }
      ])
      assert.strictEqual((yield* get("/healthz")).status, 200)
    })
  )
})
