/** The secrets that users sign in with: minted, shown once, rotated with overlap, revoked for good. */
import { hint } from "@broker/domain/Credential"
import type { OrganizationId } from "@broker/domain/Organization"
import {
  type CreatedPersonalKey,
  PersonalKey,
  PersonalKeyId,
  PersonalKeyNotFound,
  PersonalKeyOver,
  type PersonalKeyRequest,
  type PersonalKeyRotation
} from "@broker/domain/PersonalKey"
import { type UserId, UserNotFound, UserSuspended } from "@broker/domain/User"
import { Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { ClientSessions } from "../client-sessions/ClientSessions.ts"
import { ConnectionsPolicy } from "../connections/ConnectionsPolicy.ts"
import { Cuts } from "../connections/Cuts.ts"
import { Secrets } from "../crypto/Secrets.ts"
import * as PersonalKeysSql from "./PersonalKeysSql.ts"

export class PersonalKeys extends Context.Service<
  PersonalKeys,
  {
    /** The only time that the secret is readable (B9). */
    create(
      organizationId: OrganizationId,
      request: PersonalKeyRequest
    ): Effect.Effect<CreatedPersonalKey, UserNotFound | UserSuspended, Actor>
    /** All of a user's keys, the newest first. */
    list(organizationId: OrganizationId, userId: UserId): Effect.Effect<ReadonlyArray<PersonalKey>, UserNotFound>
    get(organizationId: OrganizationId, id: PersonalKeyId): Effect.Effect<PersonalKey, PersonalKeyNotFound>
    /** A successor with the same name, limit and lifetime; the old key goes on for the overlap. */
    rotate(
      organizationId: OrganizationId,
      rotation: PersonalKeyRotation
    ): Effect.Effect<CreatedPersonalKey, PersonalKeyNotFound | PersonalKeyOver, Actor>
    /** C6: ends its sessions and cuts its connections. Doing it again changes nothing, not even the reason. */
    revoke(
      organizationId: OrganizationId,
      id: PersonalKeyId,
      reason: string
    ): Effect.Effect<PersonalKey, PersonalKeyNotFound, Actor>
  }
>()("@broker/core/personal-keys/PersonalKeys") {
  static readonly layerNoDeps = Layer.effect(
    PersonalKeys,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* PersonalKeysSql.make
      const sessions = yield* ClientSessions
      const cuts = yield* Cuts
      const secrets = yield* Secrets
      const audit = yield* Audit
      const policy = yield* ConnectionsPolicy

      const read = Effect.fnUntraced(function* (organizationId: OrganizationId, id: PersonalKeyId) {
        return yield* statements.get({ organizationId, id, now: yield* DateTime.now })
      })

      const mint = Effect.fnUntraced(function* (key: {
        readonly organizationId: OrganizationId
        readonly userId: UserId
        readonly name: string
        readonly connectionLimit: number
        readonly expiresAt: DateTime.Utc | null
        readonly createdAt: DateTime.Utc
      }) {
        const { name: createdBy } = yield* Actor
        const id = PersonalKeyId.make(yield* secrets.id)
        const { digest, secret } = yield* secrets.mint("personalKey", id)
        yield* statements.insert(
          PersonalKey.insert.make({ ...key, id, digest, hint: hint("personalKey", id), createdBy })
        )
        return { id, secret }
      })

      const create = Effect.fn("PersonalKeys.create")(
        function* (organizationId: OrganizationId, request: PersonalKeyRequest) {
          const { connectionLimit, expiresInSeconds, name, userId } = request
          const user = yield* statements
            .holdUser({ organizationId, userId })
            .pipe(Effect.catchTag("NoSuchElementError", () => new UserNotFound()))
          if (user.state === "suspended") return yield* new UserSuspended()
          const now = yield* DateTime.now
          const { id, secret } = yield* mint({
            organizationId,
            userId,
            name,
            connectionLimit: connectionLimit ?? policy.connectionsPerKey,
            expiresAt: expiresInSeconds === null ? null : DateTime.add(now, { seconds: expiresInSeconds }),
            createdAt: now
          })
          const key = yield* read(organizationId, id)
          yield* audit.record({
            organizationId,
            action: "personal-keys:create",
            subjectKind: "personal-key",
            subjectId: id,
            details: {
              name,
              user: user.name,
              connectionLimit: key.connectionLimit,
              expiresAt: key.expiresAt === null ? null : DateTime.formatIso(key.expiresAt)
            }
          })
          return { ...key, key: secret }
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("PersonalKeys.list")(
        function* (organizationId: OrganizationId, userId: UserId) {
          yield* statements.findUser({ organizationId, userId })
          return yield* statements.list({ organizationId, userId, now: yield* DateTime.now })
        },
        Effect.catchTag("NoSuchElementError", () => new UserNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const get = Effect.fn("PersonalKeys.get")(
        read,
        Effect.catchTag("NoSuchElementError", () => new PersonalKeyNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** C6: in this order nothing new begins by the key while its sessions and connections end. */
      const end = Effect.fnUntraced(function* (
        organizationId: OrganizationId,
        id: PersonalKeyId,
        reason: string | null
      ) {
        const revoked = yield* statements.revoke({ organizationId, id, reason, now: yield* DateTime.now })
        if (Option.isNone(revoked)) return
        const { name } = revoked.value
        yield* sessions.end({ personalKeyId: id })
        yield* cuts.order(organizationId, { kind: "personal-key", id, name }, "key_revoked")
        yield* audit.record({
          organizationId,
          action: "personal-keys:revoke",
          subjectKind: "personal-key",
          subjectId: id,
          details: { name, reason }
        })
      })

      const rotate = Effect.fn("PersonalKeys.rotate")(
        function* (organizationId: OrganizationId, { id, overlapSeconds }: PersonalKeyRotation) {
          const { userId } = yield* read(organizationId, id)
          yield* statements.holdUser({ organizationId, userId })
          yield* statements.lock({ organizationId, id })
          const old = yield* read(organizationId, id)
          if (old.state !== "active" || old.replacedBy !== null) return yield* new PersonalKeyOver()
          const { connectionLimit, name } = old
          const now = yield* DateTime.now
          const successor = yield* mint({
            organizationId,
            userId,
            name,
            connectionLimit,
            expiresAt:
              old.expiresAt === null
                ? null
                : DateTime.addDuration(now, DateTime.distance(old.createdAt, old.expiresAt)),
            createdAt: now
          })
          yield* audit.record({
            organizationId,
            action: "personal-keys:rotate",
            subjectKind: "personal-key",
            subjectId: id,
            details: { name, successor: successor.id, overlapSeconds }
          })
          const until = DateTime.addDuration(now, Duration.seconds(overlapSeconds))
          yield* statements.replace({ organizationId, id, by: successor.id, until })
          if (overlapSeconds === 0) yield* end(organizationId, id, "rotated")
          return { ...(yield* read(organizationId, successor.id)), key: successor.secret }
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new PersonalKeyNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const revoke = Effect.fn("PersonalKeys.revoke")(
        function* (organizationId: OrganizationId, id: PersonalKeyId, reason: string) {
          yield* end(organizationId, id, reason === "" ? null : reason)
          return yield* read(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new PersonalKeyNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return PersonalKeys.of({ create, list, get, rotate, revoke })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
