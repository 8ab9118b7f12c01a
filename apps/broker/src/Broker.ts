/** A whole broker: everything it serves and everything it does by itself, on whichever database is provided. */
import { Api } from "@broker/api/Api"
import * as Core from "@broker/core/Core"
import * as DatabaseClock from "@broker/core/database/DatabaseClock"
import { isDatabaseAway } from "@broker/core/database/SqlFailure"
import { Installation } from "@broker/core/Installation"
import * as Jobs from "@broker/core/Jobs"
import { maxInventory } from "@broker/domain/Inventory"
import { problems } from "@broker/domain/Problems"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { type Duration, Effect, Layer, type Redacted } from "effect"
import { HttpApiBuilder, OpenApi } from "effect/http-api"
import type { IpNetwork } from "effect/net"
import { SqlClient } from "effect/sql"
import { AdminsHttp } from "./http/AdminsHttp.ts"
import { AuditEntriesHttp } from "./http/AuditEntriesHttp.ts"
import { AuditExportApi } from "./http/AuditExportApi.ts"
import { AuditHttp } from "./http/AuditHttp.ts"
import * as Authentication from "./http/Authentication.ts"
import { AvailabilityHttp } from "./http/AvailabilityHttp.ts"
import { ClientsHttp } from "./http/ClientsHttp.ts"
import { ConnectionsHttp } from "./http/ConnectionsHttp.ts"
import * as Dashboard from "./http/Dashboard.ts"
import { DevicesHttp } from "./http/DevicesHttp.ts"
import { DiscoveryHttp } from "./http/DiscoveryHttp.ts"
import * as Docs from "./http/Docs.ts"
import * as Edge from "./http/Edge.ts"
import { EventsExportApi } from "./http/EventsExportApi.ts"
import { EventsExportHttp } from "./http/EventsExportHttp.ts"
import { EventsHttp, SecurityEventsHttp } from "./http/EventsHttp.ts"
import { FleetHttp } from "./http/FleetHttp.ts"
import { GroupsHttp } from "./http/GroupsHttp.ts"
import * as Guides from "./http/Guides.ts"
import * as Health from "./http/Health.ts"
import { InventoryExportApi } from "./http/InventoryExportApi.ts"
import { InventoryHttp } from "./http/InventoryHttp.ts"
import * as Listener from "./http/Listener.ts"
import { MetricsHttp } from "./http/MetricsHttp.ts"
import * as ProblemPages from "./http/ProblemPages.ts"
import * as RateLimiting from "./http/RateLimiting.ts"
import { RegistrationKeysHttp } from "./http/RegistrationKeysHttp.ts"
import { ReportFilesApi } from "./http/ReportFilesApi.ts"
import { ReportFilesHttp } from "./http/ReportFilesHttp.ts"
import { ReportRunsHttp, ReportsHttp } from "./http/ReportsHttp.ts"
import { ServersHttp } from "./http/ServersHttp.ts"
import { SessionsApi } from "./http/SessionsApi.ts"
import { SessionsHttp } from "./http/SessionsHttp.ts"
import { SingleSignOnHttp } from "./http/SingleSignOnHttp.ts"
import { PersonalKeysHttp, UsersHttp } from "./http/UsersHttp.ts"
import * as ValidationHttp from "./http/ValidationHttp.ts"
import { WebhooksHttp } from "./http/WebhooksHttp.ts"
import { WellKnown } from "./http/WellKnown.ts"
import { callsIn } from "./pages/ProblemCatalogue.ts"
import * as Tls from "./Tls.ts"
import { AdminRpc } from "./trpc/AdminRpc.ts"

export interface BrokerOptions {
  readonly version: string
  /** The public origin: the audience of signatures, and what browsers and agents are pointed to. */
  readonly audience: string
  readonly host: string
  readonly port: number
  /** For HTTPS without a proxy in front. */
  readonly tls?: Tls.Files | undefined
  readonly trustedProxies?: ReadonlyArray<IpNetwork.IpNetwork> | undefined
  readonly metricsToken?: Redacted.Redacted<string> | undefined
  /** How long `/readyz` says no before the listener closes. */
  readonly drainDelay?: Duration.Input | undefined
}

