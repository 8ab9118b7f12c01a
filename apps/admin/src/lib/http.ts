/** The routes that set or clear the session's cookie. They are plain HTTP, as a batch of procedures cannot. */
import { SetupRequest } from "@broker/domain/Admin"
import { SignInRequest } from "@broker/domain/AdminSession"
import { Schema } from "effect"
import type { Issue } from "./problems.ts"

export class HttpProblem extends Error {
  readonly status: number
  readonly code: string | null
  readonly issues: ReadonlyArray<Issue>

  constructor(status: number, code: string | null, detail: string, issues: ReadonlyArray<Issue>) {
    super(detail)
    this.status = status
    this.code = code
    this.issues = issues
  }
}

const Problem = Schema.Struct({
  code: Schema.optionalKey(Schema.String),
  detail: Schema.optionalKey(Schema.String),
  errors: Schema.optionalKey(Schema.Array(Schema.Struct({ pointer: Schema.String, message: Schema.String })))
})

const decodeProblem = Schema.decodeUnknownSync(Problem)

const problemOf = async (response: Response) => {
  const body = decodeProblem(await response.json().catch(() => ({})))
  const issues = (body.errors ?? []).map((error) => ({
    path: error.pointer.split("/").at(1) ?? "",
    message: error.message
  }))
  const detail = body.detail ?? `The broker answered ${response.status}.`
  return new HttpProblem(response.status, body.code ?? null, detail, issues)
}

const send = async (method: "POST" | "DELETE", path: string, body?: unknown) => {
  const response = await fetch(path, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
  })
  if (!response.ok) throw await problemOf(response)
}

const encodeSignIn = Schema.encodeSync(SignInRequest)
const encodeSetup = Schema.encodeSync(SetupRequest)

export const signIn = (request: SignInRequest) => send("POST", "/rpc/session", encodeSignIn(request))

export const signOut = () => send("DELETE", "/rpc/session")

/** Creates the first admin, and signs it in. */
export const setUp = (request: SetupRequest) => send("POST", "/rpc/setup", encodeSetup(request))

const decodeSetup = Schema.decodeUnknownSync(Schema.Struct({ open: Schema.Boolean }))

/** Whether the first admin is still to be created. */
export const isSetupOpen = async () => {
  const response = await fetch("/rpc/setup")
  if (!response.ok) throw await problemOf(response)
  return decodeSetup(await response.json()).open
}
