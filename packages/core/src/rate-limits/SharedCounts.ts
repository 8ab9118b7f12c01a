/** Where nodes add up what callers have taken: PostgreSQL, Redis, or nowhere for a node that is alone. */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { PgTypes } from "@effect/sql-pg"
import { Context, DateTime, Duration, Effect, Layer, Option, Redacted, References, Result, Schema } from "effect"
import { Redis } from "effect/persistence"
import { SqlClient, SqlSchema } from "effect/sql"
import { RateLimitsPolicy } from "./RateLimitsPolicy.ts"

export interface Taken {
  readonly key: string
  readonly used: number
  /** How long the window goes on, should this be its beginning. */
  readonly windowMillis: number
}

export interface Total {
  readonly key: string
  readonly used: number
  readonly resetsInMillis: number
}

/** Counting goes on without it, on each node for itself. */
export class SharedCountsAway extends Schema.TaggedError<SharedCountsAway>()("SharedCountsAway", {
  cause: Schema.Defect()
}) {}

interface Counts {
  /** Adds what was taken, each key once, and tells what all nodes have taken in its window; all or nothing. */
  add(taken: ReadonlyArray<Taken>): Effect.Effect<ReadonlyArray<Total>, SharedCountsAway>
  /** Deletes what is over; tells how many. */
  readonly prune: Effect.Effect<number>
}

const { OID } = PgTypes

const column = <A>(taken: ReadonlyArray<Taken>, oid: number, of: (one: Taken) => A) =>
  Result.getOrThrow(PgTypes.array(taken.map(of), oid))

/** Rows that one run of the pruning deletes at most. */
const pruneLimit = 50_000

/** Long enough for an answer that is of use to whoever waits for it. */
const patience = Duration.millis(500)

const postgres = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const Row = Schema.Struct({ key: Schema.String, used: Schema.Int, resetsAt: Schema.DateTimeUtcFromDate })

  /** In the order of keys, as two nodes would otherwise wait for each other's. */
  const upsert = (taken: ReadonlyArray<Taken>) =>
    SqlSchema.findAll({
      Request: Schema.DateTimeUtcFromDate,
      Result: Row,
      execute: (now) => sql`
        insert into rate_limits as known (key, used, resets_at)
        select key, used, ${now}::timestamptz + make_interval(secs => millis / 1000)
          from unnest(
            ${column(taken, OID.text, ({ key }) => key)},
            ${column(taken, OID.int4, ({ used }) => used)},
            ${column(taken, OID.float8, ({ windowMillis }) => windowMillis)}
          ) as taken (key, used, millis)
      order by key
        on conflict (key) do update
           set used = case
                 when known.resets_at <= ${now} then excluded.used
                 else least(known.used::bigint + excluded.used, 1000000000)::int
               end,
               resets_at = case when known.resets_at <= ${now} then excluded.resets_at else known.resets_at end
     returning key, used, resets_at`
    })

  const add = (taken: ReadonlyArray<Taken>) =>
    Effect.gen(function* () {
      const now = yield* DateTime.now
      const rows = yield* upsert(taken)(now)
      return rows.map(
        ({ key, resetsAt, used }): Total => ({
          key,
          used,
          resetsInMillis: DateTime.toEpochMillis(resetsAt) - DateTime.toEpochMillis(now)
        })
      )
    }).pipe(Effect.mapError((cause) => new SharedCountsAway({ cause })))

  const prune = Effect.gen(function* () {
    const now = DateTime.toDateUtc(yield* DateTime.now)
    const gone = yield* sql`
      delete from rate_limits
       where key in (select key from rate_limits where resets_at <= ${now} limit ${pruneLimit} for update skip locked)
   returning 1`
    return gone.length
  }).pipe(Effect.orDie, Effect.withSpan("RateLimits.prune"))

  return Option.some<Counts>({ add, prune })
})

const prefix = "broker:rate-limits:"

/** Whoever begins a window says when it is over; Redis deletes it then. */
const addScript = Redis.script(
  (taken: ReadonlyArray<Taken>) => [
    ...taken.map(({ key }) => prefix + key),
    ...taken.flatMap(({ used, windowMillis }) => [used, Math.max(1, Math.ceil(windowMillis))])
  ],
  {
    numberOfKeys: (taken) => taken.length,
    lua: `
      local totals = {}
      for i, key in ipairs(KEYS) do
        local used = redis.call('INCRBY', key, ARGV[2 * i - 1])
        local left = redis.call('PTTL', key)
        if left < 0 then
          left = tonumber(ARGV[2 * i])
          redis.call('PEXPIRE', key, left)
        end
        totals[2 * i - 1] = used
        totals[2 * i] = left
      end
      return totals`
  }
).withReturnType<unknown>()

const Totals = Schema.decodeUnknownEffect(Schema.Array(Schema.Int))

/** It comes when it comes: neither the start nor a request waits for a Redis that is away. */
const redis = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  let connected: Redis.Redis["Service"] | undefined
  yield* Layer.build(
    NodeRedis.layer({
      url: Redacted.value(url),
      disableOfflineQueue: true,
      socket: {
        connectTimeout: 2_000,
        reconnectStrategy: (retries) => Math.min(2 ** retries * 50, 2_000) + Math.floor(Math.random() * 200)
      }
    })
  ).pipe(
    Effect.tap((context) =>
      Effect.sync(() => {
        connected = Context.get(context, Redis.Redis)
      })
    ),
    // Whoever counts says that it is away, once; the client would at each try.
    Effect.provideService(References.MinimumLogLevel, "Fatal"),
    Effect.ignore,
    Effect.forkScoped
  )

  const add = (taken: ReadonlyArray<Taken>) =>
    Effect.gen(function* () {
      if (connected === undefined) return yield* Effect.fail("not connected yet")
      const totals = yield* Effect.flatMap(connected.eval(addScript)(taken), Totals)
      return taken.map(
        ({ key, used, windowMillis }, index): Total => ({
          key,
          used: totals[2 * index] ?? used,
          resetsInMillis: totals[2 * index + 1] ?? windowMillis
        })
      )
    }).pipe(
      Effect.timeout(patience),
      Effect.mapError((cause) => new SharedCountsAway({ cause }))
    )

  return Option.some<Counts>({ add, prune: Effect.succeed(0) })
})

export class SharedCounts extends Context.Service<SharedCounts, Option.Option<Counts>>()(
  "@broker/core/rate-limits/SharedCounts"
) {
  static readonly layer = Layer.effect(
    SharedCounts,
    Effect.gen(function* () {
      const { redisUrl, store } = yield* RateLimitsPolicy
      if (store === "memory") return Option.none<Counts>()
      if (store === "postgres") return yield* postgres
      if (redisUrl === undefined) return yield* Effect.die(new Error("the store redis needs its address"))
      return yield* redis(redisUrl)
    })
  )
}
