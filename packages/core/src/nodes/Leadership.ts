/**
 * Which node runs the jobs that only one may run.
 *
 * A lease row with a fencing token. Only the database's clock decides who holds
 * it. The holder stops by itself when it could not renew in time, counted on
 * its monotonic clock from *before* it asked; and because a process can be
 * paused at any instruction, every write of a job checks the token in its own
 * transaction, under a lock that a take-over has to wait for. So a node that
 * was overtaken cannot write, whatever it still believes.
 */

import { randomUUID } from "node:crypto"
import {
  Clock,
  Context,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Option,
  Predicate,
  Queue,
  Schedule,
  Schema,
  Stream
} from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { Signals } from "../database/Signals.ts"
import { isDatabaseAway } from "../database/SqlFailure.ts"
import * as JobRuns from "./JobRuns.ts"
import { LeadershipPolicy } from "./LeadershipPolicy.ts"

/** Another node runs the jobs now, or none does. */
export class NotLeader extends Schema.TaggedError<NotLeader>()("NotLeader", {}) {
  override get message() {
    return "This node does not run the jobs"
  }
}

export interface Job<E, R> {
  /** The label of its metrics and logs. */
  readonly name: string
  readonly every: Duration.Input
  /** How long one run may take, as long as `every` when left out. */
  readonly budget?: Duration.Input
  /** Writes through `Leadership.fenced`. */
  readonly run: Effect.Effect<void, E, R>
}

export class Leadership extends Context.Service<
  Leadership,
  {
    readonly isLeader: Effect.Effect<boolean>
    /** Runs a write in a transaction that fails unless this node still leads when it commits. */
    fenced<A, E, R>(write: Effect.Effect<A, E, R>): Effect.Effect<A, E | NotLeader | SqlError, R>
    /** Runs an effect whenever this node leads, from the start each time, and interrupts it when it no longer does. */
    whileLeader<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<never, E, R>
    /** Writes down how a job did. */
    tell(runs: JobRuns.JobRuns): Effect.Effect<void, SqlError | Schema.SchemaError>
  }
>()("@broker/core/nodes/Leadership") {
  /** Leads as the holder of that id, which is unique in the whole cluster. */
  static readonly layerOf = (holder: string) =>
    Layer.effect(
      Leadership,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const lease = yield* makeLease(holder)
        const idleInFence = `${Duration.toMillis((yield* LeadershipPolicy).idleInFence)}`
        yield* Effect.forkScoped(lease.keep)

        const fenced = <A, E, R>(write: Effect.Effect<A, E, R>) =>
          Effect.gen(function* () {
            const hold = yield* lease.current
            if (hold === undefined) return yield* new NotLeader()
            // A key-share lock is enough: a renewal passes it and a take-over does not.
            const [mine] = yield* sql`
            select set_config('idle_in_transaction_session_timeout', ${idleInFence}, true)
              from leases
             where name = ${leaseName}
               and holder = ${lease.holder}
               and token = ${hold.token}
               and expires_at > clock_timestamp()
               for key share`
            if (mine === undefined) return yield* new NotLeader()
            return yield* write
          }).pipe(sql.withTransaction, Effect.withSpan("Leadership.fenced"))

        const whileLeader = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.gen(function* () {
            const hold = yield* lease.awaited
            yield* Effect.raceFirst(Effect.andThen(effect, Effect.never), Deferred.await(hold.lost))
          }).pipe(Effect.forever)

        return Leadership.of({
          isLeader: Effect.map(lease.current, (hold) => hold !== undefined),
          fenced,
          whileLeader,
          tell: JobRuns.write(sql)
        })
      })
    )

  static readonly layer = Layer.unwrap(Effect.sync(() => Leadership.layerOf(randomUUID())))

  /**
   * A scheduled job of the leader: at once when this node becomes it, and then
   * on schedule. A run that fails is logged and ends none of those after it.
   */
  static readonly job = <E, R>(job: Job<E, R>) =>
    Layer.effectDiscard(
      Effect.gen(function* () {
        const leadership = yield* Leadership
        const told = JobRuns.teller(job.name, Duration.fromInputUnsafe(job.every), leadership.tell)
        const scheduled = Effect.repeat(Effect.flatMap(attempt(job), told), Schedule.fixed(job.every))
        yield* leadership.whileLeader(scheduled).pipe(Effect.annotateLogs({ job: job.name }), Effect.forkScoped)
      })
    )
}

