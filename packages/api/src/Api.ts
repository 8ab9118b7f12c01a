/** The public HTTP API, version 1. A contract only: nothing in this package runs on the broker. */
import { HttpApi, OpenApi } from "effect/http-api"
import { AdminsApi } from "./AdminsApi.ts"
import { AuditEntriesApi } from "./AuditEntriesApi.ts"
import { AvailabilityApi } from "./AvailabilityApi.ts"
import { ClientsApi } from "./ClientsApi.ts"
import { ConnectionsApi } from "./ConnectionsApi.ts"
import { DevicesApi } from "./DevicesApi.ts"
import { DiscoveryApi } from "./DiscoveryApi.ts"
import * as Document from "./Document.ts"
import { EventsApi, SecurityEventsApi } from "./EventsApi.ts"
import { FleetApi } from "./FleetApi.ts"
import { GroupsApi } from "./GroupsApi.ts"
import { MetricsApi } from "./MetricsApi.ts"
import { RateLimiting } from "./RateLimiting.ts"
import { RegistrationKeysApi } from "./RegistrationKeysApi.ts"
import { ReportRunsApi, ReportsApi } from "./ReportsApi.ts"
import { ServersApi } from "./ServersApi.ts"
import { PersonalKeysApi, UsersApi } from "./UsersApi.ts"
import { Validation } from "./Validation.ts"
import { WebhooksApi } from "./WebhooksApi.ts"

export class Api extends HttpApi.make("broker")
  .add(ServersApi)
  .add(ClientsApi)
  .add(DiscoveryApi)
  .add(ConnectionsApi)
  .add(FleetApi)
  .add(GroupsApi)
  .add(UsersApi)
  .add(PersonalKeysApi)
  .add(DevicesApi)
  .add(RegistrationKeysApi)
  .add(AvailabilityApi)
  .add(WebhooksApi)
  .add(ReportsApi)
  .add(ReportRunsApi)
  .add(EventsApi)
  .add(SecurityEventsApi)
  .add(AuditEntriesApi)
  .add(AdminsApi)
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
        "The control plane of a fleet of peer-to-peer gateways. Every failure is an RFC 9457 problem with a stable `code`: [all of them](/problems). New here? Begin with the [guides](/docs/guides). What came when: the [changelog](/docs/changelog).",
      transform: Document.transform
    })
  ) {}
