import { describe, expect, it } from "vitest"
import { ago, day, hour, minute, second, span, until } from "../src/lib/time.ts"

const now = Date.UTC(2026, 10, 23, 12)

describe("relative time", () => {
  it.each([
    [0, "now"],
    [1_999, "now"],
    [2 * second, "2 s ago"],
    [59 * second, "59 s ago"],
    [minute, "1 min ago"],
    [hour - 1, "59 min ago"],
    [hour, "1 h ago"],
    [day - 1, "23 h ago"],
    [3 * day, "3 d ago"]
  ])("says %i ms ago as %s", (passed, words) => {
    expect(ago(now - passed, now)).toBe(words)
  })

  it("takes a time that a clock ahead of ours gave as now", () => {
    expect(ago(now + 5 * second, now)).toBe("now")
  })

  it("looks ahead", () => {
    expect(until(now + 90 * second, now)).toBe("in 1 min")
    expect(until(now - 1, now)).toBe("now")
  })

  it("has no negative duration", () => {
    expect(span(-5)).toBe("0 s")
  })
})
