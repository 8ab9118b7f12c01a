import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import * as Backoff from "../src/Backoff.ts"

const Failures = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))
const Random = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

describe("Backoff", () => {
  it.effect.prop(
    "H10 is between half and the whole of a doubling time, a minute at most",
    [Failures, Random],
    ([failures, random]) =>
      Effect.sync(() => {
        const seconds = Duration.toSeconds(Backoff.afterFailures(failures, random))
        const whole = Math.min(60, 2 ** (failures - 1))
        assert.isAtLeast(seconds, whole / 2)
        assert.isAtMost(seconds, whole)
      })
  )

  it.effect.prop("H10 stays around a given time", [Random], ([random]) =>
    Effect.sync(() => {
      const seconds = Duration.toSeconds(Backoff.around(Duration.minutes(5), random))
      assert.isAtLeast(seconds, 270)
      assert.isAtMost(seconds, 330)
    })
  )
})
