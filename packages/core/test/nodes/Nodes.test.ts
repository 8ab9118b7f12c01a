import { Installation } from "@broker/core/Installation"
import { Nodes } from "@broker/core/nodes/Nodes"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"

/** A node of its own on the database of the test. */
const node = (audience: string) =>
  Layer.build(
    Layer.fresh(Nodes.layer).pipe(Layer.provide(Layer.succeed(Installation, { audience, version: "test" })))
  ).pipe(Effect.map(Context.get(Nodes)))

layer(TestDatabase.layer)("Nodes", (it) => {
  it.effect("tell of nodes alive under another public URL, by which signatures would fail", () =>
    Effect.gen(function* () {
      const here = yield* node("https://broker.example")
      const same = yield* node("https://broker.example")
      const other = yield* node("http://localhost:3001")
      yield* Effect.forEach([here, same, other], ({ beat }) => beat)
      assert.deepStrictEqual(yield* here.otherAudiences, ["http://localhost:3001"])
      assert.deepStrictEqual(yield* other.otherAudiences, ["https://broker.example"])

      yield* TestClock.adjust("4 seconds")
      yield* here.beat
      assert.deepStrictEqual(yield* here.otherAudiences, [])
    })
  )
})
