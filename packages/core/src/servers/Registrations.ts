/**
 * How servers join (rules B1 to B7).
 *
 * The signature is judged before anything is looked up; then one transaction spends the key, writes the server, and
 * asks the first challenge. Constraints decide races: a name or a public key is taken when the database says so, and
 * then nothing of the attempt remains but its record in the audit log.
 */
import type { Credential } from "@broker/domain/Credential"
import {
  type IdempotencyKeyReused,
  InvalidPublicKey,
  InvalidSignature,
  Registered,
  RegisteredAgain,
  type Registration,
  type TimestampOutOfRange
} from "@broker/domain/Registration"
import type { RegistrationKey } from "@broker/domain/RegistrationKey"
import { RegistrationKeyRefused } from "@broker/domain/RegistrationKey"
import {
  type FleetServer,
  type GroupId,
  NameTaken,
  nameKey,
  PublicKeyInUse,
  Server,
  ServerId,
  ServerName
} from "@broker/domain/Server"
import * as SignedString from "@broker/domain/SignedString"
import { Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { Challenges } from "../challenges/Challenges.ts"
import { isSound, verifies } from "../crypto/Ed25519.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as GroupsSql from "../groups/GroupsSql.ts"
import { Idempotency } from "../Idempotency.ts"
import { Installation } from "../Installation.ts"
import { RegistrationKeys } from "../registration-keys/RegistrationKeys.ts"
import { ServersPolicy } from "./ServersPolicy.ts"
import * as ServersSql from "./ServersSql.ts"
import { ServerTokens } from "./ServerTokens.ts"
import { requireTimely } from "./Timeliness.ts"

type Refusal =
  | RegistrationKeyRefused
  | NameTaken
  | PublicKeyInUse
  | InvalidSignature
  | InvalidPublicKey
  | TimestampOutOfRange
  | IdempotencyKeyReused

export class Registrations extends Context.Service<
  Registrations,
  {
    /** Lets a server in, or lets it in again by the same key pair. */
    register(
      key: Credential<"registrationKey">,
      registration: Registration,
      idempotencyKey: Option.Option<string>
    ): Effect.Effect<Registered | RegisteredAgain, Refusal, Actor>
  }
>()("@broker/core/servers/Registrations") {
  static readonly layerNoDeps = Layer.effect(
    Registrations,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* ServersSql.make
      const groups = yield* GroupsSql.make
      const keys = yield* RegistrationKeys
      const secrets = yield* Secrets
      const tokens = yield* ServerTokens
      const challenges = yield* Challenges
      const idempotency = yield* Idempotency
      const audit = yield* Audit
      const policy = yield* ServersPolicy
      const { audience } = yield* Installation

      /** B4, B10: whoever sends this holds the private key, and meant it for this broker and this key. */
      const prove = Effect.fn("Registrations.prove")(function* (
        credential: Credential<"registrationKey">,
        { name, publicKey, signature, timestamp }: Registration
      ) {
        if (!isSound(publicKey)) return yield* new InvalidPublicKey()
        const text = SignedString.registration({
          audience,
          registrationKeyId: credential.id,
          name,
          publicKey,
          timestamp
        })
        if (!verifies(publicKey, text, signature)) {
          return yield* new InvalidSignature({
            detail: `The signature does not match the request. The broker's audience is ${audience}.`
          })
        }
      })

      /** H1: as its group has it. */
      const heartbeatInterval = Effect.fnUntraced(function* (groupId: GroupId | null) {
        const group = groupId === null ? Option.none() : yield* groups.heartbeatInterval(groupId)
        return (
          Option.getOrNull(group)?.effectiveHeartbeatIntervalSeconds ?? Duration.toSeconds(policy.heartbeatInterval)
        )
      })

      const answer = Effect.fnUntraced(function* (id: ServerId, key: RegistrationKey, token: Registered["token"]) {
        const challenge = yield* challenges.issue(id, "registration")
        const server = yield* statements.get({ organizationId: key.organizationId, id })
        return {
          server,
          token,
          heartbeatIntervalSeconds: yield* heartbeatInterval(server.groupId),
          challenge: { id: challenge.id, nonce: challenge.nonce, expiresAt: challenge.expiresAt }
        }
      })

      const recordJoin = (id: ServerId, key: RegistrationKey, action: `servers:${string}`) =>
        audit.record({
          organizationId: key.organizationId,
          action,
          subjectKind: "server",
          subjectId: id,
          details: { registrationKey: key.id, registrationKeyName: key.name }
        })

      /**
       * B2, B5: this key pair is known. The same server may come back: without another use of the key that let it in
       * while that answer may have been lost, by a use of any key later. A replacement key is for its own server (B6).
       */
      const comeBack = Effect.fn("Registrations.comeBack")(function* (
        credential: Credential<"registrationKey">,
        registration: Registration,
        server: FleetServer,
        isSameRequest: boolean
      ) {
        const presented = Option.getOrUndefined(yield* keys.present(credential))
        if (presented === undefined) return yield* new RegistrationKeyRefused()
        const welcome =
          presented.organizationId === server.organizationId &&
          nameKey(registration.name) === nameKey(server.name) &&
          registration.publicKey === server.publicKey &&
          (server.admission === "pending" || server.admission === "approved")
        if (!welcome) return yield* new PublicKeyInUse()
        if (presented.replacesServerId !== null && presented.replacesServerId !== server.id) {
          return yield* new RegistrationKeyRefused()
        }
        yield* statements.lock(server.id)
        const { createdAt } = yield* statements.keyOf(registration.publicKey)
        const repeat =
          (presented.id === server.registrationKeyId || presented.replacesServerId === server.id) &&
          presented.uses > 0 &&
          presented.state !== "revoked" &&
          (isSameRequest ||
            Duration.isLessThanOrEqualTo(
              DateTime.distance(createdAt, yield* DateTime.now),
              policy.registrationRepeatWindow
            ))
        if (!repeat) yield* keys.spend(credential)
        const token = yield* tokens.reissue(server.id)
        yield* recordJoin(server.id, presented, repeat ? "servers:repeat-registration" : "servers:register-again")
        const again = yield* answer(server.id, presented, token)
        return isSameRequest ? Registered.make(again) : RegisteredAgain.make(again)
      })

      /** B6: a replacement key lets the server that it is bound to change its key pair, and no other. */
      const replaceKeyPair = Effect.fn("Registrations.replaceKeyPair")(function* (
        key: RegistrationKey,
        id: ServerId,
        registration: Registration
      ) {
        const server = yield* statements.get({ organizationId: key.organizationId, id })
        if (nameKey(registration.name) !== nameKey(server.name)) return yield* new NameTaken()
        if (server.admission === "suspended" || server.admission === "retired")
          return yield* new RegistrationKeyRefused()
        yield* statements.replacePublicKey({ id, publicKey: registration.publicKey, now: yield* DateTime.now })
        const token = yield* tokens.reissue(id)
        yield* recordJoin(id, key, "servers:replace-key")
        return RegisteredAgain.make(yield* answer(id, key, token))
      })

      const join = Effect.fn("Registrations.join")(function* (
        credential: Credential<"registrationKey">,
        registration: Registration
      ) {
        const key = yield* keys.spend(credential)
        if (key.replacesServerId !== null) return yield* replaceKeyPair(key, key.replacesServerId, registration)
        const { address } = yield* Actor
        const id = ServerId.make(yield* secrets.id)
        yield* statements.insert(
          Server.insert.make({
            id,
            organizationId: key.organizationId,
            name: ServerName.make(registration.name.trim()),
            nameKey: nameKey(registration.name),
            admission: key.approval ? "pending" : "approved",
            duty: "serving",
            publicKey: registration.publicKey,
            version: registration.version ?? null,
            endpoints: registration.endpoints ?? [],
            capabilities: registration.capabilities ?? {},
            tags: registration.tags ?? [],
            // An admin gave them to the key: a server that changes its own does not lose them.
            assignedTags: key.tags,
            labels: registration.labels ?? {},
            location: registration.location ?? null,
            publicAddress: address,
            registrationKeyId: key.id,
            groupId: key.groupId,
            registeredAt: yield* DateTime.now
          })
        )
        const token = yield* tokens.rotate(id)
        yield* recordJoin(id, key, "servers:register")
        return Registered.make(yield* answer(id, key, token))
      })

      const attempt = Effect.fn("Registrations.attempt")(
        function* (
          credential: Credential<"registrationKey">,
          registration: Registration,
          idempotencyKey: Option.Option<string>
        ) {
          const isSameRequest =
            Option.isSome(idempotencyKey) &&
            (yield* idempotency.claim(`servers:register:${credential.id}`, idempotencyKey.value, registration))
          // What was made in time before, may come again later under its Idempotency-Key.
          if (!isSameRequest) yield* requireTimely(registration.timestamp, policy.maxTimestampSkew)
          // Identical requests at once: the second waits here, and finds what the first wrote.
          yield* statements.lockPublicKey(registration.publicKey)
          const known = yield* statements.findByPublicKey(registration.publicKey)
          return yield* Option.match(known, {
            onNone: () => join(credential, registration),
            onSome: (server) => comeBack(credential, registration, server, isSameRequest)
          })
        },
        sql.withTransaction,
        Effect.catchReason(
          "SqlError",
          "UniqueViolation",
          ({ constraint }): Effect.Effect<never, NameTaken | PublicKeyInUse> =>
            constraint === "servers_name_uq"
              ? new NameTaken()
              : constraint === "server_keys_pkey"
                ? new PublicKeyInUse()
                : Effect.die(new Error(`Unexpected violation of ${constraint}`))
        ),
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      /** Only here stands why: outsiders get one answer for every reason (B7). */
      const recordRefusal = Effect.fn("Registrations.recordRefusal")(function* (
        credential: Credential<"registrationKey">,
        registration: Registration,
        refusal: Refusal
      ) {
        const key = Option.getOrUndefined(yield* keys.present(credential))
        yield* audit.record({
          organizationId: key?.organizationId ?? null,
          action: "servers:register",
          subjectKind: "registration-key",
          subjectId: credential.id,
          outcome: "refused",
          details: {
            code: refusal.code,
            name: registration.name,
            key: key?.state ?? "unknown"
          }
        })
        if (refusal._tag === "PublicKeyInUse" && key !== undefined) {
          yield* audit.alarm({
            organizationId: key.organizationId,
            kind: "public_key_reused",
            severity: "high",
            serverId: null,
            details: { name: registration.name, publicKey: registration.publicKey, registrationKey: key.id }
          })
        }
      })

      const register = Effect.fn("Registrations.register")(function* (
        credential: Credential<"registrationKey">,
        registration: Registration,
        idempotencyKey: Option.Option<string>
      ) {
        return yield* Effect.gen(function* () {
          yield* prove(credential, registration)
          return yield* attempt(credential, registration, idempotencyKey)
        }).pipe(Effect.tapError((refusal) => recordRefusal(credential, registration, refusal)))
      })

      return Registrations.of({ register })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Audit.layer, Idempotency.layer, Secrets.layer]))
}
