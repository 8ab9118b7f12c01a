/**
 * Servers' bearer tokens: minted, changed with overlap, and checked on every request.
 *
 * A token's id part is the server's id, so that one look-up tells both whose token it is and whether it holds. What
 * was looked up is kept until the server changes: each node hears of changes as signals, and forgets everything when
 * it may have missed one.
 */

import { type Credential, type Secret, SecretDigestFromBytes, UnknownCredential } from "@broker/domain/Credential"
import { OrganizationId } from "@broker/domain/Organization"
import { Admission, GroupId, ServerId, ServerTokenId } from "@broker/domain/Server"
import { Cache, Context, DateTime, Duration, Effect, Exit, Layer, Schema, Stream } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import { isDigestOf, Secrets } from "../crypto/Secrets.ts"
import { Signals } from "../database/Signals.ts"
import { ServersPolicy } from "./ServersPolicy.ts"

/** Known servers that a node remembers; the least recently seen are forgotten first. */
const capacity = 1_000_000

const topic = "server"

const Holder = Schema.Struct({
  id: ServerId,
  organizationId: OrganizationId,
  admission: Admission,
  groupId: Schema.NullOr(GroupId),
  tokenId: ServerTokenId,
  digest: SecretDigestFromBytes,
  firstUsedAt: Schema.NullOr(Schema.DateTimeUtcFromDate),
  expiresAt: Schema.NullOr(Schema.DateTimeUtcFromDate)
})

export interface Bearer {
  readonly id: ServerId
  readonly organizationId: OrganizationId
  readonly admission: Admission
  readonly groupId: GroupId | null
}

export class ServerTokens extends Context.Service<
  ServerTokens,
  {
    /** The server that a token belongs to. The first use of a new token ends the others. */
    authenticate(token: Credential<"serverToken">): Effect.Effect<Bearer, UnknownCredential>
    /** A new token. The ones in use go on for the overlap, or until it is first used. Joins the caller's transaction. */
    rotate(id: ServerId): Effect.Effect<Secret>
    /** A new token that ends all others at once (B2, B6). Joins the caller's transaction. */
    reissue(id: ServerId): Effect.Effect<Secret>
    /** Ends all tokens. Joins the caller's transaction. */
    revoke(id: ServerId): Effect.Effect<void>
    /** Makes every node look a server up again, discovery too, once the caller's transaction is through. */
    forget(id: ServerId): Effect.Effect<void>
    /** The same of all servers, where many of them change at once. */
    readonly forgetAll: Effect.Effect<void>
  }
>()("@broker/core/servers/ServerTokens") {
  static readonly layerNoDeps = Layer.effect(
    ServerTokens,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const secrets = yield* Secrets
      const signals = yield* Signals
      const policy = yield* ServersPolicy

      const holders = SqlSchema.findNonEmpty({
        Request: ServerId,
        Result: Holder,
        execute: (id) => sql`
            select s.id, s.organization_id, s.admission, s.group_id, t.id as token_id, t.digest, t.first_used_at, t.expires_at
              from servers s
              join server_tokens t on t.server_id = s.id and t.revoked_at is null
             where s.id = ${id}
          order by t.created_at desc`
      })

      // Failures are not remembered: a server may register, and the database may come back.
      const known = yield* Cache.makeWith(holders, {
        capacity,
        timeToLive: (exit) => (Exit.isSuccess(exit) ? Duration.infinity : Duration.zero)
      })

      yield* signals.subscribe(topic).pipe(
        Stream.runForEach((signal) =>
          signal._tag === "Signal" ? Cache.invalidate(known, ServerId.make(signal.payload)) : Cache.invalidateAll(known)
        ),
        Effect.forkScoped
      )

      const forget = (id: ServerId) =>
        Effect.andThen(Effect.orDie(signals.notify(topic, id)), sql.afterCommit(Cache.invalidate(known, id)))

      const forgetAll = Effect.andThen(Effect.orDie(signals.resync(topic)), sql.afterCommit(Cache.invalidateAll(known)))

      const use = Effect.fn("ServerTokens.use")(
        function* (id: ServerId, tokenId: typeof ServerTokenId.Type) {
          const now = DateTime.toDateUtc(yield* DateTime.now)
          yield* sql`update server_tokens set first_used_at = ${now} where id = ${tokenId} and first_used_at is null`
          yield* sql`
            update server_tokens
               set revoked_at = ${now}
             where server_id = ${id}
               and id <> ${tokenId}
               and revoked_at is null
               and (created_at, id) < (select created_at, id from server_tokens where id = ${tokenId})`
          yield* forget(id)
        },
        sql.withTransaction,
        Effect.orDie
      )

      const authenticate = Effect.fn("ServerTokens.authenticate")(
        function* (token: Credential<"serverToken">) {
          const candidates = yield* Cache.get(known, ServerId.make(token.id))
          const now = yield* DateTime.now
          const holder = candidates.find((candidate) => isDigestOf(candidate.digest, token.secret))
          if (
            holder === undefined ||
            (holder.expiresAt !== null && DateTime.isLessThanOrEqualTo(holder.expiresAt, now))
          ) {
            return yield* new UnknownCredential()
          }
          if (holder.firstUsedAt === null) yield* use(holder.id, holder.tokenId)
          return holder
        },
        Effect.catchTag("NoSuchElementError", () => new UnknownCredential()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const insert = Effect.fnUntraced(function* (id: ServerId) {
        const { digest, secret } = yield* secrets.mint("serverToken", id)
        yield* sql`insert into server_tokens ${sql.insert({
          id: yield* secrets.id,
          serverId: id,
          digest: Buffer.from(digest, "base64url"),
          createdAt: DateTime.toDateUtc(yield* DateTime.now)
        })}`
        yield* forget(id)
        return secret
      })

      const rotate = Effect.fn("ServerTokens.rotate")(
        function* (id: ServerId) {
          const now = yield* DateTime.now
          const until = DateTime.toDateUtc(DateTime.addDuration(now, policy.tokenOverlap))
          // One that was never used has not reached its server, which is why it asks again: there are two at most.
          yield* sql`
            update server_tokens
               set expires_at = least(expires_at, ${until}),
                   revoked_at = case when first_used_at is null then ${DateTime.toDateUtc(now)} end
             where server_id = ${id}
               and revoked_at is null`
          return yield* insert(id)
        },
        sql.withTransaction,
        Effect.orDie
      )

      const revoke = Effect.fn("ServerTokens.revoke")(function* (id: ServerId) {
        const now = DateTime.toDateUtc(yield* DateTime.now)
        yield* sql`update server_tokens set revoked_at = ${now} where server_id = ${id} and revoked_at is null`
        yield* forget(id)
      }, Effect.orDie)

      const reissue = Effect.fn("ServerTokens.reissue")(
        (id: ServerId) => Effect.andThen(revoke(id), insert(id)),
        sql.withTransaction,
        Effect.orDie
      )

      return ServerTokens.of({ authenticate, rotate, reissue, revoke, forget, forgetAll })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide(Secrets.layer))
}
