/** Rules H2 to H6 once more, without a database: what the statements must come to. */

const degradedAfter = 2
const offlineAfter = 4
const flappingFalls = 3
const flappingWindow = 600_000
const steadyAfter = 3
const rememberedBoots = 8
const outageAfter = 3_000

type Liveness = "never_seen" | "online" | "degraded" | "offline" | "unknown"

/** One server as the broker should see it; times in milliseconds. */
export interface Standing {
  readonly boot: string | undefined
  readonly formerBoots: ReadonlyArray<string>
  readonly seq: number
  readonly liveness: Liveness
  readonly reason: string | null
  readonly seenAt: number | undefined
  readonly interval: number
  readonly streak: number
  readonly falls: number
  readonly fellAt: number
  readonly moves: ReadonlyArray<{ readonly after: Liveness; readonly reason: string | null; readonly at: number }>
}

export const unheard: Standing = {
  boot: undefined,
  formerBoots: [],
  seq: 0,
  liveness: "never_seen",
  reason: null,
  seenAt: undefined,
  interval: 0,
  streak: 0,
  falls: 0,
  fellAt: Number.NEGATIVE_INFINITY,
  moves: []
}

const moveTo = (standing: Standing, liveness: Liveness, reason: string | null, at: number): Standing => ({
  ...standing,
  liveness,
  reason,
  moves: standing.liveness === liveness ? standing.moves : [...standing.moves, { after: liveness, reason, at }]
})

/** H3: whether a heartbeat says something new. */
const isNews = ({ boot, formerBoots, seq }: Standing, beat: { readonly boot: string; readonly seq: number }) =>
  boot === undefined || (boot === beat.boot ? beat.seq > seq : !formerBoots.includes(beat.boot))

export const hear = (
  standing: Standing,
  beat: {
    readonly boot: string
    readonly seq: number
    readonly at: number
    readonly skewed: boolean
    readonly interval: number
  }
): Standing => {
  if (!isNews(standing, beat)) return standing
  const { boot, fellAt, falls, formerBoots, seenAt } = standing
  const missed = seenAt !== undefined && beat.at - seenAt > standing.interval * degradedAfter
  const streak = missed ? 1 : standing.streak + 1
  const flapping = falls >= flappingFalls && beat.at - fellAt < flappingWindow
  const moved =
    standing.liveness !== "online" && standing.liveness !== "unknown" && flapping && streak < steadyAfter
      ? moveTo(standing, standing.liveness, "flapping", beat.at)
      : beat.skewed
        ? moveTo(standing, "degraded", "clock_skew", beat.at)
        : moveTo(standing, "online", null, beat.at)
  return {
    ...moved,
    boot: beat.boot,
    formerBoots:
      boot === undefined || boot === beat.boot ? formerBoots : [boot, ...formerBoots].slice(0, rememberedBoots),
    seq: beat.seq,
    seenAt: beat.at,
    interval: beat.interval,
    streak
  }
}

/** For how long it was silent, as far as somebody listened, in intervals that it was told. */
const missed = ({ interval, seenAt }: Standing, now: number, listeningSince: number) =>
  seenAt === undefined ? 0 : (now - Math.max(seenAt, listeningSince)) / interval

/** A guard that holds a fleet (H6). Who was shut out, or is in maintenance, it does not hold. */
interface Guard {
  readonly began: number
  readonly holds: boolean
}

/**
 * Where silence leads. What would be given up on is unknown while a guard holds, and so is what was given up on within
 * one time-out before the guard began; when the guard is over, who is unknown still is offline (H6).
 */
export const sweep = (standing: Standing, now: number, listeningSince: number, guard?: Guard): Standing => {
  const { fellAt, falls, interval, liveness, reason } = standing
  const since = standing.moves.at(-1)?.at ?? Number.NEGATIVE_INFINITY
  const isHeld = guard?.holds === true
  if (liveness === "never_seen") return standing
  if (liveness === "offline") {
    const isRecalled =
      isHeld && reason === "missed_heartbeats" && since < guard.began && since + interval * offlineAfter >= guard.began
    return isRecalled ? { ...moveTo(standing, "unknown", "fleet_guard", now), streak: 0 } : standing
  }
  if (liveness === "unknown") {
    return guard !== undefined && since >= guard.began
      ? standing
      : { ...moveTo(standing, "offline", "fleet_guard", now), streak: 0 }
  }
  const intervals = missed(standing, now, listeningSince)
  if (intervals <= degradedAfter) return standing
  const lost = intervals > offlineAfter
  if (!lost && liveness === "degraded" && reason === "missed_heartbeats") return standing
  const fell = liveness === "online"
  const moved = lost
    ? isHeld
      ? moveTo(standing, "unknown", "fleet_guard", now)
      : moveTo(standing, "offline", "missed_heartbeats", now)
    : moveTo(standing, "degraded", "missed_heartbeats", now)
  return {
    ...moved,
    streak: 0,
    falls: fell ? (now - fellAt < flappingWindow ? falls + 1 : 1) : falls,
    fellAt: fell ? now : fellAt
  }
}

/** H5: since when the broker listens, after a beat of its own. */
export const listeningSince = (before: number, lastBeat: number, now: number) =>
  now - lastBeat > outageAfter ? now : before
