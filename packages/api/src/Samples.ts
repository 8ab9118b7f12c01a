/** What examples of several calls show of the same thing. */
import { sample } from "./Example.ts"

/** The server. */
export const frankfurt = {
  id: sample.server,
  name: "fra-1",
  admission: "approved",
  liveness: "online",
  duty: "serving",
  verified: true,
  publicKey: "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
  version: "1.4.2",
  endpoints: [{ protocol: "webrtc", host: "203.0.113.7", port: 51820 }],
  capabilities: { vpn: { ipv6: true } },
  tags: ["eu"],
  labels: { rack: "b2" },
  group: "eu/frankfurt",
  location: { latitude: 50.11, longitude: 8.68 },
  publicAddress: "203.0.113.7",
  registeredAt: "2026-11-22T10:00:00.000Z",
  lastSeenAt: "2026-11-22T10:00:30.000Z"
}

/** What is no secret, and yet another one in each run. */
export const drawn = ["publicKey", "publicAddress"]

/** Ada's connection to it. */
export const connected = {
  id: sample.connection,
  status: "active",
  userId: sample.user,
  deviceId: sample.device,
  serverId: sample.server,
  serverName: "fra-1",
  createdAt: "2026-11-22T10:10:00.000Z",
  expiresAt: "2026-11-22T10:11:00.000Z",
  grantExpiresAt: "2026-11-22T10:12:00.000Z",
  activeAt: "2026-11-22T10:10:02.000Z",
  staleSince: null,
  endedAt: null,
  endedBy: null,
  endReason: null,
  rxBytes: 1_200_000,
  txBytes: 80_000,
  rttMs: null,
  lossRatio: null
}

/** Ada, as her own client sees her. */
export const ada = { id: sample.user, name: "Ada Lovelace", email: "ada@example.com" }

/** Her laptop, likewise. */
export const laptop = {
  id: sample.device,
  fingerprint: "3f0c6a52-laptop",
  name: "Ada's laptop",
  platform: "linux",
  publicKey: null,
  createdAt: "2026-11-22T10:09:00.000Z"
}
