import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { problems as edgeProblems } from "../../src/http/ProblemPages.ts"
import { broker, problems } from "./TinyBroker.ts"
import { get } from "./Wire.ts"

layer(broker(), { excludeTestServices: true })("problem pages", (it) => {
  it.effect("there is one for every code, of the edge and of the domain", () =>
    Effect.gen(function* () {
      for (const [code, { status, title }] of Object.entries({ ...edgeProblems, ...problems })) {
        const page = yield* get(`/problems/${code}`, { accept: "text/html,application/xhtml+xml" })
        assert.strictEqual(page.status, 200)
        assert.match(page.headers["content-type"] ?? "", /^text\/html/)
        assert.include(page.body, title)
        assert.include(page.body, `${status} ${code}`)
        assert.notMatch(page.headers["content-security-policy"] ?? "", /unsafe|script-src|'self'/)
        assert.notMatch(page.body, /<script|https?:/)

        const json = yield* get(`/problems/${code}`, { accept: "application/json" })
        assert.deepInclude(json.json, { code, status, title })
      }
    })
  )

  it.effect("they are listed", () =>
    Effect.gen(function* () {
      const { body } = yield* get("/problems")
      for (const code of Object.keys(problems)) assert.include(body, `href="/problems/${code}"`)
    })
  )

  it.effect("the type of an answer leads to its page", () =>
    Effect.gen(function* () {
      for (const path of ["/nope", "/api/v1/taken", "/api/v1/things", "/api/v1/boom", "/api/v1/away", "/busy"]) {
        const { json } = yield* get(path)
        assert.strictEqual((yield* get(String(json.type))).status, 200)
      }
    })
  )

  it.effect("an unknown code has none", () =>
    Effect.gen(function* () {
      for (const path of ["/problems/nope", "/problems/constructor", "/problems/__proto__", "/problems/a/b"]) {
        const answer = yield* get(path, { accept: "text/html" })
        assert.strictEqual(answer.status, 404)
        assert.strictEqual(answer.json.code, "not_found")
      }
    })
  )
})
