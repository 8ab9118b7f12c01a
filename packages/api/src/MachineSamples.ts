/** What examples of the API for other systems show: what is there, and what they make. */
import { sample } from "./Example.ts"
import { connected, drawn, frankfurt } from "./Samples.ts"

/** What the examples make. */
export const ids = {
  /** The server that joins in the examples. */
  joined: "019ab8f1-0a2b-7c3d-8e4f-5a6b7c8d9e10",
  munich: "019ab8f1-1c4d-7e5f-8a60-7c8d9e0f1a13",
  alan: "019ab8f1-2d5e-7f60-9b71-8d9e0f1a2b14",
  desk: "019ab8f1-3e6f-7071-8c82-9e0f1a2b3c15",
  deskSuccessor: "019ab8f1-4f70-7182-9d93-0f1a2b3c4d16",
  rollout: "019ab8f1-5081-7293-8ea4-1a2b3c4d5e17",
  webhook: "019ab8f1-6192-73a4-9fb5-2b3c4d5e6f18",
  delivery: "019ab8f1-72a3-74b5-80c6-3c4d5e6f7019",
  testEvent: "019ab8f1-83b4-75c6-91d7-4d5e6f70811a",
  report: "019ab8f1-94c5-76d7-82e8-5e6f7081921b",
  run: "019ab8f1-a5d6-77e8-93f9-6f708192a31c",
  otherRun: "019ab8f1-b6e7-78f9-84a0-708192a3b41d",
  /** Charles', which is there when the story begins. */
  oldPhone: "019ab8f0-6d39-7f02-8e40-8c6b3d0f5a1e",
  charles: "019ab8f0-5b8f-7031-b5d2-af9c4e7061f1",
  note: "019ab8f0-5990-7142-86e3-b0ad5f81720f",
  window: "019ab8f0-5aa1-7253-97f4-c1be60928310"
} as const

/** Of a server, what moves by itself. */
export const moving = [
  ...drawn,
  "lastSeenAt",
  "statusSince",
  "activeConnections",
  "liveConnections",
  "metrics",
  "heartbeatIntervalSeconds",
  "skewSeconds",
  "verifiedAt"
]

/** `fra-1` as admins see it. */
export const fleetFrankfurt = {
  ...frankfurt,
  version: "1.4.3",
  labels: { rack: "b4" },
  assignedTags: ["eu"],
  groupId: sample.group,
  status: "online",
  statusReason: null,
  statusSince: "2026-11-22T10:00:30.000Z",
  activeConnections: 1,
  liveConnections: 1,
  connectionLimit: 1_000,
  metrics: { cpu: 0.41, memoryUsedBytes: 1_073_741_824 },
  heartbeatIntervalSeconds: 28.4,
  verifiedAt: "2026-11-22T10:00:05.000Z",
  available: true,
  declaredTags: [],
  declaredLabels: { rack: "b4" },
  assignedLabels: {},
  ownConnectionLimit: null,
  skewSeconds: 0.012,
  falls: 0
}

/** The one that joined after it. */
export const fleetJoined = {
  ...fleetFrankfurt,
  id: ids.joined,
  name: "fra-2",
  version: "1.4.2",
  endpoints: [{ protocol: "webrtc", host: "203.0.113.8", port: 51820 }],
  capabilities: { vpn: { ipv6: true }, lan: {} },
  labels: { rack: "b3" },
  declaredLabels: { rack: "b3" },
  liveness: "never_seen",
  lastSeenAt: null,
  activeConnections: 0,
  liveConnections: 0,
  metrics: {},
  heartbeatIntervalSeconds: null,
  skewSeconds: null,
  available: false
}

const policy = { heartbeatIntervalSeconds: null, verificationPeriodSeconds: null, connectionLimit: null }
const effective = {
  effectiveHeartbeatIntervalSeconds: null,
  effectiveVerificationPeriodSeconds: null,
  effectiveConnectionLimit: null
}

