/**
 * Slows down whoever guesses secrets: per account and per address, in the database, for all nodes together (A3).
 *
 * Passwords and codes can be guessed, so a try in an admin's name is counted before it is made, and taken back when it
 * was right: of a thousand at once, five are tried. While the name has to wait everybody waits, right or wrong, except
 * browsers in which that admin signed in before: they are slowed down by their own failures alone, and by no address.
 * Nobody guesses the 192 bits of a personal key, so the right one is let in at any time; keys and addresses only make
 * wrong ones wait. So nobody can lock anybody out by failing in their name, or next door to them. A name that no admin
 * has is slowed down like one that somebody has.
 */
import { hash } from "node:crypto"
import type { AdminId } from "@broker/domain/Admin"
import { TooManyAttempts } from "@broker/domain/ClientSession"
import type { OrganizationId } from "@broker/domain/Organization"
import type { PersonalKeyId } from "@broker/domain/PersonalKey"
import { type SignInFailure, SignInFailureNotFound } from "@broker/domain/SignInFailure"
import { Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as SignInDefenceSql from "./SignInDefenceSql.ts"

/** So many failures cost nothing: people mistype. */
export const freeFailures = 5

/** After a time without failure all is forgotten. */
export const memory = Duration.minutes(15)

/** From one second on the wait doubles, up to this. */
const longestWait = {
  account: Duration.seconds(30),
  /** A code has six digits. */
  factor: Duration.minutes(5),
  address: Duration.minutes(5)
}

/** Where an address is counted: what fails for clients does not make the dashboard wait, nor the other way round. */
export type Realm = "address" | "dashboard"

/** Rows that one run of the pruning deletes at most. */
const pruneLimit = 10_000

/** How many failures a list shows at most. */
const listLimit = 500

/** In whose name somebody tries. */
export type Account =
  | { readonly kind: "personal-key"; readonly id: PersonalKeyId; readonly organizationId: OrganizationId }
  | { readonly kind: "admin"; readonly id: AdminId; readonly organizationId: OrganizationId }
  /** A browser in which the admin signed in before, by the digest of its secret. */
  | {
      readonly kind: "browser"
      readonly digest: Uint8Array
      readonly id: AdminId
      readonly organizationId: OrganizationId
    }
  /** A name that no admin has, folded. It is not kept. */
  | { readonly kind: "name"; readonly name: string }

const subjectOf = (account: Account) => {
  switch (account.kind) {
    case "personal-key":
      return `key:${account.id}`
    case "admin":
      return `admin:${account.id}`
    case "browser":
      return `browser:${Buffer.from(account.digest).toString("hex")}:${account.id}`
    case "name":
      return `name:${hash("sha256", account.name, "hex").slice(0, 32)}`
  }
}

/** What an attempt was made with, as far as it is known. */
interface Attempt {
  readonly realm: Realm
  /** Null where there is none, as in a broker that is embedded. */
  readonly address: string | null
  /** None for a key that does not exist: made-up ids leave nothing behind. */
  readonly account: Option.Option<Account>
}

export class SignInDefence extends Context.Service<
  SignInDefence,
  {
    /** Refuses an address that has to wait. */
    admit(realm: Realm, address: string | null): Effect.Effect<void, TooManyAttempts>
    /**
     * Counts a try at an admin's secret before it is made, and refuses it where it has to wait, right or wrong. To be
     * followed by `failed`, `released` or `succeeded`.
     */
    attempt(account: Account, secret: "password" | "factor"): Effect.Effect<void, TooManyAttempts>
    /** The try was right, and there is more to prove: it does not count, and neither does it clear what was counted. */
    released(account: Account): Effect.Effect<void>
    /** Counts a secret that is wrong for its account, or an account that does not exist. */
    failed(attempt: Attempt): Effect.Effect<void, TooManyAttempts, Actor>
    /** Counts a refusal of a key to whoever has its secret, which is no guess: the address is not blamed for it. */
    refused(key: PersonalKeyId): Effect.Effect<void, TooManyAttempts>
    /** The right secret was sent: earlier failures no longer count for the account. */
    succeeded(account: Account): Effect.Effect<void>
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
      const statements = yield* SignInDefenceSql.make
      const audit = yield* Audit

      const forgotten = (now: DateTime.Utc) => DateTime.subtractDuration(now, memory)

      const count = (subject: string, longest: Duration.Duration, now: DateTime.Utc) =>
        statements.count({ subject, now, forgotten: forgotten(now), free: freeFailures, longest })

      const tooMany = (nextAt: DateTime.Utc, now: DateTime.Utc) =>
        new TooManyAttempts({ retryAfterSeconds: Math.ceil(Duration.toSeconds(DateTime.distance(now, nextAt))) })

      const wait = Effect.fnUntraced(function* (subject: string) {
        const now = yield* DateTime.now
        const waiting = yield* statements.waiting({ subject, now })
        if (Option.isSome(waiting)) return yield* tooMany(waiting.value.nextAt, now)
      })

      const admit = Effect.fn("SignInDefence.admit")(
        function* (realm: Realm, address: string | null) {
          if (address === null) return
          const { subject } = yield* statements.ofAddress({ realm, address })
          yield* wait(subject)
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const attempt = Effect.fn("SignInDefence.attempt")(
        function* (account: Account, secret: "password" | "factor") {
          const subject = subjectOf(account)
          const now = yield* DateTime.now
          const longest = secret === "factor" ? longestWait.factor : longestWait.account
          const counted = yield* statements.attempt({
            subject,
            now,
            forgotten: forgotten(now),
            free: freeFailures,
            longest
          })
          if (Option.isSome(counted)) return
          yield* wait(subject)
          // Its time came between the two statements: the next try counts.
          return yield* new TooManyAttempts({ retryAfterSeconds: 1 })
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const released = Effect.fn("SignInDefence.released")(function* (account: Account) {
        yield* statements.release({ subject: subjectOf(account), now: yield* DateTime.now })
      }, Effect.orDie)

      /** Once, when the waiting begins. */
      const alarmAtFirst = Effect.fnUntraced(function* (
        failures: number,
        subject: "address" | Account["kind"],
        account: Option.Option<Account>
      ) {
        if (failures !== freeFailures || Option.isNone(account) || account.value.kind === "name") return
        const { id, kind, organizationId } = account.value
        yield* audit.alarm({
          organizationId,
          kind: "sign_in_slowed",
          severity: "low",
          serverId: null,
          details: { subject, ...(kind === "personal-key" ? { personalKey: id } : { admin: id }) }
        })
      })

      const failed = Effect.fn("SignInDefence.failed")(
        function* ({ account, address, realm }: Attempt) {
          const now = yield* DateTime.now
          if (address !== null) {
            const { subject } = yield* statements.ofAddress({ realm, address })
            const { failures } = yield* count(subject, longestWait.address, now)
            yield* alarmAtFirst(failures, "address", account)
          }
          if (Option.isNone(account)) return undefined
          const subject = subjectOf(account.value)
          const waiting = yield* statements.waiting({ subject, now })
          if (account.value.kind !== "personal-key") {
            // Counted when it was tried.
            if (Option.isSome(waiting)) yield* alarmAtFirst(waiting.value.failures, account.value.kind, account)
            return undefined
          }
          if (Option.isSome(waiting)) return waiting.value.nextAt
          const { failures } = yield* count(subject, longestWait.account, now)
          yield* alarmAtFirst(failures, account.value.kind, account)
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
          const subject = `key:${key}`
          yield* wait(subject)
          yield* count(subject, longestWait.account, yield* DateTime.now)
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const succeeded = Effect.fn("SignInDefence.succeeded")((account: Account) =>
        Effect.orDie(statements.forget(subjectOf(account)))
      )

      const list = Effect.fn("SignInDefence.list")(function* (organizationId: OrganizationId) {
        return yield* statements.list({
          organizationId,
          forgotten: forgotten(yield* DateTime.now),
          limit: listLimit
        })
      }, Effect.orDie)

      const lift = Effect.fn("SignInDefence.lift")(
        function* (organizationId: OrganizationId, id: string) {
          const lifted = yield* statements.lift({ organizationId, id })
          if (Option.isNone(lifted)) return yield* new SignInFailureNotFound()
          yield* audit.record({
            organizationId,
            action: "sign-in-failures:lift",
            subjectKind: "sign-in-failure",
            subjectId: null,
            details: { id, ...lifted.value }
          })
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const prune = Effect.gen(function* () {
        const gone = yield* statements.prune({ forgotten: forgotten(yield* DateTime.now), limit: pruneLimit })
        return gone.length
      }).pipe(Effect.orDie, Effect.withSpan("SignInDefence.prune"))

      return SignInDefence.of({ admit, attempt, released, failed, refused, succeeded, list, lift, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Audit.layer))
}
