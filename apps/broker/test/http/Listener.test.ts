/** F12: slow and broken clients are sent away. J5: a stop loses no request and takes no longer than it may. */

import { connect } from "node:net"
import { assert, it, layer } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { HttpServer } from "effect/http"
import { broker } from "./TinyBroker.ts"
import { type Answer, get, port, posting, request, send } from "./Wire.ts"

const impatient = broker({ listener: { requestTimeout: "700 millis", headersTimeout: "500 millis" } })

const assertRefused = (answer: Answer, status: number, code: string) => {
  assert.strictEqual(answer.status, status)
  assert.strictEqual(answer.headers["content-type"], "application/problem+json")
  assert.strictEqual(answer.headers.connection, "close")
  assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
  assert.strictEqual(answer.json.code, code)
  assert.strictEqual(answer.json.status, status)
  assert.strictEqual(answer.json.requestId, answer.headers["x-request-id"])
}

layer(impatient, { excludeTestServices: true })("listener", (it) => {
  it.effect("refuses what is not HTTP as a problem", () =>
    Effect.gen(function* () {
      for (const bytes of [
        "nonsense\r\n\r\n",
        "GET /healthz HTTP/1.1\nhost: x\n\n\0",
        "GET /healthz HTTP/9.9\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nbad header: 1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}"
      ]) {
        assertRefused(yield* send(bytes), 400, "bad_request")
      }
    })
  )

  it.effect("refuses headers over 8 KiB", () =>
    Effect.gen(function* () {
      assertRefused(yield* get("/healthz", { "x-large": "a".repeat(10_000) }), 431, "headers_too_large")
      assertRefused(yield* get(`/${"a".repeat(10_000)}`), 431, "headers_too_large")
    })
  )

  it.effect("refuses expectations it can't meet", () =>
    Effect.gen(function* () {
      assertRefused(yield* get("/healthz", { expect: "200-maybe" }), 417, "expectation_failed")
    })
  )

  it.effect("closes slow connections (F12)", () =>
    Effect.gen(function* () {
      const slowHeader = send(request("GET", "/healthz", { a: "b".repeat(100) }), { everyMs: 50 })
      const slowBody = send(posting("/echo", '{"name":"somebody slow"}'), { everyMs: 50 })
      const noBody = send(posting("/echo", '{"name":1}').subarray(0, -5))
      const answers = yield* Effect.all([slowHeader, slowBody, noBody], { concurrency: "unbounded" })
      for (const answer of answers) {
        assertRefused(answer, 408, "request_timeout")
        assert.isBelow(answer.ms, 3000)
      }
    })
  )

  it.effect("serves others meanwhile (F12)", () =>
    Effect.gen(function* () {
      const to = yield* port
      let open = 300
      const sockets = Array.from({ length: open }, () => {
        const socket = connect(to, "127.0.0.1", () => socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\na: "))
        socket
          .on("error", () => {})
          .on("close", () => open--)
          .resume()
        return socket
      })
      yield* Effect.sleep(100)
      const answer = yield* get("/healthz")
      assert.strictEqual(answer.status, 200)
      assert.isBelow(answer.ms, 1000)
      yield* Effect.sleep(2500)
      assert.strictEqual(open, 0)
      for (const socket of sockets) socket.destroy()
    })
  )
})

/** Starts a broker, and hands back how to stop it. */
const started = Effect.fnUntraced(function* (options: Parameters<typeof broker>[0]) {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(broker(options), scope)
  return { server: Context.get(context, HttpServer.HttpServer), stop: Scope.close(scope, Exit.void) }
})

const timed = <A>(effect: Effect.Effect<A>) =>
  Effect.gen(function* () {
    const before = performance.now()
    yield* effect
    return performance.now() - before
  })

it.live("finishes requests, ends streams, closes idle connections, then is gone (J5)", () =>
  Effect.gen(function* () {
    const { server, stop } = yield* started({})
    yield* Effect.gen(function* () {
      const keepAlive = { connection: "keep-alive" }
      const slow = yield* Effect.forkChild(get("/api/v1/slow?ms=600", keepAlive))
      const events = yield* Effect.forkChild(get("/events", keepAlive))
      const idle = yield* Effect.forkChild(get("/healthz", keepAlive))
      yield* Effect.sleep(150)

      assert.isBelow(yield* timed(stop), 3000)

      const finished = yield* Fiber.join(slow)
      assert.strictEqual(finished.status, 200)
      assert.deepStrictEqual(finished.json, { ok: true })
      assert.include((yield* Fiber.join(events)).body, "data: tick")
      assert.strictEqual((yield* Fiber.join(idle)).status, 200)
      assert.strictEqual((yield* get("/healthz")).status, 0)
    }).pipe(Effect.provideService(HttpServer.HttpServer, server))
  })
)

it.live("waits no longer than it may (J5)", () =>
  Effect.gen(function* () {
    const { server, stop } = yield* started({ listener: { gracefulShutdownTimeout: "300 millis" } })
    yield* Effect.gen(function* () {
      const endless = yield* Effect.forkChild(get("/api/v1/slow?ms=60000"))
      yield* Effect.sleep(100)
      assert.isBelow(yield* timed(stop), 3000)
      const answer = yield* Fiber.join(endless)
      assert.include([0, 503], answer.status)
      if (answer.status === 503) assert.strictEqual(answer.json.code, "stopping")
    }).pipe(Effect.provideService(HttpServer.HttpServer, server))
  })
)

it.live("says it is not ready before it stops to listen", () =>
  Effect.gen(function* () {
    const { server, stop } = yield* started({ listener: { drainDelay: "600 millis" } })
    yield* Effect.gen(function* () {
      assert.strictEqual((yield* get("/readyz")).status, 200)
      const stopping = yield* Effect.forkChild(stop)
      yield* Effect.sleep(150)

      const readiness = yield* get("/readyz", { connection: "keep-alive" })
      assert.strictEqual(readiness.status, 503)
      assert.strictEqual(readiness.json.code, "stopping")
      assert.strictEqual(readiness.headers.connection, "close")
      assert.strictEqual((yield* get("/healthz")).status, 200)
      assert.strictEqual((yield* get("/api/v1/who")).status, 200)

      yield* Fiber.join(stopping)
      assert.strictEqual((yield* get("/healthz")).status, 0)
    }).pipe(Effect.provideService(HttpServer.HttpServer, server))
  })
)
