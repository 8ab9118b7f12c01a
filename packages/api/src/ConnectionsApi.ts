import {
  ClientReport,
  Connection,
  ConnectionGranted,
  ConnectionId,
  ConnectionLimitReached,
  ConnectionNotFound,
  ConnectionOver,
  ConnectionRequest,
  ConnectionStatus,
  ConnectionsQuery,
  LedgerConnection,
  NoServerMatches,
  ServerUnavailable,
  Verdict
} from "@broker/domain/Connection"
import { DeviceBlocked, DeviceId } from "@broker/domain/Device"
import { PersonalKeyId } from "@broker/domain/PersonalKey"
import { InvalidCursor, Page, PageLimit, Text } from "@broker/domain/Primitives"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import { ServerId } from "@broker/domain/Server"
import { UserId } from "@broker/domain/User"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ApiTokenAuthentication, ClientAuthentication, ReaderAuthentication, requires } from "./Authentication.ts"
import { ifNoneMatch, Sparse, sparse } from "./Conditional.ts"
import { example, sample } from "./Example.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { accounts, ledger } from "./MachineSamples.ts"
import { SpentBudget } from "./RateLimiting.ts"
import { connected, drawn, frankfurt } from "./Samples.ts"

const several = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.ArrayEnsure(schema))

/** A client's connections: asked for, followed, ended. And all of them, for machines with an API token. */
export class ConnectionsApi extends HttpApiGroup.make("connections")
  .add(
    HttpApiEndpoint.post("connect", "/", {
      headers: idempotencyKey,
      payload: ConnectionRequest,
      success: ConnectionGranted,
      error: [ServerUnavailable, NoServerMatches, ConnectionLimitReached, DeviceBlocked, IdempotencyKeyReused]
    })
      .middleware(ClientAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          headers: { "idempotency-key": "6f1d2c9e-connect" },
          body: { select: { capability: ["vpn"], tag: ["eu"], near: "50.11,8.68" } },
          answer: {
            connection: {
              ...connected,
              id: "019ab8f2-1a3b-7c4d-8e5f-6a7b8c9d0e13",
              status: "intent",
              createdAt: "2026-11-22T10:30:00.000Z",
              expiresAt: "2026-11-22T10:31:00.000Z",
              grantExpiresAt: "2026-11-22T10:32:00.000Z",
              activeAt: null,
              rxBytes: null,
              txBytes: null
            },
            grant:
              "eyJhbGciOiJFZERTQSIsInR5cCI6ImdyYW50K2p3dCIsImtpZCI6IjAxOWFiOGYwIn0.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
            server: { ...frankfurt, version: "1.4.3", labels: { rack: "b4" }, load: 0.02, distanceKm: 0 },
            explanation: { sort: "nearest", load: 0.02, distanceKm: 0, passedOver: [] }
          },
          varies: [...drawn, "grant", "load"]
        })
      )
      .annotate(OpenApi.Summary, "Ask for a connection, and get a grant for it")
      .annotate(
        OpenApi.Description,
        "Names a server, or says what to select one by. The intent lives 60 seconds; the grant is a JWS by EdDSA, good for 2 minutes, that the server checks by `/.well-known/jwks.json`."
      ),
    HttpApiEndpoint.get("list", "/", {
      query: Schema.Struct({
        scope: Schema.optionalKey(ConnectionsQuery.fields.scope),
        q: Schema.optionalKey(Text(128)),
        status: several(ConnectionStatus),
        stale: Schema.optionalKey(Schema.Boolean),
        verdict: several(Verdict),
        reason: several(Text(128)),
        userId: Schema.optionalKey(UserId),
        deviceId: Schema.optionalKey(DeviceId),
        serverId: Schema.optionalKey(ServerId),
        personalKeyId: Schema.optionalKey(PersonalKeyId),
        limit: Schema.optionalKey(PageLimit),
        cursor: Schema.optionalKey(Text(512)),
        ...sparse
      }),
      success: Page(LedgerConnection.json),
      error: InvalidCursor
    })
      .middleware(ApiTokenAuthentication)
      .annotateMerge(requires("connections:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          query: { scope: "live", userId: sample.user, limit: "10" },
          answer: { items: [ledger], nextCursor: null },
          varies: accounts
        })
      )
      .annotate(OpenApi.Summary, "List connections of everybody, the newest first")
      .annotate(
        OpenApi.Description,
        "`q` is part of the name of a user, a device or a server, or a whole id or a client's address. Live ones, those that are over, or `all`, which is usual."
      ),
    HttpApiEndpoint.get("get", "/:id", {
      params: { id: ConnectionId },
      headers: ifNoneMatch,
      query: Sparse,
      success: Schema.Union([LedgerConnection.json, Connection.json]),
      error: ConnectionNotFound
    })
      .middleware(ReaderAuthentication)
      .annotateMerge(requires("connections:read"))
      .annotate(SpentBudget, "api")
      .annotateMerge(example({ path: { id: sample.connection }, answer: connected }))
      .annotate(OpenApi.Summary, "Read a connection")
      .annotate(
        OpenApi.Description,
        "A client reads those of its device; a machine any, with names and the accounts of both sides."
      ),
    HttpApiEndpoint.patch("report", "/:id", {
      params: { id: ConnectionId },
      payload: ClientReport,
      success: Connection.json,
      error: [ConnectionNotFound, ConnectionOver]
    })
      .middleware(ClientAuthentication)
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.connection },
          body: { metrics: { rttMs: 21, lossRatio: 0.001, rxBytes: 1_200_000, txBytes: 80_000 } },
          answer: { ...connected, rttMs: 21, lossRatio: 0.001 }
        })
      )
      .annotate(OpenApi.Summary, "Report progress or the end of a connection")
      .annotate(
        OpenApi.Description,
        "Figures are totals as the client counts them. The first end is final; the client's account of an end that another side told first is still taken."
      ),
    HttpApiEndpoint.post("disconnect", "/:id/disconnect", {
      params: { id: ConnectionId },
      headers: idempotencyKey,
      success: LedgerConnection.json,
      error: [ConnectionNotFound, IdempotencyKeyReused]
    })
      .middleware(ApiTokenAuthentication)
      .annotateMerge(requires("connections:disconnect"))
      .annotate(SpentBudget, "api")
      .annotateMerge(
        example({
          path: { id: sample.connection },
          answer: {
            ...ledger,
            status: "ended",
            endedAt: "2026-11-22T10:12:00.000Z",
            endedBy: "broker",
            endReason: "admin_disconnected",
            cutOrderedAt: "2026-11-22T10:12:00.000Z",
            cutOrderedBy: "exporter"
          },
          varies: accounts
        })
      )
      .annotate(OpenApi.Summary, "End a connection, as an admin would")
      .annotate(OpenApi.Description, "Its server is told with its next heartbeat. One that is over stays as it is.")
  )
  .prefix("/connections")
  .annotateMerge(
    OpenApi.annotations({
      title: "Connections",
      description: "For clients: connect, report, end. For machines with an API token: read and end."
    })
  ) {}
