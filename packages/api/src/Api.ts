/** The public HTTP API, version 1. A contract only: nothing in this package runs on the broker. */
import { HttpApi, OpenApi } from "effect/http-api"
import { AuditEntriesApi } from "./AuditEntriesApi.ts"
import { ClientsApi } from "./ClientsApi.ts"
import { ConnectionsApi } from "./ConnectionsApi.ts"
import { DiscoveryApi } from "./DiscoveryApi.ts"
import * as Document from "./Document.ts"
import { MetricsApi } from "./MetricsApi.ts"
import { RateLimiting } from "./RateLimiting.ts"
import { ServersApi } from "./ServersApi.ts"
import { Validation } from "./Validation.ts"

export class Api extends HttpApi.make("broker")
  .add(ServersApi)
  .add(ClientsApi)
  .add(DiscoveryApi)
  .add(ConnectionsApi)
  .add(AuditEntriesApi)
  .add(MetricsApi)
  .prefix("/api/v1")
  .middleware(Validation)
  .middleware(RateLimiting)
  .annotate(HttpApi.QueryParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotate(HttpApi.PayloadParseOptions, { errors: "all" })
  .annotateMerge(
    OpenApi.annotations({
      title: "Broker",
      version: "1",
      license: { name: "MIT" },
      description:
        "The control plane of a fleet of peer-to-peer gateways. Every failure is an RFC 9457 problem with a stable `code`.",
      transform: Document.transform
    })
  ) {}
