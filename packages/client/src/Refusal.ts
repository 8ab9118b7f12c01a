/**
 * What came back instead of the answer, and what an agent makes of it (H8).
 *
 * It goes by the broker's `code` alone. An answer without one is not the broker's word but that of something on the
 * way, such as a proxy's 403, and never ends a membership.
 */
import { Data, Duration, Effect, Option, Result, Schema } from "effect"
import { Headers, HttpClientError, HttpClientResponse } from "effect/http"

export class Refusal extends Data.TaggedError("Refusal")<{
  /** The broker's code, or, for what is not the broker's word: `unreachable`, `unintelligible`, `http_502` and so on. */
  readonly reason: string
  readonly detail: string
  /** Of the broker's problem; undefined for what is not its word. */
  readonly problemStatus: number | undefined
  readonly retryAfter: Duration.Duration
}> {}

const BrokerProblem = Schema.Struct({
  code: Schema.String,
  detail: Schema.optionalKey(Schema.String),
  errors: Schema.optionalKey(Schema.Array(Schema.Struct({ pointer: Schema.String, message: Schema.String })))
})

const problemOf = HttpClientResponse.schemaBodyJson(BrokerProblem)

const retryAfterOf = Effect.fnUntraced(function* ({ headers }: HttpClientResponse.HttpClientResponse) {
  const parsed = Headers.parseRetryAfter(headers["retry-after"] ?? "")
  return Result.isSuccess(parsed)
    ? Headers.retryAfterDelay(parsed.success, yield* Effect.clockWith((clock) => clock.currentTimeMillis))
    : Duration.zero
})

/** Reads an answer that is no success. */
const ofResponse = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
  const { headers, status } = response
  const retryAfter = yield* retryAfterOf(response)
  const problem = yield* Effect.option(problemOf(response))
  if (Option.isSome(problem)) {
    const { code, detail, errors = [] } = problem.value
    const faults = errors.map(({ message, pointer }) => `${pointer} ${message}`)
    return yield* new Refusal({
      reason: code,
      detail: [detail ?? `The broker answers ${status}.`, ...faults].join(" "),
      problemStatus: status,
      retryAfter
    })
  }
  const location = headers["location"]
  return yield* new Refusal({
    reason: `http_${status}`,
    detail:
      status >= 300 && status < 400 && location !== undefined
        ? `The broker's address leads on to ${location}: use that one.`
        : `Something that is not the broker answers ${status}.`,
    problemStatus: undefined,
    retryAfter
  })
})

const without = (reason: string, detail: string) =>
  new Refusal({ reason, detail, problemStatus: undefined, retryAfter: Duration.zero })

/** The innermost cause says most: "connect ECONNREFUSED 127.0.0.1:3000" rather than "fetch failed". */
const innermost = (error: Error): string =>
  error.cause instanceof AggregateError && error.cause.errors[0] instanceof Error
    ? innermost(error.cause.errors[0])
    : error.cause instanceof Error
      ? innermost(error.cause)
      : error.message

const ofFailure = (failure: unknown) => {
  if (!HttpClientError.isHttpClientError(failure)) return without("unintelligible", `The answer makes no sense.`)
  const { reason } = failure
  if (reason._tag === "DecodeError") return without("unintelligible", "The answer is not JSON, or was cut off.")
  return without(
    "unreachable",
    `The broker cannot be reached: ${
      reason._tag === "TransportError" && reason.description !== undefined ? reason.description : innermost(failure)
    }.`
  )
}

/** What the broker answered. */
export interface Answered<A> {
  readonly status: number
  readonly headers: Headers.Headers
  readonly answer: A
}

type Call<E> = Effect.Effect<HttpClientResponse.HttpClientResponse, E>

/** Sends a request and reads the answer; whatever else comes of it is a refusal. */
export const exchange = <S extends Schema.Constraint, E>(
  call: Call<E>,
  answer: S
): Effect.Effect<Answered<S["Type"]>, Refusal, S["DecodingServices"]> => {
  const decode = HttpClientResponse.schemaBodyJson(answer)
  return receive(call, (response) =>
    Effect.map(decode(response), (answer) => ({ status: response.status, headers: response.headers, answer }))
  )
}

/** The same for a conditional request (RFC 9110): none while what the caller keeps is still so. */
export const exchangeIfChanged = <S extends Schema.Constraint, E>(
  call: Call<E>,
  answer: S
): Effect.Effect<Option.Option<Answered<S["Type"]>>, Refusal, S["DecodingServices"]> =>
  Effect.flatMap(
    receive(call, Effect.succeed, (status) => status === 304),
    (response) =>
      response.status === 304 ? Effect.succeedNone : Effect.asSome(exchange(Effect.succeed(response), answer))
  )

/** The same where an answer has no body. */
export const exchangeEmpty = <E>(call: Call<E>): Effect.Effect<void, Refusal> => receive(call, () => Effect.void)

const receive = <E, A, E2, R>(
  call: Call<E>,
  read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, E2, R>,
  isAlsoFine: (status: number) => boolean = () => false
): Effect.Effect<A, Refusal, R> =>
  Effect.gen(function* () {
    // What does not fit the contract was never sent, and no waiting makes it fit.
    const response = yield* Effect.catchIf(call, Schema.isSchemaError, (error) => Effect.die(error))
    const isFine = (response.status >= 200 && response.status < 300) || isAlsoFine(response.status)
    return isFine ? yield* read(response) : yield* ofResponse(response)
  }).pipe(Effect.mapError((failure) => (failure instanceof Refusal ? failure : ofFailure(failure))))

/**
 * - `stop`: for good
 * - `pause`: try again now and then, as an admin may change their mind
 * - `rejoin`: the token is worth nothing, the registration key may be
 * - `retry`: soon, and ever slower
 */
export type Verdict = "stop" | "pause" | "rejoin" | "retry"

/** Refusals that time cures, whatever the code. */
const passing = [408, 425, 429]

/** Whether the same request may well succeed later. */
export const isPassing = ({ problemStatus }: Refusal) =>
  problemStatus === undefined || problemStatus >= 500 || passing.includes(problemStatus)

export const judge = ({ problemStatus, reason }: Refusal, stage: "joining" | "member"): Verdict => {
  if (problemStatus === undefined) return "retry"
  switch (reason) {
    case "server_retired":
    case "wrong_credential_kind":
      return "stop"
    case "server_suspended":
    case "challenge_failed":
      return "pause"
    case "unknown_credential":
      return stage === "member" ? "rejoin" : "stop"
  }
  const isFinal = problemStatus >= 400 && problemStatus < 500 && !passing.includes(problemStatus)
  return stage === "joining" && isFinal ? "stop" : "retry"
}
