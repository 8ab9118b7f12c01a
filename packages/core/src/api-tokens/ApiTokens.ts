/**
 * Credentials of machines for the public API.
 *
 * What a token may do is decided when it is used: its scopes, cut to what its owner may do then (A5). What was looked
 * up is kept for a few seconds, and no longer than until a signal says that a token or an admin changed.
 */
import type { AdminId } from "@broker/domain/Admin"
import {
  ApiToken,
  ApiTokenId,
  ApiTokenNotFound,
  type ApiTokenRequest,
  type CreatedApiToken,
  InvalidNetwork
} from "@broker/domain/ApiToken"
import { type Credential, hint, UnknownCredential } from "@broker/domain/Credential"
import type { OrganizationId } from "@broker/domain/Organization"
import { type MoreThanHeld, Permission } from "@broker/domain/Permission"
import { Cache, Context, DateTime, Duration, Effect, Exit, Layer, Option, Schema, Stream } from "effect"
import { IpNetwork } from "effect/net"
import { SqlClient } from "effect/sql"
import type { SignedInAdmin } from "../admin-sessions/AdminSessions.ts"
import { adminSessionTopic } from "../admin-sessions/AdminSessionTopic.ts"
import { type Authority, within } from "../admins/Authority.ts"
import * as StandingSql from "../admins/StandingSql.ts"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import { isDigestOf, Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import * as ApiTokensSql from "./ApiTokensSql.ts"
import * as Networks from "./Networks.ts"

/** Tokens that a node remembers; others are looked up again. */
const capacity = 100_000

/** How long a node goes by what it read of a token, unless a signal comes before. */
const freshness = Duration.seconds(10)

/** A token's last use is written down at most this often by each node. */
const touchEvery = Duration.minutes(1)

const topic = "api-token"

/** A machine at work. Its permissions are its scopes, cut to what its owner may do right now (A5). */
export interface AuthenticatedToken extends Authority {
  readonly id: AdminId
  readonly tokenId: ApiTokenId
  readonly name: string
}

const isPermission = Schema.is(Permission)

/** What of a token's scopes its owner may do, and what not. */
const cut = (row: ApiTokensSql.Row) => {
  const allowed = StandingSql.allowed(row)
  const scopes = row.scopes.filter(isPermission)
  return {
    scopes,
    permissions: new Set(scopes.filter((scope) => allowed.has(scope))),
    idle: scopes.filter((scope) => !allowed.has(scope))
  }
}

const shown = (row: ApiTokensSql.Row) => {
  const { isDisabled: _, mustEnrol: __, ownPermissions: ___, role: ____, ...token } = row
  const { idle, scopes } = cut(row)
  return ApiToken.make({ ...token, scopes, idle })
}

export class ApiTokens extends Context.Service<
  ApiTokens,
  {
    /** The only time that the secret is readable (B9). */
    create(
      owner: SignedInAdmin,
      request: ApiTokenRequest
    ): Effect.Effect<CreatedApiToken, MoreThanHeld | InvalidNetwork, Actor>
    /** All of the organization, or of one owner; the newest first. */
    list(organizationId: OrganizationId, ownerId: AdminId | null): Effect.Effect<ReadonlyArray<ApiToken>>
    /** One's own need no permission. Doing it again changes nothing. */
    revoke(
      organizationId: OrganizationId,
      id: ApiTokenId,
      ownerId: AdminId | null
    ): Effect.Effect<ApiToken, ApiTokenNotFound, Actor>
    /** Kept per node until a signal says that something changed; refused from other networks, as if unknown. */
    authenticate(
      credential: Credential<"apiToken">,
      address: string | null
    ): Effect.Effect<AuthenticatedToken, UnknownCredential>
    /** What a token may do now, by its id: nothing once it is revoked or past its time. */
    look(id: ApiTokenId): Effect.Effect<ReadonlySet<Permission>>
    /** How many tokens of an admin have one of these scopes, for previews of a change of role. */
    concernedBy(
      organizationId: OrganizationId,
      ownerId: AdminId,
      permissions: ReadonlyArray<Permission>
    ): Effect.Effect<number>
    /** What owners may do changed: nodes look again. Joins the caller's transaction. */
    readonly forget: Effect.Effect<void>
  }
>()("@broker/core/api-tokens/ApiTokens") {
  static readonly layerNoDeps = Layer.effect(
    ApiTokens,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const statements = yield* ApiTokensSql.make
      const standing = yield* StandingSql.make
      const signals = yield* Signals
      const secrets = yield* Secrets
      const audit = yield* Audit
      const scope = yield* Effect.scope

      const look = Effect.fnUntraced(function* (id: ApiTokenId) {
        const row = yield* statements.find({ id, now: yield* DateTime.now })
        return Option.map(row, (row) => ({
          tokenId: row.id,
          organizationId: row.organizationId,
          id: row.ownerId,
          name: row.name,
          digest: row.digest,
          expiresAt: row.expiresAt,
          permissions: cut(row).permissions,
          isEverywhere: row.networks.length === 0,
          networks: row.networks.flatMap((network) => Option.toArray(Networks.parse(network)))
        }))
      })

      // What is none is not remembered, and neither is a failure: the database may come back.
      const known = yield* Cache.makeWith(look, {
        capacity,
        timeToLive: (exit) => (Exit.isSuccess(exit) && Option.isSome(exit.value) ? freshness : Duration.zero)
      })

      /** When this node last wrote down that a token was used, in milliseconds. */
      const touched = new Map<ApiTokenId, number>()

      yield* Stream.merge(signals.subscribe(topic), signals.subscribe(adminSessionTopic)).pipe(
        Stream.runForEach(() => Cache.invalidateAll(known)),
        Effect.forkScoped
      )

      const forget = Effect.gen(function* () {
        yield* signals.notify(topic, "")
        yield* sql.afterCommit(Cache.invalidateAll(known))
      }).pipe(Effect.orDie, Effect.withSpan("ApiTokens.forget"))

      const read = Effect.fnUntraced(function* (organizationId: OrganizationId, id: ApiTokenId) {
        return shown(yield* statements.get({ organizationId, id, now: yield* DateTime.now }))
      })

      const create = Effect.fn("ApiTokens.create")(
        function* (owner: SignedInAdmin, request: ApiTokenRequest) {
          const { organizationId } = owner
          const networks = yield* Effect.fromOption(Option.all(request.networks.map(Networks.parse))).pipe(
            Effect.mapError(() => new InvalidNetwork())
          )
          yield* standing.hold(organizationId)
          yield* within(yield* standing.remaining(owner), request.scopes)
          const createdAt = yield* DateTime.now
          const expiresAt = DateTime.add(createdAt, { seconds: request.expiresInSeconds })
          const id = ApiTokenId.make(yield* secrets.id)
          const { digest, secret } = yield* secrets.mint("apiToken", id)
          yield* statements.insert(
            ApiToken.insert.make({
              id,
              organizationId,
              ownerId: owner.id,
              name: request.name,
              digest,
              hint: hint("apiToken", id),
              scopes: Permission.literals.filter((permission) => request.scopes.includes(permission)),
              networks: networks.map(IpNetwork.format),
              createdAt,
              expiresAt
            })
          )
          const token = yield* read(organizationId, id)
          yield* audit.record({
            organizationId,
            action: "api-tokens:create",
            subjectKind: "api-token",
            subjectId: id,
            details: {
              name: token.name,
              scopes: token.scopes,
              networks: token.networks,
              expiresAt: DateTime.formatIso(expiresAt)
            }
          })
          return { ...token, token: secret }
        },
        sql.withTransaction,
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("ApiTokens.list")(function* (organizationId: OrganizationId, ownerId: AdminId | null) {
        const rows = yield* statements.list({ organizationId, ownerId, now: yield* DateTime.now })
        return rows.map(shown)
      }, Effect.orDie)

      const revoke = Effect.fn("ApiTokens.revoke")(
        function* (organizationId: OrganizationId, id: ApiTokenId, ownerId: AdminId | null) {
          const before = yield* read(organizationId, id)
          if (ownerId !== null && before.ownerId !== ownerId) return yield* new ApiTokenNotFound()
          const revoked = yield* statements.revoke({ organizationId, id, ownerId, now: yield* DateTime.now })
          if (Option.isSome(revoked)) {
            yield* audit.record({
              organizationId,
              action: "api-tokens:revoke",
              subjectKind: "api-token",
              subjectId: id,
              details: { name: before.name, owner: before.ownerName }
            })
            yield* forget
          }
          return yield* read(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag("NoSuchElementError", () => new ApiTokenNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** In the background: a request waits for no write, and fails for none. */
      const touch = Effect.fnUntraced(function* (id: ApiTokenId, address: string | null) {
        const now = yield* DateTime.now
        const last = touched.get(id)
        if (last !== undefined && DateTime.toEpochMillis(now) - last < Duration.toMillis(touchEvery)) return
        if (touched.size >= capacity) touched.clear()
        touched.set(id, DateTime.toEpochMillis(now))
        yield* statements.touch({ id, now, address }).pipe(Effect.ignoreCause({ log: "Debug" }), Effect.forkIn(scope))
      })

      const authenticate = Effect.fn("ApiTokens.authenticate")(
        function* (credential: Credential<"apiToken">, address: string | null) {
          const token = Option.getOrUndefined(yield* Cache.get(known, ApiTokenId.make(credential.id)))
          if (token === undefined || !isDigestOf(token.digest, credential.secret)) return yield* new UnknownCredential()
          if (DateTime.isLessThanOrEqualTo(token.expiresAt, yield* DateTime.now)) return yield* new UnknownCredential()
          const isHere = token.isEverywhere || (address !== null && Networks.hold(token.networks, address))
          if (!isHere) return yield* new UnknownCredential()
          yield* touch(token.tokenId, address)
          const { id, name, organizationId, permissions, tokenId } = token
          return { id, name, organizationId, permissions, tokenId }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const permissionsOf = Effect.fn("ApiTokens.look")(
        function* (id: ApiTokenId) {
          const token = Option.getOrUndefined(yield* Cache.get(known, id))
          const isGood = token !== undefined && DateTime.isGreaterThan(token.expiresAt, yield* DateTime.now)
          return isGood ? token.permissions : new Set<Permission>()
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const concernedBy = Effect.fn("ApiTokens.concernedBy")(function* (
        organizationId: OrganizationId,
        ownerId: AdminId,
        scopes: ReadonlyArray<Permission>
      ) {
        const { tokens } = yield* statements.countWith({ organizationId, ownerId, scopes, now: yield* DateTime.now })
        return tokens
      }, Effect.orDie)

      return ApiTokens.of({ create, list, revoke, authenticate, look: permissionsOf, concernedBy, forget })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Secrets.layer, Audit.layer]))
}
