/** Groups and servers as a file, a line for each, so that what changed between two of them is easy to see. */
import { type InventoryFormat, InventoryGroup, InventoryServer, inventoryVersion } from "@broker/domain/Inventory"
import { DateTime, Schema } from "effect"
import * as Cells from "./InventoryCells.ts"
import { columns, fieldOf, isField } from "./InventoryColumns.ts"
import type { StoredGroup, StoredServer } from "./InventorySql.ts"

const encodeGroup = Schema.encodeSync(InventoryGroup)
const encodeServer = Schema.encodeSync(InventoryServer)

const groupOf = ({ connectionLimit, heartbeatIntervalSeconds, id, path, verificationPeriodSeconds }: StoredGroup) =>
  encodeGroup({ id, path, heartbeatIntervalSeconds, verificationPeriodSeconds, connectionLimit })

/** Of what is stored, the fields of the document in its order. */
const serverOf = (server: StoredServer) =>
  encodeServer({
    id: server.id,
    name: server.name,
    group: server.group,
    tags: server.tags,
    labels: server.labels,
    connectionLimit: server.connectionLimit,
    status: server.status,
    duty: server.duty,
    version: server.version,
    endpoints: server.endpoints,
    declaredTags: server.declaredTags,
    declaredLabels: server.declaredLabels,
    publicAddress: server.publicAddress,
    publicKey: server.publicKey,
    registeredAt: server.registeredAt,
    lastSeenAt: server.lastSeenAt
  })

const cellsOf = (kind: "group" | "server", values: Readonly<Record<string, unknown>>) =>
  columns.map((column) => {
    if (column === "kind") return kind
    const field = fieldOf(kind, column)
    return isField(kind, field) ? Cells.valueText(values[field]) : ""
  })

/** What begins a file, what stands between its parts, and what ends it. */
export const writer = (format: InventoryFormat, at: DateTime.Utc) => {
  if (format === "csv") {
    return {
      // By this mark, Excel reads UTF-8.
      head: `\uFEFF${Cells.line(columns)}`,
      groups: (groups: ReadonlyArray<StoredGroup>) =>
        groups.map((group) => Cells.line(cellsOf("group", groupOf(group)))).join(""),
      between: "",
      servers: (servers: ReadonlyArray<StoredServer>) =>
        servers
          .map((server) =>
            Cells.line(cellsOf("server", { ...serverOf(server), endpoints: Cells.endpointsText(server.endpoints) }))
          )
          .join(""),
      end: ""
    }
  }
  const first = new Set(["groups", "servers"])
  const lines = (list: string, items: ReadonlyArray<unknown>) =>
    items.map((item) => `${first.delete(list) ? "\n" : ",\n"}    ${JSON.stringify(item)}`).join("")
  const about = [
    `"format": "broker-inventory"`,
    `"version": ${inventoryVersion}`,
    `"exportedAt": ${JSON.stringify(DateTime.formatIso(at))}`
  ]
  return {
    head: `{\n  ${about.join(",\n  ")},\n  "groups": [`,
    groups: (groups: ReadonlyArray<StoredGroup>) => lines("groups", groups.map(groupOf)),
    between: `\n  ],\n  "servers": [`,
    servers: (servers: ReadonlyArray<StoredServer>) => lines("servers", servers.map(serverOf)),
    end: "\n  ]\n}\n"
  }
}
