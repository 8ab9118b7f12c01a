/** What calls of machines have in common: who they are, and what a change goes through. */
import { CurrentApiToken } from "@broker/api/Authentication"
import { Actor } from "@broker/core/audit/Actor"
import { type Answer, KeptAnswers } from "@broker/core/KeptAnswers"
import type { PreconditionFailed } from "@broker/domain/Precondition"
import { Effect } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { SqlClient } from "effect/sql"
import { requestActor } from "./RequestActor.ts"
import type { Resource } from "./Resource.ts"

/** How many items a page has unless asked otherwise. */
export const usualLimit = 50

/** The token is the actor, for the audit log. */
export const asMachine = Effect.provideServiceEffect(
  Actor,
  Effect.flatMap(CurrentApiToken, ({ name, tokenId }) => requestActor({ kind: "api-token", id: tokenId, name }))
)

/** A list that is short, and answered as one page. */
export const whole = <A, E, R>(list: Effect.Effect<ReadonlyArray<A>, E, R>) =>
  Effect.map(list, (items) => ({ items, nextCursor: null }))

/** The same of two bodies that say the same in another order. */
const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)])
  )
}

interface WriteHeaders {
  readonly "if-match"?: string | undefined
  readonly "idempotency-key"?: string | undefined
}

/** What a change may be made under, and how what it is about is kept as it is meanwhile. */
interface Guard<A, E, R> {
  readonly of: Resource<A>
  readonly hold: Effect.Effect<void>
  readonly read: Effect.Effect<A, E, R>
}

const toResponse = ({ body, headers, status }: Answer) =>
  body === null
    ? HttpServerResponse.empty({ status, headers })
    : HttpServerResponse.text(body, {
        status,
        headers: { ...headers, "cache-control": "no-store" },
        contentType: "application/json"
      })

export const gone: Answer = { status: 204, headers: {}, body: null }

/** Where what was made is found. */
export const made =
  (path: string) =>
  (answer: Answer): Answer => ({
    ...answer,
    status: 201,
    headers: { ...answer.headers, location: path }
  })

/** How a machine changes something. */
export const makeWrites = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const answers = yield* KeptAnswers

  /** F6: once under an `Idempotency-Key`, however often it is asked for. */
  const once = Effect.fnUntraced(function* <E, R>(headers: WriteHeaders, change: Effect.Effect<Answer, E, R>) {
    const key = headers["idempotency-key"]
    if (key === undefined) return toResponse(yield* change)
    const { tokenId } = yield* CurrentApiToken
    const { json, method, url } = yield* HttpServerRequest.HttpServerRequest
    const body = yield* Effect.orElseSucceed(json, () => null)
    const asked = { scope: `api-token:${tokenId}`, key, request: [method, url, sorted(body)] }
    return toResponse(yield* answers.once(asked, change))
  })

  /** The same of what is there already; under `If-Match` only as it was seen: nobody comes in between. */
  const guarded = <A, E, R, E2, R2>(
    headers: WriteHeaders,
    { hold, of, read }: Guard<A, E, R>,
    change: Effect.Effect<Answer, E2, R2>
  ) => {
    const condition = headers["if-match"]
    if (condition === undefined) return once<E | E2 | PreconditionFailed, R | R2>(headers, change)
    const compared = Effect.gen(function* () {
      yield* hold
      yield* of.unchanged(yield* read, condition)
      return yield* change
    })
    return once(headers, compared.pipe(sql.withTransaction, Effect.catchTag("SqlError", Effect.die)))
  }

  return { once, guarded }
})
