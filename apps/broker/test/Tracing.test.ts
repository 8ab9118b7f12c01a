/** Traces reach a collector: a real one would get the same requests. */

import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { TestBroker } from "@broker/testing/TestBroker"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import * as Tracing from "../src/Tracing.ts"

/** Everything that was posted to it, as text. */
const collector = Effect.gen(function* () {
  const seen = yield* Deferred.make<string>()
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const text = `${request.method} ${request.url} ${Buffer.concat(chunks)}`
      if (text.includes("Servers.get")) Deferred.doneUnsafe(seen, Effect.succeed(text))
      response.end("{}")
    })
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
    () => Effect.sync(() => server.close())
  )
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
})

describe("Tracing", () => {
  it.live("sends what a request did, from the route to the statement, and no secret", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* collector
      const posted: string = yield* Effect.gen(function* () {
        const broker = yield* TestBroker
        yield* broker.agent({ name: "fra-1" })
        const { id } = yield* Servers.use((servers) => servers.find(defaultOrganizationId, "fra-1"))
        yield* Servers.use((servers) => servers.get(defaultOrganizationId, id)).pipe(Effect.withSpan("story"))
        return yield* Deferred.await(seen)
      }).pipe(Effect.provide(TestBroker.layer().pipe(Layer.provideMerge(Tracing.layer(url)))))

      assert.match(posted, /^POST \/v1\/traces/)
      assert.include(posted, "db.query.text")
      assert.notMatch(posted, /brk_(reg|srv)_[A-Za-z0-9_-]{22}/)
    }).pipe(Effect.scoped)
  )

  it("is off without a collector", () => {
    assert.strictEqual(Tracing.layer(undefined), Layer.empty)
  })
})
