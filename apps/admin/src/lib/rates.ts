/** What was measured as series to draw: gaps stay gaps, and a counter that starts over never goes below zero. */

export interface Point {
  readonly at: number
  /** Null where nothing was measured. */
  readonly value: number | null
  /** The least and the most of the span that begins there, where it holds more than one value. */
  readonly min?: number
  readonly max?: number
}

/** Points in order of time; where one is later than the one before by more than `gapAfter`, the line breaks. */
export const withGaps = (
  points: ReadonlyArray<{ readonly at: number; readonly mean: number; readonly min: number; readonly max: number }>,
  gapAfter: number
): ReadonlyArray<Point> => {
  const drawn: Array<Point> = []
  let last: number | undefined
  for (const { at, max, mean, min } of points) {
    if (last !== undefined && at - last > gapAfter) drawn.push({ at: last + 1, value: null })
    drawn.push({ at, value: mean, min, max })
    last = at
  }
  return drawn
}

/** Bytes that went both ways, as they stood at a moment. */
export interface Count {
  readonly rx: number
  readonly tx: number
  readonly at: number
}

/** Bytes per second. */
export interface Flow {
  readonly rx: number
  readonly tx: number
}

/** What flowed between two counts; nothing is known where no time passed, or where it was counted anew (H11). */
export const flowBetween = (before: Count, after: Count): Flow | undefined => {
  const seconds = (after.at - before.at) / 1_000
  if (seconds <= 0 || after.rx < before.rx || after.tx < before.tx) return undefined
  return { rx: (after.rx - before.rx) / seconds, tx: (after.tx - before.tx) / seconds }
}
