/** Failures in words for the reader: what happened, and what to do. */
import { TRPCClientError } from "@trpc/client"
import { HttpProblem } from "./http.ts"

export interface Issue {
  readonly path: string
  readonly message: string
}

export interface Explained {
  readonly message: string
  readonly remedy: string | null
  /** The stable code of the problem, where the broker named one. */
  readonly code: string | null
  readonly issues: ReadonlyArray<Issue>
  /** Nothing answered: the broker, or the way to it, is away. */
  readonly away: boolean
}

interface RpcProblem {
  readonly problem: string | null
  readonly remedy: string | null
  readonly issues: ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly message: string }>
}

const isRpcProblem = (data: unknown): data is RpcProblem =>
  typeof data === "object" && data !== null && "problem" in data

const away: Explained = {
  message: "The broker does not answer.",
  remedy: "Check that it runs and that you can reach it, then try again.",
  code: null,
  issues: [],
  away: true
}

export const explain = (error: unknown): Explained => {
  if (error instanceof HttpProblem) {
    return { message: error.message, remedy: null, code: error.code, issues: error.issues, away: false }
  }
  if (error instanceof TRPCClientError) {
    const data: unknown = error.data
    if (!isRpcProblem(data)) return away
    return {
      message: error.message,
      remedy: data.remedy,
      code: data.problem,
      issues: data.issues.map((issue) => ({ path: issue.path[0] ?? "", message: plainMessage(issue.message) })),
      away: false
    }
  }
  if (error instanceof TypeError && /fetch|network|load failed/i.test(error.message)) return away
  return {
    message: "Something went wrong in the dashboard.",
    remedy: "Reload the page. If it happens again, tell whoever runs the broker.",
    code: null,
    issues: [],
    away: false
  }
}

const phrases: ReadonlyArray<readonly [RegExp, string]> = [
  [/^Expected an integer$/, "must be a whole number"],
  [/^Expected a value between (\S+) and (\S+)$/, "must be $1 to $2"],
  [/^Expected a value with a length of at least 1$/, "must not be empty"],
  [/^Expected a value with a length of at most (\S+)$/, "must not have more than $1 characters"],
  [/^Expected a string with no leading or trailing whitespace$/, "must not start or end with a space"],
  [/^Expected .*NaN.*$/, "must be a number"]
]

/** The schemas' own words end a sentence that starts with the field's name; these do for the generic checks. */
export const plainMessage = (message: string) => {
  for (const [pattern, words] of phrases) {
    if (pattern.test(message)) return message.replace(pattern, words)
  }
  return message
}
