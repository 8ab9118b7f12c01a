/** The routes that set or clear the session's cookie. They are plain HTTP, as a batch of procedures cannot. */
import { NewPassword, Password, SetupRequest } from "@broker/domain/Admin"
import { LinkToken, LinkUse, OpenLink } from "@broker/domain/AdminLink"
import { FactorAsked, SignInRequest } from "@broker/domain/AdminSession"
import {
  FactorAnswer,
  type PasskeyId,
  PasskeyName,
  PasskeyOptions,
  PasskeyResponse,
  RecoveryCodes,
  StepUpAnswer,
  TotpCode
} from "@broker/domain/SecondFactor"
import { Schema } from "effect"
import type { Issue } from "./problems.ts"
import { leaveToSignIn } from "./sign-in.ts"
import { asksStepUp, stepUp } from "./step-up.svelte.ts"

interface Told {
  readonly status: number
  readonly code: string | null
  readonly issues: ReadonlyArray<Issue>
  /** What would make a refused value a good one. */
  readonly advice: ReadonlyArray<string>
  /** How long to wait, where there have been too many attempts. */
  readonly retryAfterSeconds: number | null
}

export class HttpProblem extends Error {
  readonly told: Told

  constructor(detail: string, told: Told) {
    super(detail)
    this.told = told
  }
}

const Problem = Schema.Struct({
  code: Schema.optionalKey(Schema.String),
  detail: Schema.optionalKey(Schema.String),
  errors: Schema.optionalKey(Schema.Array(Schema.Struct({ pointer: Schema.String, message: Schema.String }))),
  advice: Schema.optionalKey(Schema.Array(Schema.String)),
  retryAfterSeconds: Schema.optionalKey(Schema.Finite)
})

const decodeProblem = Schema.decodeUnknownSync(Problem)

const problemOf = async (response: Response) => {
  const body = decodeProblem(await response.json().catch(() => ({})))
  const waiting = Number(response.headers.get("retry-after") ?? Number.NaN)
  return new HttpProblem(body.detail ?? `The broker answered ${response.status}.`, {
    status: response.status,
    code: body.code ?? null,
    issues: (body.errors ?? []).map((error) => ({
      path: error.pointer.split("/").at(1) ?? "",
      message: error.message
    })),
    advice: body.advice ?? [],
    retryAfterSeconds:
      response.status === 429 ? (Number.isFinite(waiting) ? waiting : (body.retryAfterSeconds ?? 1)) : null
  })
}

