/**
 * What machines are answered under an `Idempotency-Key`, for 24 hours: whoever did not get the answer asks again, and
 * gets the same (F6).
 *
 * An answer may hold a secret that is shown this once (B9). So all of them are sealed under the encryption key, bound to
 * the place where they are kept, and gone with the key that they were given for.
 */
import type { IdempotencyKeyReused } from "@broker/domain/Registration"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Encryption } from "./crypto/Encryption.ts"
import { idempotentAnswer, place } from "./crypto/SealedColumns.ts"
import { Secrets } from "./crypto/Secrets.ts"
import { Idempotency } from "./Idempotency.ts"

/** As it went over the wire. */
export const Answer = Schema.Struct({
  status: Schema.Int,
  headers: Schema.Record(Schema.String, Schema.String),
  /** Null where it has none. */
  body: Schema.NullOr(Schema.String)
})
export type Answer = typeof Answer.Type

const AnswerFromText = Schema.fromJsonString(Answer)

/** A request, and whose. */
export interface KeyedRequest {
  /** Who asks: keys of different callers are different keys. */
  readonly scope: string
  readonly key: string
  /** All that makes it this request and no other. */
  readonly request: unknown
}

export class KeptAnswers extends Context.Service<
  KeptAnswers,
  {
    /**
     * What the effect answers; or what it answered before, if the request came before under this key. All that it does
     * and the answer are one transaction: one that failed leaves the key free, and of many at once one is done.
     */
    once<E, R>(
      request: KeyedRequest,
      effect: Effect.Effect<Answer, E, R>
    ): Effect.Effect<Answer, E | IdempotencyKeyReused, R>
  }
>()("@broker/core/KeptAnswers") {
  static readonly layerNoDeps = Layer.effect(
    KeptAnswers,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const idempotency = yield* Idempotency
      const encryption = yield* Encryption
      const secrets = yield* Secrets

      const Key = Schema.Struct({ scope: Schema.String, key: Schema.String })

      const find = SqlSchema.findOneOption({
        Request: Key,
        Result: Schema.Struct({ id: Schema.String, answer: Schema.Uint8Array }),
        execute: ({ key, scope }) =>
          sql`select id, answer from idempotent_answers where scope = ${scope} and key = ${key}`
      })

      /** In the place of one that is past its time, and whose key nobody has forgotten yet. */
      const put = SqlSchema.void({
        Request: Schema.Struct({ ...Key.fields, id: Schema.String, answer: Schema.Uint8Array }),
        execute: ({ answer, id, key, scope }) => sql`
          insert into idempotent_answers (id, scope, key, answer)
          values (${id}, ${scope}, ${key}, ${answer})
          on conflict (scope, key) do update set id = excluded.id, answer = excluded.answer`
      })

      const recall = Effect.fnUntraced(function* ({ key, scope }: KeyedRequest) {
        const kept = yield* find({ scope, key })
        if (Option.isNone(kept)) return Option.none<Answer>()
        const { answer, id } = kept.value
        const text = new TextDecoder().decode(yield* encryption.open(place(idempotentAnswer, id), answer))
        return Option.some(yield* Schema.decodeEffect(AnswerFromText)(text))
      }, Effect.orDie)

      const keep = Effect.fnUntraced(function* ({ key, scope }: KeyedRequest, answer: Answer) {
        const id = yield* secrets.id
        const text = new TextEncoder().encode(yield* Schema.encodeEffect(AnswerFromText)(answer))
        yield* put({ id, scope, key, answer: yield* encryption.seal(place(idempotentAnswer, id), text) })
      }, Effect.orDie)

      const once = <E, R>(request: KeyedRequest, effect: Effect.Effect<Answer, E, R>) =>
        Effect.gen(function* () {
          if (yield* idempotency.claim(request.scope, request.key, request.request)) {
            const known = yield* recall(request)
            if (Option.isSome(known)) return known.value
          }
          const answer = yield* effect
          yield* keep(request, answer)
          return answer
        }).pipe(sql.withTransaction, Effect.catchTag("SqlError", Effect.die), Effect.withSpan("KeptAnswers.once"))

      return KeptAnswers.of({ once })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Idempotency.layer, Secrets.layer]))
}