export const groupOfFrankfurt = {
  id: sample.group,
  parentId: sample.parentGroup,
  name: "frankfurt",
  ...policy,
  path: "eu/frankfurt",
  depth: 2,
  ...effective,
  createdAt: "2026-11-22T09:58:00.000Z"
}

export const munich = {
  ...groupOfFrankfurt,
  id: ids.munich,
  name: "munich",
  path: "eu/munich",
  connectionLimit: 200,
  effectiveConnectionLimit: 200
}

export const listedAda = {
  id: sample.user,
  name: "Ada Lovelace",
  email: "ada@example.com",
  note: "",
  state: "active",
  stateReason: null,
  stateSince: "2026-11-22T10:08:00.000Z",
  createdAt: "2026-11-22T10:08:00.000Z",
  lastSeenAt: "2026-11-22T10:09:00.000Z",
  keys: 1,
  devices: 1,
  liveConnections: 1
}

export const alan = {
  ...listedAda,
  id: ids.alan,
  name: "Alan Turing",
  email: "alan@example.com",
  lastSeenAt: null,
  keys: 0,
  devices: 0,
  liveConnections: 0
}

export const keyOfAda = {
  id: sample.personalKey,
  userId: sample.user,
  name: "laptop",
  hint: "brk_usr_AaIJlpQIcG6Py6AVcIFdXQ…",
  connectionLimit: 10,
  createdBy: "grace",
  createdAt: "2026-11-22T10:08:30.000Z",
  expiresAt: null,
  lastUsedAt: "2026-11-22T10:09:00.000Z",
  lastAddress: "198.51.100.4",
  replacedBy: null,
  revokedAt: null,
  revokedReason: null,
  state: "active",
  liveConnections: 1
}

export const keyOfAlan = {
  ...keyOfAda,
  id: ids.desk,
  userId: ids.alan,
  name: "desk",
  createdBy: "exporter",
  lastUsedAt: null,
  lastAddress: null,
  liveConnections: 0
}

export const deviceOfAda = {
  id: sample.device,
  userId: sample.user,
  fingerprint: "3f0c6a52-laptop",
  name: "Ada's laptop",
  platform: "linux",
  publicKey: null,
  connectionLimit: 5,
  createdAt: "2026-11-22T10:09:00.000Z",
  lastSeenAt: "2026-11-22T10:09:00.000Z",
  lastAddress: "198.51.100.4",
  blockedAt: null,
  blockedReason: null,
  liveConnections: 1
}

export const oldPhone = {
  ...deviceOfAda,
  id: ids.oldPhone,
  userId: ids.charles,
  fingerprint: "9b1c77e0-phone",
  name: "Old phone",
  platform: "android",
  liveConnections: 0
}

export const verifiedFrankfurt = {
  serverId: sample.server,
  name: "fra-1",
  group: "eu/frankfurt",
  verified: true,
  verifiedAt: "2026-11-22T10:00:05.000Z",
  dueAt: "2026-11-22T16:00:05.000Z",
  risk: "none",
  last: { purpose: "registration", state: "passed", at: "2026-11-22T10:00:05.000Z", latencyMillis: 84 },
  silences: 0,
  reason: null
}

/** What of a server's proofs moves by itself. */
export const proving = ["verified", "verifiedAt", "dueAt", "risk", "last", "silences", "reason"]

/** The time that availability is asked about. */
export const day = { from: "2026-11-22T00:00:00Z", to: "2026-11-23T00:00:00Z" }

/** Where its time went. */
export const shares = ["up", "down", "unknown", "excluded", "share"]

const allUp = { up: 50_340, down: 0, unknown: 0, excluded: 36_060, share: 1 }

export const newDisks = {
  id: ids.window,
  serverId: null,
  groupId: sample.group,
  reason: "New disks",
  startsAt: "2026-11-29T02:00:00.000Z",
  endsAt: "2026-11-29T04:00:00.000Z",
  createdBy: "grace",
  createdAt: "2026-11-22T10:06:30.000Z",
  about: "eu/frankfurt"
}

