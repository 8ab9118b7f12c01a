/**
 * Passkeys (WebAuthn): as a second factor, and as the only one, for which the person is always verified.
 *
 * What browsers send is anybody's to write: it is read into a shape with bounds before the library sees it, and
 * whatever the library then trips over is a wrong answer. Who made an authenticator does not matter here, so nothing is
 * attested: certificates are refused unread, which also keeps the broker from fetching what they point at.
 */
import type { AdminId } from "@broker/domain/Admin"
import {
  type FactorDemanded,
  FactorUnconfirmed,
  Passkey,
  PasskeyId,
  PasskeyNotFound,
  type PasskeyOptions,
  type PasskeyResponse,
  type RecoveryCodes
} from "@broker/domain/SecondFactor"
import {
  generateAuthenticationOptions,
  generateRegistrationOptions,
  verifyAuthenticationResponse,
  verifyRegistrationResponse
} from "@simplewebauthn/server"
import { COSEALG, decodeAttestationObject } from "@simplewebauthn/server/helpers"
import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { Installation } from "../Installation.ts"
import * as PasskeysSql from "./PasskeysSql.ts"
import { type FreshCodes, type Member, SecondFactors } from "./SecondFactors.ts"

/** What a browser is asked, and the challenge that its answer must fit: base64url. */
export interface PasskeyRequest {
  readonly options: typeof PasskeyOptions.Type
  readonly challenge: string
}

/** How long a browser waits for the person. */
const patience = Duration.minutes(5)

/** What all authenticators can do one of. Not left to the library, whose choice may change with the machine. */
const algorithms = [COSEALG.EdDSA, COSEALG.ES256, COSEALG.RS256]

/** So many bytes at most, as base64url. */
const Bytes = (max: number) =>
  Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(Math.ceil((max * 4) / 3)), Schema.isPattern(/^[\w-]+$/))

/** The longest that an id may be (WebAuthn, level 3). */
const Credential = { id: Bytes(1_023), rawId: Bytes(1_023), type: Schema.Literal("public-key") }

const Transport = Schema.String.check(Schema.isMaxLength(32), Schema.isPattern(/^[a-z-]+$/))

const Created = Schema.Struct({
  ...Credential,
  response: Schema.Struct({
    clientDataJSON: Bytes(4_096),
    attestationObject: Bytes(8_192),
    transports: Schema.optional(Schema.Array(Transport).check(Schema.isMaxLength(16)))
  })
})

const Signed = Schema.Struct({
  ...Credential,
  response: Schema.Struct({
    clientDataJSON: Bytes(4_096),
    authenticatorData: Bytes(4_096),
    signature: Bytes(1_024),
    userHandle: Schema.optional(Schema.NullOr(Bytes(64)))
  })
})

/** What the browser itself says of the ceremony: nothing of ours runs in somebody else's page. */
const ClientData = Schema.fromJsonString(
  Schema.Struct({ challenge: Schema.String, crossOrigin: Schema.optional(Schema.Literal(false)) })
)

const readCreated = Schema.decodeUnknownOption(Created)
const readSigned = Schema.decodeUnknownOption(Signed)
const readClientData = Schema.decodeUnknownOption(ClientData)

const base64url = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64url")
const fromBase64url = (text: string) => Uint8Array.from(Buffer.from(text, "base64url"))

/** What authenticators keep beside the key, and tell who it is by. */
const handleOf = (adminId: AdminId) => Uint8Array.from(Buffer.from(adminId.replaceAll("-", ""), "hex"))

/** Whether it stands for nothing but itself: no statement, or one signed by the new key. */
const isPlain = (attestationObject: string) => {
  const attestation = decodeAttestationObject(fromBase64url(attestationObject))
  const format = attestation.get("fmt")
  return format === "none" || (format === "packed" && attestation.get("attStmt").get("x5c") === undefined)
}

/** Of what was sent by whomever: what is not right in whatever way is none. */
const attempt = <A>(check: () => Promise<A>): Effect.Effect<Option.Option<A>> => Effect.option(Effect.tryPromise(check))

