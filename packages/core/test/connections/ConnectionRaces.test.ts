import type { Actor } from "@broker/core/audit/Actor"
import { Connections } from "@broker/core/connections/Connections"
import { Cuts } from "@broker/core/connections/Cuts"
import { Servers } from "@broker/core/servers/Servers"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { client, connect, connected, gateway, loads } from "./parties.ts"

const fifty = Array.from({ length: 50 }, (_, index) => index)

/** `ok`, or the code of the refusal. */
const outcome = <A, E extends { readonly code: string }, R>(attempt: Effect.Effect<A, E, R>) =>
  Effect.match(attempt, { onFailure: ({ code }) => code, onSuccess: () => "ok" })

/** How many attempts, made at once, ended how. */
const tally = Effect.fnUntraced(function* <R>(attempts: ReadonlyArray<Effect.Effect<string, never, R>>) {
  const outcomes = yield* Effect.all(attempts, { concurrency: "unbounded" })
  return Object.fromEntries(
    Array.from(
      Map.groupBy(outcomes, (code) => code),
      ([code, all]) => [code, all.length]
    )
  )
})

layer(Fixtures.layer)("Connections that race", (it) => {
  it.effect("C2 50 in parallel: the limit of a personal key holds, over several devices and servers", () =>
    Effect.gen(function* () {
      const one = yield* client({ keyLimit: 7 })
      const devices = [one, yield* client({ of: one }), yield* client({ of: one })]
      const [even, odd] = [yield* gateway(), yield* gateway()]
      const attempts = fifty.map((n) =>
        outcome(connect(devices[n % 3] ?? one, { serverId: n % 2 === 0 ? even.id : odd.id }))
      )
      assert.deepStrictEqual(yield* tally(attempts), { ok: 7, connection_limit: 43 })
    })
  )

  it.effect("C2 50 in parallel: the limit of a device holds", () =>
    Effect.gen(function* () {
      const [one, server] = [yield* client({ deviceLimit: 4 }), yield* gateway()]
      assert.deepStrictEqual(yield* tally(fifty.map(() => outcome(connect(one, { serverId: server.id })))), {
        ok: 4,
        connection_limit: 46
      })
    })
  )

  it.effect("C2 50 in parallel: the limit of a server holds, whoever asks", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const server = yield* gateway()
      yield* sql`update servers set connection_limit = 9 where id = ${server.id}`
      const clients = yield* Effect.forEach(fifty, () => client())
      assert.deepStrictEqual(yield* tally(clients.map((one) => outcome(connect(one, { serverId: server.id })))), {
        ok: 9,
        connection_limit: 41
      })
      assert.deepStrictEqual(yield* loads(server), { counted: 9, live: 9 })
    })
  )

  it.effect("C2 what ends makes room, in whatever order ends and intents come", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [one, server] = [yield* client({ deviceLimit: 5 }), yield* gateway()]
      const open = yield* Effect.forEach([1, 2, 3, 4, 5], () => connected(one, server))
      const ends = open.map(({ id }) => outcome(connections.reportByClient(one, id, { status: "ended" })))
      const asks = fifty.map(() => outcome(connect(one, { serverId: server.id })))
      const outcomes = yield* tally([...ends, ...asks])
      const live = (outcomes["ok"] ?? 0) - 5
      assert.isAtMost(live, 5)
      assert.deepStrictEqual(yield* loads(server), { counted: live, live })
    })
  )

  it.effect("C2 the same Idempotency-Key 50 times at once is one connection", () =>
    Effect.gen(function* () {
      const [one, server] = [yield* client(), yield* gateway()]
      const answers = yield* Effect.forEach(fifty, () => connect(one, { serverId: server.id }, "once"), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(answers.map(({ connection }) => connection.id)).size, 1)
      assert.deepStrictEqual(yield* loads(server), { counted: 1, live: 1 })
    })
  )

  it.effect("C1 both sides, an admin and the server's live set end it at once: one reason is final", () =>
    Effect.gen(function* () {
      const connections = yield* Connections
      const [one, server] = [yield* client(), yield* gateway()]
      for (let round = 0; round < 10; round++) {
        const { id } = yield* connected(one, server)
        const answers = yield* Effect.all(
          [
            connections.reportByClient(one, id, { status: "ended", reason: "client" }),
            connections.reportByServer(server, id, { status: "ended", reason: "server" }),
            connections.disconnect(defaultOrganizationId, id)
          ],
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(new Set(answers.map(({ endReason }) => endReason)).size, 1)
      }
      assert.deepStrictEqual(yield* loads(server), { counted: 0, live: 0 })
    })
  )

  it.effect("C6 who connects while the server is suspended is refused or cut: nothing stays open", () =>
    Effect.gen(function* () {
      const servers = yield* Servers
      const [one, server] = [yield* client(), yield* gateway()]
      const suspending = servers.suspend(defaultOrganizationId, server.id, "test")
      yield* Effect.all([tally(fifty.map(() => outcome(connect(one, { serverId: server.id })))), suspending], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(yield* loads(server), { counted: 0, live: 0 })
    })
  )

  it.effect("many who cut and connect over the same servers never wait for each other in a ring", () =>
    Effect.gen(function* () {
      const cuts = yield* Cuts
      const servers = yield* Effect.forEach([1, 2, 3, 4], () => gateway())
      const clients = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => client())
      const act = (n: number): Effect.Effect<void, never, Connections | Actor> => {
        const one = clients[n % 6]
        const server = servers[n % 4]
        if (one === undefined || server === undefined) return Effect.void
        return n % 5 === 0
          ? Effect.asVoid(cuts.order(defaultOrganizationId, { kind: "user", id: one.userId, name: "Grace" }, "test"))
          : Effect.asVoid(outcome(connected(one, server)))
      }
      yield* Effect.forEach(
        Array.from({ length: 300 }, (_, n) => n * 7 + 1),
        act,
        { concurrency: 30, discard: true }
      )
      for (const server of servers) {
        const row = yield* loads(server)
        assert.strictEqual(row?.["counted"], row?.["live"])
      }
    })
  )
})