export const availabilityOfFrankfurt = {
  ...allUp,
  falls: 0,
  spans: [
    { from: "2026-11-22T00:00:00.000Z", to: "2026-11-22T10:01:00.000Z", state: "out" },
    { from: "2026-11-22T10:01:00.000Z", to: "2026-11-23T00:00:00.000Z", state: "online" }
  ],
  days: [{ day: "2026-11-22", ...allUp }],
  outages: [],
  windows: []
}

export const grace = {
  id: sample.admin,
  name: "grace",
  role: "owner",
  roleName: "owner",
  state: "active",
  factors: { totp: false, passkeys: 0, recoveryCodes: 0 },
  singleSignOn: false,
  sessions: 1,
  createdAt: "2026-11-22T09:50:00.000Z",
  lastSignInAt: "2026-11-22T09:51:00.000Z"
}

/** A role that nobody has. */
export const auditors = {
  id: "auditor",
  name: "auditor",
  description: "Sees everything, and exports and verifies the audit log",
  permissions: ["servers:read", "audit:read", "audit:export", "audit:verify"],
  builtIn: true,
  admins: 0
}

export const exporter = {
  id: sample.apiToken,
  ownerId: sample.admin,
  ownerName: "grace",
  name: "exporter",
  hint: "brk_api_AaIJlpQIcG6Py6AVcIFdXQ…",
  scopes: ["servers:read", "audit:read"],
  networks: [],
  createdAt: "2026-11-22T09:55:00.000Z",
  expiresAt: "2026-11-23T09:55:00.000Z",
  lastUsedAt: "2026-11-22T10:10:00.000Z",
  lastAddress: "203.0.113.30",
  revokedAt: null,
  state: "active",
  idle: []
}

export const availabilityOfGroup = { groupId: sample.group, path: "eu/frankfurt", servers: 2, ...allUp }

/** What both sides told of a connection by then, and where from. */
export const accounts = [
  "clientAddress",
  "lastAddress",
  "rxBytes",
  "txBytes",
  "rttMs",
  "lossRatio",
  "clientOpenedAt",
  "clientReportedAt",
  "clientRxBytes",
  "clientTxBytes",
  "serverReportedAt",
  "serverRxBytes",
  "serverTxBytes",
  "liveConnections"
]

/** Ada's connection as admins see it. */
export const ledger = {
  ...connected,
  userName: "Ada Lovelace",
  personalKeyId: sample.personalKey,
  personalKeyName: "laptop",
  deviceName: "Ada's laptop",
  platform: "linux",
  clientAddress: "198.51.100.4",
  clientOpenedAt: null,
  clientReportedAt: "2026-11-22T10:10:30.000Z",
  clientEndedAt: null,
  clientReason: null,
  clientRxBytes: 1_200_000,
  clientTxBytes: 80_000,
  serverReportedAt: "2026-11-22T10:10:30.000Z",
  serverEndedAt: null,
  serverReason: null,
  serverRxBytes: 80_000,
  serverTxBytes: 1_200_000,
  verdict: null,
  settledAt: null,
  cutOrderedAt: null,
  cutOrderedBy: null,
  cutConfirmedAt: null
}

export const lab = {
  id: sample.registrationKey,
  name: "lab",
  hint: "brk_reg_AaIJlpNdc-OTJI5NJ0HcqQ…",
  useLimit: 10,
  uses: 2,
  tags: ["eu"],
  approval: false,
  replacesServerId: null,
  groupId: sample.group,
  createdBy: "grace",
  createdAt: "2026-11-22T09:59:00.000Z",
  expiresAt: "2026-11-23T09:59:00.000Z",
  revokedAt: null,
  state: "active"
}

