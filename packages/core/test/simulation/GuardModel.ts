/** H6 once more, over standings in memory: when a guard holds a fleet, and when it ends. */
import * as Liveness from "../heartbeats/LivenessModel.ts"

const [share, least, steadyFor, steadyWithin] = [0.3, 5, 600_000, 0.01]

interface Guard {
  readonly began: number
  readonly expected: number
  steadyHeld: number
  steadySince: number
  endsAt: number
}

/** A fleet as the broker should see it. */
export interface Fleet {
  readonly servers: Map<string, Liveness.Standing>
  guard: Guard | undefined
  /** Until when silence was answered for by a guard that gave up on the silent. */
  answered: number
  /** Those that ended, the oldest first. */
  readonly past: Array<{ readonly began: number; readonly end: "recovered" | "steady" }>
}

export const fleet = (ids: ReadonlyArray<string>): Fleet => ({
  servers: new Map(ids.map((id) => [id, Liveness.unheard])),
  guard: undefined,
  answered: Number.NEGATIVE_INFINITY,
  past: []
})

const isMass = (live: number, silent: number) => silent >= least && silent > share * live

const isLive = ({ liveness }: Liveness.Standing) => liveness === "online" || liveness === "degraded"

export const sweep = (fleet: Fleet, now: number, listeningSince: number) => {
  const silence = (standing: Liveness.Standing) => Liveness.missed(standing, now, listeningSince)
  const count = () => {
    let [held, silent] = [0, 0]
    for (const standing of fleet.servers.values()) {
      if (standing.liveness === "unknown") held += 1
      else if (isLive(standing) && silence(standing) > 2) silent += 1
    }
    return { held, silent }
  }
  if (fleet.guard !== undefined) {
    const { held, silent } = count()
    const isOver = now >= fleet.guard.endsAt && now >= listeningSince + steadyFor
    if (held === 0 && !isMass(fleet.guard.expected, silent)) {
      fleet.past.push({ began: fleet.guard.began, end: "recovered" })
      fleet.guard = undefined
    } else if (isOver) {
      fleet.past.push({ began: fleet.guard.began, end: "steady" })
      fleet.guard = undefined
      fleet.answered = now
    }
  }
  const all = [...fleet.servers.values()]
  if (fleet.guard === undefined && all.some((standing) => isLive(standing) && silence(standing) > 4)) {
    let [live, silent] = [0, 0]
    for (const standing of all) {
      const seenAt = standing.seenAt ?? Number.NEGATIVE_INFINITY
      const lastMove = standing.moves.at(-1)
      const isLost =
        standing.liveness === "offline" &&
        seenAt > fleet.answered &&
        standing.reason === "missed_heartbeats" &&
        (lastMove?.at ?? 0) + standing.interval * 4 >= now
      if (isLive(standing) || isLost) live += 1
      if (isLost || (isLive(standing) && seenAt > fleet.answered && silence(standing) > 2)) silent += 1
    }
    if (isMass(live, silent)) {
      fleet.guard = { began: now, expected: live, steadyHeld: 0, steadySince: now, endsAt: now + steadyFor }
    }
  }
  const isHeld = fleet.guard !== undefined
  for (const [id, standing] of fleet.servers) {
    const next = Liveness.sweep(standing, now, listeningSince, isHeld)
    if (next !== standing) fleet.servers.set(id, next)
  }
  if (fleet.guard !== undefined) {
    const { held } = count()
    if (Math.abs(held - fleet.guard.steadyHeld) > Math.floor(fleet.guard.expected * steadyWithin)) {
      fleet.guard.steadyHeld = held
      fleet.guard.steadySince = now
    }
    fleet.guard.endsAt = Math.max(fleet.guard.steadySince, listeningSince) + steadyFor
  }
}
