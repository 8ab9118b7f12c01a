/** The secrets that let servers join: created, shown once, spent, revoked. */
import type { Credential } from "@broker/domain/Credential"
import { hint } from "@broker/domain/Credential"
import { GroupNotFound } from "@broker/domain/Group"
import type { OrganizationId } from "@broker/domain/Organization"
import type { InvalidCursor } from "@broker/domain/Primitives"
import {
  type CreatedRegistrationKey,
  RegistrationKey,
  RegistrationKeyId,
  RegistrationKeyNotFound,
  RegistrationKeyRefused,
  type RegistrationKeyRequest,
  type RegistrationKeyState,
  ReplacementKeyGivesNothing
} from "@broker/domain/RegistrationKey"
import { type FleetServer, ServerNotFound } from "@broker/domain/Server"
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as Cursor from "../Cursor.ts"
import { isDigestOf, Secrets } from "../crypto/Secrets.ts"
import { brokenConstraint } from "../database/SqlFailure.ts"
import * as ServersSql from "../servers/ServersSql.ts"
import * as RegistrationKeysSql from "./RegistrationKeysSql.ts"

export class RegistrationKeys extends Context.Service<
  RegistrationKeys,
  {
    /** The answer holds the secret, and nothing else ever will. */
    create(
      organizationId: OrganizationId,
      request: RegistrationKeyRequest
    ): Effect.Effect<CreatedRegistrationKey, ServerNotFound | GroupNotFound | ReplacementKeyGivesNothing, Actor>
    /** The newest first. */
    list(
      organizationId: OrganizationId,
      query: {
        readonly states: ReadonlyArray<RegistrationKeyState>
        readonly limit: number
        readonly cursor: string | null
      }
    ): Effect.Effect<
      { readonly items: ReadonlyArray<RegistrationKey>; readonly nextCursor: string | null },
      InvalidCursor
    >
    get(organizationId: OrganizationId, id: RegistrationKeyId): Effect.Effect<RegistrationKey, RegistrationKeyNotFound>
    /** The servers that joined with a key, the newest first, 200 at most. */
    members(
      organizationId: OrganizationId,
      id: RegistrationKeyId
    ): Effect.Effect<ReadonlyArray<FleetServer>, RegistrationKeyNotFound>
    /** B8: cuts no member, and is for good. */
    revoke(
      organizationId: OrganizationId,
      id: RegistrationKeyId
    ): Effect.Effect<RegistrationKey, RegistrationKeyNotFound, Actor>
    /** Takes one use, in the caller's transaction, so that a failed registration leaves the key as it was (B1, B3). */
    spend(key: Credential<"registrationKey">): Effect.Effect<RegistrationKey, RegistrationKeyRefused>
    /** The key behind a credential, whatever its state, without taking a use. */
    present(key: Credential<"registrationKey">): Effect.Effect<Option.Option<RegistrationKey>>
  }
>()("@broker/core/registration-keys/RegistrationKeys") {
  static readonly layerNoDeps = Layer.effect(
    RegistrationKeys,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* RegistrationKeysSql.make
      const servers = yield* ServersSql.make
      const secrets = yield* Secrets
      const audit = yield* Audit

      const create = Effect.fn("RegistrationKeys.create")(
        function* (organizationId: OrganizationId, request: RegistrationKeyRequest) {
          const { name: createdBy } = yield* Actor
          if (request.replacesServerId !== null) {
            if (request.tags.length > 0 || (request.groupId ?? null) !== null) {
              return yield* new ReplacementKeyGivesNothing()
            }
            yield* servers
              .get({ organizationId, id: request.replacesServerId })
              .pipe(Effect.catchTag("NoSuchElementError", () => new ServerNotFound()))
          }
          const now = yield* DateTime.now
          const id = RegistrationKeyId.make(yield* secrets.id)
          const { digest, secret } = yield* secrets.mint("registrationKey", id)
          const key = yield* statements.insert(
            RegistrationKey.insert.make({
              id,
              organizationId,
              name: request.name,
              digest,
              hint: hint("registrationKey", id),
              useLimit: request.replacesServerId === null ? request.useLimit : 1,
              tags: request.tags,
              approval: request.approval,
              replacesServerId: request.replacesServerId,
              groupId: request.groupId ?? null,
              createdBy,
              createdAt: now,
              expiresAt: DateTime.add(now, { seconds: request.expiresInSeconds })
            })
          )
          yield* audit.record({
            organizationId,
            action: "registration-keys:create",
            subjectKind: "registration-key",
            subjectId: id,
            details: {
              name: key.name,
              useLimit: key.useLimit,
              tags: key.tags,
              approval: key.approval,
              groupId: key.groupId
            }
          })
          return { ...key, key: secret }
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", (error) =>
          brokenConstraint(error) === "registration_keys_group_fk"
            ? Effect.fail(new GroupNotFound())
            : Effect.die(error)
        ),
        Effect.catchTag(["NoSuchElementError", "SchemaError"], Effect.die)
      )

      const list = Effect.fn("RegistrationKeys.list")(
        function* (
          organizationId: OrganizationId,
          query: {
            readonly states: ReadonlyArray<RegistrationKeyState>
            readonly limit: number
            readonly cursor: string | null
          }
        ) {
          const rows = yield* statements.list({
            organizationId,
            states: query.states,
            now: yield* DateTime.now,
            after: yield* Cursor.decode(query.cursor),
            limit: query.limit + 1
          })
          return Cursor.page(rows, query.limit, (key) => ["", key.id])
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const find = Effect.fn("RegistrationKeys.find")(
        function* (id: RegistrationKeyId) {
          return yield* statements.find({ id, now: yield* DateTime.now })
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die),
        Effect.option
      )

      const get = Effect.fn("RegistrationKeys.get")(function* (organizationId: OrganizationId, id: RegistrationKeyId) {
        const key = yield* find(id)
        if (Option.isNone(key) || key.value.organizationId !== organizationId) {
          return yield* new RegistrationKeyNotFound()
        }
        return key.value
      })

      const members = Effect.fn("RegistrationKeys.members")(
        function* (organizationId: OrganizationId, id: RegistrationKeyId) {
          yield* get(organizationId, id)
          return yield* servers.joinedWith({ organizationId, id, limit: 200 })
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const revoke = Effect.fn("RegistrationKeys.revoke")(
        function* (organizationId: OrganizationId, id: RegistrationKeyId) {
          const key = yield* statements
            .revoke({ organizationId, id, now: yield* DateTime.now })
            .pipe(Effect.catchTag("NoSuchElementError", () => new RegistrationKeyNotFound()))
          yield* audit.record({
            organizationId,
            action: "registration-keys:revoke",
            subjectKind: "registration-key",
            subjectId: id,
            details: { name: key.name, uses: key.uses }
          })
          return key
        },
        sql.withTransaction,
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const present = (credential: Credential<"registrationKey">) =>
        find(RegistrationKeyId.make(credential.id)).pipe(
          Effect.map(Option.filter((key) => isDigestOf(key.digest, credential.secret)))
        )

      const spend = Effect.fn("RegistrationKeys.spend")(
        function* (credential: Credential<"registrationKey">) {
          const key = yield* statements.spend({
            id: RegistrationKeyId.make(credential.id),
            now: yield* DateTime.now
          })
          if (!isDigestOf(key.digest, credential.secret)) return yield* new RegistrationKeyRefused()
          return key
        },
        Effect.catchTag("NoSuchElementError", () => new RegistrationKeyRefused()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      return RegistrationKeys.of({ create, list, get, members, revoke, spend, present })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
