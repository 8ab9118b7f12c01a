/**
 * An afternoon of a fleet in virtual time, with faults, against a broker of two nodes on one database: heartbeats
 * through group commits, sweeps under the lease. What happens to whom, and when, follows from a seed; what really
 * happened is told beside what the broker made of it.
 */

import { randomUUID } from "node:crypto"
import { Signals } from "@broker/core/database/Signals"
import { Fleet } from "@broker/core/fleet/Fleet"
import { FleetGuardPolicy } from "@broker/core/fleet-guard/FleetGuardPolicy"
import { FleetGuards } from "@broker/core/fleet-guard/FleetGuards"
import { Heartbeats } from "@broker/core/heartbeats/Heartbeats"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Leadership } from "@broker/core/nodes/Leadership"
import { LeadershipPolicy } from "@broker/core/nodes/LeadershipPolicy"
import { Nodes } from "@broker/core/nodes/Nodes"
import { Servers } from "@broker/core/servers/Servers"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { Forks } from "@broker/core/verification/Forks"
import type { OrganizationId } from "@broker/domain/Organization"
import type { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import {
  Cause,
  Clock,
  Context,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Random,
  Result,
  Scope,
  Stream
} from "effect"
import { SqlClient, Statement } from "effect/sql"
import { TestClock } from "effect/testing"
import { fleet } from "../fleet-guard/fleets.ts"

const minute = 60_000
export const tick = 15_000

/** The longest that a server is told to wait until its next heartbeat. */
export const longestInterval = 66_000

/** After so long of nothing new a guard gives up, so that an afternoon has several of them. */
export const steadyFor = 5 * minute

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

/** One machine that says it is the server. */
interface Process {
  readonly address: string
  bootId: string
  seq: number
  nextBeat: number
}

/** A heartbeat that the broker answered. */
interface Heard {
  readonly at: number
  readonly boot: string
  readonly seq: number
  readonly skewed: boolean
  readonly interval: number
}

interface Span {
  readonly from: number
  readonly to: number
}

/** A server as it really is. */
export interface Gateway {
  readonly id: ServerId
  readonly main: Process
  /** A copy of the machine that was started beside it. */
  twin: Process | undefined
  twinAt: number | undefined
  /** In milliseconds, as it was told last. */
  interval: number
  readonly heard: Array<Heard>
  diedAt: number | undefined
  /** When it was told that it is shut out: then it stops. */
  suspendedAt: number | undefined
  cutUntil: number
  skewed: Span | undefined
  /** It falls silent for two and a half intervals, again and again. */
  flapping: Span | undefined
  flaps: number
  /** What it sent before it restarted, on its way for minutes. */
  late: { readonly at: number; readonly heard: Heard } | undefined
  /** It is silent of its own accord until its next heartbeat. */
  isPausing: boolean
}

/** Many at once who can't be heard, or died together. */
export interface Cut extends Span {
  readonly members: ReadonlySet<Gateway>
  /** Those who had missed a heartbeat already. */
  readonly silent: ReadonlySet<Gateway>
}

/** What is broken on purpose, to see that it is found. */
export type Bug =
  | "guard off"
  | "grace off"
  | "guard and grace off"
  | "events twice"
  | "flapping unseen"
  | "skew unseen"
  | "former boots forgotten"
  | "forks unseen"
  | "fence open"
  | "claim given to all"

/** Parts of an afternoon, in any order after the opening. */
export type Chapter = "opening" | "calm" | "cuts" | "outage" | "loss"

/** A move of a server's liveness as it was recorded. */
export interface Move {
  readonly before: string | null
  readonly after: string
  readonly reason: string | null
  readonly at: number
}

/** What really happened, and what the broker made of it. */
export interface Played {
  readonly organizationId: OrganizationId
  readonly end: number
  readonly gateways: ReadonlyArray<Gateway>
  readonly cuts: ReadonlyArray<Cut>
  readonly outage: Span | undefined
  /** When servers were judged; twice at the moment when the broker is back. */
  readonly sweeps: ReadonlyArray<number>
  /** Sweeps that died, moments at which several nodes got through, and at which none did. */
  readonly sweeping: { failed: number; doubled: number; idle: number; overlapped: number; killed: number; led: number }
  readonly stored: ReadonlyMap<string, ReadonlyArray<Move>>
  readonly admissions: ReadonlyMap<string, ReadonlyArray<string>>
  readonly presence: ReadonlyMap<string, { readonly bootId: string | null; readonly liveness: string }>
  readonly guards: ReadonlyArray<{ readonly began: number; readonly ended: number | null; readonly end: string | null }>
  readonly alarms: ReadonlyArray<{ readonly kind: string; readonly serverId: string | null; readonly details: string }>
  /** What a dashboard that watched some of them was shown of each, and what their pages tell afterwards. */
  readonly shown: ReadonlyMap<string, ReadonlyArray<string>>
  readonly histories: ReadonlyMap<string, ReadonlyArray<Omit<Move, "before">>>
}

/** The rules of the nodes: heartbeats are rarer than usual, so that an afternoon takes a minute. */
const policiesOf = (bug: Bug | undefined) =>
  Layer.mergeAll(
    Layer.effect(
      ServersPolicy,
      Effect.map(ServersPolicy, (policy) => ({
        ...policy,
        heartbeatInterval: Duration.minutes(1),
        ...(bug === "flapping unseen" ? { flappingFalls: 2 ** 31 - 1 } : {}),
        ...(bug === "skew unseen" ? { maxClockSkew: Duration.days(1) } : {})
      }))
    ),
    Layer.effect(
      FleetGuardPolicy,
      Effect.map(FleetGuardPolicy, (policy) => ({
        ...policy,
        steadyFor: Duration.millis(steadyFor),
        ...(bug?.startsWith("guard") === true ? { least: Number.MAX_SAFE_INTEGER } : {})
      }))
    ),
    // Leases last by the database's clock, which is none of the simulation's: they end when they are given back, or taken.
    Layer.effect(
      LeadershipPolicy,
      Effect.map(LeadershipPolicy, (policy) => ({
        ...policy,
        ttl: Duration.days(2),
        renewEvery: Duration.days(1),
        pollEvery: Duration.millis(tick / 2),
        idleInFence: Duration.seconds(10)
      }))
    )
  )

/** All of a broker that hears servers and judges them, with nothing in memory. */
const brokerOf = (bug: Bug | undefined) => {
  const nodes =
    bug?.endsWith("grace off") === true
      ? Layer.effect(
          Nodes,
          Effect.map(Nodes, (nodes) => ({ ...nodes, listeningSince: Effect.succeed(DateTime.makeUnsafe(0)) }))
        ).pipe(Layer.provide(Nodes.layer))
      : Nodes.layer
  const heartbeats =
    bug === "forks unseen"
      ? Heartbeats.layer.pipe(Layer.provide(Layer.succeed(Forks, Forks.of({ observe: () => Effect.succeed(false) }))))
      : Heartbeats.layer
  const leadership = Layer.unwrap(Nodes.use(({ id }) => Effect.succeed(Leadership.layerOf(id))))
  return Layer.mergeAll(heartbeats, Liveness.layer.pipe(Layer.provide(FleetGuards.layer)), leadership).pipe(
    Layer.provideMerge(nodes),
    Layer.provide(policiesOf(bug)),
    Layer.fresh
  )
}

/** What the database itself is made to do wrong. */
const sabotage = Effect.fnUntraced(function* (bug: Bug | undefined) {
  const sql = yield* SqlClient.SqlClient
  if (bug === "events twice") {
    yield* sql`drop trigger server_presence_moved on server_presence`
    yield* sql`
      create trigger server_presence_moved after update of liveness on server_presence
        for each row execute function record_liveness_transition()`
  }
  if (bug === "former boots forgotten") {
    yield* sql`
      create function forget_former_boots() returns trigger language plpgsql as $$
      begin
        new.former_boot_ids := '{}';
        return new;
      end
      $$`
    yield* sql`
      create trigger former_boots_forgotten before insert or update on server_presence
        for each row execute function forget_former_boots()`
  }
})

/** Statements as a node sends them, each seen before it goes out, or changed. */
const overStatements =
  (see: (text: string, sql: Statement.Constructor) => Effect.Effect<Statement.Statement<unknown> | undefined>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Statement.CurrentTransformer, (outer) =>
      Effect.provideService(effect, Statement.CurrentTransformer, (statement, sql, fiber, span) =>
        Effect.flatMap(see(statement.compile()[0], sql), (other = statement) =>
          outer === undefined ? Effect.succeed(other) : outer(other, sql, fiber, span)
        )
      )
    )

/** Every node is told that it alone sweeps. */
const claimGiven = overStatements((text, sql) =>
  Effect.succeed(text.includes("pg_try_advisory_xact_lock") ? sql`select true as is_claimed` : undefined)
)

/** Where a node hangs in the middle of a sweep: after a guard began, or after servers were moved. */
const hangs = {
  begun: "insert into fleet_guards",
  moved: "update server_presence p"
}

/** When what happens, in milliseconds since the start, drawn anew for each seed. */
const storyOf = (chapters: ReadonlyArray<Chapter>, random: () => number) => {
  const at = (from: number, to: number) => Math.round(((from + random() * (to - from)) * minute) / tick) * tick
  let begun = 0
  const times: { opening?: Opening; cuts?: Cuts; outage?: Outage; loss?: Loss } = {}
  for (const chapter of chapters) {
    switch (chapter) {
      case "opening":
        times.opening = {
          deaths: at(2, 3),
          flapping: { from: at(2, 2.5), to: at(21, 23) },
          skew: { from: at(2.5, 3.5), to: at(6.5, 7) },
          twins: at(2, 3),
          restarts: at(3, 5)
        }
        begun += 7 * minute
        break
      case "calm":
        begun += 11 * minute
        break
      case "cuts": {
        const since = begun + at(1, 2.5)
        const first = { from: since, to: since + at(6.3, 7.4) }
        // The second begins about when the guard over the first has nothing left to hold.
        const again = first.to + at(-1, 1.2)
        const second = { from: again, to: again + at(6.3, 7.4) }
        times.cuts = { first, second, restarts: begun + at(2, 12), killed: second.from + at(2.2, 2.8) }
        begun = second.to + minute
        break
      }
      case "outage": {
        // Now and then a guard still holds.
        const from = Math.max(2 * minute, begun + at(-5, 0))
        const to = from + at(55, 65)
        times.outage = { from, to, deaths: from + at(2, 50), restarts: from + at(2, 50) }
        begun = to + 3 * minute
        break
      }
      case "loss": {
        const lost = begun + at(0.5, 4)
        // About when the guard gives up on those who are gone.
        const from = lost + at(8, 11)
        const to = from + at(6.3, 7)
        times.loss = {
          lost,
          cut: { from, to },
          back: to + at(7.8, 8.3),
          deaths: lost + at(1, 6),
          overtaken: lost + at(3, 5),
          restarts: lost + at(1, 6)
        }
        begun = to + 9.5 * minute
        break
      }
    }
  }
  return { ...times, end: begun }
}

interface Opening extends Record<"deaths" | "restarts" | "twins", number>, Record<"flapping" | "skew", Span> {}
interface Cuts extends Record<"first" | "second", Span>, Record<"killed" | "restarts", number> {}
interface Outage extends Span, Record<"deaths" | "restarts", number> {}
interface Loss extends Record<"back" | "deaths" | "lost" | "overtaken" | "restarts", number> {
  readonly cut: Span
}

/** A heartbeat on its way, and what its sender makes of the answer. */
interface Message {
  readonly gateway: Gateway
  readonly address: string
  readonly bootId: string
  readonly seq: number
  readonly sentAt: number
  readonly heard?: (interval: number) => void
}

/** Plays an afternoon. */
export const play = Effect.fnUntraced(function* (options: {
  readonly seed: number
  readonly size: number
  readonly chapters?: ReadonlyArray<Chapter>
  /** In minutes, where it is over before its last chapter. */
  readonly until?: number
  readonly bug?: Bug
}) {
  const { bug, seed, size, until = Number.POSITIVE_INFINITY } = options
  const random = dice(seed)
  const sql = yield* SqlClient.SqlClient
  const signals = yield* Signals
  const organizationId = yield* Fixtures.organization
  const start = yield* Clock.currentTimeMillis
  yield* sabotage(bug)

  const processOf = (address: string): Process => ({
    address,
    bootId: randomUUID(),
    seq: 0,
    nextBeat: start + Math.floor(random() * 5) * tick
  })
  const gateways = (yield* fleet(organizationId, size)).map(
    ({ id }): Gateway => ({
      id,
      main: processOf("203.0.113.7"),
      twin: undefined,
      twinAt: undefined,
      interval: minute,
      heard: [],
      diedAt: undefined,
      suspendedAt: undefined,
      cutUntil: 0,
      skewed: undefined,
      flapping: undefined,
      flaps: 0,
      late: undefined,
      isPausing: false
    })
  )

  const isIn = (span: Span | undefined, now: number) => span !== undefined && span.from <= now && now < span.to
  const isUp = ({ diedAt, suspendedAt }: Gateway) => diedAt === undefined && suspendedAt === undefined
  const plain = (gateway: Gateway) =>
    isUp(gateway) && gateway.twin === undefined && gateway.skewed === undefined && gateway.flapping === undefined
  /** So many of those, each with the same chance; of a small fleet at least four. */
  const draw = (share: number, of: (gateway: Gateway) => boolean) => {
    const pool = gateways.filter(of)
    const count = Math.min(pool.length, Math.max(4, Math.ceil(share * gateways.length)))
    for (let at = 0; at < count; at++) {
      const other = at + Math.floor(random() * (pool.length - at))
      const [one, two] = [pool[at], pool[other]]
      if (one !== undefined && two !== undefined) [pool[at], pool[other]] = [two, one]
    }
    return pool.slice(0, count)
  }

  const cuts: Array<Cut> = []
  const cut = (now: number, to: number) => {
    const up = gateways.filter(isUp).length
    const members = draw(((0.34 + random() * 0.11) * up) / gateways.length, (one) => isUp(one) && one.cutUntil <= now)
    const silent = members.filter(({ heard, interval }) => (heard.at(-1)?.at ?? start) + interval + tick < now)
    for (const member of members) member.cutUntil = to
    cuts.push({ from: now, to, members: new Set(members), silent: new Set(silent) })
    return members
  }
  const die = (share: number) => (now: number) => {
    for (const gateway of draw(share, plain)) gateway.diedAt = now
  }
  const restart = (now: number) => {
    for (const gateway of draw(0.02, (one) => isUp(one) && one.twin === undefined)) {
      gateway.main.bootId = randomUUID()
      gateway.main.seq = 0
      const heard = gateway.heard.at(-1)
      gateway.late = heard === undefined ? undefined : { at: now + 3 * minute, heard }
    }
  }
  const clone = (now: number) => {
    for (const gateway of draw(0.004, plain)) {
      gateway.twin = { ...processOf("198.51.100.9"), nextBeat: now + Math.floor(random() * 5) * tick }
      gateway.twinAt = now
    }
  }

  const {
    cuts: cutting,
    end,
    loss,
    opening,
    outage: away
  } = storyOf(options.chapters ?? ["opening", "cuts", "outage", "loss"], random)
  const outage = away === undefined ? undefined : { from: start + away.from, to: start + away.to }
  /** The leader is to hang where a guard begins, or servers are moved; or its lease passes to another unnoticed. */
  let trouble: keyof typeof hangs | "overtaken" | undefined
  const stumble = (over: typeof trouble) => () => {
    trouble = over
  }
  const faults: Array<readonly [at: number, happens: (now: number) => void]> = []
  if (opening !== undefined) {
    faults.push(
      [opening.deaths, die(0.004)],
      [opening.restarts, restart],
      [opening.twins, clone],
      [
        opening.skew.from,
        (from) => {
          for (const gateway of draw(0.006, plain)) gateway.skewed = { from, to: start + opening.skew.to }
        }
      ],
      [
        opening.flapping.from,
        (from) => {
          for (const gateway of draw(0.01, plain)) gateway.flapping = { from, to: start + opening.flapping.to }
        }
      ]
    )
  }
  if (cutting !== undefined) {
    const { first, killed, restarts, second } = cutting
    faults.push(
      [first.from, (now) => void cut(now, start + first.to)],
      [first.from, stumble("begun")],
      [second.from, (now) => void cut(now, start + second.to)],
      [killed, stumble("moved")],
      [restarts, restart]
    )
  }
  if (away !== undefined) {
    faults.push([away.deaths, die(0.003)], [away.restarts, restart], [away.to + minute, clone])
  }
  if (loss !== undefined) {
    faults.push(
      [
        loss.lost,
        (now) => {
          // Of a data centre that is gone, few come back.
          const members = cut(now, start + loss.back)
          for (const gateway of members) if (random() < 0.9) gateway.diedAt = now
        }
      ],
      [loss.overtaken, stumble("overtaken")],
      [loss.restarts, restart],
      [loss.cut.from, (now) => void cut(now, start + loss.cut.to)],
      [loss.deaths, die(0.003)]
    )
  }
  const pending = faults.toSorted(([a], [b]) => a - b)

  // The broker: two nodes, started one after the other, and a dashboard that looks at some servers through it.
  const sweeping = { failed: 0, doubled: 0, idle: 0, overlapped: 0, killed: 0, led: 0 }
  const watched = gateways.filter((_, index) => index % Math.ceil(size / 20) === 0).map(({ id }) => id)
  const shown = new Map<string, Array<string>>(watched.map((id) => [id, []]))
  const watch = Effect.gen(function* () {
    const { live } = yield* Fleet
    yield* live(organizationId, {
      overview: false,
      servers: watched,
      joining: false,
      connections: [],
      connecting: false
    }).pipe(
      Stream.runForEach((event) =>
        Effect.sync(() => {
          for (const { id, liveness } of event._tag === "Servers" ? event.servers : []) {
            const before = shown.get(id)
            if (before !== undefined && before.at(-1) !== liveness) before.push(liveness)
          }
        })
      ),
      Effect.forkScoped({ startImmediately: true })
    )
  })

  const boot = Effect.fnUntraced(function* () {
    const scope = yield* Scope.fork(yield* Effect.scope)
    const services = yield* Layer.buildWithScope(brokerOf(bug), scope)
    const leadership = Context.get(services, Leadership)
    return {
      scope,
      leadership,
      heartbeats: Context.get(services, Heartbeats),
      liveness: Context.get(services, Liveness),
      restartAt: Number.POSITIVE_INFINITY,
      isAlive: true,
      isOvertaken: false
    }
  })
  type Node = Effect.Success<ReturnType<typeof boot>>
  /** Until a node leads, which looks again whenever it is told to: no time passes meanwhile. */
  const led = Effect.fnUntraced(function* ({ leadership }: Node) {
    while (!(yield* leadership.isLeader)) yield* signals.notify("leadership", "released")
    sweeping.led += 1
  })
  let nodes: Array<Node> = []
  let watching = yield* Scope.fork(yield* Effect.scope)
  const open = Effect.gen(function* () {
    const first = yield* boot()
    yield* led(first)
    nodes = [first, yield* boot()]
    watching = yield* Scope.fork(yield* Effect.scope)
    yield* Scope.provide(watch, watching)
  })
  const close = Effect.gen(function* () {
    yield* Scope.close(watching, Exit.void)
    for (const { scope } of nodes) yield* Scope.close(scope, Exit.void)
    nodes = []
  })
  const alive = () => nodes.filter(({ isAlive }) => isAlive)
  /** Who believes that it leads; while one was overtaken, the one that was not. */
  const leading = Effect.suspend(() =>
    Effect.map(
      Effect.filter(alive(), ({ leadership }) => leadership.isLeader),
      (leaders) => leaders.find(({ isOvertaken }) => !isOvertaken)
    )
  )

  /** As the job sweeps, or as if nothing were around it. Tells whether it got through. */
  const sweepOf = ({ leadership, liveness }: Node, fenced: boolean) =>
    (fenced && bug !== "fence open" ? liveness.sweepWithin(leadership.fenced) : liveness.sweep).pipe(
      bug === "claim given to all" ? claimGiven : (sweep) => sweep,
      Effect.exit,
      Effect.map((exit) => {
        if (Exit.isSuccess(exit)) return true
        const refusal = Cause.findErrorOption(exit.cause)
        if (refusal._tag === "None" || refusal.value._tag !== "NotLeader") {
          sweeping.failed += 1
          console.log("A sweep failed:", Cause.pretty(exit.cause).split("\n")[0])
        }
        return false
      })
    )

  const sweeps: Array<number> = []
  const sweep = Effect.fnUntraced(function* (now: number) {
    sweeps.push(now)
    if (trouble === "begun" || trouble === "moved") {
      const place = hangs[trouble]
      const leader = yield* leading
      const other = alive().find((node) => node !== leader)
      const reached = yield* Deferred.make<void>()
      let passed = false
      const hanging = overStatements((text) =>
        Effect.suspend(() => {
          if (passed) return Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
          passed = text.includes(place)
          return Effect.succeed(undefined)
        })
      )
      if (leader === undefined || other === undefined) return
      const fiber = yield* Effect.forkChild(hanging(sweepOf(leader, true)))
      const done = yield* Effect.raceFirst(Fiber.join(fiber), Effect.as(Deferred.await(reached), undefined))
      if (done !== undefined) {
        if (!done) sweeping.idle += 1
        return
      }
      // Another that takes itself for the leader neither waits for it nor stumbles over what it did.
      yield* sweepOf(other, false)
      yield* Fiber.interrupt(fiber)
      yield* Scope.close(leader.scope, Exit.void)
      leader.isAlive = false
      leader.restartAt = now + minute
      trouble = undefined
      sweeping.killed += 1
      yield* led(other)
      if (!(yield* sweepOf(other, true))) sweeping.idle += 1
      return
    }
    const through = yield* Effect.forEach(alive(), (node) => sweepOf(node, true), { concurrency: "unbounded" })
    const count = through.filter((swept) => swept).length
    if (count === 0) sweeping.idle += 1
    if (count > 1) sweeping.doubled += 1
    // Now and then as if both led, and no fence held one of them back.
    if (random() < 0.1) {
      sweeps.push(now)
      sweeping.overlapped += 1
      yield* Effect.forEach(alive(), (node) => sweepOf(node, false), { concurrency: "unbounded" })
    }
  })

  /** Between two moments of the simulation: who was killed is back, and who was overtaken finds another in its place. */
  const settle = Effect.fnUntraced(function* (now: number) {
    for (const [index, node] of nodes.entries()) if (node.restartAt <= now) nodes[index] = yield* boot()
    if (trouble !== "overtaken") return
    const holder = yield* leading
    const heir = alive().find((node) => node !== holder)
    if (holder === undefined || heir === undefined) return
    holder.isOvertaken = true
    trouble = undefined
    // As the database's clock says when a node was paused for longer than its lease.
    yield* sql`update leases set expires_at = '-infinity'`
    yield* led(heir)
  })

  const send = Effect.fnUntraced(function* (now: number, messages: ReadonlyArray<Message>) {
    const up = alive()
    yield* Effect.forEach(
      messages,
      Effect.fnUntraced(function* ({ address, bootId, gateway, heard, sentAt, seq }, index) {
        const node = up[index % up.length]
        if (node === undefined) return
        const sender = { id: gateway.id, organizationId, admission: "approved" as const, address }
        const answer = yield* Effect.result(
          node.heartbeats.beat(sender, {
            bootId,
            seq,
            sentAt: DateTime.formatIso(DateTime.makeUnsafe(sentAt)),
            activeConnections: 3,
            metrics: {}
          })
        )
        if (Result.isSuccess(answer)) heard?.(Math.round(answer.success.nextHeartbeatSeconds * 1_000))
        else if (answer.failure._tag === "ServerSuspended") gateway.suspendedAt ??= now
      }),
      { concurrency: "unbounded", discard: true }
    ).pipe(Random.withSeed(`${seed} ${now}`))
  })

  /** Those who are due send. The two of one identity send apart, as what comes of it would depend on how they are batched. */
  const beat = Effect.fnUntraced(function* (now: number, of: (gateway: Gateway) => Process | undefined, lost: boolean) {
    const messages: Array<Message> = []
    for (const gateway of gateways) {
      const process = of(gateway)
      if (process === undefined || !isUp(gateway) || process.nextBeat > now) continue
      const skewed = isIn(gateway.skewed, now)
      if (process === gateway.main) gateway.isPausing = isIn(gateway.flapping, now) && gateway.flaps++ % 2 === 0
      const wait = gateway.isPausing && process === gateway.main ? 2.5 : 1
      const { address, bootId } = process
      const seq = ++process.seq
      process.nextBeat = now + gateway.interval * wait
      if (lost || gateway.cutUntil > now) continue
      const heard = (interval: number) => {
        gateway.interval = interval
        process.nextBeat = now + interval * wait
        gateway.heard.push({ at: now, boot: bootId, seq, skewed, interval })
      }
      messages.push({ gateway, address, bootId, seq, sentAt: now + (skewed ? 3 * minute : 0), heard })
    }
    yield* send(now, messages)
  })

  /** What comes late, or again, of this boot or of one before: nothing follows from it (H3). */
  const echo = Effect.fnUntraced(function* (now: number) {
    const messages: Array<Message> = []
    for (const gateway of gateways) {
      const isAgain = random() < 0.002
      const isLate = gateway.late !== undefined && gateway.late.at <= now && gateway.cutUntil <= now
      const again = isLate ? gateway.late?.heard : isAgain ? gateway.heard.at(-1 - Math.floor(random() * 6)) : undefined
      if (isLate) gateway.late = undefined
      if (again === undefined || gateway.twin !== undefined) continue
      const { at, boot, seq, skewed } = again
      const sentAt = at + (skewed ? 3 * minute : 0)
      messages.push({ gateway, address: gateway.main.address, bootId: boot, seq, sentAt })
    }
    yield* send(now, messages)
  })

  const over = start + Math.min(end, until * minute)
  yield* open
  for (let now = start; now <= over; now += tick) {
    yield* TestClock.setTime(Math.max(now, yield* Clock.currentTimeMillis))
    while ((pending[0]?.[0] ?? Number.POSITIVE_INFINITY) <= now - start) pending.shift()?.[1](now)
    if (isIn(outage, now)) {
      // Nobody listens: what is sent is lost, and so is what the broker had in memory.
      if (nodes.length > 0) yield* close
      yield* beat(now, ({ main }) => main, true)
      yield* beat(now, ({ twin }) => twin, true)
      continue
    }
    if (nodes.length === 0) {
      // It is back, and judges before it has heard anybody.
      yield* open
      yield* sweep(now)
    }
    yield* Fixtures.pass(0)
    yield* beat(now, ({ main }) => main, false)
    yield* beat(now, ({ twin }) => twin, false)
    yield* echo(now)
    yield* sweep(now)
    yield* settle(now)
  }

  const rows = yield* sql<Move & { serverId: string; axis: string; at: Date }>`
    select server_id, axis, before, after, reason, at from server_transitions
     where organization_id = ${organizationId} order by id`
  const stored = new Map<string, Array<Move>>()
  const admissions = new Map<string, Array<string>>()
  for (const { after, at, axis, before, reason, serverId } of rows) {
    if (axis === "liveness") {
      const moves = stored.get(serverId) ?? []
      moves.push({ before, after, reason, at: at.getTime() })
      stored.set(serverId, moves)
    }
    if (axis === "admission" && before !== null) {
      admissions.set(serverId, [...(admissions.get(serverId) ?? []), `${after} ${reason}`])
    }
  }
  const presence = yield* sql<{ serverId: string; bootId: string | null; liveness: string }>`
    select p.server_id, p.boot_id, p.liveness from server_presence p
      join servers s on s.id = p.server_id where s.organization_id = ${organizationId}`
  // Whoever watches is shown how it ended within a few looks.
  const isShown = () => watched.every((id) => shown.get(id)?.at(-1) === (stored.get(id)?.at(-1)?.after ?? "never_seen"))
  for (let look = 0; look < 20 && !isShown(); look++) {
    yield* TestClock.adjust("1 second")
    yield* sql`select 1`
  }
  const servers = yield* Servers
  const histories = new Map<string, ReadonlyArray<Omit<Move, "before">>>()
  for (const id of watched) {
    const { transitions } = yield* servers.history(organizationId, id)
    const moves = transitions.filter(({ axis }) => axis === "liveness").toSorted((a, b) => a.id - b.id)
    histories.set(
      id,
      moves.map(({ after, at, reason }) => ({ after, reason, at: DateTime.toEpochMillis(at) }))
    )
  }
  const guards = yield* FleetGuards.use(({ list }) => list(organizationId))
  const alarms = yield* sql<{ kind: string; serverId: string | null; details: string }>`
    select kind, server_id, details::text as details from security_events
     where organization_id = ${organizationId} order by id`
  yield* close
  return {
    organizationId,
    end: over,
    gateways,
    cuts,
    outage,
    sweeps,
    sweeping,
    stored,
    admissions,
    presence: new Map(presence.map(({ serverId, ...row }) => [serverId, row])),
    guards: guards
      .map(({ beganAt, end, endedAt }) => ({
        began: DateTime.toEpochMillis(beganAt),
        ended: endedAt === null ? null : DateTime.toEpochMillis(endedAt),
        end
      }))
      .toReversed(),
    alarms,
    shown,
    histories
  } satisfies Played
}, Effect.scoped)