const PublicApi = HttpApiBuilder.layer(Api).pipe(
  Layer.provide([
    ServersHttp,
    ClientsHttp,
    DiscoveryHttp,
    FleetHttp,
    GroupsHttp,
    UsersHttp,
    PersonalKeysHttp,
    DevicesHttp,
    RegistrationKeysHttp,
    AvailabilityHttp,
    WebhooksHttp,
    ReportsHttp,
    ReportRunsHttp,
    ConnectionsHttp,
    EventsHttp,
    SecurityEventsHttp,
    AuditEntriesHttp,
    AdminsHttp,
    MetricsHttp
  ]),
  Layer.provide([Authentication.layer, ValidationHttp.layer, RateLimiting.layer])
)

const Sessions = HttpApiBuilder.layer(SessionsApi).pipe(
  Layer.provide(SessionsHttp),
  Layer.provide([ValidationHttp.layer, RateLimiting.layer])
)

const AuditExport = HttpApiBuilder.layer(AuditExportApi).pipe(
  Layer.provide(AuditHttp),
  Layer.provide([ValidationHttp.layer, RateLimiting.layer])
)

const ReportFiles = HttpApiBuilder.layer(ReportFilesApi).pipe(
  Layer.provide(ReportFilesHttp),
  Layer.provide([ValidationHttp.layer, RateLimiting.layer])
)

const InventoryExport = HttpApiBuilder.layer(InventoryExportApi).pipe(
  Layer.provide(InventoryHttp),
  Layer.provide([ValidationHttp.layer, RateLimiting.layer])
)

const EventsExport = HttpApiBuilder.layer(EventsExportApi).pipe(
  Layer.provide(EventsExportHttp),
  Layer.provide([ValidationHttp.layer, RateLimiting.layer])
)

/** Every problem of the domain, for its page. */
export const explained = Object.fromEntries(
  Array.from(problems, ([code, { detail, ...problem }]) => [code, { ...problem, meaning: detail }])
)

/** What has to hold for the broker to serve. */
const checks = Layer.effect(
  Health.Readiness,
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const clock = yield* DatabaseClock.DatabaseClock
    return [
      {
        name: "database",
        run: Effect.mapError(Effect.asVoid(sql`select 1`), () => "The database does not answer")
      },
      {
        name: "clock",
        run: Effect.flatMap(clock.drifted, (drifted) =>
          drifted ? Effect.fail("This machine's clock and the database's are moving apart") : Effect.void
        )
      }
    ]
  })
)

const listener = ({ drainDelay, host, port, tls }: BrokerOptions) =>
  tls === undefined
    ? Listener.layer({ host, port, drainDelay })
    : Layer.unwrap(Effect.map(Tls.open(tls), (tls) => Listener.layer({ host, port, drainDelay, tls })))

/**
 * Serves until its scope closes: then the listener drains first, streams end, buffered heartbeats are written, and the
 * lease is handed over (J5).
 */
export const layer = (options: BrokerOptions) => {
  const pages = Layer.mergeAll(
    WellKnown,
    Docs.layer(Api),
    Guides.layer,
    Health.layer({ version: options.version, metricsToken: options.metricsToken }),
    ProblemPages.layer(explained, callsIn(OpenApi.fromApi(Api))),
    Dashboard.layer()
  )
  const routes = Layer.mergeAll(
    PublicApi,
    Sessions,
    SingleSignOnHttp,
    AuditExport,
    EventsExport,
    InventoryExport,
    ReportFiles,
    AdminRpc,
    pages.pipe(Layer.provide(RateLimiting.pages))
  )
  const edge = Edge.layer(routes, {
    trustedProxies: options.trustedProxies,
    publicOrigin: options.audience,
    isUnavailable: isDatabaseAway,
    foreignErrors: ["/rpc/"],
    // A file as a string of JSON, where each quote of its own takes one character more.
    largerBodies: { "/rpc/inventory.": 2 * maxInventory.bytes }
  })
  return Layer.mergeAll(edge, Jobs.layer).pipe(
    Layer.provide(listener(options)),
    Layer.provide(checks),
    Layer.provideMerge(Core.layer),
    Layer.provide(Layer.succeed(Installation, { audience: options.audience, version: options.version })),
    Layer.provideMerge(DatabaseClock.layer),
    Layer.provide(NodeServices.layer)
  )
}
