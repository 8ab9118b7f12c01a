import { randomUUID } from "node:crypto"
import { Connections } from "@broker/core/connections/Connections"
import { brokenConstraint } from "@broker/core/database/SqlFailure"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { client, connect, connected, gateway, loads } from "./parties.ts"

/** Which constraint stops a change that no service makes. */
const stopped = Effect.fnUntraced(function* (id: string, change: string) {
  const sql = yield* SqlClient.SqlClient
  const attempt = sql`update connections set ${sql.literal(change)} where id = ${id}`
  return yield* Effect.match(attempt, { onFailure: brokenConstraint, onSuccess: () => "nothing" })
})

const end = "ended_at = now() + interval '1 year', ended_by = 'broker', end_reason = 'test'"

layer(Fixtures.layer)("The table of connections", (it) => {
  it.effect("C1 refuses every move that the states do not have", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { connection: intent } = yield* connect(someone, { serverId: server.id })
      const active = yield* connected(someone, server)
      const ended = yield* connected(someone, server)
      yield* connections.reportByServer(server, ended.id, { status: "ended" })
      const { connection: refused } = yield* connect(someone, { serverId: server.id })
      yield* connections.reportByServer(server, refused.id, { status: "refused" })

      const moves = [
        [intent.id, `status = 'ended', active_at = now(), ${end}`],
        [active.id, "status = 'intent', active_at = null"],
        [active.id, `status = 'expired', active_at = null, ${end}`],
        [active.id, `status = 'refused', active_at = null, ${end}`],
        [ended.id, "status = 'active', ended_at = null, ended_by = null, end_reason = null"],
        [ended.id, "status = 'expired', active_at = null"],
        [refused.id, "status = 'intent', ended_at = null, ended_by = null, end_reason = null"],
        [refused.id, "status = 'active', active_at = now(), ended_at = null, ended_by = null, end_reason = null"]
      ] as const
      for (const [id, change] of moves) assert.strictEqual(yield* stopped(id, change), "connections_moves", change)
    })
  )

  it.effect("C1 keeps the first end, its reason and whoever told it", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      yield* connections.reportByServer(server, id, { status: "ended" })
      for (const change of [
        "end_reason = 'other'",
        "ended_by = 'client'",
        "ended_at = ended_at + interval '1 second'"
      ]) {
        assert.strictEqual(yield* stopped(id, change), "connections_moves", change)
      }
    })
  )

  it.effect("keeps whose connection it is", () =>
    Effect.gen(function* () {
      const [someone, server, other] = [yield* client(), yield* gateway(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      assert.strictEqual(yield* stopped(id, `server_id = '${other.id}'`), "connections_moves")
      assert.strictEqual(yield* stopped(id, `user_id = '${randomUUID()}'`), "connections_moves")
    })
  )

  it.effect("C7 refuses an end before the beginning", () =>
    Effect.gen(function* () {
      const [someone, server] = [yield* client(), yield* gateway()]
      const { id } = yield* connected(someone, server)
      const change =
        "status = 'ended', ended_at = active_at - interval '1 second', ended_by = 'broker', end_reason = 'x'"
      assert.strictEqual(yield* stopped(id, change), "connections_order")
    })
  )

  it.effect("C2 refuses what is beyond a limit, or not admitted, whoever inserts it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const [someone, server] = [yield* client({ keyLimit: 1 }), yield* gateway()]
      const now = yield* DateTime.now
      const insert = (fields: Readonly<Record<string, unknown>> = {}) =>
        Effect.match(
          sql`insert into connections ${sql.insert({
            id: randomUUID(),
            organizationId: someone.organizationId,
            userId: someone.userId,
            userName: "",
            personalKeyId: someone.personalKeyId,
            personalKeyName: "",
            deviceId: someone.deviceId,
            deviceName: "",
            platform: "",
            serverId: server.id,
            serverName: "",
            createdAt: DateTime.toDateUtc(now),
            expiresAt: DateTime.toDateUtc(DateTime.add(now, { minutes: 1 })),
            grantExpiresAt: DateTime.toDateUtc(DateTime.add(now, { minutes: 2 })),
            ...fields
          })}`,
          { onFailure: brokenConstraint, onSuccess: () => "nothing" }
        )
      const stranger = yield* client()
      assert.strictEqual(yield* insert({ userId: randomUUID() }), "connections_user_active")
      assert.strictEqual(yield* insert({ personalKeyId: stranger.personalKeyId }), "connections_key_valid")
      assert.strictEqual(yield* insert({ deviceId: stranger.deviceId }), "connections_device_allowed")
      assert.strictEqual(yield* insert({ serverId: (yield* Fixtures.joined()).id }), "connections_server_available")
      assert.strictEqual(yield* insert(), "nothing")
      assert.strictEqual(yield* insert(), "connections_key_limit")
      assert.deepStrictEqual(yield* loads(server), { counted: 1, live: 1 })
    })
  )
})
