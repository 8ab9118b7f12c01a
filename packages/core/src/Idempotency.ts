/**
 * `Idempotency-Key`: which request a key stood for, for 24 hours.
 *
 * The answer itself is not kept, as it holds a secret that must not be stored (B9). Instead what is keyed repeats
 * safely by its own rules, and gives the same identity with a fresh secret.
 */

import { hash } from "node:crypto"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import { Context, DateTime, Effect, Layer, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

/** For how long a key stands for one request. */
const lifetime = { hours: 24 }

export class Idempotency extends Context.Service<
  Idempotency,
  {
    /**
     * Remembers what a key stands for within a scope, or refuses it when it stands for something else. Tells whether
     * the request was made before. Joins the caller's transaction, so that one that failed may be made anew.
     */
    claim(scope: string, key: string, body: unknown): Effect.Effect<boolean, IdempotencyKeyReused>
    /** Forgets keys that are past their time; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/Idempotency") {
  static readonly layer = Layer.effect(
    Idempotency,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const put = SqlSchema.findOne({
        Request: Schema.Struct({
          scope: Schema.String,
          key: Schema.String,
          digest: Schema.Uint8Array,
          now: Schema.DateTimeUtcFromDate,
          stale: Schema.DateTimeUtcFromDate
        }),
        Result: Schema.Struct({ same: Schema.Boolean, again: Schema.Boolean }),
        execute: ({ digest, key, now, scope, stale }) => sql`
          insert into idempotency_keys as known (scope, key, body_digest, created_at)
          values (${scope}, ${key}, ${digest}, ${now})
          on conflict (scope, key) do update
             set body_digest = case when known.created_at < ${stale} then excluded.body_digest else known.body_digest end,
                 created_at = case when known.created_at < ${stale} then excluded.created_at else known.created_at end,
                 times = case when known.created_at < ${stale} then 1 else known.times + 1 end
          returning body_digest = ${digest} as same, times > 1 as again`
      })

      const claim = Effect.fn("Idempotency.claim")(
        function* (scope: string, key: string, body: unknown) {
          const now = yield* DateTime.now
          const digest = hash("sha256", JSON.stringify(body), "buffer")
          const { again, same } = yield* put({ scope, key, digest, now, stale: DateTime.subtract(now, lifetime) })
          if (!same) return yield* new IdempotencyKeyReused()
          return again
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const prune = Effect.gen(function* () {
        const stale = DateTime.toDateUtc(DateTime.subtract(yield* DateTime.now, lifetime))
        const gone = yield* sql`delete from idempotency_keys where created_at < ${stale} returning 1`
        return gone.length
      }).pipe(Effect.orDie, Effect.withSpan("Idempotency.prune"))

      return Idempotency.of({ claim, prune })
    })
  )
}