/** The answer's JSON; null where there is none. Throws what the broker refuses. */
const send = async (method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<unknown> => {
  const response = await fetch(path, {
    method,
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
  })
  if (!response.ok) throw await problemOf(response)
  return response.status === 204 ? null : response.json()
}

/** As whoever is signed in: proves once more who it is where that is asked, and leaves where the session is over. */
const sendSignedIn = async (method: "POST" | "DELETE", path: string, body?: unknown): Promise<unknown> => {
  try {
    return await send(method, path, body)
  } catch (error) {
    if (!(error instanceof HttpProblem)) throw error
    if (error.told.code === "not_signed_in" && leaveToSignIn()) return new Promise(() => {})
    if (error.told.code !== asksStepUp) throw error
    await stepUp.confirm()
    return sendSignedIn(method, path, body)
  }
}

const encodeSignIn = Schema.encodeSync(SignInRequest)
const encodeSetup = Schema.encodeSync(SetupRequest)
const encodeAnswer = Schema.encodeSync(FactorAnswer)
const encodeStepUp = Schema.encodeSync(StepUpAnswer)
const encodePasskey = Schema.encodeSync(Schema.Struct({ response: PasskeyResponse }))
const encodeToken = Schema.encodeSync(LinkToken)
const encodeUse = Schema.encodeSync(LinkUse)
const PasswordChange = Schema.Struct({ current: Schema.NullOr(Password), next: NewPassword })
const encodeChange = Schema.encodeSync(PasswordChange)
const encodeCode = Schema.encodeSync(Schema.Struct({ code: TotpCode }))
const encodeNewPasskey = Schema.encodeSync(Schema.Struct({ name: PasskeyName, response: PasskeyResponse }))

const decodeAsked = Schema.decodeUnknownSync(FactorAsked)
const decodeStep = Schema.decodeUnknownSync(Schema.NullOr(FactorAsked))
const decodeOptions = Schema.decodeUnknownSync(PasskeyOptions)
const decodeLink = Schema.decodeUnknownSync(OpenLink)
const decodeMethods = Schema.decodeUnknownSync(Schema.Struct({ singleSignOn: Schema.NullOr(Schema.String) }))
const decodeSetup = Schema.decodeUnknownSync(Schema.Struct({ open: Schema.Boolean }))
const decodeRenewed = Schema.decodeUnknownSync(Schema.Struct({ recoveryCodes: RecoveryCodes }))
const decodeEnrolled = Schema.decodeUnknownSync(Schema.Struct({ recoveryCodes: Schema.NullOr(RecoveryCodes) }))

/** What is still asked for, or null: then the session is open. */
export const signIn = async (request: SignInRequest) =>
  decodeStep(await send("POST", "/rpc/session", encodeSignIn(request)))

export const answerFactor = (answer: FactorAnswer) => send("POST", "/rpc/session/factor", encodeAnswer(answer))

/** What a browser with a passkey is asked when nobody has said who they are. */
export const passkeyOptions = async () => decodeOptions(await send("POST", "/rpc/session/passkey/options"))

export const signInByPasskey = (response: PasskeyResponse) =>
  send("POST", "/rpc/session/passkey", encodePasskey({ response }))

/** What the identity provider is called, where there is one. */
export const signInMethods = async () => decodeMethods(await send("GET", "/rpc/session/methods"))

/** What a step-up may be answered with. */
export const stepUpOptions = async () => decodeAsked(await sendSignedIn("POST", "/rpc/session/step-up/options"))

export const answerStepUp = (answer: StepUpAnswer) => sendSignedIn("POST", "/rpc/session/step-up", encodeStepUp(answer))

export const signOut = () => send("DELETE", "/rpc/session")

/** Creates the first admin, and signs it in. */
export const setUp = (request: SetupRequest) => send("POST", "/rpc/setup", encodeSetup(request))

/** Whether the first admin is still to be created. */
export const isSetupOpen = async () => decodeSetup(await send("GET", "/rpc/setup")).open

/** What a link is for, without using it. */
export const lookAtLink = async (request: typeof LinkToken.Type) =>
  decodeLink(await send("POST", "/rpc/links/look", encodeToken(request)))

/** Sets the password that the link allows. Answers what is still asked for, or null: then the session is open. */
export const applyLink = async (request: LinkUse) => decodeStep(await send("POST", "/rpc/links", encodeUse(request)))

export const changePassword = (change: typeof PasswordChange.Type) =>
  sendSignedIn("POST", "/rpc/account/password", encodeChange(change))

/** Answers recovery codes where it was the first factor. */
export const confirmTotp = async (code: string) =>
  decodeEnrolled(await sendSignedIn("POST", "/rpc/account/totp", encodeCode({ code })))

export const passkeyEnrolmentOptions = async () =>
  decodeOptions(await sendSignedIn("POST", "/rpc/account/passkeys/options"))

export const enrolPasskey = async (name: string, response: PasskeyResponse) =>
  decodeEnrolled(await sendSignedIn("POST", "/rpc/account/passkeys", encodeNewPasskey({ name, response })))

export const removeTotp = () => sendSignedIn("DELETE", "/rpc/account/totp")

export const removePasskey = (id: PasskeyId) => sendSignedIn("DELETE", `/rpc/account/passkeys/${id}`)

/** Ten new ones; the old ones have ended. */
export const renewRecoveryCodes = async () =>
  decodeRenewed(await sendSignedIn("POST", "/rpc/account/recovery-codes")).recoveryCodes