export class Passkeys extends Context.Service<
  Passkeys,
  {
    /** The oldest first. */
    list(adminId: AdminId): Effect.Effect<ReadonlyArray<Passkey>>
    beginEnrolment(admin: Member): Effect.Effect<PasskeyRequest>
    /** Answers recovery codes when it is the first factor. Joins the caller's transaction. */
    enrol(
      admin: Member,
      name: string,
      response: PasskeyResponse,
      challenge: string,
      fresh: FreshCodes | null
    ): Effect.Effect<RecoveryCodes | null, FactorUnconfirmed, Actor>
    rename(admin: Member, id: PasskeyId, name: string): Effect.Effect<Passkey, PasskeyNotFound, Actor>
    /** Joins the caller's transaction. */
    remove(admin: Member, id: PasskeyId): Effect.Effect<void, PasskeyNotFound | FactorDemanded, Actor>
    /** For one admin's passkeys, or for whichever the browser has. */
    request(adminId: AdminId | null): Effect.Effect<PasskeyRequest>
    /**
     * Whose passkey signed the challenge, with the person present and verified; a counter that went back is refused,
     * and leaves an alarm that a caller's transaction must not undo.
     */
    verify(response: PasskeyResponse, challenge: string): Effect.Effect<Option.Option<AdminId>, never, Actor>
  }
