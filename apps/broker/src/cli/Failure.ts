/** What became of a command that failed, for whoever typed it: what happened, what to do, and the exit code. */
import * as SqlFailure from "@broker/core/database/SqlFailure"
import { problemOf } from "@broker/domain/Problem"
import { Cause, Console, Data, Effect, Option, Predicate } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { withoutSecrets } from "../Logging.ts"
import { ExitCode } from "./ExitCode.ts"

/** A failure that a command foresees. */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly code: ExitCode
  readonly what: string
  readonly remedy: string
}> {}

/** A command line that is wrong in itself. */
export const usage = (what: string, remedy: string) => new CommandFailed({ code: ExitCode.usage, what, remedy })

/** All is said, and what remains is the exit code. */
export class Ended extends Data.TaggedError("Ended")<{ readonly code: ExitCode }> {}

interface Explanation {
  readonly code: ExitCode
  readonly what: string
  readonly remedy?: string | undefined
}

const ofStatus = (status: number): ExitCode => {
  if (status === 400 || status === 422) return ExitCode.usage
  if (status === 503) return ExitCode.unreachable
  return status < 500 ? ExitCode.refused : ExitCode.unexpected
}

/** The innermost message: wrappers around it only repeat that something failed. */
const reasonOf = (error: unknown): string => {
  if (Predicate.hasProperty(error, "cause") && error.cause instanceof Error) return reasonOf(error.cause)
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}

const ofDatabase = (error: SqlError): Explanation | undefined => {
  const { _tag, cause, operation } = error.reason
  const state = SqlFailure.sqlState(error)
  if (_tag === "AuthenticationError" || state === "3D000" || state === "42501") {
    return {
      code: ExitCode.unreachable,
      what: `The database refuses us: ${reasonOf(cause)}`,
      remedy: "Check the user, the password and the database in DATABASE_URL."
    }
  }
  if (operation !== "connect" && !SqlFailure.isUnavailable(error)) return undefined
  return {
    code: ExitCode.unreachable,
    what: `The database does not answer: ${reasonOf(cause)}`,
    remedy: "Check that PostgreSQL runs and that DATABASE_URL names it. `broker doctor` looks closer."
  }
}

const remedies = new Map([
  ["EADDRINUSE", "Stop whoever uses the port, or choose another one with --port."],
  ["EACCES", "Choose a port above 1023 with --port, or let this user have it."],
  ["EADDRNOTAVAIL", "Choose an address of this machine with --host, or 0.0.0.0 for all of them."],
  ["ENOTFOUND", "Choose an address of this machine with --host, or 0.0.0.0 for all of them."]
])

const ofListening = (error: Error): Explanation | undefined => {
  const remedy = Predicate.hasProperty(error, "code") ? remedies.get(String(error.code)) : undefined
  if (remedy === undefined) return undefined
  return { code: ExitCode.refused, what: `The broker cannot listen: ${error.message}`, remedy }
}

const ofTag = (error: unknown): Explanation | undefined => {
  if (error instanceof CommandFailed) return error
  if (!(error instanceof Error) || !Predicate.hasProperty(error, "_tag")) return undefined
  switch (error._tag) {
    case "SettingsInvalid":
      return { code: ExitCode.usage, what: error.message, remedy: "`broker config --help` says where settings stand." }
    case "EncryptionKeyUnavailable":
      return {
        code: ExitCode.usage,
        what: error.message,
        remedy:
          "Nothing was changed. Set ENCRYPTION_KEY to the key, or put its file back into the data directory as " +
          "`encryption-key`; a former key goes into PREVIOUS_ENCRYPTION_KEYS. docs/encryption.md says more."
      }
    case "EncryptionKeyFileUnusable":
      return {
        code: ExitCode.usage,
        what: error.message,
        remedy: "Put the file back from where you keep a copy of it, or set ENCRYPTION_KEY. No other key was made."
      }
    case "EncryptionKeyNotEverywhere":
      return {
        code: ExitCode.refused,
        what: error.message,
        remedy:
          "Nothing was changed. Give them the new key as ENCRYPTION_KEY and the former one in " +
          "PREVIOUS_ENCRYPTION_KEYS, restart them, and try again."
      }
    case "TlsUnusable":
      return {
        code: ExitCode.usage,
        what: error.message,
        remedy:
          "TLS_CERT_FILE and TLS_KEY_FILE name a certificate with its chain and the key that belongs to it, as PEM."
      }
    case "EmbeddedPostgresError":
    case "DatabaseUnsupported":
      return { code: ExitCode.unreachable, what: error.message }
    case "MigrationRefused":
      return { code: ExitCode.refused, what: error.message }
    case "MigrationFailed":
      return {
        code: ExitCode.unexpected,
        what: error.message,
        remedy: "Nothing of it was applied; the database is as it was."
      }
    case "ServeError":
      return error.cause instanceof Error ? ofListening(error.cause) : undefined
    default:
      return undefined
  }
}

const ofProblem = (error: unknown): Explanation | undefined => {
  const problem = problemOf(error)
  if (problem === undefined) return undefined
  const detail = Predicate.hasProperty(error, "detail") ? String(error.detail) : problem.detail
  return { code: ofStatus(problem.status), what: `${detail} (${problem.code})`, remedy: problem.remedy }
}

const explain = (cause: Cause.Cause<unknown>): Explanation => {
  const error = Cause.squash(cause)
  const known = ofTag(error) ?? ofProblem(error) ?? (error instanceof Error ? ofListening(error) : undefined)
  if (known !== undefined) return known
  const database = Option.getOrUndefined(Option.map(SqlFailure.find(cause), ofDatabase))
  return (
    database ?? {
      code: ExitCode.unexpected,
      what: Cause.pretty(cause),
      remedy: "This should not happen. Please report it with the lines above."
    }
  )
}

/** Says on standard error what went wrong, and succeeds with the exit code. */
export const tell = (cause: Cause.Cause<unknown>) => {
  const error = Cause.squash(cause)
  if (error instanceof Ended) return Effect.succeed(error.code)
  const { code, remedy, what } = explain(cause)
  const lines = remedy === undefined ? [what] : [what, remedy]
  return Effect.as(Console.error(withoutSecrets(lines.join("\n"))), code)
}
