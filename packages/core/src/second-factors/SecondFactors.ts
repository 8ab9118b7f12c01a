/**
 * What admins prove who they are with beside a password: authenticator apps and recovery codes (A2).
 *
 * The secret of an app is sealed, as the broker must read it to tell its codes. Recovery codes are short enough for
 * people to type, and so for machines to try: what is kept of them is argon2id, salted by whose they are, so that
 * neither a copy of the table nor the encryption key beside it is of much use. A keyed digest would be quicker, and
 * would end with its key; these outlive every change of keys, and help when the sealed secrets can't be opened.
 */
import { hash } from "node:crypto"
import type { AdminId, SignedIn } from "@broker/domain/Admin"
import {
  FactorDemanded,
  FactorEnrolled,
  FactorUnconfirmed,
  type RecoveryCodes,
  type TotpEnrolment
} from "@broker/domain/SecondFactor"
import { encodeBase32UpperCaseNoPadding } from "@oslojs/encoding"
import { createTOTPKeyURI, verifyHOTP } from "@oslojs/otp"
import { Context, DateTime, Effect, Layer, Option, PartitionedSemaphore, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Passwords } from "../admins/Passwords.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Encryption } from "../crypto/Encryption.ts"
import { place, totpSecret } from "../crypto/SealedColumns.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Installation } from "../Installation.ts"
import * as SecondFactorsSql from "./SecondFactorsSql.ts"

/** Whose factors they are, and where. */
export type Member = Pick<SignedIn, "id" | "name" | "organizationId">

/** Recovery codes that are nobody's yet, and what is kept of them. */
export interface FreshCodes {
  readonly codes: RecoveryCodes
  readonly digests: ReadonlyArray<Uint8Array>
}

/** What every authenticator app understands (RFC 6238 with SHA-1). */
const digits = 6
const stepSeconds = 30
const secretBytes = 20

/** Clocks of phones are off by a little, and people are slow: a step before and one after will do. */
const steps = [-1n, 0n, 1n]

const codesAtOnce = 10

/** 31 letters and digits that nobody mixes up: ten of them are 49 bits. */
const alphabet = "23456789abcdefghjkmnpqrstuvwxyz"

const placeOf = (adminId: AdminId) => place(totpSecret, adminId)

/** The step whose code it is, of those that are good now. Looks at all of them, whichever it is. */
const stepOf = (secret: Uint8Array, code: string, now: DateTime.Utc) => {
  const current = BigInt(Math.floor(DateTime.toEpochMillis(now) / 1_000 / stepSeconds))
  return Option.fromUndefinedOr(
    steps
      .map((by) => current + by)
      .filter((step) => verifyHOTP(secret, step, digits, code))
      .at(-1)
  )
}

/** A code of the alphabet's characters, each as likely as any other: five bits that are none of them are left out. */
const spell = (bytes: Uint8Array): string | undefined => {
  const characters = Array.from(bytes, (byte) => alphabet[byte & 31] ?? "").join("")
  return characters.length < 10 ? undefined : `${characters.slice(0, 5)}-${characters.slice(5, 10)}`
}

export class SecondFactors extends Context.Service<
  SecondFactors,
  {
    /** A secret that counts once a first code has confirmed it; a new one takes the place of one that never was. */
    beginTotp(admin: Member): Effect.Effect<TotpEnrolment, FactorEnrolled, Actor>
    /** Ten codes that count once they are taken. Takes its time, so it is done before a transaction begins. */
    freshCodes(adminId: AdminId): Effect.Effect<FreshCodes>
    /** The same for a factor to come; null while there are codes left, as only the first factor comes with some. */
    firstCodes(adminId: AdminId): Effect.Effect<FreshCodes | null>
    /** Answers recovery codes when it is the first factor. Joins the caller's transaction. */
    confirmTotp(
      admin: Member,
      code: string,
      fresh: FreshCodes | null
    ): Effect.Effect<RecoveryCodes | null, FactorUnconfirmed | FactorEnrolled, Actor>
    /** Without an app it does nothing. Joins the caller's transaction. */
    removeTotp(admin: Member): Effect.Effect<void, FactorDemanded, Actor>
    /**
     * Ten new ones; the old ones end. None for whoever has no factor that they could stand in for. Joins the caller's
     * transaction.
     */
    renewRecoveryCodes(admin: Member, fresh: FreshCodes): Effect.Effect<RecoveryCodes, never, Actor>
    /** Recovery codes for a first factor, if there are none left. Joins the caller's transaction. */
    takeFirstCodes(adminId: AdminId, fresh: FreshCodes | null): Effect.Effect<RecoveryCodes | null>
    /**
     * A factor was just taken away: refuses where it was the last and one is demanded. Recovery codes go with the last.
     * Joins the caller's transaction, which takes the factor away and holds the admin's row.
     */
    oneLess(adminId: AdminId): Effect.Effect<void, FactorDemanded>
    /** Whether the code is one of now, ± 1 step, and was not used yet; using it is part of the answer. */
    useTotp(adminId: AdminId, code: string): Effect.Effect<boolean>
    /** Whether the recovery code is theirs and unused; of two at once, one is right. The audit log tells how many are left. */
    useRecoveryCode(adminId: AdminId, code: string): Effect.Effect<boolean, never, Actor>
    /** Everything gone: app, passkeys and codes. Joins the caller's transaction. */
    reset(adminId: AdminId): Effect.Effect<void>
  }
