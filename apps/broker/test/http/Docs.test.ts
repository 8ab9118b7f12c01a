import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { broker } from "./TinyBroker.ts"
import { get, request, send } from "./Wire.ts"

layer(broker(), { excludeTestServices: true })("docs", (it) => {
  it.effect("the API describes itself as OpenAPI 3.1", () =>
    Effect.gen(function* () {
      const answer = yield* get("/api/v1/openapi.json")
      assert.strictEqual(answer.headers["content-type"], "application/json")
      assert.match(String(answer.json.openapi), /^3\.1\./)
      assert.containsAllKeys(answer.json.paths, ["/api/v1/things", "/api/v1/things/{id}"])
      const again = yield* get("/api/v1/openapi.json", { "if-none-match": answer.headers.etag ?? "" })
      assert.strictEqual(again.status, 304)
    })
  )

  it.effect("the page runs the scripts it was made with, and reaches this origin only", () =>
    Effect.gen(function* () {
      const answer = yield* get("/docs")
      assert.strictEqual(answer.status, 200)
      assert.match(answer.headers["content-type"] ?? "", /^text\/html/)
      const policy = answer.headers["content-security-policy"] ?? ""
      assert.match(policy, /script-src( 'sha256-[\w+/=]{44}')+;/)
      assert.include(policy, "default-src 'none'")
      assert.include(policy, "connect-src 'self'")
      assert.notMatch(policy, /https?:|\*|unsafe-eval/)
      assert.notMatch(answer.body, /<(?:script|link|img)[^>]+(?:src|href)="https?:/)
      assert.include(answer.body, "/api/v1/things/{id}")
    })
  )

  it.effect("the page travels compressed", () =>
    Effect.gen(function* () {
      const { headers } = yield* send(request("HEAD", "/docs", { "accept-encoding": "br" }))
      assert.strictEqual(headers["content-encoding"], "br")
      assert.isBelow(Number(headers["content-length"]), 1_000_000)
    })
  )
})
