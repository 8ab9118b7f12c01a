/** Servers and acts as the broker sends them. */
import type { BulkAct } from "@broker/domain/BulkAct"

const at = "2026-11-23T12:00:00.000Z"

export const idOf = (number: number) => `01936b3e-0000-7000-9000-${String(number).padStart(12, "0")}`

export const serverJson = (number: number, fields: Record<string, unknown> = {}) => ({
  id: idOf(number),
  name: `server-${number}`,
  admission: "approved",
  liveness: "online",
  duty: "serving",
  verified: true,
  publicKey: "A".repeat(43),
  version: "1.0.0",
  endpoints: [],
  capabilities: {},
  tags: [],
  labels: {},
  group: null,
  location: null,
  publicAddress: null,
  registeredAt: at,
  lastSeenAt: at,
  status: "online",
  statusReason: null,
  statusSince: at,
  activeConnections: 0,
  liveConnections: 0,
  connectionLimit: 10,
  metrics: {},
  heartbeatIntervalSeconds: 30,
  verifiedAt: at,
  available: true,
  groupId: null,
  declaredTags: [],
  declaredLabels: {},
  assignedTags: [],
  assignedLabels: {},
  ownConnectionLimit: null,
  skewSeconds: 0,
  falls: 0,
  ...fields
})

export const actJson = (number: number, fields: Partial<typeof BulkAct.Encoded> = {}): typeof BulkAct.Encoded => ({
  id: idOf(number),
  action: { _tag: "SetDuty", duty: "draining" },
  adminName: "ada",
  state: "running",
  total: 100,
  changed: 0,
  same: 0,
  failed: 0,
  problems: [],
  stoppedBecause: null,
  undoable: false,
  undoneBy: null,
  undoes: null,
  createdAt: at,
  finishedAt: null,
  ...fields
})
