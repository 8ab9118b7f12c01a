/** A whole broker: everything it serves and everything it does by itself, on whichever database is provided. */
import { Api } from "@broker/api/Api"
import * as Core from "@broker/core/Core"
import * as DatabaseClock from "@broker/core/database/DatabaseClock"
import { isDatabaseAway } from "@broker/core/database/SqlFailure"
import { Installation } from "@broker/core/Installation"
import * as Jobs from "@broker/core/Jobs"
import { problems } from "@broker/domain/Problems"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { type Duration, Effect, Layer, type Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import type { IpNetwork } from "effect/net"
import { SqlClient } from "effect/sql"
import { AuditEntriesHttp } from "./http/AuditEntriesHttp.ts"
import { AuditExportApi } from "./http/AuditExportApi.ts"
import { AuditHttp } from "./http/AuditHttp.ts"
import * as Authentication from "./http/Authentication.ts"
import { ClientsHttp } from "./http/ClientsHttp.ts"
import { ConnectionsHttp } from "./http/ConnectionsHttp.ts"
import * as Dashboard from "./http/Dashboard.ts"
import { DiscoveryHttp } from "./http/DiscoveryHttp.ts"
import * as Docs from "./http/Docs.ts"
import * as Edge from "./http/Edge.ts"
import * as Health from "./http/Health.ts"
import * as Listener from "./http/Listener.ts"
import { MetricsHttp } from "./http/MetricsHttp.ts"
import * as ProblemPages from "./http/ProblemPages.ts"
import * as RateLimiting from "./http/RateLimiting.ts"
import { ServersHttp } from "./http/ServersHttp.ts"
import { SessionsApi } from "./http/SessionsApi.ts"
import { SessionsHttp } from "./http/SessionsHttp.ts"
import { SingleSignOnHttp } from "./http/SingleSignOnHttp.ts"
import * as ValidationHttp from "./http/ValidationHttp.ts"
import { WellKnown } from "./http/WellKnown.ts"
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
  Layer.provide([ServersHttp, ClientsHttp, DiscoveryHttp, ConnectionsHttp, AuditEntriesHttp, MetricsHttp]),
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

const explained = Object.fromEntries(
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
    Health.layer({ version: options.version, metricsToken: options.metricsToken }),
    ProblemPages.layer(explained),
    Dashboard.layer()
  )
  const routes = Layer.mergeAll(
    PublicApi,
    Sessions,
    SingleSignOnHttp,
    AuditExport,
    AdminRpc,
    pages.pipe(Layer.provide(RateLimiting.pages))
  )
  const edge = Edge.layer(routes, {
    trustedProxies: options.trustedProxies,
    publicOrigin: options.audience,
    isUnavailable: isDatabaseAway,
    foreignErrors: ["/rpc/"]
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