const runs = Metric.counter("broker_job_runs_total", {
  description: "Runs of scheduled jobs, by how they ended",
  incremental: true
})

const durations = Metric.histogram("broker_job_duration_seconds", {
  description: "How long runs of scheduled jobs took",
  boundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
})

/** A database that is away is no fault of the job, which runs again when it is back. */
const failed = (error: unknown) =>
  isDatabaseAway(error)
    ? Effect.logWarning("The job did not run: the database is away", { reason: error.message })
    : Effect.logError("The job failed", error)

type Ended = Pick<JobRuns.Run, "outcome" | "problem">

const failedBy = (error: unknown): Effect.Effect<Ended> =>
  Effect.as(failed(error), { outcome: "failed", problem: JobRuns.problemWords(error) })

/** One run: bounded, measured, and without a failure of its own. */
const attempt = Effect.fnUntraced(function* <E, R>({ budget, every, name, run }: Job<E, R>) {
  const startedAt = yield* DateTime.now
  const [took, ended] = yield* run.pipe(
    Effect.timeout(budget ?? every),
    Effect.as<Ended>({ outcome: "done", problem: null }),
    Effect.catch((error) =>
      Predicate.isTagged(error, "NotLeader")
        ? Effect.as(Effect.logInfo("The job lost its lease"), { outcome: "lost", problem: null } satisfies Ended)
        : failedBy(error)
    ),
    Effect.catchDefect(failedBy),
    Effect.withSpan(`job ${name}`),
    Effect.timed
  )
  yield* Metric.update(Metric.withAttributes(runs, { job: name, outcome: ended.outcome }), 1)
  yield* Metric.update(Metric.withAttributes(durations, { job: name }), Duration.toSeconds(took))
  return { startedAt, took, ...ended } satisfies JobRuns.Run
})

const leaseName = "jobs"
const topic = "leadership"

/** A time of holding the lease: each has a token of its own, also in the same process. */
interface Hold {
  readonly token: string
  /** On the monotonic clock, in milliseconds. */
  deadline: number
  readonly lost: Deferred.Deferred<void>
}

const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

const Token = Schema.Struct({ token: Schema.String })

/** The statements on the lease row. Whether it is free is for the database's clock to say. */
const makeStatements = Effect.fnUntraced(function* (holder: string, ttl: Duration.Duration) {
  const sql = yield* SqlClient.SqlClient
  const seconds = Duration.toSeconds(ttl)

  const create = sql`
    insert into leases (name, holder, token, expires_at, acquired_at)
         values (${leaseName}, ${holder}, 0, '-infinity', clock_timestamp())
    on conflict (name) do nothing`

  /** Takes the row's strongest lock first, and so waits for every fenced write under way. */
  const acquire = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Token,
    execute: () => sql`
        with free as materialized (
                  select name
                    from leases
                   where name = ${leaseName}
                     and (expires_at < clock_timestamp() or holder = ${holder})
                     for update
             )
         update leases
            set holder = ${holder},
                token = leases.token + 1,
                expires_at = clock_timestamp() + make_interval(secs => ${seconds}),
                acquired_at = clock_timestamp()
           from free
          where leases.name = free.name
      returning leases.token::text as token`
  })()

  const renew = (token: string) => sql`
         update leases
            set expires_at = clock_timestamp() + make_interval(secs => ${seconds})
          where name = ${leaseName}
            and holder = ${holder}
            and token = ${token}
            and expires_at > clock_timestamp()
      returning 1`

  const release = (token: string) => sql`
         update leases
            set expires_at = '-infinity'
          where name = ${leaseName}
            and holder = ${holder}
            and token = ${token}`

  return { create, acquire, renew, release }
})

