/** Sign-ins, step-ups and enrolments that have begun and wait for an answer. Each is finished once. */
import { AdminId } from "@broker/domain/Admin"
import { SignInMethod } from "@broker/domain/AdminSession"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { Secrets } from "../crypto/Secrets.ts"
import * as Ticket from "./Ticket.ts"

export const CeremonyKind = Schema.Literals(["factor", "passkey", "step-up", "passkey-enrolment", "single-sign-on"])
export type CeremonyKind = typeof CeremonyKind.Type

/** What the answer must fit, such as the challenge of a passkey or the state sent to an identity provider. */
const Expected = Schema.Record(Schema.String, Schema.String)

const Begun = Schema.Struct({
  /** Null as long as nobody knows who it is. */
  adminId: Schema.NullOr(AdminId),
  /** By what it began. */
  method: Schema.NullOr(SignInMethod),
  expected: Expected
})
export type Begun = typeof Begun.Type

const Now = Schema.DateTimeUtcFromDate

export class Ceremonies extends Context.Service<
  Ceremonies,
  {
    /** The secret by which it is known, for the browser's cookie. Joins the caller's transaction. */
    begin(kind: CeremonyKind, begun: Begun, lifetime?: Duration.Duration): Effect.Effect<Ticket.Ticket>
    /** One that is neither over nor finished. */
    find(kind: CeremonyKind, ticket: Ticket.Ticket): Effect.Effect<Option.Option<Begun>>
    /** Whether it was there: of two who finish it at once, one finds it. Joins the caller's transaction. */
    finish(ticket: Ticket.Ticket): Effect.Effect<boolean>
    /** Deletes those past their time; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/admin-sessions/Ceremonies") {
  static readonly layerNoDeps = Layer.effect(
    Ceremonies,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const secrets = yield* Secrets

      const insert = SqlSchema.void({
        Request: Schema.Struct({
          ...Begun.fields,
          expected: Schema.fromJsonString(Expected),
          digest: Schema.Uint8Array,
          kind: CeremonyKind,
          createdAt: Now,
          expiresAt: Now
        }),
        execute: (ceremony) => sql`insert into admin_ceremonies ${sql.insert(ceremony)}`
      })

      const select = SqlSchema.findOneOption({
        Request: Schema.Struct({ digest: Schema.Uint8Array, kind: CeremonyKind, now: Now }),
        Result: Begun,
        execute: ({ digest, kind, now }) => sql`
          select admin_id, method, expected
            from admin_ceremonies
           where digest = ${digest}
             and kind = ${kind}
             and expires_at > ${now}`
      })

      const remove = SqlSchema.findOneOption({
        Request: Schema.Uint8Array,
        Result: Schema.Struct({ done: Schema.Boolean }),
        execute: (digest) => sql`delete from admin_ceremonies where digest = ${digest} returning true as done`
      })

      const begin = Effect.fn("Ceremonies.begin")(function* (
        kind: CeremonyKind,
        begun: Begun,
        lifetime: Duration.Duration = Duration.minutes(5)
      ) {
        const ticket = yield* Ticket.mint(secrets)
        const createdAt = yield* DateTime.now
        yield* insert({
          ...begun,
          digest: Ticket.digestOf(ticket),
          kind,
          createdAt,
          expiresAt: DateTime.addDuration(createdAt, lifetime)
        })
        return ticket
      }, Effect.orDie)

      const find = Effect.fn("Ceremonies.find")(function* (kind: CeremonyKind, ticket: Ticket.Ticket) {
        return yield* select({ digest: Ticket.digestOf(ticket), kind, now: yield* DateTime.now })
      }, Effect.orDie)

      const finish = Effect.fn("Ceremonies.finish")(
        (ticket: Ticket.Ticket) => Effect.map(remove(Ticket.digestOf(ticket)), Option.isSome),
        Effect.orDie
      )

      const prune = Effect.gen(function* () {
        const now = DateTime.toDateUtc(yield* DateTime.now)
        const gone = yield* sql`delete from admin_ceremonies where expires_at <= ${now} returning 1`
        return gone.length
      }).pipe(Effect.orDie, Effect.withSpan("Ceremonies.prune"))

      return Ceremonies.of({ begin, find, finish, prune })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
