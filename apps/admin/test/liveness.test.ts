import { describe, expect, it } from "vitest"
import { heardShare, stretches } from "../src/lib/liveness.ts"

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

  it("has no share of no time", () => {
    expect(heardShare([])).toBeUndefined()
  })
})
