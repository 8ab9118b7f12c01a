import { Connections } from "@broker/core/connections/Connections"
import { Cuts } from "@broker/core/connections/Cuts"
import { Servers } from "@broker/core/servers/Servers"
import {
  ConnectionId,
  ConnectionNotFound,
  type ConnectionStatus,
  ConnectionsQuery,
  Cut,
  LedgerConnection,
  type Verdict
} from "@broker/domain/Connection"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { Page } from "@broker/domain/Primitives"
import { DateTime, Effect, Option, Schema } from "effect"
import { onDatabase } from "../Backstage.ts"
import { usage } from "../Failure.ts"
import * as Output from "../Output.ts"
import { findUser } from "./findUser.ts"
import { idOf } from "./idOf.ts"
import { pageOf } from "./pages.ts"
import { wrongFlags } from "./wrongFlags.ts"

interface Common {
  readonly dataDir: Option.Option<string>
  readonly json: boolean
}

const encode = Schema.encodeSync(LedgerConnection.json)
const encodePage = Schema.encodeSync(Page(LedgerConnection.json))
const encodeCuts = Schema.encodeSync(Schema.Array(Cut.json))

const connectionId = (text: string) => idOf(ConnectionId, text, () => new ConnectionNotFound())

const status = (connection: LedgerConnection) =>
  connection.staleSince === null ? connection.status : `${connection.status} (stale)`

const bytes = (count: number | null) => {
  if (count === null) return "–"
  const units = ["B", "kB", "MB", "GB", "TB", "PB"]
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3))
  const amount = count / 1_000 ** unit
  return `${unit === 0 ? amount : amount.toPrecision(3)} ${units[unit]}`
}

const row = (now: DateTime.Utc) => (connection: LedgerConnection) => [
  connection.id,
  status(connection),
  connection.userName,
  connection.deviceName,
  connection.serverName,
  Output.relative(connection.activeAt ?? connection.createdAt, now),
  bytes(connection.rxBytes),
  bytes(connection.txBytes),
  Output.or(connection.verdict),
  Output.or(connection.endReason)
]

export const list = Effect.fnUntraced(function* (
  flags: Common & {
    readonly all: boolean
    readonly user: Option.Option<string>
    readonly server: Option.Option<string>
    readonly statuses: ReadonlyArray<ConnectionStatus>
    readonly verdicts: ReadonlyArray<Verdict>
    readonly search: string
    readonly limit: number
    readonly cursor: Option.Option<string>
  }
) {
  const isAll = flags.all || flags.statuses.length > 0 || flags.verdicts.length > 0
  const query = yield* Schema.decodeEffect(ConnectionsQuery)({
    ...(yield* pageOf(flags)),
    scope: isAll ? "all" : "live",
    text: flags.search,
    statuses: flags.statuses,
    stale: null,
    verdicts: flags.verdicts,
    reasons: [],
    userId: null,
    deviceId: null,
    serverId: null,
    personalKeyId: null
  }).pipe(
    Effect.mapError((error) =>
      usage(wrongFlags(error, { text: "--search", cursor: "--cursor" }), "Take a text of 128 characters at most.")
    )
  )
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const user = Option.isSome(flags.user) ? yield* findUser(flags.user.value) : null
      const servers = yield* Servers
      const server = Option.isSome(flags.server)
        ? yield* servers.find(defaultOrganizationId, flags.server.value.trim())
        : null
      const page = yield* Connections.use((connections) =>
        connections.list(defaultOrganizationId, {
          ...query,
          userId: user?.id ?? null,
          serverId: server?.id ?? null
        })
      )
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        encodePage(page),
        Output.table(
          ["ID", "STATUS", "USER", "DEVICE", "SERVER", "SINCE", "RECEIVED", "SENT", "VERDICT", "REASON"],
          page.items.map(row(now))
        ),
        isAll ? "No connection matches." : "Nobody is connected. `--all` lists those that are over too."
      )
    })
  )
})

