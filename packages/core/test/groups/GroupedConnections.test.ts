import { Analytics } from "@broker/core/analytics/Analytics"
import { Connections } from "@broker/core/connections/Connections"
import { Groups } from "@broker/core/groups/Groups"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { client, connect, connected, gateway } from "../connections/parties.ts"
import { groups, requestOf } from "./tree.ts"

layer(Fixtures.layer)("Connections by group", (it) => {
  it.effect("C7 a connection remembers the group that its server was in, whatever becomes of either", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const service = yield* Groups
      const servers = yield* Servers
      const connections = yield* Connections
      const analytics = yield* Analytics
      yield* Fixtures.pass(0)
      const from = yield* DateTime.now
      const [eu, frankfurt] = yield* groups(defaultOrganizationId, ["eu", "eu/frankfurt"])
      if (eu === undefined || frankfurt === undefined) return assert.fail()
      const grouped = yield* gateway(Fixtures.unique("fra"), { groupId: frankfurt.id })
      const lone = yield* gateway()
      const somebody = yield* client()
      const first = yield* connected(somebody, grouped)
      const second = yield* connected(somebody, lone)
      yield* service.update(defaultOrganizationId, eu.id, requestOf(eu, { name: "europe" }))
      const third = yield* connected(somebody, grouped)
      yield* servers.assign(defaultOrganizationId, grouped.id, { groupId: null })
      const rows = yield* sql<{ id: string; serverGroup: string | null }>`
        select id, server_group from connections order by id`
      assert.deepStrictEqual(
        rows.map(({ id, serverGroup }) => [id, serverGroup]),
        [
          [first.id, "eu/frankfurt"],
          [second.id, null],
          [third.id, "europe/frankfurt"]
        ]
      )
      yield* Fixtures.pass("10 minutes")
      for (const [at, { id }] of [
        [grouped, first],
        [lone, second],
        [grouped, third]
      ] as const) {
        yield* connections.reportByServer(at, id, { status: "ended", reason: "done" })
      }
      yield* Fixtures.pass("30 minutes")
      while ((yield* analytics.rollUp) > 0);
      const { groups: told } = yield* analytics.report(defaultOrganizationId, {
        from: DateTime.subtract(from, { hours: 1 }),
        to: DateTime.add(from, { hours: 2 }),
        timeZone: "UTC",
        step: "hour",
        by: "group",
        serverId: null,
        userId: null,
        deviceId: null,
        platform: null
      })
      assert.sameDeepMembers(
        told.map(({ connections, name, seconds }) => [name, connections, seconds]),
        [
          ["eu/frankfurt", 1, 600],
          ["No group", 1, 600],
          ["europe/frankfurt", 1, 600]
        ]
      )
    })
  )

  it.effect("C2 a group's limit holds for what its servers take", () =>
    Effect.gen(function* () {
      const service = yield* Groups
      yield* Fixtures.pass(0)
      const [group] = yield* groups(defaultOrganizationId, [Fixtures.unique("small")])
      if (group === undefined) return assert.fail()
      const server = yield* gateway(Fixtures.unique("server"), { groupId: group.id })
      yield* service.update(defaultOrganizationId, group.id, requestOf(group, { connectionLimit: 1 }))
      const somebody = yield* client()
      yield* connect(somebody, { serverId: server.id })
      const refused = yield* Effect.flip(connect(somebody, { serverId: server.id }))
      assert.strictEqual(refused.code, "connection_limit")
      yield* service.update(defaultOrganizationId, group.id, requestOf(group, { connectionLimit: 2 }))
      yield* connect(somebody, { serverId: server.id })
    })
  )
})
