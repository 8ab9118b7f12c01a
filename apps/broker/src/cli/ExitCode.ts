/** What a command tells the program that started it. */

/** Stable: scripts switch on these. */
export const ExitCode = {
  ok: 0,
  /** A fault of the broker's own, or something that is wrong (`doctor`). */
  unexpected: 1,
  /** The command line, a value on it, or a setting is wrong. */
  usage: 2,
  /** Understood, and refused: not found, in conflict, not allowed in this state. */
  refused: 3,
  /** The database or the broker does not answer. */
  unreachable: 4,
  /** Ended by a signal before it was done. */
  interrupted: 130
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** The same in words, for help and documentation. */
export const meanings: ReadonlyArray<readonly [ExitCode, string]> = [
  [ExitCode.ok, "done"],
  [ExitCode.unexpected, "something unexpected happened, or `broker doctor` found something wrong"],
  [ExitCode.usage, "the command line, a value on it or a setting is wrong; nothing was done"],
  [ExitCode.refused, "refused: not found, in conflict, or not possible in this state"],
  [ExitCode.unreachable, "the database or the broker does not answer"],
  [ExitCode.interrupted, "interrupted (Ctrl-C) before it was done; `serve`, `demo` and `agent` end with 0 then"]
]
