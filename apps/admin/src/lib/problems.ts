/** Failures in words for the reader: what happened, and what to do. */
import { TRPCClientError } from "@trpc/client"
import { HttpProblem } from "./http.ts"
import { PasskeyMissing } from "./passkeys.ts"
import { NotConfirmed } from "./step-up.svelte.ts"

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
  /** Whom or what the problem names, such as those who stand in the way. */
  readonly names: Readonly<Record<string, ReadonlyArray<string>>>
  /** Nothing answered: the broker, or the way to it, is away. */
  readonly away: boolean
}

interface RpcProblem {
  readonly problem: string | null
  readonly remedy: string | null
  readonly names: Readonly<Record<string, ReadonlyArray<string>>>
  readonly issues: ReadonlyArray<{ readonly path: ReadonlyArray<string>; readonly message: string }>
}

const isRpcProblem = (data: unknown): data is RpcProblem =>
  typeof data === "object" && data !== null && "problem" in data

const away: Explained = {
  message: "The broker does not answer.",
  remedy: "Check that it runs and that you can reach it, then try again.",
  code: null,
  issues: [],
  names: {},
  away: true
}

const undone: Explained = {
  message: "It was not done, because you did not confirm that it is you.",
  remedy: "Try again, and confirm when you are asked.",
  code: null,
  issues: [],
  names: {},
  away: false
}

/** Whether the broker will not answer that however often it is asked: it may not be seen, or is no more. */
export const isGone = (error: unknown) => {
  if (!(error instanceof TRPCClientError)) return false
  const data: unknown = error.data
  return (
    typeof data === "object" &&
    data !== null &&
    "httpStatus" in data &&
    (data.httpStatus === 403 || data.httpStatus === 404)
  )
}

export const explain = (error: unknown): Explained => {
  if (error instanceof NotConfirmed) return undone
  if (error instanceof PasskeyMissing) {
    return { message: error.message, remedy: error.remedy, code: null, issues: [], names: {}, away: false }
  }
  if (error instanceof HttpProblem) {
    const { advice, code, issues } = error.told
    return {
      message: error.message,
      remedy: advice.length === 0 ? null : advice.join(" "),
      code,
      issues,
      names: {},
      away: false
    }
  }
  if (error instanceof TRPCClientError) {
    if (error.cause instanceof NotConfirmed) return undone
    const data: unknown = error.data
    if (!isRpcProblem(data)) return away
    return {
      message: error.message,
      remedy: data.remedy,
      code: data.problem,
      issues: data.issues.map((issue) => ({ path: issue.path[0] ?? "", message: issue.message })),
      names: data.names,
      away: false
    }
  }
  if (error instanceof TypeError && /fetch|network|load failed/i.test(error.message)) return away
  return {
    message: "Something went wrong in the dashboard.",
    remedy: "Reload the page. If it happens again, tell whoever runs the broker.",
    code: null,
    issues: [],
    names: {},
    away: false
  }
}
