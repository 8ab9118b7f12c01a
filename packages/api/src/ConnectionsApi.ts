import {
  ClientReport,
  Connection,
  ConnectionGranted,
  ConnectionId,
  ConnectionLimitReached,
  ConnectionNotFound,
  ConnectionOver,
  ConnectionRequest,
  NoServerMatches,
  ServerUnavailable
} from "@broker/domain/Connection"
import { DeviceBlocked } from "@broker/domain/Device"
import { IdempotencyKeyReused } from "@broker/domain/Registration"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { ClientAuthentication } from "./Authentication.ts"
import { idempotencyKey } from "./IdempotencyKey.ts"
import { SpentBudget } from "./RateLimiting.ts"

/** A client's connections: asked for, followed, ended. */
export class ConnectionsApi extends HttpApiGroup.make("connections")
  .add(
    HttpApiEndpoint.post("connect", "/", {
      headers: idempotencyKey,
      payload: ConnectionRequest,
      success: ConnectionGranted,
      error: [ServerUnavailable, NoServerMatches, ConnectionLimitReached, DeviceBlocked, IdempotencyKeyReused]
    })
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Ask for a connection, and get a grant for it")
      .annotate(
        OpenApi.Description,
        "Names a server, or says what to select one by. The intent lives 60 seconds; the grant is a JWS by EdDSA, good for 2 minutes, that the server checks by `/.well-known/jwks.json`."
      ),
    HttpApiEndpoint.get("get", "/:id", {
      params: { id: ConnectionId },
      success: Connection.json,
      error: ConnectionNotFound
    })
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Read a connection of this device"),
    HttpApiEndpoint.patch("report", "/:id", {
      params: { id: ConnectionId },
      payload: ClientReport,
      success: Connection.json,
      error: [ConnectionNotFound, ConnectionOver]
    })
      .annotate(SpentBudget, "api")
      .annotate(OpenApi.Summary, "Report progress or the end of a connection")
      .annotate(
        OpenApi.Description,
        "Figures are totals as the client counts them. The first end is final; the client's account of an end that another side told first is still taken."
      )
  )
  .middleware(ClientAuthentication)
  .prefix("/connections")
  .annotateMerge(OpenApi.annotations({ title: "Connections", description: "For clients: connect, report, end." })) {}
