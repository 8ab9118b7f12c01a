/**
 * Slows down whoever tries personal keys: per key and per address, in the database, for all nodes together.
 *
 * An address that failed too often waits, whatever it sends. A key only makes wrong secrets wait: whoever has the right
 * one is let in at any time, so nobody can lock a user out by failing in their name. Failures in the name of keys that
 * do not exist count for the address alone, so that made-up ids leave nothing behind.
 */
import { TooManyAttempts } from "@broker/domain/ClientSession"
import type { OrganizationId } from "@broker/domain/Organization"
import type { PersonalKeyId } from "@broker/domain/PersonalKey"
import type { SignInFailure, SignInFailureNotFound } from "@broker/domain/SignInFailure"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"

/** So many failures cost nothing: people mistype. */
export const freeFailures = 5

/** After a time without failure all is forgotten. */
export const memory = Duration.minutes(15)

/** From one second on the wait doubles, up to this. */
const longestWait = { key: Duration.seconds(30), address: Duration.minutes(5) }

/** What an attempt was made with, as far as it is known. */
interface SignInAttempt {
  /** Null where there is none, as in a broker that is embedded. */
  readonly address: string | null
  /** None for a key that does not exist. */
  readonly key: Option.Option<{ readonly id: PersonalKeyId; readonly organizationId: OrganizationId }>
}

/** Rows that one run of the pruning deletes at most. */
const pruneLimit = 10_000