const makeLease = Effect.fnUntraced(function* (holder: string) {
  const { pollEvery, renewEvery, ttl } = yield* LeadershipPolicy
  const signals = yield* Signals
  const statements = yield* makeStatements(holder, ttl)
  const ttlMillis = Duration.toMillis(ttl)
  let held: Hold | undefined
  let next = Deferred.makeUnsafe<Hold>()

  /** Somebody released the lease: no need to wait for the next look. */
  const released = yield* Queue.sliding<void>(1)
  yield* signals.subscribe(topic).pipe(
    Stream.runForEach(() => Queue.offer(released, undefined)),
    Effect.forkScoped
  )

  const current = Effect.map(monotonicMillis, (now) => (held !== undefined && now < held.deadline ? held : undefined))

  const awaited = Effect.suspend(() => (held === undefined ? Deferred.await(next) : Effect.succeed(held)))

  const acquire = Effect.gen(function* () {
    const asked = yield* monotonicMillis
    yield* statements.create
    const [row] = yield* statements.acquire
    if (row === undefined) return undefined
    return { token: row.token, deadline: asked + ttlMillis, lost: Deferred.makeUnsafe<void>() } satisfies Hold
  })

  /** Ends when the lease is lost: told so by the database, or without its answer for too long. */
  const renewals = (hold: Hold) =>
    Effect.gen(function* () {
      while (true) {
        yield* Effect.sleep(renewEvery)
        const asked = yield* monotonicMillis
        // Apart, as a statement without an answer takes seconds to be interrupted too.
        const renewal = yield* Effect.forkDetach(Effect.option(statements.renew(hold.token)))
        const renewed = yield* Fiber.join(renewal)
        if (Option.isSome(renewed) && renewed.value.length === 0) return "another node holds the lease"
        if (Option.isSome(renewed)) hold.deadline = asked + ttlMillis
      }
    })

  const deadline = (hold: Hold) =>
    Effect.gen(function* () {
      while (true) {
        const left = hold.deadline - (yield* monotonicMillis)
        if (left <= 0) return "the lease could not be renewed in time"
        yield* Effect.sleep(left)
      }
    })

  const end = (hold: Hold) =>
    Effect.suspend(() => {
      held = undefined
      next = Deferred.makeUnsafe<Hold>()
      return Deferred.succeed(hold.lost, undefined)
    })

  /** Lets the others know at once. */
  const release = (hold: Hold) =>
    statements
      .release(hold.token)
      .pipe(Effect.andThen(signals.notify(topic, "released")), Effect.timeout("1 second"), Effect.ignore)

  const lead = Effect.fnUntraced(function* (hold: Hold) {
    yield* Effect.logInfo("This node runs the jobs now", { token: hold.token })
    const reason = yield* Effect.raceFirst(renewals(hold), deadline(hold))
    yield* Effect.logWarning("This node no longer runs the jobs", { token: hold.token, reason })
  })

  /** From taking the lease to losing it, or to giving it back when this node shuts down. */
  const term = Effect.acquireUseRelease(
    Effect.tap(Effect.interruptible(acquire), (hold) => {
      held = hold
      return hold === undefined ? Effect.void : Deferred.succeed(next, hold)
    }),
    (hold) => (hold === undefined ? Effect.void : lead(hold)),
    (hold, exit) => {
      if (hold === undefined) return Effect.void
      return Exit.isSuccess(exit) ? end(hold) : Effect.andThen(end(hold), release(hold))
    }
  )

  const keep = term.pipe(
    Effect.ignoreCause({ log: "Debug" }),
    Effect.andThen(Effect.timeoutOption(Queue.take(released), pollEvery)),
    Effect.forever,
    Effect.annotateLogs({ fiber: "Leadership" })
  )

  return { holder, current, awaited, keep }
})
