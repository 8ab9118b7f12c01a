/** Availability once more, without sets of ranges: from one instant at which anything changes to the next. */

const day = 86_400_000

export interface Move {
  readonly axis: "liveness" | "admission" | "duty"
  readonly before: string | null
  readonly after: string
  readonly at: number
}

export interface Period {
  readonly from: number
  readonly to: number
}

export interface Story {
  readonly moves: ReadonlyArray<Move>
  readonly outages: ReadonlyArray<Period>
  readonly windows: ReadonlyArray<Period>
}

const covers = (periods: ReadonlyArray<Period>, at: number) => periods.some(({ from, to }) => from <= at && at < to)

/** How it stood on an axis at an instant. */
const standing = (moves: ReadonlyArray<Move>, axis: Move["axis"], at: number, never: string) => {
  const own = moves.filter((move) => move.axis === axis)
  const last = own.findLast((move) => move.at <= at)
  return last?.after ?? own[0]?.before ?? never
}

const stateAt = ({ moves, outages, windows }: Story, at: number) => {
  if (standing(moves, "admission", at, "none") !== "approved") return "out"
  if (covers(outages, at)) return "outage"
  if (covers(windows, at) || standing(moves, "duty", at, "serving") === "maintenance") return "maintenance"
  return standing(moves, "liveness", at, "never_seen")
}

const figureOf: Readonly<Record<string, "up" | "down" | "unknown">> = {
  online: "up",
  degraded: "up",
  offline: "down",
  unknown: "unknown"
}

export const availability = (story: Story, { from, to }: Period) => {
  const midnights = Array.from(
    { length: Math.ceil((to - from) / day) + 1 },
    (_, index) => (Math.floor(from / day) + index) * day
  )
  const edges = [
    from,
    to,
    ...midnights,
    ...story.moves.map(({ at }) => at),
    ...[...story.outages, ...story.windows].flatMap((period) => [period.from, period.to])
  ]
  const instants = [...new Set(edges)].filter((at) => at >= from && at <= to).toSorted((a, b) => a - b)
  const days = new Map<string, { up: number; down: number; unknown: number; excluded: number }>()
  const spans: Array<{ state: string; from: number; to: number }> = []
  for (const [index, at] of instants.entries()) {
    const next = instants[index + 1]
    if (next === undefined) break
    const state = stateAt(story, at)
    const name = new Date(at).toISOString().slice(0, 10)
    const figures = days.get(name) ?? { up: 0, down: 0, unknown: 0, excluded: 0 }
    figures[figureOf[state] ?? "excluded"] += (next - at) / 1_000
    days.set(name, figures)
    const last = spans.at(-1)
    if (last?.state === state) last.to = next
    else spans.push({ state, from: at, to: next })
  }
  const falls = story.moves.filter(
    ({ after, at, axis }) =>
      axis === "liveness" &&
      after === "offline" &&
      at >= from &&
      at < to &&
      !["out", "outage", "maintenance"].includes(stateAt(story, at))
  ).length
  return { days: [...days].map(([name, figures]) => ({ day: name, ...figures })), spans, falls }
}
