/** Who takes part in a connection: a gateway that is heard, and a client that is signed in. */

import { randomBytes, randomUUID } from "node:crypto"
import { Connections } from "@broker/core/connections/Connections"
import { ClientSessionId, type SignedInClient } from "@broker/domain/ClientSession"
import type { ConnectionMetrics, ConnectionRequest, ConnectionsQuery } from "@broker/domain/Connection"
import { ConnectionId } from "@broker/domain/Connection"
import { DeviceId } from "@broker/domain/Device"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { PersonalKeyId } from "@broker/domain/PersonalKey"
import { UserId } from "@broker/domain/User"
import * as Fixtures from "@broker/testing/Fixtures"
import { DateTime, Effect, Option } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

/** A server that is available, with the boot that it is in. */
export const gateway = Effect.fnUntraced(function* (...options: Parameters<typeof Fixtures.verified>) {
  const server = yield* Fixtures.verified(...options)
  const bootId = Fixtures.boot()
  let seq = 0
  /** Its next heartbeat, with what is open on it unless it does not say. */
  const beat = (fields: Parameters<typeof Fixtures.beat>[3] = {}) => Fixtures.beat(server, bootId, ++seq, fields)
  yield* beat()
  /** One that was sent before, or is of an earlier boot. */
  const beatAgain = (fields: Parameters<typeof Fixtures.beat>[3] = {}) => Fixtures.beat(server, bootId, seq, fields)
  return { ...server, beat, beatAgain }
})
export type Gateway = Effect.Success<ReturnType<typeof gateway>>

/** A client at work, straight from rows: how one signs in is another test's concern. */
export const client = Effect.fnUntraced(function* (
  options: { readonly keyLimit?: number; readonly deviceLimit?: number; readonly of?: SignedInClient } = {}
) {
  const sql = yield* SqlClient.SqlClient
  const now = DateTime.toDateUtc(yield* DateTime.now)
  const organizationId = defaultOrganizationId
  const userId = options.of?.userId ?? UserId.make(randomUUID())
  const personalKeyId = options.of?.personalKeyId ?? PersonalKeyId.make(randomUUID())
  const deviceId = DeviceId.make(randomUUID())
  if (options.of === undefined) {
    yield* sql`insert into users ${sql.insert({
      id: userId,
      organizationId,
      name: "Grace",
      nameKey: "grace",
      stateSince: now,
      createdAt: now
    })}`
    yield* sql`insert into personal_keys ${sql.insert({
      id: personalKeyId,
      organizationId,
      userId,
      name: "laptop",
      digest: randomBytes(32),
      hint: "brk_usr_…",
      connectionLimit: options.keyLimit ?? 100,
      createdBy: "ada",
      createdAt: now
    })}`
  }
  yield* sql`insert into devices ${sql.insert({
    id: deviceId,
    organizationId,
    userId,
    fingerprint: deviceId,
    name: "notebook",
    platform: "linux",
    connectionLimit: options.deviceLimit ?? 100,
    createdAt: now,
    lastSeenAt: now
  })}`
  return {
    sessionId: ClientSessionId.make(randomUUID()),
    organizationId,
    userId,
    deviceId,
    personalKeyId
  } satisfies SignedInClient
})

/** Asks for a connection. */
export const connect = Effect.fnUntraced(function* (
  client: SignedInClient,
  request: ConnectionRequest,
  idempotencyKey?: string
) {
  const connections = yield* Connections
  return yield* connections.connect(client, request, {
    idempotencyKey: Option.fromUndefinedOr(idempotencyKey),
    address: "198.51.100.4"
  })
})

/** A connection that its server has accepted, long enough ago to be expected in its live set. */
export const connected = Effect.fnUntraced(function* (client: SignedInClient, gateway: Gateway) {
  const connections = yield* Connections
  const { connection } = yield* connect(client, { serverId: gateway.id })
  yield* connections.reportByServer(gateway, connection.id, { status: "active" })
  return connection
})

/** Lets the grace of live sets pass. */
export const settled = TestClock.adjust("11 seconds")

/** A query for all, as lists ask it. */
export const everything: ConnectionsQuery = {
  scope: "all",
  text: "",
  statuses: [],
  stale: null,
  verdicts: [],
  reasons: [],
  userId: null,
  deviceId: null,
  serverId: null,
  personalKeyId: null,
  limit: 50,
  cursor: null
}

/** How many live connections a server is taken to have, and how many it has. */
export const loads = Effect.fnUntraced(function* (gateway: Gateway) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql`
    select (select live from server_loads where server_id = ${gateway.id}) as counted,
           (select count(*)::int from connections where server_id = ${gateway.id} and status in ('intent', 'active')) as live`
  return row
})

export const unknownId = ConnectionId.make("00000000-0000-7000-8000-00000000dead")

export const metrics = (rxBytes: number, txBytes: number): ConnectionMetrics => ({
  rxBytes,
  txBytes,
  rttMs: 20,
  lossRatio: 0
})
