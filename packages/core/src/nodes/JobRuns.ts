/** What scheduled jobs tell of themselves: a row of each, written after its runs. */
import { problemOf } from "@broker/domain/Problem"
import { DateTime, Duration, Effect, Predicate, Schema } from "effect"
import { type SqlClient, SqlSchema } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import { isDatabaseAway, sqlState } from "../database/SqlFailure.ts"

export const JobOutcome = Schema.Literals(["done", "failed", "lost"])
export type JobOutcome = typeof JobOutcome.Type

/** How a job did since it told the last time. */
export const JobRuns = Schema.Struct({
  job: Schema.String,
  everySeconds: Schema.Finite,
  /** How often it ran since then, and how often that failed. */
  runs: Schema.Int,
  failures: Schema.Int,
  lastStartedAt: Schema.DateTimeUtcFromDate,
  lastTookMillis: Schema.Finite,
  lastOutcome: JobOutcome,
  /** Of the last run that failed. */
  problem: Schema.NullOr(Schema.String),
  failedAt: Schema.NullOr(Schema.DateTimeUtcFromDate),
  nextRunAt: Schema.DateTimeUtcFromDate
})
export type JobRuns = typeof JobRuns.Type

/** A job that runs more often than that tells of several runs at once, unless its outcome changed. */
const tellEveryMillis = 5_000

/** A database that does not answer must not hold up the schedule. */
const patience = Duration.seconds(1)

/**
 * What went wrong, in words that hold no values: messages of errors may quote what they were about. The log has them.
 */
export const problemWords = (fault: unknown): string => {
  if (isDatabaseAway(fault)) return "The database was away"
  if (isSqlError(fault)) return `A statement failed (${sqlState(fault) ?? fault.reason._tag})`
  const problem = problemOf(fault)
  if (problem !== undefined) return problem.title
  if (Predicate.isTagged(fault, "TimeoutError")) return "It took longer than it may"
  if (Predicate.hasProperty(fault, "_tag") && typeof fault._tag === "string") return fault._tag
  return fault instanceof Error ? fault.constructor.name : "Something that is no error"
}

/**
 * Writes a job's row. Not under the fence, as a run that lost its lease is told of too; a node that was overtaken
 * changes nothing, since its run started earlier.
 */
export const write = (sql: SqlClient.SqlClient) =>
  SqlSchema.void({
    Request: JobRuns,
    execute: (run) => sql`
      insert into job_runs as j (job, every_seconds, runs, failures, last_started_at, last_took_ms, last_outcome,
                                 last_problem, last_failed_at, next_run_at)
      values (${run.job}, ${run.everySeconds}, ${run.runs}, ${run.failures}, ${run.lastStartedAt},
              ${run.lastTookMillis}, ${run.lastOutcome}, ${run.problem}, ${run.failedAt}, ${run.nextRunAt})
          on conflict (job) do update
         set every_seconds = excluded.every_seconds,
             runs = j.runs + excluded.runs,
             failures = j.failures + excluded.failures,
             last_started_at = excluded.last_started_at,
             last_took_ms = excluded.last_took_ms,
             last_outcome = excluded.last_outcome,
             last_problem = coalesce(excluded.last_problem, j.last_problem),
             last_failed_at = coalesce(excluded.last_failed_at, j.last_failed_at),
             next_run_at = excluded.next_run_at
       where j.last_started_at <= excluded.last_started_at`
  })

/** One run, as its job saw it. */
export interface Run {
  readonly startedAt: DateTime.Utc
  readonly took: Duration.Duration
  readonly outcome: JobOutcome
  readonly problem: string | null
}

/** Keeps account of a job's runs, and tells of them now and then. Never fails, and never waits for long. */
export const teller = <E, R>(
  job: string,
  every: Duration.Duration,
  tell: (runs: JobRuns) => Effect.Effect<void, E, R>
) => {
  const untold = { runs: 0, failures: 0 }
  let failure: { readonly problem: string | null; readonly at: DateTime.Utc } | undefined
  let toldAt = Number.NEGATIVE_INFINITY
  let toldOutcome: JobOutcome | undefined

  return Effect.fnUntraced(function* ({ outcome, problem, startedAt, took }: Run) {
    untold.runs += 1
    if (outcome === "failed") {
      untold.failures += 1
      failure = { problem, at: startedAt }
    }
    const endedAt = startedAt.epochMilliseconds + Duration.toMillis(took)
    if (outcome === toldOutcome && endedAt - toldAt < tellEveryMillis) return
    const { failures, runs } = untold
    yield* tell({
      job,
      everySeconds: Duration.toSeconds(every),
      runs,
      failures,
      lastStartedAt: startedAt,
      lastTookMillis: Duration.toMillis(took),
      lastOutcome: outcome,
      problem: failure?.problem ?? null,
      failedAt: failure?.at ?? null,
      nextRunAt: DateTime.makeUnsafe(Math.max(endedAt, startedAt.epochMilliseconds + Duration.toMillis(every)))
    }).pipe(
      Effect.timeout(patience),
      Effect.andThen(
        Effect.sync(() => {
          untold.runs -= runs
          untold.failures -= failures
          toldAt = endedAt
          toldOutcome = outcome
        })
      ),
      Effect.ignoreCause({ log: "Debug" })
    )
  })
}
