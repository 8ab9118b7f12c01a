/** Whatever is sent: one shape of failure, an id, the same headers, and nothing of the inside. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Tracer } from "effect"
import { HttpServerRequest } from "effect/http"
import { clientAddress } from "../../src/http/Edge.ts"
import { secret } from "./TinyApi.ts"
import { broker, Log } from "./TinyBroker.ts"
import { type Answer, get, post, postChunked, request, send } from "./Wire.ts"

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const thing = JSON.stringify({ name: "a", count: 1, tags: [] })

/** Holds of every answer, good or bad. */
const assertSafe = (answer: Answer) => {
  assert.match(answer.headers["x-request-id"] ?? "", uuidV7)
  assert.strictEqual(answer.headers["x-content-type-options"], "nosniff")
  assert.strictEqual(answer.headers["x-frame-options"], "DENY")
  assert.strictEqual(answer.headers["cross-origin-opener-policy"], "same-origin")
  assert.strictEqual(answer.headers["cross-origin-resource-policy"], "same-origin")
  assert.include(answer.headers["content-security-policy"], "frame-ancestors 'none'")
  assert.isDefined(answer.headers["referrer-policy"])
  assert.isDefined(answer.headers["permissions-policy"])
  assert.isDefined(answer.headers["cache-control"])
  assert.isUndefined(answer.headers["strict-transport-security"])
  assert.notInclude(answer.body, secret)
  assert.notMatch(answer.body, /\bat .*\.[jt]s:\d|node_modules|file:\/\//)
}

const assertProblem = (answer: Answer, status: number, code: string, instance: string) => {
  assert.strictEqual(answer.status, status)
  assert.strictEqual(answer.headers["content-type"], "application/problem+json")
  assert.strictEqual(answer.json.type, `/problems/${code}`)
  assert.strictEqual(answer.json.code, code)
  assert.strictEqual(answer.json.status, status)
  assert.strictEqual(answer.json.instance, instance)
  assert.strictEqual(answer.json.requestId, answer.headers["x-request-id"])
  assert.isString(answer.json.title)
  assert.isString(answer.json.detail)
  assertSafe(answer)
}

layer(broker(), { excludeTestServices: true })("edge", (it) => {
  it.effect("adds an id and security headers to what succeeds", () =>
    Effect.gen(function* () {
      const answer = yield* post("/api/v1/things", thing)
      assert.strictEqual(answer.status, 200)
      assert.deepStrictEqual(answer.json, { name: "a", count: 1 })
      assert.strictEqual(answer.headers["cache-control"], "no-store")
      assert.include(answer.headers["content-security-policy"], "default-src 'none'")
      assertSafe(answer)
    })
  )

  it.effect("makes the id known to handlers and to the log", () =>
    Effect.gen(function* () {
      const answer = yield* get("/api/v1/who?token=brk_srv_visible")
      assert.strictEqual(answer.json.requestId, answer.headers["x-request-id"])
      const lines = (yield* Log).filter((line) => line.includes(answer.headers["x-request-id"] ?? "none"))
      assert.lengthOf(lines, 1)
      const { annotations, level } = JSON.parse(lines[0] ?? "")
      assert.strictEqual(level, "INFO")
      assert.strictEqual(annotations.method, "GET")
      assert.strictEqual(annotations.path, "/api/v1/who")
      assert.strictEqual(annotations.status, 200)
      assert.strictEqual(annotations.client, "127.0.0.1")
      assert.isNumber(annotations.durationMs)
      assert.notInclude(lines[0], "brk_srv_visible")
    })
  )

  it.effect("believes nobody's X-Request-Id and X-Forwarded-For by default (G1)", () =>
    Effect.gen(function* () {
      const answer = yield* get("/api/v1/who", { "x-request-id": "abcdef-12345678", "x-forwarded-for": "6.6.6.6" })
      assert.strictEqual(answer.json.client, "127.0.0.1")
      assertSafe(answer)
    })
  )

  it.effect("tells addresses as they are anywhere, without the zone of a link", () =>
    Effect.gen(function* () {
      for (const [peer, expected] of [
        ["::ffff:203.0.113.7", "203.0.113.7"],
        ["fe80::fc:ff:fe00:1%eth0", "fe80::fc:ff:fe00:1"],
        ["FE80:0::1%25", "fe80::1"],
        ["2001:DB8:0::1", "2001:db8::1"]
      ] as const) {
        const request = HttpServerRequest.fromWeb(new Request("http://broker/")).modify({
          remoteAddress: Option.some(peer)
        })
        const address = yield* Effect.provideService(clientAddress, HttpServerRequest.HttpServerRequest, request)
        assert.deepStrictEqual(address, Option.some(expected))
      }
    })
  )

  it.effect("answers 404 for unknown paths, of any method", () =>
    Effect.gen(function* () {
      assertProblem(yield* get("/nope?secret=1"), 404, "not_found", "/nope")
      assertProblem(yield* post("/api/v1/nope", "{}"), 404, "not_found", "/api/v1/nope")
      assertProblem(yield* get("/api/v1/%zz"), 404, "not_found", "/api/v1/%zz")
      assertProblem(yield* send(request("TRACE", "/nope")), 404, "not_found", "/nope")
      assertProblem(yield* send(request("OPTIONS", "/nope")), 404, "not_found", "/nope")
    })
  )

  it.effect("answers 405 with Allow for a wrong method", () =>
    Effect.gen(function* () {
      const onPost = yield* get("/api/v1/things")
      assertProblem(onPost, 405, "method_not_allowed", "/api/v1/things")
      assert.strictEqual(onPost.headers.allow, "POST, OPTIONS")

      const onBoth = yield* send(request("TRACE", "/api/v1/things/7"))
      assertProblem(onBoth, 405, "method_not_allowed", "/api/v1/things/7")
      assert.strictEqual(onBoth.headers.allow, "GET, HEAD, DELETE, OPTIONS")

      assertProblem(yield* post("/api/v1/who", "{}"), 405, "method_not_allowed", "/api/v1/who")
      assertProblem(yield* get("/rpc/servers.list"), 405, "method_not_allowed", "/rpc/servers.list")
      assertProblem(yield* post("/healthz", "{}"), 405, "method_not_allowed", "/healthz")
    })
  )

  it.effect("answers OPTIONS with Allow, and opens nothing to other origins", () =>
    Effect.gen(function* () {
      const answer = yield* send(
        request("OPTIONS", "/api/v1/things", {
          origin: "https://evil.example",
          "access-control-request-method": "POST"
        })
      )
      assert.strictEqual(answer.status, 204)
      assert.strictEqual(answer.headers.allow, "POST, OPTIONS")
      assert.isUndefined(answer.headers["access-control-allow-origin"])
      assertSafe(answer)
    })
  )

  it.effect("answers HEAD like GET, without the body", () =>
    Effect.gen(function* () {
      const answer = yield* send(request("HEAD", "/api/v1/who"))
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.body, "")
      assert.isAbove(Number(answer.headers["content-length"]), 0)
      assertSafe(answer)

      const missing = yield* send(request("HEAD", "/nope"))
      assert.strictEqual(missing.status, 404)
      assert.strictEqual(missing.body, "")
    })
  )

  it.effect("takes the path of a request in absolute form, not its host", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* get("http://evil.example/url")).body, "/url")
      assertProblem(yield* get("http://evil.example/nope"), 404, "not_found", "/nope")
    })
  )

  it.effect("refuses what is not JSON", () =>
    Effect.gen(function* () {
      const bad = ['{"name":', "{}{}", "{'name':1}", '"', "undefined", '{"a":01}']
      for (const body of bad) {
        assertProblem(yield* post("/api/v1/things", body), 400, "malformed_json", "/api/v1/things")
        assertProblem(yield* post("/echo", body), 400, "malformed_json", "/echo")
      }
    })
  )

  it.effect("refuses invalid UTF-8 instead of repairing it", () =>
    Effect.gen(function* () {
      const body = Buffer.concat([
        Buffer.from('{"name":"'),
        Buffer.from([0xff, 0xfe, 0xc0]),
        Buffer.from('","count":1,"tags":[]}')
      ])
      assertProblem(yield* post("/api/v1/things", body), 400, "malformed_json", "/api/v1/things")
      assertProblem(yield* post("/echo", body), 400, "malformed_json", "/echo")
      assertProblem(yield* post("/rpc/a", body), 400, "malformed_json", "/rpc/a")
    })
  )

  it.effect("names invalid values by JSON Pointer", () =>
    Effect.gen(function* () {
      const answer = yield* post("/api/v1/things", JSON.stringify({ name: "a".repeat(65), count: 1.5, tags: ["a", 1] }))
      assertProblem(answer, 400, "validation_failed", "/api/v1/things")
      const errors = answer.json.errors as ReadonlyArray<{ readonly pointer: string; readonly message: string }>
      assert.isNotEmpty(errors)
      for (const error of errors) {
        assert.deepStrictEqual(Object.keys(error).toSorted(), ["message", "pointer"])
        assert.include(["/name", "/count", "/tags/1"], error.pointer)
      }

      const empty = yield* post("/api/v1/things", "")
      assertProblem(empty, 400, "validation_failed", "/api/v1/things")
    })
  )

  it.effect("says where an invalid value is when it is not in the body", () =>
    Effect.gen(function* () {
      const inPath = yield* get("/api/v1/things/abc")
      assertProblem(inPath, 400, "validation_failed", "/api/v1/things/abc")
      assert.deepInclude((inPath.json.errors as Array<object>)[0], { pointer: "/path/id" })
      const inQuery = yield* get("/api/v1/slow?ms=x")
      assertProblem(inQuery, 400, "validation_failed", "/api/v1/slow")
      assert.deepInclude((inQuery.json.errors as Array<object>)[0], { pointer: "/query/ms" })
    })
  )

  it.effect("survives JSON made to break parsers", () =>
    Effect.gen(function* () {
      const deep = `{"name":"a","count":1,"tags":${"[".repeat(30_000)}${"]".repeat(30_000)}}`
      const nested = yield* post("/api/v1/things", deep)
      assertProblem(nested, 400, "validation_failed", "/api/v1/things")
      assert.isBelow(nested.body.length, 4096)

      const wide = `{"name":"a","count":1,"tags":[${Array.from({ length: 16_000 }, () => "1").join(",")}]}`
      const many = yield* post("/api/v1/things", wide)
      assertProblem(many, 400, "validation_failed", "/api/v1/things")
      assert.isBelow(many.body.length, 16_384)

      for (const body of [
        '{"name":"a","count":1e400,"tags":[]}',
        '{"name":"a","count":9007199254740993,"tags":[]}',
        "null",
        "[]",
        '"text"'
      ]) {
        assertProblem(yield* post("/api/v1/things", body), 400, "validation_failed", "/api/v1/things")
      }
      const polluting = yield* post("/api/v1/things", '{"name":"a","count":1,"tags":[],"__proto__":{"polluted":1}}')
      assert.strictEqual(polluting.status, 200)
      assert.notProperty({}, "polluted")
    })
  )

  it.effect("refuses bodies that are not plain JSON", () =>
    Effect.gen(function* () {
      const types = [
        null,
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x"
      ]
      for (const type of types) {
        assertProblem(
          yield* post("/api/v1/things", thing, { "content-type": type }),
          415,
          "unsupported_media_type",
          "/api/v1/things"
        )
      }
      for (const encoding of ["gzip", "br", "deflate, gzip"]) {
        assertProblem(
          yield* post("/api/v1/things", thing, { "content-encoding": encoding }),
          415,
          "unsupported_media_type",
          "/api/v1/things"
        )
      }
      for (const type of ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']) {
        assert.strictEqual((yield* post("/api/v1/things", thing, { "content-type": type })).status, 200)
      }
    })
  )

  it.effect("refuses bodies over 64 KiB, announced or not", () =>
    Effect.gen(function* () {
      const large = JSON.stringify({ name: "a".repeat(70_000), count: 1, tags: [] })
      assertProblem(yield* post("/api/v1/things", large), 413, "body_too_large", "/api/v1/things")
      assertProblem(yield* post("/unread", large), 413, "body_too_large", "/unread")

      const chunks = Array.from({ length: 20 }, () => Buffer.alloc(10_000, "x"))
      assertProblem(yield* postChunked("/api/v1/things", chunks), 413, "body_too_large", "/api/v1/things")
      assertProblem(yield* postChunked("/echo", chunks), 413, "body_too_large", "/echo")
      assertProblem(yield* postChunked("/rpc/a", chunks), 413, "body_too_large", "/rpc/a")
      assert.strictEqual((yield* postChunked("/api/v1/things", [Buffer.from(thing)])).status, 200)
    })
  )

  it.effect("refuses a large body before it is sent, when asked first", () =>
    Effect.gen(function* () {
      const headers = { "content-type": "application/json", expect: "100-continue" }
      const large = yield* send(request("POST", "/echo", { ...headers, "content-length": 70_000 }))
      assertProblem(large, 413, "body_too_large", "/echo")
      const allowed = yield* send(`${request("POST", "/echo", { ...headers, "content-length": 2 })}[]`)
      assert.strictEqual(allowed.status, 100)
      assert.include(allowed.body, "HTTP/1.1 200 OK")
    })
  )

  it.effect("hides the cause of a fault, and logs it under the request's id", () =>
    Effect.gen(function* () {
      const answer = yield* get("/api/v1/boom")
      assertProblem(answer, 500, "internal_error", "/api/v1/boom")
      const logged = (yield* Log).filter((line) => line.includes(String(answer.json.requestId)))
      assert.isTrue(logged.some((line) => line.includes('"ERROR"') && line.includes(secret)))
    })
  )

  it.effect("treats an answer that does not fit its schema as a fault", () =>
    Effect.gen(function* () {
      const answer = yield* get("/api/v1/unfit")
      assertProblem(answer, 500, "internal_error", "/api/v1/unfit")
      assert.isUndefined(answer.json.errors)
      const logged = (yield* Log).filter((line) => line.includes(String(answer.json.requestId)))
      assert.isTrue(logged.some((line) => line.includes('"ERROR"') && line.includes("Expected an integer")))
    })
  )

  it.effect("asks to come back when the database is away or the broker busy", () =>
    Effect.gen(function* () {
      const waits = new Set<string>()
      for (let i = 0; i < 20; i++) {
        const answer = yield* get("/api/v1/away")
        assertProblem(answer, 503, "database_unavailable", "/api/v1/away")
        waits.add(answer.headers["retry-after"] ?? "")
      }
      for (const wait of waits) assert.match(wait, /^[1-5]$/)
      assert.isAbove(waits.size, 1)

      const busy = yield* get("/busy")
      assertProblem(busy, 503, "overloaded", "/busy")
      assert.match(busy.headers["retry-after"] ?? "", /^[1-5]$/)
    })
  )

  it.effect("completes the problems of the domain", () =>
    Effect.gen(function* () {
      const answer = yield* get("/api/v1/taken")
      assertProblem(answer, 409, "name_taken", "/api/v1/taken")
      assert.strictEqual(answer.json.title, "Name taken")
      assert.strictEqual(answer.json.detail, "fra-1 is taken")
    })
  )

  it.effect("makes a problem of any other failure, except of tRPC's", () =>
    Effect.gen(function* () {
      assertProblem(yield* get("/teapot"), 418, "request_refused", "/teapot")
      const rpc = yield* post("/rpc/servers.list", '{"code":-32600}')
      assert.strictEqual(rpc.status, 418)
      assert.deepStrictEqual(rpc.json, { error: { code: -32600 } })
      assertSafe(rpc)
    })
  )

  it.effect("needs a Host, save of HTTP/1.0", () =>
    Effect.gen(function* () {
      assertProblem(yield* get("/api/v1/who", { host: null }), 400, "bad_request", "/api/v1/who")
      const old = yield* send("GET /healthz HTTP/1.0\r\n\r\n")
      assert.strictEqual(old.status, 200)
    })
  )

  it.effect("logs heartbeats and probes at Debug only", () =>
    Effect.gen(function* () {
      const answer = yield* get("/healthz")
      const lines = (yield* Log).filter((line) => line.includes(answer.headers["x-request-id"] ?? "none"))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], '"DEBUG"')
    })
  )

  it.effect("counts by route, so that made-up paths and methods add no series", () =>
    Effect.gen(function* () {
      for (const id of [101, 102, 103]) yield* get(`/api/v1/things/${id}`)
      for (const path of ["/made-up-1", "/made-up-2"]) yield* get(path)
      yield* send(request("TRACE", "/api/v1/things/104"))
      const { body } = yield* get("/metrics")
      assert.match(body, /broker_http_requests_total\{method="GET",route="\/api\/v1\/things\/:id",status="200"\} \d/)
      assert.match(body, /broker_http_requests_total\{method="other",route="\/api\/v1\/things\/:id",status="405"\} \d/)
      assert.match(body, /broker_http_requests_total\{method="GET",route="other",status="404"\} \d/)
      assert.match(body, /broker_http_request_duration_seconds_bucket\{route="\/api\/v1\/things\/:id",le="0.1"\} \d/)
      assert.notMatch(body, /made-up|things\/10\d|TRACE/)
    })
  )
})

/** Keeps the spans that were started, by the path they are about. */
const spans = new Map<string, Tracer.Span>()

const Traced = Layer.provide(
  broker(),
  Layer.succeed(
    Tracer.Tracer,
    Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.set(span.name, span)
        return span
      }
    })
  )
)

layer(Traced, { excludeTestServices: true })("traced", (it) => {
  it.effect("the span has the request's id", () =>
    Effect.gen(function* () {
      const { headers } = yield* get("/api/v1/who")
      assert.strictEqual(spans.get("GET")?.attributes.get("broker.request_id"), headers["x-request-id"])
    })
  )
})

layer(broker({ edge: { publicOrigin: "https://broker.example" } }), { excludeTestServices: true })("https", (it) => {
  it.effect("gets HSTS", () =>
    Effect.gen(function* () {
      assert.include((yield* get("/healthz")).headers["strict-transport-security"], "max-age=")
      assert.include((yield* get("/nope")).headers["strict-transport-security"], "max-age=")
    })
  )
})
