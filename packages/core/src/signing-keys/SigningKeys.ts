/**
 * The broker's own key pairs: what grants and client sessions are signed with, and what is published of them (C3).
 *
 * The nodes share them through the database. A key is published long before it signs, and for as long after it did as
 * anything it signed may live, so that whoever keeps a copy of the published set for some hours meets no unknown key.
 *
 * Private keys are sealed (J6), but for as long as a node of the release before may read them: it knows plain ones only.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto"
import type { PublishedKeys } from "@broker/domain/Grant"
import { PublicKey } from "@broker/domain/Server"
import { Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from "jose"
import { Encryption } from "../crypto/Encryption.ts"
import { place, signingKey } from "../crypto/SealedColumns.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Installation } from "../Installation.ts"
import * as SigningKeysSql from "./SigningKeysSql.ts"

/** Tells tokens for different purposes apart: it stands in their header. */
export type TokenType = "grant+jwt" | "session+jwt"

/** How long a key signs. */
const signsFor = Duration.days(30)

/** How long a key is published before it signs, and after it did. */
const shownAround = Duration.days(1)

/** How long a node goes by what it read. */
const freshness = Duration.seconds(5)

/** How often, at most, a key that is not known makes a node look again: forged tokens may name any. */
const lookAgainAfter = Duration.seconds(1)

/**
 * How long after its last sign of life a node of the release before may come back. Long enough to take an upgrade back
 * at once when something is wrong with it.
 */
const olderNodeMayReturn = Duration.minutes(5)

const algorithm = "EdDSA"

/** A key as a node holds it. */
interface Held extends Omit<SigningKeysSql.SigningKey, "privateKey" | "sealedKey"> {
  readonly signer: KeyObject
  readonly verifier: KeyObject
}

const held = (key: Omit<Held, "signer" | "verifier">, privateKey: Uint8Array): Held => {
  const jwk = { kty: "OKP", crv: "Ed25519", x: key.publicKey }
  return {
    ...key,
    signer: createPrivateKey({ format: "jwk", key: { ...jwk, d: Buffer.from(privateKey).toString("base64url") } }),
    verifier: createPublicKey({ format: "jwk", key: jwk })
  }
}

/** The key that signs now. When clocks differ by a little, it may be one that is about to begin. */
const signing = <Key extends Pick<Held, "signsFrom" | "signsUntil">>(keys: ReadonlyArray<Key>, now: DateTime.Utc) => {
  const lasting = keys.filter(({ signsUntil }) => DateTime.isGreaterThan(signsUntil, now))
  return lasting.findLast(({ signsFrom }) => DateTime.isLessThanOrEqualTo(signsFrom, now)) ?? lasting[0]
}

/** The key that a token says it was signed by; anything may stand there. */
const keyIdOf = (token: string) => {
  try {
    return decodeProtectedHeader(token).kid
  } catch {
    return undefined
  }
}

export class SigningKeys extends Context.Service<
  SigningKeys,
  {
    /** A compact JWS (RFC 7515) by EdDSA over these claims, issued by this broker for itself and its servers. */
    sign(type: TokenType, claims: Readonly<Record<string, unknown>>): Effect.Effect<string>
    /** The claims of a token of that type that one of our keys signed and that is not over; none for any other text. */
    verify(type: TokenType, token: string): Effect.Effect<Option.Option<Readonly<Record<string, unknown>>>>
    /** Public keys that sign now, will sign soon, or did until lately. */
    readonly published: Effect.Effect<PublishedKeys>
    /**
     * Makes the next key in time, forgets those that nobody can meet any more, and seals what is in plain text once
     * nobody needs it so; tells how many of each.
     */
    readonly renew: Effect.Effect<{ readonly made: number; readonly forgotten: number; readonly sealed: number }>
  }
