/** A server's liveness over time, put together from its transitions. */
import { maxTransitions } from "@broker/domain/Fleet"
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

/**
 * From when on transitions tell how a server stood: from its registration, or, where there are more of them than are
 * told, from the oldest that is.
 */
export const toldFrom = (told: ReadonlyArray<{ readonly at: number }>, registeredAt: number) =>
  told.length < maxTransitions ? registeredAt : told.reduce((oldest, { at }) => Math.min(oldest, at), Infinity)

/** Gapless stretches from `from` to `to`. Before `knownFrom` there is nothing. */
export const stretches = (
  moves: ReadonlyArray<Move>,
  current: Liveness,
  knownFrom: number,
  from: number,
  to: number
): ReadonlyArray<Stretch> => {
  const sorted = moves.toSorted((a, b) => a.at - b.at)
  const found: Array<Stretch> = []
  let liveness = sorted.at(0)?.before ?? (sorted.length === 0 ? current : "never_seen")
  let since = Math.max(from, knownFrom)
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