export const rollout = {
  ...lab,
  id: ids.rollout,
  name: "rollout",
  useLimit: 20,
  uses: 0,
  tags: ["edge"],
  groupId: null,
  createdBy: "exporter"
}

export const statusPage = {
  id: ids.webhook,
  name: "Status page",
  url: "https://hooks.example.com/broker",
  types: ["server.liveness_changed"],
  version: 1,
  state: "active",
  pausedBecause: null,
  pausedAt: null,
  restsUntil: null,
  failuresInRow: 0,
  failingSince: null,
  lastProblem: null,
  lastSuccessAt: null,
  lastFailureAt: null,
  pending: 0,
  createdBy: "exporter",
  createdAt: "2026-11-22T10:20:00.000Z",
  secrets: [{ hint: "whsec_6qTx…", createdAt: "2026-11-22T10:20:00.000Z", expiresAt: null }]
}

/** How it does by then. */
export const doing = ["state", "failuresInRow", "failingSince", "lastProblem", "lastFailureAt", "restsUntil", "pending"]

export const testDelivery = {
  id: ids.delivery,
  webhookId: ids.webhook,
  eventId: ids.testEvent,
  type: "webhook.test",
  subject: { kind: "webhook", id: ids.webhook, name: "Status page" },
  state: "pending",
  attempts: 0,
  nextAttemptAt: "2026-11-22T10:21:00.000Z",
  lastStatus: null,
  lastProblem: null,
  createdAt: "2026-11-22T10:21:00.000Z",
  endedAt: null,
  replayOf: null
}

/** How far it is by then. */
export const underWay = ["attempts", "nextAttemptAt", "lastStatus", "lastProblem", "state", "endedAt"]

export const lastWeek = {
  kind: "inventory",
  range: { kind: "named", name: "last_week" },
  timeZone: "Europe/Berlin",
  groupId: null,
  compare: false
}

export const weekly = {
  id: ids.report,
  name: "Weekly inventory",
  parameters: lastWeek,
  formats: ["csv", "pdf"],
  schedule: { cron: "0 7 * * 1", timeZone: "Europe/Berlin" },
  emails: [],
  webhook: true,
  createdBy: "exporter",
  createdAt: "2026-11-22T10:30:00.000Z",
  updatedAt: "2026-11-22T10:30:00.000Z",
  nextAt: "2026-11-23T06:00:00.000Z"
}

export const weeklyRun = {
  id: ids.run,
  reportId: ids.report,
  name: "Weekly inventory",
  parameters: lastWeek,
  from: "2026-11-08T23:00:00.000Z",
  to: "2026-11-15T23:00:00.000Z",
  slotAt: null,
  requestedBy: "exporter",
  state: "waiting",
  problem: null,
  complete: false,
  createdAt: "2026-11-22T10:31:00.000Z",
  finishedAt: null,
  files: [],
  mail: null
}

/** How far it is by then. */
export const makingOf = ["state", "complete", "finishedAt", "files", "mail"]

export const inventoryReport = {
  kind: "inventory",
  title: "Inventory",
  group: null,
  from: "2026-11-08T23:00:00.000Z",
  to: "2026-11-15T23:00:00.000Z",
  previous: null,
  timeZone: "Europe/Berlin",
  step: "day",
  complete: true,
  notes: [],
  figures: [{ id: "servers", label: "Servers", unit: "count", value: 2, previous: null, better: "neither" }],
  series: [
    {
      id: "joined",
      label: "Joined",
      unit: "count",
      points: [
        { at: "2026-11-08T23:00:00.000Z", value: 0, previous: null },
        { at: "2026-11-09T23:00:00.000Z", value: 2, previous: null }
      ]
    }
  ],
  tables: [
    {
      id: "by-status",
      title: "By status",
      columns: [
        { id: "name", label: "Status", unit: "text" },
        { id: "servers", label: "Servers", unit: "count" }
      ],
      rows: [["Online", 2]],
      total: 1
    }
  ]
}
