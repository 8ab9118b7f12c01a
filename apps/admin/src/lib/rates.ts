/** Samples of one server as series to draw: gaps stay gaps, and a counter that starts over never goes below zero. */
import type { Sample } from "@broker/domain/Fleet"
import { millis, minute } from "./time.ts"

export interface Point {
  readonly at: number
  /** Null where nothing was measured. */
  readonly value: number | null
}

/** Samples come once a minute; more than two missing ones are a gap. */
const gapAfter = 3 * minute

const measured = (samples: ReadonlyArray<Sample>, metric: string) =>
  samples
    .flatMap((sample) => {
      const value = sample.metrics[metric]
      return value === undefined ? [] : [{ at: millis(sample.minute), value }]
    })
    .toSorted((a, b) => a.at - b.at)

/** A metric as it was sent. */
export const gauge = (samples: ReadonlyArray<Sample>, metric: string): ReadonlyArray<Point> => {
  const points: Array<Point> = []
  let last: number | undefined
  for (const { at, value } of measured(samples, metric)) {
    if (last !== undefined && at - last > gapAfter) points.push({ at: last + minute, value: null })
    points.push({ at, value })
    last = at
  }
  return points
}

/** A counter as its growth per second. A smaller value than before means that the server started anew. */
export const rate = (samples: ReadonlyArray<Sample>, metric: string): ReadonlyArray<Point> => {
  const points: Array<Point> = []
  let last: { readonly at: number; readonly value: number } | undefined
  for (const sample of measured(samples, metric)) {
    if (last !== undefined) {
      const broken = sample.at - last.at > gapAfter || sample.value < last.value
      const seconds = (sample.at - last.at) / 1_000
      points.push({ at: sample.at, value: broken || seconds <= 0 ? null : (sample.value - last.value) / seconds })
    }
    last = sample
  }
  return points
}
