/** The whole of a filtered list of connections as CSV, fetched page by page. */
import { iso, type Sheet, saveAll } from "#lib/csv.ts"
import { type ConnectionView, decodeConnectionsPage } from "#lib/fleet.ts"
import { rpc } from "#lib/rpc.ts"
import { type ConnectionsView, toQuery } from "./filters.ts"

const sheet: Sheet<ConnectionView> = {
  name: "connections",
  header: [
    "id",
    "status",
    "stale_since",
    "user",
    "user_id",
    "device",
    "device_id",
    "platform",
    "personal_key",
    "client_address",
    "server",
    "server_id",
    "asked_at",
    "active_at",
    "ended_at",
    "ended_by",
    "end_reason",
    "rx_bytes",
    "tx_bytes",
    "rtt_ms",
    "loss_ratio",
    "client_rx_bytes",
    "client_tx_bytes",
    "server_rx_bytes",
    "server_tx_bytes",
    "verdict",
    "cut_ordered_at",
    "cut_ordered_by",
    "cut_confirmed_at"
  ],
  cells: (connection) => [
    connection.id,
    connection.status,
    iso(connection.staleSince),
    connection.userName,
    connection.userId,
    connection.deviceName,
    connection.deviceId,
    connection.platform,
    connection.personalKeyName,
    connection.clientAddress,
    connection.serverName,
    connection.serverId,
    iso(connection.createdAt),
    iso(connection.activeAt),
    iso(connection.endedAt),
    connection.endedBy,
    connection.endReason,
    connection.rxBytes,
    connection.txBytes,
    connection.rttMs,
    connection.lossRatio,
    connection.clientRxBytes,
    connection.clientTxBytes,
    connection.serverRxBytes,
    connection.serverTxBytes,
    connection.verdict,
    iso(connection.cutOrderedAt),
    connection.cutOrderedBy,
    iso(connection.cutConfirmedAt)
  ]
}

/** Returns how many connections it wrote. `progress` hears of each page. */
export const exportConnections = (view: ConnectionsView, progress: (rows: number) => void) =>
  saveAll(
    sheet,
    async (page) => decodeConnectionsPage(await rpc.connections.list.query({ ...toQuery(view), ...page })),
    progress
  )
