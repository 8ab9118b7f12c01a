import { describe, expect, it } from "vitest"
import { flowBetween, withGaps } from "../src/lib/rates.ts"
import { minute } from "../src/lib/time.ts"

const at = (minutes: number, mean: number) => ({ at: minutes * minute, mean, min: mean - 1, max: mean + 1 })

describe("series", () => {
  it("leaves gaps where nothing was measured", () => {
    expect(withGaps([at(0, 1), at(1, 2), at(9, 3)], 3 * minute).map(({ value }) => value)).toEqual([1, 2, null, 3])
  })

  it("keeps the least and the most beside the mean", () => {
    expect(withGaps([at(0, 5)], minute)).toEqual([{ at: 0, value: 5, min: 4, max: 6 }])
  })

  it("is empty without points", () => {
    expect(withGaps([], minute)).toEqual([])
  })
})

describe("flows", () => {
  it("are bytes per second", () => {
    expect(flowBetween({ rx: 0, tx: 100, at: 0 }, { rx: 2_000, tx: 100, at: 2_000 })).toEqual({ rx: 1_000, tx: 0 })
  })

  it("are not told where no time passed, or where it was counted anew (H11)", () => {
    expect(flowBetween({ rx: 0, tx: 0, at: 5 }, { rx: 9, tx: 9, at: 5 })).toBeUndefined()
    expect(flowBetween({ rx: 900, tx: 0, at: 0 }, { rx: 10, tx: 0, at: 1_000 })).toBeUndefined()
  })
})
