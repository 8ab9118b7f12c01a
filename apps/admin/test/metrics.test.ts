import { describe, expect, it } from "vitest"
import {
  metricDefaults,
  metricSearch,
  metricShifted,
  metricSpanOf,
  metricStepsFor,
  metricZoomed,
  parseMetricView,
  stepWords
} from "../src/lib/metric-range.ts"
import { metricCharts } from "../src/lib/metrics.ts"
import { day, hour, minute, second } from "../src/lib/time.ts"

const now = Date.parse("2026-11-23T12:00:30Z")
const read = (search: string) => parseMetricView(new URLSearchParams(search))

describe("ranges of metrics", () => {
  it("stand in the URL, with defaults left out", () => {
    expect(metricSearch(metricDefaults)).toBe("")
    const search = "?range=7d&step=3600&as=table"
    expect(metricSearch(read(search))).toBe(search)
    const custom = "?from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z"
    expect(metricSearch(read(custom))).toBe(custom)
    expect(metricSearch(read(custom), [["tab", "metrics"]])).toBe(`?tab=metrics&${custom.slice(1)}`)
  })

  it("leaves out what makes no sense", () => {
    expect(read("?range=2y&step=7&from=x&to=y")).toEqual(metricDefaults)
    expect(read("?from=2026-11-21T00:00:00Z&to=2026-11-20T00:00:00Z").range).toBe("1h")
  })

  it("chooses steps by the range, never finer than servers report, never more than 2,000 points", () => {
    expect(metricSpanOf(metricDefaults, now, 30).step).toBe(30)
    expect(metricSpanOf(metricDefaults, now, 2).step).toBe(10)
    // Finer than a minute, so that what was measured a moment ago is there, before anything is rolled up.
    expect(metricSpanOf({ ...metricDefaults, range: "6h" }, now).step).toBe(30)
    expect(metricSpanOf({ ...metricDefaults, range: "24h" }, now).step).toBe(300)
    expect(metricSpanOf({ ...metricDefaults, range: "30d" }, now).step).toBe(3_600)
    for (const length of [hour, 6 * hour, day, 30 * day]) {
      for (const step of metricStepsFor(length)) expect(length / (step * second)).toBeLessThanOrEqual(2_000)
    }
    // A step that the range does not allow gives way to one that it does.
    expect(metricSpanOf({ ...metricDefaults, range: "30d", step: 10 }, now).step).toBe(3_600)
  })

  it("moves with the steps, not with the clock", () => {
    const span = metricSpanOf(metricDefaults, now)
    expect(span).toEqual(metricSpanOf(metricDefaults, now - 10 * second))
    expect(span.to - span.from).toBe(hour)
  })

  it("shifts back and forth, and ends with now again", () => {
    const back = metricShifted(metricDefaults, -1, now)
    expect(metricSpanOf(back, now).to).toBe(metricSpanOf(metricDefaults, now).from)
    expect(metricShifted(back, 1, now)).toEqual(metricDefaults)
  })

  it("zooms to what was drawn, in either direction, and to no less than can be told apart", () => {
    const zoomed = metricZoomed(metricDefaults, now - 10 * minute, now - 30 * minute, now)
    expect(zoomed).toMatchObject({ range: "custom", from: now - 30 * minute, to: now - 10 * minute })
    const { from, to } = metricSpanOf(metricZoomed(metricDefaults, now - hour, now - hour + second, now), now)
    expect(to - from).toBe(5 * minute)
  })

  it("says steps by their unit", () => {
    expect([10, 300, 7_200, 604_800].map(stepWords)).toEqual(["10 s", "5 min", "2 h", "7 d"])
  })
})

describe("charts of metrics", () => {
  const gauge = (name: string) => ({ name, kind: "gauge" as const })
  const counter = (name: string) => ({ name, kind: "counter" as const })

  it("draws what is understood first, with units, and all else by name", () => {
    const { known, others } = metricCharts([
      gauge("queue_depth"),
      counter("rxBytes"),
      gauge("cpu"),
      counter("diskBytes")
    ])
    expect(known.map(({ title }) => title)).toEqual(["Processor", "Traffic"])
    expect(known[0]?.format(0.5)).toBe("50 %")
    expect(known[1]?.format(2_048)).toBe("2.0 KiB/s")
    expect(others.map(({ title }) => title)).toEqual(["Disk bytes", "Queue depth"])
    expect(others[0]?.format(1_024)).toBe("1.0 KiB/s")
    expect(others[1]?.format(12.345)).toBe("12.3")
  })
})