>()("@broker/core/second-factors/SecondFactors") {
  static readonly layerNoDeps = Layer.effect(
    SecondFactors,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* SecondFactorsSql.make
      const passwords = yield* Passwords
      const encryption = yield* Encryption
      const secrets = yield* Secrets
      const audit = yield* Audit
      const { audience } = yield* Installation
      const issuer = new URL(audience).hostname
      // Ten slow digests at a time, and admins in turn: whoever asks for many sets keeps neither sign-ins nor others waiting.
      const minting = yield* PartitionedSemaphore.make<AdminId>({ permits: 1 })

      const record = (
        admin: Member,
        action: `${string}:${string}`,
        details: Readonly<Record<string, string | number>>
      ) =>
        audit.record({
          organizationId: admin.organizationId,
          action,
          subjectKind: "admin",
          subjectId: admin.id,
          details: { name: admin.name, ...details }
        })

      const beginTotp = Effect.fn("SecondFactors.beginTotp")(
        function* (admin: Member) {
          const adminId = admin.id
          // The row before the key that seals, as whoever seals everything anew does.
          const { confirmedAt } = yield* statements.lock({ adminId })
          if (confirmedAt !== null) return yield* new FactorEnrolled()
          const secret = yield* secrets.bytes(secretBytes)
          yield* statements.begin({ adminId, secret: yield* encryption.seal(placeOf(adminId), secret) })
          yield* record(admin, "second-factors:begin", { factor: "totp" })
          return {
            secret: Redacted.make(encodeBase32UpperCaseNoPadding(secret), { label: "totp secret" }),
            uri: Redacted.make(createTOTPKeyURI(issuer, admin.name, secret, stepSeconds, digits), { label: "totp uri" })
          }
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const digestOf = (adminId: AdminId, code: Redacted.Redacted<string>) =>
        passwords.derive(code, hash("sha256", `recovery-code:${adminId}`, "buffer"))

      const mintCode = Effect.gen(function* () {
        let code: string | undefined
        // 31 of 32 bytes are good: 16 hold ten good ones all but always.
        while (code === undefined) code = spell(yield* secrets.bytes(16))
        return Redacted.make(code, { label: "recovery code" })
      })

      const freshCodes = Effect.fn("SecondFactors.freshCodes")(function* (adminId: AdminId) {
        const codes = yield* Effect.replicateEffect(mintCode, codesAtOnce)
        const digests = yield* Effect.forEach(codes, (code) => digestOf(adminId, code), {
          concurrency: "unbounded"
        }).pipe(minting.withPermit(adminId))
        return { codes, digests }
      })

      const firstCodes = Effect.fn("SecondFactors.firstCodes")(function* (adminId: AdminId) {
        const { left } = yield* statements.codesLeft({ adminId })
        return left > 0 ? null : yield* freshCodes(adminId)
      }, Effect.orDie)

      /** The caller holds the admin's row. */
      const take = Effect.fnUntraced(function* (adminId: AdminId, { codes, digests }: FreshCodes) {
        yield* statements.deleteCodes({ adminId })
        yield* statements.insertCodes({ adminId, digests, now: yield* DateTime.now })
        return codes
      })

      const takeFirstCodes = Effect.fn("SecondFactors.takeFirstCodes")(
        function* (adminId: AdminId, fresh: FreshCodes | null) {
          yield* statements.lock({ adminId })
          const { left } = yield* statements.codesLeft({ adminId })
          if (left > 0) return null
          // The last one went since the caller looked: too seldom to matter that the row is held a little longer.
          return yield* take(adminId, fresh ?? (yield* freshCodes(adminId)))
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const confirmTotp = Effect.fn("SecondFactors.confirmTotp")(
        function* (admin: Member, code: string, fresh: FreshCodes | null) {
          const adminId = admin.id
          const { confirmedAt, secret } = yield* statements.lock({ adminId })
          if (confirmedAt !== null) return yield* new FactorEnrolled()
          if (secret === null) return yield* new FactorUnconfirmed()
          const now = yield* DateTime.now
          const step = stepOf(yield* encryption.open(placeOf(adminId), secret), code, now)
          if (Option.isNone(step)) return yield* new FactorUnconfirmed()
          yield* statements.confirm({ adminId, step: step.value, now })
          yield* record(admin, "second-factors:enrol", { factor: "totp" })
          return yield* takeFirstCodes(adminId, fresh)
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const oneLess = Effect.fn("SecondFactors.oneLess")(
        function* (adminId: AdminId) {
          const { demanded, enrolled } = yield* statements.standing({ adminId })
          if (enrolled) return
          if (demanded) return yield* new FactorDemanded()
          yield* statements.deleteCodes({ adminId })
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const removeTotp = Effect.fn("SecondFactors.removeTotp")(
        function* (admin: Member) {
          const adminId = admin.id
          const { confirmedAt, secret } = yield* statements.lock({ adminId })
          if (secret === null) return
          yield* statements.removeTotp({ adminId })
          // What was never confirmed was no factor.
          if (confirmedAt !== null) yield* oneLess(adminId)
          yield* record(admin, "second-factors:remove", { factor: "totp" })
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const renewRecoveryCodes = Effect.fn("SecondFactors.renewRecoveryCodes")(
        function* (admin: Member, fresh: FreshCodes) {
          const adminId = admin.id
          yield* statements.lock({ adminId })
          const { enrolled } = yield* statements.standing({ adminId })
          if (!enrolled) return []
          const codes = yield* take(adminId, fresh)
          yield* record(admin, "recovery-codes:renew", { codes: codes.length })
          return codes
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const useTotp = Effect.fn("SecondFactors.useTotp")(
        function* (adminId: AdminId, code: string) {
          const totp = Option.getOrUndefined(yield* statements.totp({ adminId }))
          if (totp === undefined || totp.secret === null || totp.confirmedAt === null) return false
          const secret = yield* encryption.open(placeOf(adminId), totp.secret)
          const step = stepOf(secret, code, yield* DateTime.now)
          if (Option.isNone(step)) return false
          const { confirmedAt } = totp
          return Option.isSome(yield* statements.burn({ adminId, confirmedAt, step: step.value }))
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const spend = Effect.fnUntraced(function* (adminId: AdminId, digest: Uint8Array) {
        const used = yield* statements.useCode({ adminId, digest, now: yield* DateTime.now })
        if (Option.isNone(used)) return false
        const { left } = yield* statements.codesLeft({ adminId })
        yield* Effect.forEach(yield* statements.organizations({ adminId }), ({ organizationId }) =>
          audit.record({
            organizationId,
            action: "recovery-codes:use",
            subjectKind: "admin",
            subjectId: adminId,
            details: { left }
          })
        )
        return true
      }, sql.withTransaction)

      const useRecoveryCode = Effect.fn("SecondFactors.useRecoveryCode")(
        function* (adminId: AdminId, code: string) {
          return yield* spend(adminId, yield* digestOf(adminId, Redacted.make(code)))
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const reset = Effect.fn("SecondFactors.reset")(
        function* (adminId: AdminId) {
          yield* statements.removeTotp({ adminId })
          yield* statements.deletePasskeys({ adminId })
          yield* statements.deleteCodes({ adminId })
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return SecondFactors.of({
        beginTotp,
        freshCodes,
        firstCodes,
        confirmTotp,
        removeTotp,
        renewRecoveryCodes,
        takeFirstCodes,
        oneLess,
        useTotp,
        useRecoveryCode,
        reset
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Passwords.layer, Secrets.layer, Audit.layer]))
}
