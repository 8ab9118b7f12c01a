/** The whole of a filtered list as CSV, fetched page by page. */

import { DateTime } from "effect"
import { download, line } from "#lib/csv.ts"
import { decodeServersPage, type ServerView } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { statuses } from "#lib/status.ts"
import { type ServersView, toQuery } from "./filters.ts"

const pageSize = 200

const header = [
  "name",
  "id",
  "status",
  "status_reason",
  "status_since",
  "version",
  "public_address",
  "active_connections",
  "cpu",
  "last_heartbeat",
  "verified",
  "verified_at",
  "tags",
  "registered_at"
]

const iso = (time: DateTime.Utc | null) => (time === null ? null : DateTime.formatIso(time))

const cells = (server: ServerView) => [
  server.name,
  server.id,
  statuses[server.status].word,
  server.statusReason,
  iso(server.statusSince),
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

/** Returns how many servers it wrote. `progress` hears of each page. */
export const exportServers = async (view: ServersView, progress: (rows: number) => void) => {
  const lines = [line(header)]
  let cursor: string | null = null
  do {
    const page = decodeServersPage(await rpc.servers.list.query({ ...toQuery(view), limit: pageSize, cursor }))
    lines.push(...page.items.map((server) => line(cells(server))))
    cursor = page.nextCursor
    progress(lines.length - 1)
  } while (cursor !== null)
  download(`servers-${new Date().toISOString().slice(0, 10)}.csv`, lines)
  return lines.length - 1
}
