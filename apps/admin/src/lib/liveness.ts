/** A server's liveness over time, put together from its transitions. */
import type { Liveness } from "@broker/domain/Server"

export interface Move {
  readonly at: number
  readonly before: Liveness | null
  readonly after: Liveness
}

export interface Stretch {
  readonly liveness: Liveness
  readonly from: number
  readonly to: number
}

/** Gapless stretches from `from` to `to`. Before the server registered there is nothing. */
export const stretches = (
  moves: ReadonlyArray<Move>,
  current: Liveness,
  registeredAt: number,
  from: number,
  to: number
): ReadonlyArray<Stretch> => {
  const sorted = moves.toSorted((a, b) => a.at - b.at)
  const found: Array<Stretch> = []
  let liveness = sorted.at(0)?.before ?? (sorted.length === 0 ? current : "never_seen")
  let since = Math.max(from, registeredAt)
  for (const move of sorted) {
    if (move.at > since && since < to) found.push({ liveness, from: since, to: Math.min(move.at, to) })
    liveness = move.after
    since = Math.max(since, move.at)
  }
  if (since < to) found.push({ liveness, from: since, to })
  return found
}

/** The part of the time during which heartbeats came, late ones included; undefined where there was no time at all. */
export const heardShare = (strip: ReadonlyArray<Stretch>) => {
  const length = (some: ReadonlyArray<Stretch>) => some.reduce((sum, { from, to }) => sum + to - from, 0)
  const total = length(strip)
  return total === 0
    ? undefined
    : length(strip.filter(({ liveness }) => liveness === "online" || liveness === "degraded")) / total
}
