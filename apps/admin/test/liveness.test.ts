import { maxTransitions } from "@broker/domain/Fleet"
import { describe, expect, it } from "vitest"
import { heardShare, stretches, toldFrom } from "../src/lib/liveness.ts"

describe("liveness over time", () => {
  it("is one stretch where nothing moved", () => {
    expect(stretches([], "online", 0, 100, 200)).toEqual([{ liveness: "online", from: 100, to: 200 }])
  })

  it("starts with the registration", () => {
    const strip = stretches([{ at: 160, before: "never_seen", after: "online" }], "online", 150, 100, 200)
    expect(strip).toEqual([
      { liveness: "never_seen", from: 150, to: 160 },
      { liveness: "online", from: 160, to: 200 }
    ])
  })

  it("knows what held before the time it shows", () => {
    const strip = stretches(
      [
        { at: 150, before: "offline", after: "online" },
        { at: 50, before: "online", after: "offline" }
      ],
      "online",
      0,
      100,
      200
    )
    expect(strip).toEqual([
      { liveness: "offline", from: 100, to: 150 },
      { liveness: "online", from: 150, to: 200 }
    ])
    expect(heardShare(strip)).toBe(0.5)
  })

  it("invents nothing before the oldest move that is told, where there are more than are told", () => {
    const told = Array.from({ length: maxTransitions }, (_, index) => ({ at: 160 + index }))
    expect(toldFrom(told.slice(1), 20)).toBe(20)
    expect(toldFrom(told.toReversed(), 20)).toBe(160)
    const moves = [{ at: 170, before: "offline", after: "online" }] as const
    expect(stretches(moves, "online", toldFrom(told, 20), 100, 200)).toEqual([
      { liveness: "offline", from: 160, to: 170 },
      { liveness: "online", from: 170, to: 200 }
    ])
  })

  it("has no share of no time", () => {
    expect(heardShare([])).toBeUndefined()
  })
})