export class SignInDefence extends Context.Service<
  SignInDefence,
  {
    /** Refuses an address that has to wait, before anything is looked up for it. */
    admit(address: string | null): Effect.Effect<void, TooManyAttempts>
    /** Counts a secret that is wrong for its key, or a key that does not exist. */
    failed(attempt: SignInAttempt): Effect.Effect<void, TooManyAttempts, Actor>
    /** Counts a refusal of a key to whoever has its secret, which is no guess: the address is not blamed for it. */
    refused(key: PersonalKeyId): Effect.Effect<void, TooManyAttempts>
    /** The right secret was sent: earlier failures no longer count for the key. */
    succeeded(key: PersonalKeyId): Effect.Effect<void>
    /** Who failed of late in an organization, and every address; those who have to wait first. */
    list(organizationId: OrganizationId): Effect.Effect<ReadonlyArray<SignInFailure>>
    /** Forgets the failures under an id of the list. */
    lift(organizationId: OrganizationId, id: string): Effect.Effect<void, SignInFailureNotFound, Actor>
    /** Deletes what is forgotten; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/sign-in-defence/SignInDefence") {
  static readonly layerNoDeps = Layer.effect(
    SignInDefence,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const audit = yield* Audit

      const ofKey = (id: PersonalKeyId) => sql`${`key:${id}`}::text`

      /** A network of 64 bits is one subscriber's: in IPv6 it counts as one address. */
      const ofAddress = (address: string) => sql`
        (select 'address:' || case family(given) when 6 then network(set_masklen(given, 64))::text else host(given) end
           from (select ${address}::text::inet as given) as one)`

      const Wait = Schema.Struct({ failures: Schema.Int, nextAt: Schema.DateTimeUtcFromDate })

      const waiting = (subject: ReturnType<typeof ofKey>) =>
        SqlSchema.findOneOption({
          Request: Schema.DateTimeUtcFromDate,
          Result: Wait,
          execute: (now) => sql`
            select failures, next_at from sign_in_failures where subject = ${subject} and next_at > ${now}`
        })

      /** One statement, so that every failure counts, however many come at once, on whichever nodes. */
      const count = (subject: ReturnType<typeof ofKey>, longest: Duration.Duration) =>
        SqlSchema.findOne({
          Request: Schema.Struct({ now: Schema.DateTimeUtcFromDate, forgotten: Schema.DateTimeUtcFromDate }),
          Result: Wait,
          execute: ({ forgotten, now }) => sql`
            insert into sign_in_failures as known (subject, failures, last_at, next_at)
            values (${subject}, 1, ${now}, ${now})
            on conflict (subject) do update
               set failures = case when known.last_at <= ${forgotten} then 1 else known.failures + 1 end,
                   last_at = excluded.last_at,
                   next_at = excluded.last_at + case
                     when known.last_at <= ${forgotten} or known.failures + 1 < ${freeFailures}::int then interval '0'
                     else make_interval(secs => least(
                       ${Duration.toSeconds(longest)}::float8,
                       power(2::float8, least(known.failures + 1 - ${freeFailures}::int, 30))))
                   end
            returning failures, next_at`
        })

      const tooMany = (nextAt: DateTime.Utc, now: DateTime.Utc) =>
        new TooManyAttempts({ retryAfterSeconds: Math.ceil(Duration.toSeconds(DateTime.distance(now, nextAt))) })

      const admit = Effect.fn("SignInDefence.admit")(
        function* (address: string | null) {
          if (address === null) return
          const now = yield* DateTime.now
          const wait = yield* waiting(ofAddress(address))(now)
          if (Option.isSome(wait)) return yield* tooMany(wait.value.nextAt, now)
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const since = (now: DateTime.Utc) => ({ now, forgotten: DateTime.subtractDuration(now, memory) })

      const failed = Effect.fn("SignInDefence.failed")(
        function* ({ address, key }: SignInAttempt) {
          const now = yield* DateTime.now
          const organizationId = Option.map(key, (key) => key.organizationId)
          const alarmAtFirst = (failures: number, subject: "address" | "key") =>
            failures === freeFailures && Option.isSome(organizationId)
              ? audit.alarm({
                  organizationId: organizationId.value,
                  kind: "sign_in_slowed",
                  severity: "low",
                  serverId: null,
                  details: { subject, personalKey: Option.getOrNull(Option.map(key, ({ id }) => id)) }
                })
              : Effect.void
          if (address !== null) {
            const { failures } = yield* count(ofAddress(address), longestWait.address)(since(now))
            yield* alarmAtFirst(failures, "address")
          }
          if (Option.isNone(key)) return undefined
          const subject = ofKey(key.value.id)
          const wait = yield* waiting(subject)(now)
          if (Option.isSome(wait)) return wait.value.nextAt
          const { failures } = yield* count(subject, longestWait.key)(since(now))
          yield* alarmAtFirst(failures, "key")
          return undefined
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die),
        // Outside of the transaction, which a failure would roll back.
        Effect.flatMap((nextAt) =>
          nextAt === undefined ? Effect.void : Effect.flatMap(DateTime.now, (now) => Effect.fail(tooMany(nextAt, now)))
        )
      )

      const refused = Effect.fn("SignInDefence.refused")(
        function* (key: PersonalKeyId) {
          const now = yield* DateTime.now
          const wait = yield* waiting(ofKey(key))(now)
          if (Option.isSome(wait)) return yield* tooMany(wait.value.nextAt, now)
          yield* count(ofKey(key), longestWait.key)(since(now))
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const succeeded = Effect.fn("SignInDefence.succeeded")((key: PersonalKeyId) =>
        Effect.orDie(Effect.asVoid(sql`delete from sign_in_failures where subject = ${ofKey(key)}`))
      )

      const prune = Effect.gen(function* () {
        const forgotten = DateTime.toDateUtc(DateTime.subtractDuration(yield* DateTime.now, memory))
        const gone = yield* sql`
          delete from sign_in_failures
           where subject in (select subject from sign_in_failures where last_at <= ${forgotten} limit ${pruneLimit})
       returning 1`
        return gone.length
      }).pipe(Effect.orDie, Effect.withSpan("SignInDefence.prune"))

      return SignInDefence.of({
        admit,
        failed,
        refused,
        succeeded,
        list: () => Effect.die("unwritten"),
        lift: () => Effect.die("unwritten"),
        prune
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Audit.layer))
}
