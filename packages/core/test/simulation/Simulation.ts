/**
 * A fleet in virtual time, with faults, against the statements that the broker runs: heartbeats in batches, and the
 * sweep of two nodes. What happens to whom follows from a seed.
 */

import { randomUUID } from "node:crypto"
import { FleetGuardPolicy } from "@broker/core/fleet-guard/FleetGuardPolicy"
import { FleetGuards } from "@broker/core/fleet-guard/FleetGuards"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Nodes } from "@broker/core/nodes/Nodes"
import * as Fixtures from "@broker/testing/Fixtures"
import { Clock, DateTime, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { beats, fleet, type Member, moves } from "../fleet-guard/fleets.ts"
import * as Model from "../heartbeats/LivenessModel.ts"
import * as GuardModel from "./GuardModel.ts"

const tick = 10_000
const minute = 60_000

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
const dice = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A server as it really is. */
interface Gateway extends Member {
  nextBeat: number
  /** In milliseconds, as it was told last. */
  interval: number
  isDead: boolean
  isCutOff: boolean
  isSkewed: boolean
  /** It falls silent for two and a half intervals, again and again. */
  isFlapping: boolean
  flaps: number
  /** It is silent of its own accord until its next heartbeat. */
  isPausing: boolean
  /** The boots of another process that has the same identity. */
  formerBoots: Array<string>
}

/** What is broken on purpose, to see that it is found. */
export type Bug = "guard off" | "grace off" | "guard and grace off"

/** Two nodes with liveness of their own on one database, and what one bug makes of them. */
const nodesOf = (bug: Bug | undefined) => {
  const policy = Layer.effect(
    FleetGuardPolicy,
    Effect.map(FleetGuardPolicy, (policy) =>
      bug?.startsWith("guard") === true ? { ...policy, least: Number.MAX_SAFE_INTEGER } : policy
    )
  )
  const forgetful = Layer.effect(
    Nodes,
    Effect.map(Nodes, (nodes) => ({ ...nodes, listeningSince: Effect.succeed(DateTime.makeUnsafe(0)) }))
  )
  const node = Liveness.layer.pipe(
    Layer.provide(FleetGuards.layer.pipe(Layer.provide(policy))),
    Layer.provide(bug?.endsWith("grace off") === true ? forgetful.pipe(Layer.provide(Nodes.layer)) : Nodes.layer)
  )
  return Effect.all([Layer.build(Layer.fresh(node)), Layer.build(Layer.fresh(node))])
}

/** Plays an afternoon of a fleet, and tells how the database and the model differ, and who was wronged. */
export const play = Effect.fnUntraced(function* (options: {
  readonly seed: number
  readonly size: number
  readonly bug?: Bug
}) {
  const random = dice(options.seed)
  const among = (share: number) => random() < share
  const organizationId = yield* Fixtures.organization
  const [first, second] = yield* nodesOf(options.bug)
  const sweepOf = (node: typeof first) =>
    Effect.flatMap(Liveness, ({ sweep }) => sweep).pipe(Effect.provideContext(node))
  const start = yield* Clock.currentTimeMillis
  const interval = () => (54 + Math.floor(random() * 13)) * 1_000
  const gateways = (yield* fleet(organizationId, options.size)).map(
    (member): Gateway =>
      Object.assign(member, {
        nextBeat: start + Math.floor(random() * 60) * 1_000,
        interval: 0,
        isDead: false,
        isCutOff: false,
        isSkewed: false,
        isFlapping: false,
        flaps: 0,
        isPausing: false,
        formerBoots: []
      })
  )
  const model = GuardModel.fleet(gateways.map(({ id }) => id))
  let listeningSince = 0
  let lastListened = start
  let beaten = 0

  /** Those who are due send, and the model hears the same. */
  const send = Effect.fnUntraced(function* (now: number) {
    const due = gateways.filter((gateway) => !gateway.isDead && gateway.nextBeat <= now)
    for (const gateway of due) {
      gateway.interval = interval()
      gateway.isPausing = gateway.isFlapping && gateway.flaps++ % 2 === 0
      gateway.nextBeat = now + Math.floor(gateway.interval * (gateway.isPausing ? 2.5 : 1))
    }
    const heard = due.filter(({ isCutOff }) => !isCutOff)
    yield* beats(heard, ({ id }) => {
      const gateway = byId.get(id)
      return { intervalSeconds: (gateway?.interval ?? 0) / 1_000, skewSeconds: gateway?.isSkewed === true ? 180 : 0 }
    })
    beaten += heard.length
    for (const { bootId, id, interval, isSkewed, seq } of heard) {
      const standing = model.servers.get(id) ?? Model.unheard
      model.servers.set(id, Model.hear(standing, { boot: bootId, seq, at: now, skewed: isSkewed, interval }))
    }
    return heard
  })

  /** What comes again, or late, of this boot or of one before: nothing follows from it (H3). */
  const echo = Effect.fnUntraced(function* (heard: ReadonlyArray<Gateway>) {
    const again = heard.filter(() => among(0.01))
    yield* beats(
      again.map(({ bootId, formerBoots, id, seq }) => ({ id, bootId: formerBoots.at(-1) ?? bootId, seq: seq - 1 })),
      () => ({ skewSeconds: 900, intervalSeconds: 1 })
    )
  })

  const restart = (gateway: Gateway) => {
    gateway.formerBoots.push(gateway.bootId)
    gateway.bootId = randomUUID()
    gateway.seq = 0
  }

  const byId = new Map(gateways.map((gateway) => [gateway.id, gateway]))
  const some = (share: number, act: (gateway: Gateway) => void) => {
    for (const gateway of gateways) if (!gateway.isDead && among(share)) act(gateway)
  }
  const die = (gateway: Gateway) => {
    gateway.isDead = true
  }

  /** What happens when, in minutes. */
  const faults: ReadonlyArray<readonly [minute: number, happens: () => void]> = [
    [2, () => some(0.004, die)],
    [2, () => some(0.01, (gateway) => Object.assign(gateway, { isFlapping: true }))],
    [3, () => some(0.006, (gateway) => Object.assign(gateway, { isSkewed: true }))],
    [3, () => some(0.02, restart)],
    [7, () => some(1, (gateway) => Object.assign(gateway, { isSkewed: false }))],
    // A network between goes away for six minutes. Not from whoever was silent already: it is rightly given up on before
    // so many others are silent that the guard begins.
    [8, () => some(0.4, (gateway) => Object.assign(gateway, { isCutOff: !gateway.isPausing }))],
    [11, () => some(0.02, restart)],
    [13, () => some(1, (gateway) => Object.assign(gateway, { isFlapping: false }))],
    [14, () => some(1, (gateway) => Object.assign(gateway, { isCutOff: false }))],
    // The broker is away for an hour; some die meanwhile.
    [17, () => some(0.003, die)],
    [78, () => some(0.02, restart)],
    // A data centre is gone for good.
    [79, () => some(0.4, die)],
    [94, () => some(0.004, die)]
  ]
  const pending = [...faults]
  const [outageFrom, outageTo, end] = [17, 77, 101]

  for (let now = start; now <= start + end * minute; now += tick) {
    const at = (now - start) / minute
    yield* TestClock.setTime(now)
    while ((pending[0]?.[0] ?? Number.POSITIVE_INFINITY) <= at) pending.shift()?.[1]()
    if (at >= outageFrom && at < outageTo) {
      // Nobody listens: what is sent is lost.
      for (const gateway of gateways) if (gateway.nextBeat <= now) gateway.nextBeat = now + interval()
      continue
    }
    // A node that is back looks at itself before it judges anybody (H5).
    if (now - lastListened > minute) {
      listeningSince = now
      yield* sweepOf(first)
      GuardModel.sweep(model, now, listeningSince)
    } else {
      yield* Fixtures.pass(0)
    }
    lastListened = now
    yield* echo(yield* send(now))
    // Leadership changes in the middle of the silence, and for a while both nodes believe they have it.
    const nodes = at < 12 ? [first] : at < 14 ? [first, second] : [second]
    yield* Effect.all(nodes.map(sweepOf), { concurrency: "unbounded" })
    GuardModel.sweep(model, now, listeningSince)
  }

  const stored = new Map<string, Array<{ after: string; reason: string | null; at: number }>>()
  for (let from = 0; from < gateways.length; from += 1_000) {
    for (const { serverId, ...move } of yield* moves(gateways.slice(from, from + 1_000))) {
      stored.set(serverId, [...(stored.get(serverId) ?? []), move])
    }
  }
  const differing = gateways.filter(
    ({ id }) => JSON.stringify(stored.get(id) ?? []) !== JSON.stringify(model.servers.get(id)?.moves ?? [])
  )
  const offline = (id: string) => (stored.get(id) ?? []).filter(({ after }) => after === "offline").length
  const back = start + outageTo * minute
  const guards = yield* Effect.flatMap(FleetGuards, ({ list }) => list(organizationId))
  return {
    organizationId,
    beaten,
    events: [...stored.values()].reduce((sum, all) => sum + all.length, 0),
    differing: differing.map(({ id }) => ({ stored: stored.get(id), expected: model.servers.get(id)?.moves })),
    /** Given up on though they were alive. */
    wronged: gateways.filter(({ id, isDead }) => !isDead && offline(id) > 0).length,
    dead: gateways.filter(({ isDead }) => isDead).length,
    /** Dead, and given up on exactly once. */
    mourned: gateways.filter(({ id, isDead }) => isDead && offline(id) === 1).length,
    /** Given up on or held at the very moment that the broker was back from being away, though it had heard nobody yet. */
    blamed: [...stored.values()].filter((all) =>
      all.some(({ after, at }) => at === back && (after === "offline" || after === "unknown"))
    ).length,
    /** The oldest first; one that still holds has no end. */
    guards: guards.map(({ beganAt, end }) => ({ began: DateTime.toEpochMillis(beganAt), end })).toReversed(),
    expectedGuards: [...model.past, ...(model.guard === undefined ? [] : [{ began: model.guard.began, end: null }])]
  }
})
