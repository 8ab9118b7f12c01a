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
      issues: data.issues.map((issue) => ({ path: issue.path[0] ?? "", message: issue.message })),
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
