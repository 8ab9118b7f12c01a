import type { Actor } from "@broker/core/audit/Actor"
import { Servers } from "@broker/core/servers/Servers"
import { type ServerSort, ServersQuery } from "@broker/domain/Fleet"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { FleetServer, ServerConnectionLimit, type ServerId, type ServerStatus } from "@broker/domain/Server"
import { DateTime, Effect, type Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { ExitCode } from "../ExitCode.ts"
import { CommandFailed } from "../Failure.ts"
import * as Output from "../Output.ts"
import { pageOf } from "./pages.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const encode = Schema.encodeSync(FleetServer.json)
const encodePage = Schema.encodeSync(Page(FleetServer.json))

const status = (server: FleetServer) =>
  server.statusReason === null ? server.status : `${server.status} (${server.statusReason})`

const row = (now: DateTime.Utc) => (server: FleetServer) => [
  server.name,
  status(server),
  server.verified ? "yes" : "no",
  String(server.activeConnections),
  Output.relative(server.lastSeenAt, now),
  Output.or(server.version),
  Output.list(server.tags),
  server.id
]

export const list = Effect.fnUntraced(function* (
  flags: Common & {
    readonly statuses: ReadonlyArray<ServerStatus>
    readonly tags: ReadonlyArray<string>
    readonly search: string
    readonly sort: ServerSort
    readonly limit: number
    readonly cursor: Option.Option<string>
  }
) {
  const query = yield* Schema.decodeEffect(ServersQuery)({
    ...(yield* pageOf(flags)),
    text: flags.search,
    statuses: flags.statuses,
    tags: flags.tags,
    verified: null,
    sort: flags.sort
  }).pipe(
    Effect.mapError(
      (error) =>
        new CommandFailed({
          code: ExitCode.usage,
          what: wrongFlags(error, { text: "--search", tags: "--tag", statuses: "--status" }),
          remedy: "Take a text of 128 characters at most, and at most 8 tags, as servers have them."
        })
    )
  )
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const page = yield* Servers.use((servers) => servers.list(defaultOrganizationId, query))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage(page),
        Output.table(
          ["NAME", "STATUS", "VERIFIED", "CONNECTIONS", "LAST SEEN", "VERSION", "TAGS", "ID"],
          page.items.map(row(now))
        ),
        "No server matches. `broker registration-key create` makes a key that lets one join."
      )
    })
  )
})

const details = (server: FleetServer, now: DateTime.Utc) =>
  Output.fields([
    ["name", server.name],
    ["id", server.id],
    ["status", `${status(server)}, ${Output.relative(server.statusSince, now)}`],
    ["admission", server.admission],
    ["liveness", server.liveness],
    ["duty", server.duty],
    ["available", server.available ? "yes" : "no"],
    ["verified", server.verifiedAt === null ? "no" : `yes, ${Output.relative(server.verifiedAt, now)}`],
    ["last seen", Output.relative(server.lastSeenAt, now)],
    ["registered", Output.relative(server.registeredAt, now)],
    [
      "connections",
      `${server.liveConnections} of ${server.connectionLimit}; it counts ${server.activeConnections} itself`
    ],
    ["version", Output.or(server.version)],
    ["address", Output.or(server.publicAddress)],
    ["endpoints", Output.list(server.endpoints.map(({ host, port, protocol }) => `${protocol}://${host}:${port}`))],
    ["capabilities", Output.list(Object.keys(server.capabilities))],
    ["tags", Output.list(server.tags)],
    ["labels", Output.list(Object.entries(server.labels).map(([key, value]) => `${key}=${value}`))],
    ["location", server.location === null ? "–" : `${server.location.latitude}, ${server.location.longitude}`],
    ["public key", server.publicKey]
  ])

/** What a command does to one server, and how it tells. */
const withServer = <E>(
  flags: Common & { readonly server: string },
  change: (id: ServerId) => Effect.Effect<FleetServer, E, Servers | Actor>,
  told: (server: FleetServer, now: DateTime.Utc) => ReadonlyArray<string>
) =>
  onDatabase(flags, () =>
    Effect.gen(function* () {
      const found = yield* Servers.use((servers) => servers.find(defaultOrganizationId, flags.server.trim()))
      const server = yield* change(found.id)
      yield* Output.either(flags.json, encode(server), told(server, yield* DateTime.now))
    })
  )

export const show = (flags: Common & { readonly server: string }) =>
  withServer(flags, (id) => Servers.use((servers) => servers.get(defaultOrganizationId, id)), details)

export const approve = (flags: Common & { readonly server: string }) =>
  withServer(
    flags,
    (id) => Servers.use((servers) => servers.approve(defaultOrganizationId, id)),
    ({ name, status }) => [`${name} is approved (${status}).`]
  )

export const suspend = (flags: Common & { readonly server: string; readonly reason: string }) =>
  withServer(
    flags,
    (id) => Servers.use((servers) => servers.suspend(defaultOrganizationId, id, flags.reason)),
    ({ name }) => [`${name} is suspended. \`broker server approve ${JSON.stringify(name)}\` lets it in again.`]
  )

export const retire = (flags: Common & { readonly server: string; readonly reason: string }) =>
  withServer(
    flags,
    (id) => Servers.use((servers) => servers.retire(defaultOrganizationId, id, flags.reason)),
    ({ name }) => [`${name} is retired, for good.`]
  )

export const limit = (flags: Common & { readonly server: string; readonly connections: number }) =>
  withServer(
    flags,
    (id) =>
      Schema.decodeEffect(ServerConnectionLimit)(flags.connections).pipe(
        Effect.mapError(
          () =>
            new CommandFailed({
              code: ExitCode.usage,
              what: `CONNECTIONS is ${flags.connections}.`,
              remedy: "Take a number from 0 to 1000000."
            })
        ),
        Effect.flatMap((limit) => Servers.use((servers) => servers.limitConnections(defaultOrganizationId, id, limit)))
      ),
    ({ connectionLimit, liveConnections, name }) => [
      `${name} takes ${connectionLimit} connections at once. It has ${liveConnections}.`
    ]
  )
