/** Connections from the intent to the end: granted, reported by both sides, swept, looked at. */
import type { SignedInClient } from "@broker/domain/ClientSession"
import {
  type ClientReport,
  type Connection,
  ConnectionConflict,
  type ConnectionCounts,
  ConnectionGranted,
  ConnectionId,
  ConnectionLimitReached,
  ConnectionNotFound,
  ConnectionOver,
  type ConnectionRequest,
  type ConnectionsQuery,
  type LedgerConnection,
  NoServerMatches,
  type ServerReport,
  ServerUnavailable
} from "@broker/domain/Connection"
import { UnknownCredential } from "@broker/domain/Credential"
import { DeviceBlocked, type DeviceId } from "@broker/domain/Device"
import type { Criteria, DiscoveredServer, Explanation } from "@broker/domain/Discovery"
import { type GrantClaims, grantType } from "@broker/domain/Grant"
import type { OrganizationId } from "@broker/domain/Organization"
import type { InvalidCursor } from "@broker/domain/Primitives"
import type { IdempotencyKeyReused } from "@broker/domain/Registration"
import type { ServerId } from "@broker/domain/Server"
import { Cache, Context, DateTime, Duration, Effect, Exit, Layer, Metric, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import type { Actor } from "../audit/Actor.ts"
import { Audit } from "../audit/Audit.ts"
import * as Cursor from "../Cursor.ts"
import { Secrets } from "../crypto/Secrets.ts"
import { brokenConstraint } from "../database/SqlFailure.ts"
import { Discovery } from "../discovery/Discovery.ts"
import { Idempotency } from "../Idempotency.ts"
import { Installation } from "../Installation.ts"
import { SigningKeys } from "../signing-keys/SigningKeys.ts"
import { ConnectionsPolicy } from "./ConnectionsPolicy.ts"
import * as ConnectionsSql from "./ConnectionsSql.ts"
import { Cuts } from "./Cuts.ts"

/** Of several that fit, so many are tried before the broker says that none has room. */
const maxCandidates = 5

/** Counts are shared by all who look at them within this time. */
const countsLifetime = Duration.millis(900)

const pruneLimit = 5_000

const granted = Metric.counter("broker_connections_granted_total", {
  description: "Grants given to clients",
  incremental: true
})
const refused = Metric.counter("broker_connections_refused_total", {
  description: "Intents that were not granted, by why",
  incremental: true
})
const over = Metric.counter("broker_connections_over_total", {
  description: "Connections that the broker ended by itself, by why",
  incremental: true
})

export type ConnectRefusal =
  | ServerUnavailable
  | NoServerMatches
  | ConnectionLimitReached
  | DeviceBlocked
  | UnknownCredential
  | IdempotencyKeyReused

/** What the table's refusals mean to a client. */
const refusals: Readonly<
  Record<string, () => ServerUnavailable | ConnectionLimitReached | DeviceBlocked | UnknownCredential>
> = {
  // Their sessions are ended in the same moment; this one has just not heard of it.
  connections_user_active: () => new UnknownCredential(),
  connections_key_valid: () => new UnknownCredential(),
  connections_device_allowed: () => new DeviceBlocked(),
  connections_server_available: () => new ServerUnavailable(),
  connections_key_limit: () =>
    new ConnectionLimitReached({
      scope: "personal-key",
      detail: "The personal key has as many connections as it may have."
    }),
  connections_device_limit: () =>
    new ConnectionLimitReached({ scope: "device", detail: "The device has as many connections as it may have." }),
  connections_server_limit: () =>
    new ConnectionLimitReached({ scope: "server", detail: "The server has as many connections as it may have." })
}

const refusalOf = (error: SqlError) => {
  const refusal = refusals[brokenConstraint(error) ?? ""]
  return refusal === undefined ? Effect.die(error) : Effect.fail(refusal())
}

/** Whether another server may do: this one filled up, or went away, in that very moment. */
const isOfServer = (refusal: ConnectRefusal) =>
  refusal._tag === "ServerUnavailable" || (refusal._tag === "ConnectionLimitReached" && refusal.scope === "server")

interface Connecting {
  readonly idempotencyKey: Option.Option<string>
  readonly address: string | null
}

export class Connections extends Context.Service<
  Connections,
  {
    /**
     * C2, C3: an intent and its grant. The same device and `Idempotency-Key` again give the same connection and the
     * same grant.
     */
    connect(
      client: SignedInClient,
      request: ConnectionRequest,
      options: Connecting
    ): Effect.Effect<ConnectionGranted, ConnectRefusal>
    /** One of the device's own. */
    get(client: SignedInClient, id: ConnectionId): Effect.Effect<Connection, ConnectionNotFound>
    /** Intents and active connections of the device, the newest first. */
    live(client: SignedInClient): Effect.Effect<ReadonlyArray<Connection>>
    /** What a client tells of a connection of its device. */
    reportByClient(
      client: SignedInClient,
      id: ConnectionId,
      report: ClientReport
    ): Effect.Effect<Connection, ConnectionNotFound | ConnectionOver>
    /** What a server tells of a connection that was granted for it (C4). */
    reportByServer(
      server: { readonly id: ServerId; readonly organizationId: OrganizationId },
      id: ConnectionId,
      report: ServerReport
    ): Effect.Effect<Connection, ConnectionNotFound | ConnectionOver | ConnectionConflict>
    /** As admins see it. */
    find(organizationId: OrganizationId, id: ConnectionId): Effect.Effect<LedgerConnection, ConnectionNotFound>
    list(
      organizationId: OrganizationId,
      query: ConnectionsQuery
    ): Effect.Effect<
      { readonly items: ReadonlyArray<LedgerConnection>; readonly nextCursor: string | null },
      InvalidCursor
    >
    counts(organizationId: OrganizationId): Effect.Effect<ConnectionCounts>
    /** C6: an admin ends a connection. One that is over already stays as it is. */
    disconnect(
      organizationId: OrganizationId,
      id: ConnectionId
    ): Effect.Effect<LedgerConnection, ConnectionNotFound, Actor>
    /** Expired intents, connections of lost servers (C5), accounts that nobody completed. */
    readonly sweep: Effect.Effect<{ readonly expired: number; readonly lost: number; readonly settled: number }>
    /**
     * Deletes connections that were over long ago and are rolled up, a bounded number at once; tells how many. Looks
     * after what no other job found as well.
     */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/connections/Connections") {
  static readonly layerNoDeps = Layer.effect(
    Connections,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policy = yield* ConnectionsPolicy
      const statements = yield* ConnectionsSql.make(policy)
      const secrets = yield* Secrets
      const signingKeys = yield* SigningKeys
      const discovery = yield* Discovery
      const idempotency = yield* Idempotency
      const cuts = yield* Cuts
      const audit = yield* Audit
      const { audience } = yield* Installation

      /** The same for the same connection, as EdDSA has no randomness: a repeat needs no stored answer. */
      const grantOf = ({ devicePublicKey, ...connection }: ConnectionsSql.Granted) => {
        const seconds = (at: DateTime.Utc) => Math.floor(DateTime.toEpochMillis(at) / 1000)
        return Effect.map(
          signingKeys.sign(grantType, {
            iss: audience,
            aud: audience,
            sub: connection.userId,
            jti: connection.id,
            iat: seconds(connection.createdAt),
            exp: seconds(connection.grantExpiresAt),
            connection: connection.id,
            device: connection.deviceId,
            server: connection.serverId,
            ...(devicePublicKey === null ? {} : { cnf: { jwk: { kty: "OKP", crv: "Ed25519", x: devicePublicKey } } })
          } satisfies GrantClaims),
          (grant) => Redacted.make(grant, { label: "grant" })
        )
      }

      const intend = Effect.fn("Connections.intend")(
        function* (client: SignedInClient, serverId: ServerId, { address, idempotencyKey }: Connecting) {
          const now = yield* DateTime.now
          return yield* statements.insert({
            id: ConnectionId.make(yield* secrets.id),
            organizationId: client.organizationId,
            userId: client.userId,
            personalKeyId: client.personalKeyId,
            deviceId: client.deviceId,
            serverId,
            clientAddress: address,
            idempotencyKey: Option.getOrNull(idempotencyKey),
            createdAt: now,
            expiresAt: DateTime.addDuration(now, policy.intentLifetime),
            grantExpiresAt: DateTime.addDuration(now, policy.grantLifetime)
          })
        },
        Effect.catchTag("SqlError", refusalOf)
      )

      /** What the key stood for before, if it did. Joins the caller's transaction. */
      const claim = Effect.fnUntraced(function* (deviceId: DeviceId, key: string, request: ConnectionRequest) {
        return (yield* idempotency.claim(`connections:connect:${deviceId}`, key, request))
          ? yield* statements.findByIdempotencyKey({ deviceId, idempotencyKey: key })
          : Option.none()
      })

      /** As `claim`, of a request that is made later: a key that is new stays so. */
      const recall = Effect.fn("Connections.recall")(
        function* ({ deviceId }: SignedInClient, key: string, request: ConnectionRequest) {
          // Where no connection was made by the key, it stands for nothing: the two are written together.
          if (Option.isNone(yield* statements.findByIdempotencyKey({ deviceId, idempotencyKey: key }))) {
            return Option.none()
          }
          return yield* claim(deviceId, key, request).pipe(
            Effect.flatMap(Effect.fromOption),
            sql.withTransaction,
            Effect.asSome,
            Effect.catchTag("NoSuchElementError", () => Effect.succeedNone)
          )
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** One try, in one transaction: of an attempt that is refused nothing remains, not even its key. */
      const attempt = Effect.fn("Connections.attempt")(
        function* (client: SignedInClient, serverId: ServerId, request: ConnectionRequest, options: Connecting) {
          // One statement is a transaction by itself.
          if (Option.isNone(options.idempotencyKey)) return yield* intend(client, serverId, options)
          return yield* claim(client.deviceId, options.idempotencyKey.value, request).pipe(
            Effect.flatMap(
              Option.match({
                onNone: () => intend(client, serverId, options),
                onSome: (earlier) => Effect.succeed(earlier)
              })
            ),
            sql.withTransaction
          )
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      const answer = Effect.fnUntraced(
        function* (
          connection: ConnectionsSql.Granted,
          chosen?: { readonly server: DiscoveredServer; readonly explanation: typeof Explanation.Type }
        ) {
          if (chosen !== undefined) {
            return ConnectionGranted.make({ connection, grant: yield* grantOf(connection), ...chosen })
          }
          const { grant, server } = yield* Effect.all(
            { grant: grantOf(connection), server: statements.describeServer(connection.serverId) },
            { concurrency: 2 }
          )
          return ConnectionGranted.make({ connection, grant, server })
        },
        Effect.catchTag(["NoSuchElementError", "SchemaError", "SqlError"], Effect.die)
      )

      /** The best server that has room; what was better and had none, is told. */
      const choose = Effect.fnUntraced(function* (
        client: SignedInClient,
        criteria: Criteria,
        request: ConnectionRequest,
        options: Connecting
      ) {
        // Nobody knows what the choice would be by now; it was made, and stands.
        if (Option.isSome(options.idempotencyKey)) {
          const earlier = yield* recall(client, options.idempotencyKey.value, request)
          if (Option.isSome(earlier)) return yield* answer(earlier.value)
        }
        const candidates = yield* discovery.candidates(client.organizationId, criteria, maxCandidates)
        const passedOver: Array<(typeof Explanation.Type)["passedOver"][number]> = []
        const { sort: wanted = "nearest" } = criteria
        const explain = ({ distanceKm, load }: DiscoveredServer): typeof Explanation.Type => ({
          // Without a place there is no distance to go by.
          sort: wanted === "nearest" && (criteria.near === undefined || criteria.near === "me") ? "load" : wanted,
          load,
          distanceKm,
          passedOver
        })
        for (const candidate of candidates) {
          const outcome = yield* Effect.result(attempt(client, candidate.id, request, options))
          if (outcome._tag === "Success") {
            return yield* answer(outcome.success, { server: candidate, explanation: explain(candidate) })
          }
          if (!isOfServer(outcome.failure)) return yield* Effect.fail(outcome.failure)
          passedOver.push({ id: candidate.id, name: candidate.name, reason: outcome.failure.code })
        }
        return yield* new NoServerMatches()
      })

      const connect = Effect.fn("Connections.connect")(
        (client: SignedInClient, request: ConnectionRequest, options: Connecting) =>
          "serverId" in request
            ? Effect.flatMap(attempt(client, request.serverId, request, options), (connection) => answer(connection))
            : choose(client, request.select, request, options),
        Effect.tap(() => Metric.update(granted, 1)),
        Effect.tapError(({ code }) => Metric.update(Metric.withAttributes(refused, { code }), 1))
      )

      const get = Effect.fn("Connections.get")(
        ({ deviceId }: SignedInClient, id: ConnectionId) => statements.get({ deviceId, id }),
        Effect.catchTag("NoSuchElementError", () => new ConnectionNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const live = Effect.fn("Connections.live")(
        ({ deviceId }: SignedInClient) => statements.liveOfDevice(deviceId),
        Effect.orDie
      )

      const reportByClient = Effect.fn("Connections.reportByClient")(
        function* (client: SignedInClient, id: ConnectionId, { metrics, reason, status }: ClientReport) {
          const report = {
            id,
            deviceId: client.deviceId,
            reason: reason ?? null,
            metrics: metrics ?? null,
            now: yield* DateTime.now
          }
          return yield* (status === "ended" ? statements.endByClient : statements.progressOfClient)(report).pipe(
            Effect.catchTag("NoSuchElementError", () =>
              Effect.flatMap(get(client, id), (connection) =>
                // It was called off before, and that answer was lost.
                status === "ended" && connection.status === "expired" && connection.endedBy === "client"
                  ? Effect.succeed(connection)
                  : new ConnectionOver()
              )
            )
          )
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const reportByServer = Effect.fn("Connections.reportByServer")(
        function* (
          server: { readonly id: ServerId; readonly organizationId: OrganizationId },
          id: ConnectionId,
          { metrics, reason, status }: ServerReport
        ) {
          const report = {
            id,
            serverId: server.id,
            reason: reason ?? null,
            metrics: metrics ?? null,
            now: yield* DateTime.now
          }
          const known = statements
            .ofServer({ id, serverId: server.id })
            .pipe(Effect.catchTag("NoSuchElementError", () => new ConnectionNotFound()))

          switch (status) {
            case "active":
              return yield* statements
                .accept(report)
                .pipe(Effect.catchTag("NoSuchElementError", () => Effect.andThen(known, new ConnectionOver())))
            case "refused":
              return yield* statements
                .refuse(report)
                .pipe(
                  Effect.catchTag("NoSuchElementError", () =>
                    Effect.flatMap(
                      known,
                      (connection): Effect.Effect<never, ConnectionConflict | ConnectionOver> =>
                        connection.status === "active" ? new ConnectionConflict() : new ConnectionOver()
                    )
                  )
                )
            case "ended":
              return yield* statements.endByServer(report).pipe(
                // The end overtook the beginning, or that was never heard: it was active, if only for this moment (C1).
                Effect.catchTag("NoSuchElementError", () =>
                  Effect.andThen(statements.accept(report), statements.endByServer(report)).pipe(
                    sql.withTransaction,
                    Effect.catchTag("NoSuchElementError", () => Effect.andThen(known, new ConnectionOver()))
                  )
                )
              )
          }
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const find = Effect.fn("Connections.find")(
        (organizationId: OrganizationId, id: ConnectionId) => statements.find({ organizationId, id }),
        Effect.catchTag("NoSuchElementError", () => new ConnectionNotFound()),
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const list = Effect.fn("Connections.list")(
        function* (organizationId: OrganizationId, query: ConnectionsQuery) {
          const rows = yield* statements.list({ organizationId, query, after: yield* Cursor.decode(query.cursor) })
          return Cursor.page(rows, query.limit, ({ id }) => ["", id])
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      const count = Effect.fn("Connections.counts")(function* (organizationId: OrganizationId) {
        const now = yield* DateTime.now
        const { past, present } = yield* Effect.all(
          {
            present: statements.liveCounts({
              organizationId,
              overdueBefore: DateTime.subtractDuration(now, policy.cutPatience)
            }),
            past: statements.pastCounts({ organizationId, since: DateTime.subtract(now, { hours: 24 }) })
          },
          { concurrency: 2 }
        )
        const by = new Map(past.map(({ connections, kind }) => [kind, connections]))
        const of = (kind: (typeof past)[number]["kind"]) => by.get(kind) ?? 0
        return {
          ...present,
          verdicts: {
            confirmed: of("confirmed"),
            client_only: of("client_only"),
            server_only: of("server_only"),
            byte_mismatch: of("byte_mismatch")
          },
          outcomes: { connected: of("connected"), expired: of("expired"), refused: of("refused") }
        } satisfies ConnectionCounts
      }, Effect.orDie)

      const counted = yield* Cache.makeWith(count, {
        capacity: 1_000,
        // A failure is nobody's count.
        timeToLive: (exit) => (Exit.isSuccess(exit) ? countsLifetime : Duration.zero)
      })

      const disconnect = Effect.fn("Connections.disconnect")(
        function* (organizationId: OrganizationId, id: ConnectionId) {
          const connection = yield* find(organizationId, id)
          const name = `${connection.userName} on ${connection.serverName}`
          const ended = yield* cuts.order(organizationId, { kind: "connection", id, name }, "admin_disconnected")
          if (ended === 0) return yield* find(organizationId, id)
          yield* audit.record({
            organizationId,
            action: "connections:disconnect",
            subjectKind: "connection",
            subjectId: id,
            details: {
              before: connection.status,
              user: connection.userName,
              device: connection.deviceName,
              server: connection.serverName
            }
          })
          return yield* find(organizationId, id)
        },
        sql.withTransaction,
        Effect.catchTag("SqlError", Effect.die)
      )

      const sweep = Effect.gen(function* () {
        const now = yield* DateTime.now
        const limit = policy.sweepLimit
        const expired = yield* statements.expireIntents({ now, limit })
        const lost = yield* statements.endLost({ now, limit })
        const settled = yield* statements.settle({
          now,
          endedBefore: DateTime.subtractDuration(now, policy.settlement),
          limit
        })
        yield* Metric.update(Metric.withAttributes(over, { reason: "intent_expired" }), expired.length)
        yield* Metric.update(Metric.withAttributes(over, { reason: "server_lost" }), lost.length)
        return { expired: expired.length, lost: lost.length, settled: settled.length }
      }).pipe(Effect.orDie, Effect.withSpan("Connections.sweep"))

      const prune = Effect.gen(function* () {
        const before = DateTime.toDateUtc(DateTime.subtractDuration(yield* DateTime.now, policy.history))
        yield* statements.doubtForgotten
        const gone = yield* statements.prune(before, pruneLimit)
        yield* statements.pruneCuts(before, pruneLimit)
        return gone
      }).pipe(Effect.orDie, Effect.withSpan("Connections.prune"))

      return Connections.of({
        connect,
        get,
        live,
        reportByClient,
        reportByServer,
        find,
        list,
        counts: (organizationId) => Cache.get(counted, organizationId),
        disconnect,
        sweep,
        prune
      })
    })
  )

  static readonly layer = this.layerNoDeps.pipe(Layer.provide([Audit.layer, Idempotency.layer, Secrets.layer]))
}
