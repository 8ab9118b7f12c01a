/**
 * What the broker made of an afternoon, held against what really happened. Each count is of something that must not be:
 * none of them asks how the broker came to it.
 */
import * as Model from "../heartbeats/LivenessModel.ts"
import { type Cut, type Gateway, longestInterval, type Move, type Played, steadyFor, tick } from "./Simulation.ts"

/** Whoever is silent for so long was to be given up on, or held: four intervals and what is left of one, and a sweep. */
const timeout = 5 * longestInterval + 2 * tick

/** From when its network is back, or its pause began, until a server is heard again at the latest. */
const comeback = 3 * longestInterval

/** So long a guard holds whom it holds, at least: it begins after one and a half intervals at the earliest. */
const hold = steadyFor + 1.5 * 54_000

const never = Number.POSITIVE_INFINITY

/** From when to when a server stood there. */
const spans = (moves: ReadonlyArray<Move>, where: string) =>
  moves.flatMap(({ after, at, reason }, index) =>
    after === where ? [{ from: at, to: moves[index + 1]?.at ?? never, reason }] : []
  )

const standingAt = (moves: ReadonlyArray<Move>, at: number) =>
  moves.findLast((move) => move.at <= at)?.after ?? "never_seen"

/** What the rules make of each server on its own (H2 to H4), given which guards held (H6) and when somebody listened (H5). */
const expectedMoves = ({ guards, outage, sweeps }: Played, { heard, suspendedAt }: Gateway) => {
  let standing = Model.unheard
  let next = 0
  let isBack = false
  for (const [index, at] of sweeps.entries()) {
    // The first sweep after an outage judges before anybody was heard.
    const isFirst = !isBack && outage !== undefined && at >= outage.to
    if (isFirst) isBack = true
    for (let beat = heard[next]; !isFirst && beat !== undefined && beat.at <= at; beat = heard[++next]) {
      standing = Model.hear(standing, beat)
    }
    // A guard holds in the sweep that ends it, and not in another at the same moment.
    const isAgain = sweeps[index - 1] === at
    const guard = guards.find(
      ({ began, ended }) => began <= at && (ended === null || at < ended || (at === ended && !isAgain))
    )
    const listeningSince = isBack && outage !== undefined ? outage.to : 0
    standing = Model.sweep(
      standing,
      at,
      listeningSince,
      guard === undefined ? undefined : { began: guard.began, holds: (suspendedAt ?? never) > at }
    )
  }
  return standing
}

/** Whether a server may rightly have been given up on at that time. */
const isExcused = (
  { cuts, outage }: Played,
  gateway: Gateway,
  { from, to }: { readonly from: number; readonly to: number }
) => {
  const { diedAt, suspendedAt } = gateway
  if (suspendedAt !== undefined && suspendedAt <= from) return true
  const mine = cuts.filter((cut) => cut.members.has(gateway))
  const within = mine.findLast((cut) => cut.from <= from && from <= cut.to + comeback)
  if (within === undefined) return diedAt !== undefined && diedAt < from
  // As many as that are not given up on before a guard had its time, of which none passes while the broker is away.
  const since = outage !== undefined && within.from < outage.to && outage.to <= from ? outage.to : within.from
  if (from >= since + hold) return true
  // Who was silent before the others runs out of time before them: it is given up on alone, until a guard begins.
  return within.silent.has(gateway) && to <= within.from + timeout
}

/** Whether a guard held at that moment. */
const isHeldAt = ({ guards }: Played, at: number) =>
  guards.some(({ began, ended }) => began <= at && at <= (ended ?? never))

const count = <A>(all: Iterable<A>, is: (one: A) => boolean) => {
  let sum = 0
  for (const one of all) if (is(one)) sum += 1
  return sum
}

/** Those whose recorded moves are not the ones that the rules make of what was heard. */
export const differences = (played: Played) =>
  played.gateways.flatMap((gateway) => {
    const expected = expectedMoves(played, gateway).moves
    const recorded = (played.stored.get(gateway.id) ?? []).map(({ after, at, reason }) => ({ after, reason, at }))
    return JSON.stringify(recorded) === JSON.stringify(expected) ? [] : [{ recorded, expected }]
  })

