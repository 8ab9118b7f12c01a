/** The whole of a filtered list as CSV, fetched page by page. */
import { iso, type Sheet, saveAll, saveRows } from "#lib/csv.ts"
import { decodeServersPage, type ServerView } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { statuses } from "#lib/status.ts"
import { type ServersView, toQuery } from "./filters.ts"

const sheet: Sheet<ServerView> = {
  name: "servers",
  header: [
    "name",
    "id",
    "status",
    "status_reason",
    "status_since",
    "group",
    "version",
    "public_address",
    "active_connections",
    "cpu",
    "last_heartbeat",
    "verified",
    "verified_at",
    "tags",
    "registered_at"
  ],
  cells: (server) => [
    server.name,
    server.id,
    statuses[server.status].word,
    server.statusReason,
    iso(server.statusSince),
    server.group,
    server.version,
    server.publicAddress,
    server.activeConnections,
    server.metrics["cpu"] ?? null,
    iso(server.lastSeenAt),
    server.verified,
    iso(server.verifiedAt),
    server.tags.join(" "),
    iso(server.registeredAt)
  ]
}

/** Returns how many servers it wrote. `progress` hears of each page. */
export const exportServers = (view: ServersView, progress: (rows: number) => void) =>
  saveAll(
    sheet,
    async (page) => decodeServersPage(await rpc.servers.list.query({ ...toQuery(view), ...page })),
    progress
  )

/** Those that are ticked, as they are on screen. */
export const saveServers = (servers: ReadonlyArray<ServerView>) => saveRows(sheet, servers)
