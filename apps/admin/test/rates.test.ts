import type { Sample } from "@broker/domain/Fleet"
import { DateTime } from "effect"
import { describe, expect, it } from "vitest"
import { gauge, rate } from "../src/lib/rates.ts"
import { minute } from "../src/lib/time.ts"

const sample = (at: number, metrics: Record<string, number>): Sample => ({
  minute: DateTime.makeUnsafe(at * minute),
  metrics
})

const values = (points: ReadonlyArray<{ readonly value: number | null }>) => points.map(({ value }) => value)

describe("counters", () => {
  it("become rates per second", () => {
    const samples = [sample(0, { rxBytes: 0 }), sample(1, { rxBytes: 600 }), sample(2, { rxBytes: 1_800 })]
    expect(values(rate(samples, "rxBytes"))).toEqual([10, 20])
  })

  it("start a new epoch when they are reset, and are never negative", () => {
    const samples = [sample(0, { rxBytes: 9_000 }), sample(1, { rxBytes: 60 }), sample(2, { rxBytes: 120 })]
    expect(values(rate(samples, "rxBytes"))).toEqual([null, 1])
  })

  it("say nothing across a gap", () => {
    const samples = [sample(0, { rxBytes: 0 }), sample(10, { rxBytes: 60_000 }), sample(11, { rxBytes: 66_000 })]
    expect(values(rate(samples, "rxBytes"))).toEqual([null, 100])
  })

  it("do not depend on the order of the samples", () => {
    const samples = [sample(1, { rxBytes: 600 }), sample(0, { rxBytes: 0 })]
    expect(values(rate(samples, "rxBytes"))).toEqual([10])
  })
})

describe("gauges", () => {
  it("break where samples are missing", () => {
    const samples = [sample(0, { cpu: 0.1 }), sample(1, { cpu: 0.2 }), sample(9, { cpu: 0.3 })]
    expect(values(gauge(samples, "cpu"))).toEqual([0.1, 0.2, null, 0.3])
  })

  it("leave out samples without the metric", () => {
    expect(gauge([sample(0, { rttMs: 5 })], "cpu")).toEqual([])
  })
})
