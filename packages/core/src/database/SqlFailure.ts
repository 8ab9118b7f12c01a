/**
 * What a failed statement means for the caller.
 *
 * The driver's own `isRetryable` does not cover a server that is starting,
 * stopping, full or read-only; and when a connection dies inside a
 * transaction, the failed ROLLBACK turns the error into a defect. So SQLSTATE
 * decides here, for errors and defects alike.
 */
import { Cause, type Duration, Effect, Option, Predicate, Schedule } from "effect"
import { isSqlError, type SqlError } from "effect/sql/SqlError"

/** PostgreSQL's five-letter code for the error, when the error came from there. */
export const sqlState = (error: SqlError): string | undefined => {
  const { cause } = error.reason
  if (!Predicate.hasProperty(cause, "code") || typeof cause.code !== "string") return undefined
  return /^[0-9A-Z]{5}$/.test(cause.code) ? cause.code : undefined
}

/** The constraint that a statement broke, by its name in the database; the driver tells it of unique ones only. */
export const brokenConstraint = (error: SqlError): string | undefined => {
  const { cause } = error.reason
  return error.reason._tag === "ConstraintError" &&
    Predicate.hasProperty(cause, "constraint") &&
    typeof cause.constraint === "string"
    ? cause.constraint
    : undefined
}

/** Serialization, deadlock, lock timeout, starting up, too many connections, read-only: nothing was done. */
const rolledBack = new Set(["40001", "40P01", "55P03", "57P03", "53300", "25006"])

/** Read-only, out of disk or memory, too many connections, ended for idling in a transaction. */
const away = new Set(["25006", "25P03", "53100", "53200", "53300", "53400"])

/** Refused for what we are rather than for the moment: another try meets the same answer. */
const isRejected = (error: SqlError) =>
  error.reason._tag === "AuthenticationError" || sqlState(error) === "3D000" || sqlState(error) === "42501"

const isConnect = (error: SqlError) => error.reason.operation === "connect" && !isRejected(error)

/** The statement certainly had no effect: whatever it is, it may be sent again. */
export const certainlyNotDone = (error: SqlError): boolean => isConnect(error) || rolledBack.has(sqlState(error) ?? "")

/**
 * The database is away, stopping, starting, full or overloaded, and may answer
 * when it is asked again later. Told as 503, and worth another try if the
 * statement may be sent twice.
 */
export const isUnavailable = (error: SqlError): boolean => {
  const state = sqlState(error) ?? ""
  return error.isRetryable || isConnect(error) || state.startsWith("08") || state.startsWith("57P") || away.has(state)
}

/** The SQL error in a cause, be it the error or a defect. */
export const find = <E>(cause: Cause.Cause<E>): Option.Option<SqlError> => {
  for (const reason of cause.reasons) {
    const problem = Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? reason.defect : undefined
    if (isSqlError(problem)) return Option.some(problem)
  }
  return Option.none()
}

/** Whether an error or a defect of whatever kind says that the database is away. */
export const isDatabaseAway = (fault: unknown): fault is SqlError => isSqlError(fault) && isUnavailable(fault)

/** From 50 ms to 1 s between tries. */
const backoff = (within: Duration.Input) =>
  Schedule.min([Schedule.exponential("50 millis", 1.7), Schedule.spaced("1 second")]).pipe(
    Schedule.jittered,
    Schedule.upTo({ duration: within })
  )

const retryWhile =
  (again: (error: SqlError) => boolean, within: Duration.Input) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    self.pipe(
      Effect.catchCause(
        (cause): Effect.Effect<never, E | SqlError> =>
          Option.match(find(cause), { onNone: () => Effect.failCause(cause), onSome: Effect.fail })
      ),
      Effect.retry({ schedule: backoff(within), while: (error) => isSqlError(error) && again(error) })
    )

/**
 * For reads, and for writes that may happen twice: those with an idempotency
 * key, `on conflict do nothing`, or an absolute value. A commit whose answer was
 * lost is reported as an error though it happened.
 */
export const retryIdempotent = (within: Duration.Input = "30 seconds") => retryWhile(isUnavailable, within)

/** For any other write: sent again only when it surely did not happen. */
export const retrySafe = (within: Duration.Input = "30 seconds") => retryWhile(certainlyNotDone, within)