>()("@broker/core/second-factors/Passkeys") {
  static readonly layerNoDeps = Layer.effect(
    Passkeys,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* PasskeysSql.make
      const factors = yield* SecondFactors
      const secrets = yield* Secrets
      const audit = yield* Audit
      const { audience } = yield* Installation
      const { hostname: rpID, origin } = new URL(audience)

      const record = (admin: Member, action: `passkeys:${string}`, id: PasskeyId, details: { readonly name: string }) =>
        audit.record({
          organizationId: admin.organizationId,
          action,
          subjectKind: "passkey",
          subjectId: id,
          details: { admin: admin.name, ...details }
        })

      const list = Effect.fn("Passkeys.list")((adminId: AdminId) => Effect.orDie(statements.list(adminId)))

      const descriptors = Effect.fnUntraced(function* (adminId: AdminId) {
        const passkeys = yield* statements.list(adminId)
        return passkeys.map(({ credentialId, transports }) => ({
          id: base64url(credentialId),
          transports: [...transports]
        }))
      })

      const challengeBytes = Effect.map(secrets.bytes(32), (bytes) => Uint8Array.from(bytes))

      const beginEnrolment = Effect.fn("Passkeys.beginEnrolment")(function* (admin: Member) {
        const excludeCredentials = yield* descriptors(admin.id)
        const challenge = yield* challengeBytes
        const options = yield* Effect.promise(() =>
          generateRegistrationOptions({
            rpName: rpID,
            rpID,
            userID: handleOf(admin.id),
            userName: admin.name,
            userDisplayName: admin.name,
            challenge,
            timeout: Duration.toMillis(patience),
            attestationType: "none",
            excludeCredentials,
            authenticatorSelection: { residentKey: "required", userVerification: "required" },
            supportedAlgorithmIDs: algorithms
          })
        )
        return { options: { ...options }, challenge: options.challenge }
      }, Effect.orDie)

      /** Whether the browser says that it was asked this, in a page of ours. */
      const isOurs = (clientDataJSON: string, challenge: string) =>
        Option.exists(
          readClientData(Buffer.from(clientDataJSON, "base64url").toString()),
          (client) => client.challenge === challenge
        )

      const checkCreated = Effect.fnUntraced(function* (sent: PasskeyResponse, challenge: string) {
        const read = readCreated(sent)
        if (Option.isNone(read) || !isOurs(read.value.response.clientDataJSON, challenge)) return Option.none()
        const { transports = [], ...response } = read.value.response
        const checked = yield* attempt(async () => {
          if (!isPlain(response.attestationObject)) return undefined
          const { registrationInfo } = await verifyRegistrationResponse({
            response: { ...read.value, response, clientExtensionResults: {} },
            expectedChallenge: challenge,
            expectedOrigin: origin,
            expectedRPID: rpID,
            requireUserVerification: true,
            supportedAlgorithmIDs: algorithms
          })
          return registrationInfo
        })
        return Option.flatMap(checked, (info) =>
          info !== undefined && info.credential.id === read.value.id
            ? Option.some({ ...info, transports })
            : Option.none()
        )
      })

      const enrol = Effect.fn("Passkeys.enrol")(
        function* (
          admin: Member,
          name: string,
          response: PasskeyResponse,
          challenge: string,
          fresh: FreshCodes | null
        ) {
          const created = yield* checkCreated(response, challenge)
          if (Option.isNone(created)) return yield* new FactorUnconfirmed()
          const { credential, credentialBackedUp, transports } = created.value
          yield* statements.holdAdmin(admin.id)
          const id = PasskeyId.make(yield* secrets.id)
          const inserted = yield* statements.insert(
            Passkey.insert.make({
              id,
              adminId: admin.id,
              name,
              credentialId: fromBase64url(credential.id),
              publicKey: credential.publicKey,
              counter: BigInt(credential.counter),
              transports,
              backedUp: credentialBackedUp,
              createdAt: yield* DateTime.now
            })
          )
          if (Option.isNone(inserted)) return yield* new FactorUnconfirmed()
          yield* record(admin, "passkeys:enrol", id, { name })
          return yield* factors.takeFirstCodes(admin.id, fresh)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const rename = Effect.fn("Passkeys.rename")(
        function* (admin: Member, id: PasskeyId, name: string) {
          const renamed = yield* statements.rename({ adminId: admin.id, id, name })
          if (Option.isNone(renamed)) return yield* new PasskeyNotFound()
          yield* record(admin, "passkeys:rename", id, { name })
          return renamed.value
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const remove = Effect.fn("Passkeys.remove")(
        function* (admin: Member, id: PasskeyId) {
          yield* statements.holdAdmin(admin.id)
          const removed = yield* statements.remove({ adminId: admin.id, id })
          if (Option.isNone(removed)) return yield* new PasskeyNotFound()
          yield* factors.oneLess(admin.id)
          yield* record(admin, "passkeys:remove", id, removed.value)
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const request = Effect.fn("Passkeys.request")(function* (adminId: AdminId | null) {
        const allowCredentials = adminId === null ? [] : yield* descriptors(adminId)
        const challenge = yield* challengeBytes
        const options = yield* Effect.promise(() =>
          generateAuthenticationOptions({
            rpID,
            allowCredentials,
            challenge,
            timeout: Duration.toMillis(patience),
            userVerification: "required",
            // Not left undefined: options travel as JSON.
            extensions: {}
          })
        )
        return { options: { ...options }, challenge: options.challenge }
      }, Effect.orDie)

      /** The signature is good, and its counter is not: there are two of this passkey, one of them not its owner's. */
      const alarm = Effect.fnUntraced(function* (passkey: Passkey, counter: number) {
        yield* Effect.forEach(yield* statements.homes(passkey.adminId), ({ name, organizationId }) =>
          audit.alarm({
            organizationId,
            kind: "passkey_cloned",
            severity: "high",
            serverId: null,
            details: {
              admin: passkey.adminId,
              name,
              passkey: passkey.id,
              passkeyName: passkey.name,
              expectedAbove: Number(passkey.counter),
              counter
            }
          })
        )
      }, sql.withTransaction)

      const verify = Effect.fn("Passkeys.verify")(
        function* (sent: PasskeyResponse, challenge: string) {
          const read = readSigned(sent)
          if (Option.isNone(read) || !isOurs(read.value.response.clientDataJSON, challenge)) return Option.none()
          const { id, response } = read.value
          const { userHandle, ...assertion } = response
          const found = yield* statements.find(fromBase64url(id))
          if (Option.isNone(found)) return Option.none()
          const passkey = found.value
          if (typeof userHandle === "string" && userHandle !== base64url(handleOf(passkey.adminId))) {
            return Option.none()
          }
          const checked = yield* attempt(() =>
            verifyAuthenticationResponse({
              response: { ...read.value, response: assertion, clientExtensionResults: {} },
              expectedChallenge: challenge,
              expectedOrigin: origin,
              expectedRPID: rpID,
              // Counters are compared below, once the signature holds: or anybody could ring the alarm.
              credential: { id, publicKey: Uint8Array.from(passkey.publicKey), counter: 0 },
              requireUserVerification: true
            })
          )
          if (Option.isNone(checked) || !checked.value.verified) return Option.none()
          const { credentialBackedUp: backedUp, newCounter } = checked.value.authenticationInfo
          const counter = BigInt(newCounter)
          const used = yield* statements.use({ id: passkey.id, counter, backedUp, now: yield* DateTime.now })
          if (Option.isSome(used)) return Option.some(passkey.adminId)
          yield* alarm(passkey, newCounter)
          return Option.none()
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return Passkeys.of({ list, beginEnrolment, enrol, rename, remove, request, verify })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
