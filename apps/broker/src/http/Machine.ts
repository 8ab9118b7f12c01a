/** What calls of machines have in common: who they are, and what a change goes through. */
import { CurrentApiToken } from "@broker/api/Authentication"
import { Actor } from "@broker/core/audit/Actor"
import { type Answer, KeptAnswers } from "@broker/core/KeptAnswers"
import type { PreconditionFailed } from "@broker/domain/Precondition"
import { InvalidCursor } from "@broker/domain/Primitives"
import { Effect, Schema } from "effect"
import { Base64Url } from "effect/encoding"
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

const Place = Schema.fromJsonString(Schema.Tuple([Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), Schema.String]))

const placeIn = (cursor: string | undefined) =>
  cursor === undefined
    ? Effect.succeed(null)
    : Effect.fromResult(Base64Url.decodeString(cursor)).pipe(
        Effect.flatMap((text) => Schema.decodeEffect(Place)(text)),
        Effect.mapError(() => new InvalidCursor())
      )

/**
 * A page of a list that is short enough to be read as a whole. It goes on behind the item that the page before ended
 * with; or, where that one is gone by now, from where it stood.
 */
export const pageOf = <A, E, R>(
  list: Effect.Effect<ReadonlyArray<A>, E, R>,
  { cursor, limit = usualLimit }: { readonly cursor?: string | undefined; readonly limit?: number | undefined },
  idOf: (item: A) => string
) =>
  Effect.gen(function* () {
    const place = yield* placeIn(cursor)
    const all = yield* list
    const stood = place === null ? -1 : all.findIndex((item) => idOf(item) === place[1])
    const from = stood === -1 ? (place?.[0] ?? 0) : stood + 1
    const items = all.slice(from, from + limit)
    const last = items.at(-1)
    const more = last !== undefined && from + items.length < all.length
    return {
      items,
      nextCursor: more ? Base64Url.encode(JSON.stringify([from + items.length - 1, idOf(last)])) : null
    }
  })

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

/** A body as it is compared with another. One that goes too deep to be put in order stands for itself alone. */
const comparable = ({ json, text }: HttpServerRequest.HttpServerRequest) =>
  json.pipe(
    Effect.flatMap((body) => Effect.try(() => JSON.stringify(sorted(body)))),
    Effect.catch(() => text),
    Effect.orElseSucceed(() => "")
  )

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
    const request = yield* HttpServerRequest.HttpServerRequest
    const asked = {
      scope: `api-token:${tokenId}`,
      key,
      request: [request.method, request.url, yield* comparable(request)]
    }
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