>()("@broker/core/signing-keys/SigningKeys") {
  static readonly layerNoDeps = Layer.effect(
    SigningKeys,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* SigningKeysSql.make
      const secrets = yield* Secrets
      const encryption = yield* Encryption
      const { audience } = yield* Installation

      let known: { readonly keys: ReadonlyArray<Held>; readonly readAt: DateTime.Utc } | undefined

      /** Whether what this node knows was read within that time. */
      const isKnownSince = (age: Duration.Duration, now: DateTime.Utc) =>
        known !== undefined && Duration.isLessThan(DateTime.distance(known.readAt, now), age)

      const unseal = Effect.fnUntraced(function* ({ privateKey, sealedKey, ...key }: SigningKeysSql.SigningKey) {
        if (sealedKey !== null) return held(key, yield* encryption.open(place(signingKey, key.id), sealedKey))
        if (privateKey !== null) return held(key, privateKey)
        return yield* Effect.die(new Error(`Signing key ${key.id} has no private key`))
      })

      const read = Effect.fnUntraced(function* (now: DateTime.Utc) {
        const keys = yield* Effect.forEach(yield* statements.shown(now), unseal)
        known = { keys, readAt: now }
        return keys
      })

      const current = (now: DateTime.Utc) =>
        Effect.suspend(() =>
          known !== undefined && isKnownSince(freshness, now) ? Effect.succeed(known.keys) : read(now)
        )

      const mustBePlain = Effect.fnUntraced(function* (now: DateTime.Utc) {
        return (yield* statements.isOlderNodeAlive(DateTime.subtractDuration(now, olderNodeMayReturn))).alive
      })

      const insert = Effect.fnUntraced(function* (signsFrom: DateTime.Utc, now: DateTime.Utc) {
        const { d = "", x = "" } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" })
        const signsUntil = DateTime.addDuration(signsFrom, signsFor)
        const id = yield* secrets.id
        const privateKey = Buffer.from(d, "base64url")
        const isPlain = yield* mustBePlain(now)
        const key: SigningKeysSql.SigningKey = {
          id,
          privateKey: isPlain ? privateKey : null,
          sealedKey: isPlain ? null : yield* encryption.seal(place(signingKey, id), privateKey),
          publicKey: PublicKey.make(x),
          createdAt: now,
          signsFrom,
          signsUntil,
          shownUntil: DateTime.addDuration(signsUntil, shownAround)
        }
        yield* statements.insert(key)
        // Not before the commit: what is rolled back was never a key.
        yield* sql.afterCommit(
          Effect.sync(() => {
            known = undefined
          })
        )
        return key
      })

      /** Makes a key that signs at once, unless another node just did. */
      const begin = Effect.gen(function* () {
        yield* statements.lock
        known = undefined
        // Read behind the lock: the clock of whoever held it before has moved on too.
        const now = yield* DateTime.now
        const keys = yield* statements.shown(now)
        return signing(keys, now) === undefined ? [...keys, yield* insert(now, now)] : keys
      }).pipe(
        sql.withTransaction,
        Effect.flatMap((keys) => Effect.forEach(keys, unseal))
      )

      /** The keys of now, among them one that signs. */
      const usable = Effect.fnUntraced(function* (now: DateTime.Utc) {
        const keys = yield* current(now)
        return signing(keys, now) === undefined ? yield* begin : keys
      })

      const sign = Effect.fn("SigningKeys.sign")(function* (
        type: TokenType,
        claims: Readonly<Record<string, unknown>>
      ) {
        const now = yield* DateTime.now
        const key = signing(yield* usable(now), now)
        if (key === undefined) return yield* Effect.die(new Error("No key signs"))
        return yield* Effect.promise(() =>
          new SignJWT({ ...claims, iss: audience, aud: audience })
            .setProtectedHeader({ alg: algorithm, typ: type, kid: key.id })
            .sign(key.signer)
        )
      }, Effect.orDie)

      const find = Effect.fnUntraced(function* (id: string, now: DateTime.Utc) {
        const key = (yield* current(now)).find((key) => key.id === id)
        if (key !== undefined || isKnownSince(lookAgainAfter, now)) return key
        return (yield* read(now)).find((key) => key.id === id)
      })

      const verify = Effect.fn("SigningKeys.verify")(function* (type: TokenType, token: string) {
        const keyId = keyIdOf(token)
        if (keyId === undefined) return Option.none()
        const now = yield* DateTime.now
        const key = yield* find(keyId, now)
        if (key === undefined || DateTime.isLessThanOrEqualTo(key.shownUntil, now)) return Option.none()
        return yield* Effect.tryPromise({
          try: () =>
            jwtVerify(token, key.verifier, {
              algorithms: [algorithm],
              typ: type,
              issuer: audience,
              audience,
              requiredClaims: ["exp"],
              currentDate: DateTime.toDateUtc(now)
            }),
          catch: (failure) => failure
        }).pipe(
          Effect.map(({ payload }) => Option.some<Readonly<Record<string, unknown>>>(payload)),
          Effect.catchIf(
            (failure) => failure instanceof errors.JOSEError,
            () => Effect.succeedNone
          )
        )
      }, Effect.orDie)

      const published = Effect.gen(function* () {
        const now = yield* DateTime.now
        const keys = yield* usable(now)
        return {
          keys: keys
            .filter(({ shownUntil }) => DateTime.isGreaterThan(shownUntil, now))
            .map((key) => ({
              kty: "OKP" as const,
              crv: "Ed25519" as const,
              x: key.publicKey,
              kid: key.id,
              alg: "EdDSA" as const,
              use: "sig" as const
            }))
        }
      }).pipe(Effect.orDie, Effect.withSpan("SigningKeys.published"))

      /** What the release before left in plain text, or had to find so. */
      const sealPlain = Effect.fnUntraced(function* (now: DateTime.Utc) {
        if (yield* mustBePlain(now)) return 0
        const plain = yield* statements.plain(undefined)
        for (const { id, privateKey } of plain) {
          yield* statements.seal({ id, sealedKey: yield* encryption.seal(place(signingKey, id), privateKey) })
        }
        return plain.length
      })

      const renew = Effect.gen(function* () {
        yield* statements.lock
        const now = yield* DateTime.now
        const last = (yield* statements.shown(now)).at(-1)
        const due =
          last === undefined ||
          DateTime.isLessThanOrEqualTo(DateTime.subtractDuration(last.signsUntil, shownAround), now)
        if (due) yield* insert(last === undefined ? now : DateTime.max(last.signsUntil, now), now)
        const forgotten = yield* statements.forget(now)
        return { made: due ? 1 : 0, forgotten: forgotten.length, sealed: yield* sealPlain(now) }
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("SigningKeys.renew"))

      return SigningKeys.of({ sign, verify, published, renew })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