const side = (
  now: DateTime.Utc,
  told: {
    readonly at: DateTime.Utc | null
    readonly endedAt: DateTime.Utc | null
    readonly reason: string | null
    readonly rx: number | null
    readonly tx: number | null
  }
) => {
  if (told.at === null) return "told nothing"
  const end = told.endedAt === null ? "" : `, ended ${Output.relative(told.endedAt, now)} (${Output.or(told.reason)})`
  return `received ${bytes(told.rx)}, sent ${bytes(told.tx)}${end}`
}

const details = (connection: LedgerConnection, now: DateTime.Utc) =>
  Output.fields([
    ["id", connection.id],
    ["status", status(connection)],
    ["user", `${connection.userName} (${connection.userId})`],
    ["key", `${connection.personalKeyName} (${connection.personalKeyId})`],
    ["device", `${connection.deviceName}, ${connection.platform} (${connection.deviceId})`],
    ["server", `${connection.serverName} (${connection.serverId})`],
    ["address", Output.or(connection.clientAddress)],
    ["asked for", Output.relative(connection.createdAt, now)],
    ["active", Output.relative(connection.activeAt, now)],
    [
      "ended",
      connection.endedAt === null
        ? "–"
        : `${Output.relative(connection.endedAt, now)} by the ${connection.endedBy} (${Output.or(connection.endReason)})`
    ],
    [
      "client",
      side(now, {
        at: connection.clientReportedAt,
        endedAt: connection.clientEndedAt,
        reason: connection.clientReason,
        rx: connection.clientRxBytes,
        tx: connection.clientTxBytes
      })
    ],
    [
      "server's side",
      side(now, {
        at: connection.serverReportedAt,
        endedAt: connection.serverEndedAt,
        reason: connection.serverReason,
        rx: connection.serverRxBytes,
        tx: connection.serverTxBytes
      })
    ],
    ["verdict", Output.or(connection.verdict)],
    [
      "cut",
      connection.cutOrderedAt === null
        ? "–"
        : `ordered ${Output.relative(connection.cutOrderedAt, now)} by ${Output.or(connection.cutOrderedBy)}, ` +
          (connection.cutConfirmedAt === null
            ? "not confirmed yet"
            : `confirmed ${Output.relative(connection.cutConfirmedAt, now)}`)
    ]
  ])

export const show = Effect.fnUntraced(function* (flags: Common & { readonly id: string }) {
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* connectionId(flags.id)
      const connection = yield* Connections.use((connections) => connections.find(defaultOrganizationId, id))
      yield* Output.either(flags.json, encode(connection), details(connection, yield* DateTime.now))
    })
  )
})

export const disconnect = Effect.fnUntraced(function* (flags: Common & { readonly id: string }) {
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const id = yield* connectionId(flags.id)
      const connection = yield* Connections.use((connections) => connections.disconnect(defaultOrganizationId, id))
      yield* Output.either(flags.json, encode(connection), [
        `The connection of ${connection.userName} to ${connection.serverName} is over (${Output.or(connection.endReason)}).`
      ])
    })
  )
})

const cutRow = (now: DateTime.Utc) => (cut: Cut) => [
  Output.relative(cut.orderedAt, now),
  `${cut.subjectKind} ${cut.subjectName}`,
  cut.reason,
  cut.orderedBy,
  `${cut.confirmedConnections} of ${cut.connections}`,
  `${cut.confirmedServers} of ${cut.servers}${cut.overdueServers === 0 ? "" : `, ${cut.overdueServers} overdue`}`,
  cut.slowestSeconds === null ? "–" : `${cut.slowestSeconds.toFixed(1)} s`
]

export const cuts = Effect.fnUntraced(function* (flags: Common & { readonly limit: number }) {
  const { limit } = yield* pageOf({ limit: flags.limit, cursor: Option.none() })
  yield* onDatabase(flags, () =>
    Effect.gen(function* () {
      const cuts = yield* Cuts.use((cuts) => cuts.list(defaultOrganizationId, { subjectId: null, limit }))
      const now = yield* DateTime.now
      yield* Output.page(
        flags.json,
        { items: encodeCuts(cuts), nextCursor: null },
        Output.table(
          ["ORDERED", "WHAT", "REASON", "BY", "CONNECTIONS CUT", "SERVERS CONFIRMED", "SLOWEST"],
          cuts.map(cutRow(now))
        ),
        "Nothing was cut."
      )
    })
  )
})
