import { describe, expect, it } from "vitest"
import {
  dayBars,
  daysUntil,
  figuresWords,
  rangeOfDays,
  shareWords,
  stripWords,
  summed
} from "../src/lib/availability.ts"

const dayOf = 86_400
const now = Date.parse("2026-11-23T12:00:00Z")
const figures = (up: number, down: number, unknown = 0, excluded = 0) => ({
  up,
  down,
  unknown,
  excluded,
  share: up + down === 0 ? null : up / (up + down)
})

describe("availability", () => {
  it("never calls 100 % what was down", () => {
    expect(shareWords(1)).toBe("100 %")
    expect(shareWords(0.99999)).toBe("99.99 %")
    expect(shareWords(0.9995)).toBe("99.95 %")
    expect(shareWords(0)).toBe("0.00 %")
    expect(shareWords(null)).toBe("–")
  })

  it("counts days by UTC, today last", () => {
    expect(daysUntil(now, 3)).toEqual(["2026-11-21", "2026-11-22", "2026-11-23"])
    expect(rangeOfDays(now, 3)).toEqual({ from: "2026-11-21T00:00:00.000Z", to: "2026-11-23T12:00:00.000Z" })
  })

  it("shows the shortest outage, and days of which nothing is known", () => {
    const bars = dayBars(
      [
        { day: "2026-11-22", ...figures(dayOf - 60, 60) },
        { day: "2026-11-23", ...figures(0, 0, 0, dayOf) }
      ],
      daysUntil(now, 3)
    )
    expect(bars.map(({ figures }) => figures === null)).toEqual([true, false, false])
    expect(bars[1]?.down).toBeGreaterThan(0.1)
    for (const { down, excluded, unknown, up } of bars.slice(1)) expect(up + down + unknown + excluded).toBeCloseTo(1)
    expect(bars[2]).toMatchObject({ up: 0, down: 0, excluded: 1 })
  })

  it("says in words what the strip shows", () => {
    expect(figuresWords(figures(dayOf - 720, 720))).toBe("99.16 % available, down 12 min")
    expect(figuresWords(figures(0, 0, 0, 3_600))).toBe("not expected to be up, excluded 1 h")
    expect(figuresWords(null)).toBe("nothing is known")
    const bars = dayBars([{ day: "2026-11-22", ...figures(dayOf - 720, 720) }], daysUntil(now, 2))
    expect(stripWords(bars)).toBe("Last 2 days: 99.16 % available, down on 1 day: 22 Nov 12 min")
    expect(stripWords(dayBars([], daysUntil(now, 2)))).toBe("Last 2 days: nothing is known")
  })

  it("sums times, not shares", () => {
    expect(summed([figures(100, 0), figures(0, 300)]).share).toBe(0.25)
    expect(summed([]).share).toBeNull()
  })
})
