/** What admins change about how they themselves sign in. Whatever does so ends their other sessions (A4). */
import { hash } from "node:crypto"
import { type NewPassword, type Password, type WeakPassword, WrongPassword } from "@broker/domain/Admin"
import type { TooManyAttempts } from "@broker/domain/ClientSession"
import {
  type FactorDemanded,
  type FactorEnrolled,
  FactorUnconfirmed,
  type PasskeyId,
  type PasskeyNotFound,
  type PasskeyResponse,
  type RecoveryCodes
} from "@broker/domain/SecondFactor"
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { AdminSessions, type Ceremony, type OpenSession, type SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import { Ceremonies } from "../admin-sessions/Ceremonies.ts"
import type { Ticket } from "../admin-sessions/Ticket.ts"
import { PasswordStrength } from "../admins/PasswordStrength.ts"
import { Passwords } from "../admins/Passwords.ts"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Passkeys } from "../second-factors/Passkeys.ts"
import { SecondFactors } from "../second-factors/SecondFactors.ts"
import { type Account as Guessed, SignInDefence } from "../sign-in-defence/SignInDefence.ts"
import * as AccountSql from "./AccountSql.ts"

/** A factor that was added: the session goes on under a new id, and the codes are shown once, with the first factor. */
export interface Enrolled {
  readonly session: OpenSession
  readonly recoveryCodes: RecoveryCodes | null
}

/** Recovery codes that took the place of others. */
export interface Renewed extends Enrolled {
  readonly recoveryCodes: RecoveryCodes
}

/** Who guesses at a password from within a session: failures elsewhere don't count for it, nor its own for others (A3). */
const guessing = ({ id, organizationId, sessionId }: SignedInAdmin): Guessed => ({
  kind: "browser",
  digest: hash("sha256", sessionId, "buffer"),
  id,
  organizationId
})

export class Account extends Context.Service<
  Account,
  {
    /** `current` is null for whoever has no password yet. Wrong ones count as failed sign-ins do. */
    changePassword(
      admin: SignedInAdmin,
      current: Password | null,
      next: NewPassword
    ): Effect.Effect<OpenSession, WrongPassword | WeakPassword | TooManyAttempts, Actor>
    confirmTotp(admin: SignedInAdmin, code: string): Effect.Effect<Enrolled, FactorUnconfirmed | FactorEnrolled, Actor>
    removeTotp(admin: SignedInAdmin): Effect.Effect<OpenSession, FactorDemanded, Actor>
    /** Ten new ones; the old ones end. */
    renewRecoveryCodes(admin: SignedInAdmin): Effect.Effect<Renewed, never, Actor>
    beginPasskey(admin: SignedInAdmin): Effect.Effect<Ceremony>
    enrolPasskey(
      admin: SignedInAdmin,
      ceremony: Ticket,
      name: string,
      response: PasskeyResponse
    ): Effect.Effect<Enrolled, FactorUnconfirmed, Actor>
    removePasskey(
      admin: SignedInAdmin,
      id: PasskeyId
    ): Effect.Effect<OpenSession, PasskeyNotFound | FactorDemanded, Actor>
  }