/** How often what must never be was. */
export const judge = (played: Played) => {
  const { admissions, alarms, cuts, end, gateways, guards, histories, outage, presence, shown, stored, sweeps } = played
  const movesOf = ({ id }: Gateway) => stored.get(id) ?? []
  const back = outage?.to ?? never
  const nextSweep = (at: number) => sweeps.find((sweep) => sweep > at) ?? never

  const isOverdue = (gateway: Gateway) => {
    if (gateway.diedAt === undefined) return false
    const due = gateway.diedAt + timeout
    const isAway = outage !== undefined && gateway.diedAt < outage.to && due > outage.from
    const at = isAway ? back + timeout : due
    return at <= end && !["offline", "unknown"].includes(standingAt(movesOf(gateway), at))
  }
  const isBoundTo = ({ began, ended }: Played["guards"][number]) => {
    const changes = [
      began,
      back,
      ...cuts.flatMap(({ from, members, to }) => [
        from,
        ...([...members].some(({ diedAt }) => diedAt === undefined) ? [to] : [])
      ])
    ]
    return Math.max(...changes.filter((at) => at <= (ended ?? end))) + timeout + steadyFor + comeback
  }
  /** By when two machines must have been told apart: twelve intervals, begun again whenever both were away. */
  const separationDue = (gateway: Gateway) => {
    if (gateway.twinAt === undefined || gateway.diedAt !== undefined) return undefined
    const needed = 12 * longestInterval
    let due = gateway.twinAt + needed
    const away = cuts.filter((cut) => cut.members.has(gateway)).map(({ from, to }) => ({ from, to: to + comeback }))
    if (outage !== undefined) away.push(outage)
    for (const { from, to } of away.toSorted((a, b) => a.from - b.from)) {
      if (from < due && to > due - needed) due = Math.max(due, to + needed)
    }
    return due
  }
  const isHeardThrough = (gateway: Gateway, from: number, to: number) =>
    !cuts.some((cut) => cut.members.has(gateway) && cut.from < to && from < cut.to + comeback) &&
    (outage === undefined || to < outage.from || back <= from)
  const forkAlarms = alarms.filter(({ kind }) => kind === "server_forked")
  const isTold = (gateway: Gateway) => {
    const mine = forkAlarms.filter(({ serverId }) => serverId === gateway.id)
    return (
      mine.length === 1 &&
      [gateway.main, gateway.twin].every(
        (one) =>
          one !== undefined && mine[0]?.details.includes(one.bootId) === true && mine[0].details.includes(one.address)
      )
    )
  }
  const isSubsequence = (some: ReadonlyArray<string>, all: ReadonlyArray<string>) => {
    let next = 0
    for (const one of all) if (one === some[next]) next += 1
    return next === some.length
  }

  return {
    /** Given up on though they were alive, or before a guard had its time. */
    wronged: count(gateways, (gateway) =>
      spans(movesOf(gateway), "offline").some((span) => !isExcused(played, gateway, span))
    ),
    /** Held against a server when the broker was back: at once, or before it had a full time-out of grace (H5). */
    blamed: count(gateways, (gateway) =>
      movesOf(gateway).some(
        ({ after, at, reason }) =>
          (at === back && after === "unknown") ||
          (at >= back && at < back + 2 * 54_000 && after !== "online" && reason === "missed_heartbeats")
      )
    ),
    /** Dead, and not given up on or held in time. */
    overdue: count(gateways, isOverdue),
    /** Dead, and not offline when all is over, but for those who are held then. */
    unburied: count(
      gateways,
      (gateway) =>
        gateway.diedAt !== undefined &&
        gateway.diedAt + timeout < end &&
        !(isHeldAt(played, end) ? ["offline", "unknown"] : ["offline"]).includes(standingAt(movesOf(gateway), end))
    ),
    /** Unknown while nothing held. */
    lingering: count(gateways, (gateway) =>
      spans(movesOf(gateway), "unknown").some(
        ({ from, to }) =>
          !guards.some(({ began, ended }) => began <= from && (ended === null || Math.min(to, end) <= nextSweep(ended)))
      )
    ),
    /** Guards that held for longer than there was something to wait for. */
    endless: count(guards, (guard) => (guard.ended ?? end) > isBoundTo(guard)),
    /** So many silent at once, and nothing held. */
    unguarded: count(cuts, ({ from, to }: Cut) => {
      const isAway = outage !== undefined && from < outage.to && from + timeout > outage.from
      const at = isAway ? back + timeout : from + timeout
      return at < Math.min(to, end) && !isHeldAt(played, at)
    }),
    /** Guards over nothing, and guards of which nobody, or more than once, was told. */
    groundless: count(
      guards,
      ({ began }) =>
        !cuts.some(
          ({ from, to }) =>
            from < began && (began <= from + timeout || (back <= began && began <= back + timeout && began <= to))
        )
    ),
    untold: Math.abs(count(alarms, ({ kind }) => kind === "fleet_silent") - guards.length),
    /** Recorded moves that are none, or do not follow from the one before. */
    repeated: count(gateways, (gateway) =>
      movesOf(gateway).some(
        ({ after, at, before }, index, all) =>
          before === after || before !== (all[index - 1]?.after ?? "never_seen") || at < (all[index - 1]?.at ?? 0)
      )
    ),
    /** Moves that the rules do not make of what was heard, and the other way round. */
    differing: differences(played).length,
    /** Servers whose boot another has taken the place of (H3). */
    misplaced: count(
      gateways,
      (gateway) => gateway.twin === undefined && presence.get(gateway.id)?.bootId !== gateway.heard.at(-1)?.boot
    ),
    /** Two machines with one identity that are not shut out in time, once, with one event that names both (V5). */
    unseparated: count(gateways, (gateway) => {
      const due = separationDue(gateway)
      if (due === undefined || due > end) return false
      const isOnce = JSON.stringify(admissions.get(gateway.id)) === JSON.stringify(["suspended forked"])
      return (gateway.suspendedAt ?? never) > due || !isOnce || !isTold(gateway)
    }),
    /** Shut out, and one machine alone. */
    separated: count(gateways, ({ id, twinAt }) => twinAt === undefined && admissions.has(id)),
    /** Clocks that are wrong and nobody says so, and the other way round (H4). */
    unskewed: count(
      gateways,
      (gateway) =>
        gateway.skewed !== undefined &&
        isHeardThrough(gateway, gateway.skewed.from - comeback, gateway.skewed.to) &&
        !movesOf(gateway).some(({ after, reason }) => after === "degraded" && reason === "clock_skew")
    ),
    slandered: count(
      gateways,
      (gateway) => gateway.skewed === undefined && movesOf(gateway).some(({ reason }) => reason === "clock_skew")
    ),
    /** Servers that fall again and again, and are taken for steady each time (H2). */
    restless: count(gateways, (gateway) => {
      const { flapping } = gateway
      if (flapping === undefined || !isHeardThrough(gateway, flapping.from, Math.min(flapping.to, end))) return false
      const isReturn = ({ after, at, before }: Move) => before === "degraded" && after === "online" && at < flapping.to
      return count(movesOf(gateway), isReturn) > 2
    }),
    /** Those of which a dashboard was shown what was not so, or a page tells another story. */
    misshown: count(
      shown,
      ([id, seen]) =>
        !isSubsequence(seen, ["never_seen", ...(stored.get(id) ?? []).map(({ after }) => after)]) ||
        seen.at(-1) !== presence.get(id)?.liveness
    ),
    mistold: count(
      histories,
      ([id, moves]) =>
        JSON.stringify(moves) !==
        JSON.stringify((stored.get(id) ?? []).map(({ after, at, reason }) => ({ after, reason, at })))
    ),
    /** Sweeps that failed; moments at which more than one node swept, and at which none did (J1). */
    failed: played.sweeping.failed,
    doubled: played.sweeping.doubled,
    idle: played.sweeping.idle
  }
}

export type Fault = keyof ReturnType<typeof judge>