>()("@broker/core/account/Account") {
  static readonly layerNoDeps = Layer.effect(
    Account,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* AccountSql.make
      const sessions = yield* AdminSessions
      const ceremonies = yield* Ceremonies
      const passwords = yield* Passwords
      const strength = yield* PasswordStrength
      const factors = yield* SecondFactors
      const passkeys = yield* Passkeys
      const defence = yield* SignInDefence
      const audit = yield* Audit

      const record = (admin: SignedInAdmin, outcome: "done" | "refused") =>
        audit.record({
          organizationId: admin.organizationId,
          action: "admins:change-password",
          subjectKind: "admin",
          subjectId: admin.id,
          outcome,
          details: { name: admin.name }
        })

      const refuse = Effect.fnUntraced(function* (admin: SignedInAdmin) {
        yield* record(admin, "refused")
        yield* defence.failed({
          realm: "dashboard",
          address: (yield* Actor).address,
          account: Option.some(guessing(admin))
        })
        return yield* new WrongPassword()
      })

      /** The hash of the current password, once it is proven. Whoever has none need not know one. */
      const prove = Effect.fnUntraced(function* (admin: SignedInAdmin, current: Password | null) {
        const { hash } = yield* statements.passwordOf(admin.id)
        if (hash === null && current === null) return null
        yield* defence.attempt(guessing(admin), "password")
        if (hash === null || current === null || !(yield* passwords.matches(hash, current))) return yield* refuse(admin)
        yield* defence.succeeded(guessing(admin))
        return hash
      })

      const replace = Effect.fnUntraced(function* (admin: SignedInAdmin, current: string | null, next: string) {
        const changed = yield* statements.changePassword({ id: admin.id, current, next, now: yield* DateTime.now })
        // Somebody else, or a reset, was quicker: what was proven is not the password any more.
        if (Option.isNone(changed)) return yield* new WrongPassword()
        yield* record(admin, "done")
        return yield* sessions.renew(admin, false)
      }, sql.withTransaction)

      const changePassword = Effect.fn("Account.changePassword")(
        function* (admin: SignedInAdmin, current: Password | null, next: NewPassword) {
          const proven = yield* prove(admin, current)
          yield* strength.check(next, [admin.name])
          return yield* replace(admin, proven, yield* passwords.hash(next))
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const confirmTotp = Effect.fn("Account.confirmTotp")(
        function* (admin: SignedInAdmin, code: string) {
          const fresh = yield* factors.firstCodes(admin.id)
          return yield* sql.withTransaction(
            Effect.gen(function* () {
              const recoveryCodes = yield* factors.confirmTotp(admin, code, fresh)
              return { session: yield* sessions.renew(admin, true), recoveryCodes }
            })
          )
        },
        Effect.catchTag("SqlError", Effect.die)
      )

      const removeTotp = Effect.fn("Account.removeTotp")(
        function* (admin: SignedInAdmin) {
          yield* factors.removeTotp(admin)
          return yield* sessions.renew(admin, false)
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", Effect.die)
      )

      const renewRecoveryCodes = Effect.fn("Account.renewRecoveryCodes")(
        function* (admin: SignedInAdmin) {
          const fresh = yield* factors.freshCodes(admin.id)
          return yield* sql.withTransaction(
            Effect.gen(function* () {
              const recoveryCodes = yield* factors.renewRecoveryCodes(admin, fresh)
              return { session: yield* sessions.renew(admin, false), recoveryCodes }
            })
          )
        },
        Effect.catchTag("SqlError", Effect.die)
      )

      const beginPasskey = Effect.fn("Account.beginPasskey")(function* (admin: SignedInAdmin) {
        const { challenge, options } = yield* passkeys.beginEnrolment(admin)
        const ticket = yield* ceremonies.begin("passkey-enrolment", {
          adminId: admin.id,
          method: null,
          expected: { challenge }
        })
        return { ticket, asked: { methods: ["passkey"], passkey: options } } satisfies Ceremony
      })

      const enrolPasskey = Effect.fn("Account.enrolPasskey")(
        function* (admin: SignedInAdmin, ceremony: Ticket, name: string, response: PasskeyResponse) {
          const begun = yield* ceremonies.find("passkey-enrolment", ceremony)
          const challenge = Option.filter(begun, ({ adminId }) => adminId === admin.id).pipe(
            Option.flatMapNullishOr(({ expected }) => expected.challenge)
          )
          if (Option.isNone(challenge)) return yield* new FactorUnconfirmed()
          const fresh = yield* factors.firstCodes(admin.id)
          return yield* sql.withTransaction(
            Effect.gen(function* () {
              // Of two who answer it at once, the second finds it gone.
              if (!(yield* ceremonies.finish(ceremony))) return yield* new FactorUnconfirmed()
              const recoveryCodes = yield* passkeys.enrol(admin, name, response, challenge.value, fresh)
              return { session: yield* sessions.renew(admin, true), recoveryCodes }
            })
          )
        },
        Effect.catchTag("SqlError", Effect.die)
      )

      const removePasskey = Effect.fn("Account.removePasskey")(
        function* (admin: SignedInAdmin, id: PasskeyId) {
          yield* passkeys.remove(admin, id)
          return yield* sessions.renew(admin, false)
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", Effect.die)
      )

      return Account.of({
        changePassword,
        confirmTotp,
        removeTotp,
        renewRecoveryCodes,
        beginPasskey,
        enrolPasskey,
        removePasskey
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Passwords.layer, PasswordStrength.layer, Audit.layer]))
}
