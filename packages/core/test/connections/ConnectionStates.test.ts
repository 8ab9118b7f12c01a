import { Connections } from "@broker/core/connections/Connections"
import { Liveness } from "@broker/core/heartbeats/Liveness"
import type { ConnectionId } from "@broker/domain/Connection"
import { defaultOrganizationId } from "@broker/domain/Organization"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Schema } from "effect"
import * as Model from "./ConnectionModel.ts"
import { client, connect, gateway, loads, metrics } from "./parties.ts"

const Step = Schema.Union([
  Schema.TaggedStruct("Accept", {}),
  /** The server takes it, and it is open for so long: within the grace of live sets, or past it. */
  Schema.TaggedStruct("Open", { seconds: Schema.Literals([5, 11, 11]) }),
  Schema.TaggedStruct("ServerEnds", {}),
  Schema.TaggedStruct("Refuse", {}),
  Schema.TaggedStruct("ClientReports", {}),
  Schema.TaggedStruct("ClientEnds", {}),
  Schema.TaggedStruct("Disconnect", {}),
  /** A heartbeat, with the connection in its live set or without. */
  Schema.TaggedStruct("Beat", { lists: Schema.Boolean }),
  /** Time passes while the server is heard: short of the grace, past it, past the life of an intent, past settlement. */
  Schema.TaggedStruct("Wait", { seconds: Schema.Literals([1, 5, 11, 59, 60, 121]) }),
  /** The server is silent until it is offline, and for so long after: short of being given up, or just so. */
  Schema.TaggedStruct("Silence", { seconds: Schema.Literals([0, 59, 60]) }),
  Schema.TaggedStruct("Sweep", {}),
  /** Long enough for accounts to be closed. */
  Schema.TaggedStruct("Settle", {})
])
type Step = typeof Step.Type

const Script = Schema.Array(Step).check(Schema.isMaxLength(16))

/** What stands in the ledger, in the words of the model. */
const stored = Effect.fnUntraced(function* (id: ConnectionId) {
  const connections = yield* Connections
  const entry = yield* connections.find(defaultOrganizationId, id)
  return {
    status: entry.status,
    by: entry.endedBy,
    reason: entry.endReason,
    isStale: entry.staleSince !== null,
    clientEnded: entry.clientEndedAt !== null,
    serverEnded: entry.serverEndedAt !== null,
    isCut: entry.cutOrderedAt !== null,
    isConfirmed: entry.cutConfirmedAt !== null,
    verdict: entry.verdict
  }
})

const expected = ({ staleSince, ...standing }: Model.Standing) => ({
  status: standing.status,
  by: standing.by,
  reason: standing.reason,
  isStale: staleSince !== null,
  clientEnded: standing.clientEnded,
  serverEnded: standing.serverEnded,
  isCut: standing.isCut,
  isConfirmed: standing.isConfirmed,
  verdict: standing.verdict
})

const codeOf = <A, E extends { readonly code: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: ({ code }) => code, onSuccess: () => "ok" })

/** Plays a script with a connection of its own and with the model. */
const play = Effect.fnUntraced(function* (script: ReadonlyArray<Step>) {
  const connections = yield* Connections
  const liveness = yield* Liveness
  const [someone, server] = [yield* client(), yield* gateway()]
  const { connection } = yield* connect(someone, { serverId: server.id })
  const { id } = connection
  let cursor = "0"
  let standing = Model.intent(yield* Clock.currentTimeMillis)

  const sweep = Effect.gen(function* () {
    yield* connections.sweep
    standing = Model.sweep(standing, yield* Clock.currentTimeMillis)
  })

  const step = Effect.fnUntraced(function* (step: Step) {
    const now = yield* Clock.currentTimeMillis
    const compare = Effect.fnUntraced(function* (
      actual: Effect.Effect<string, never, never>,
      [after, outcome]: Model.Outcome
    ) {
      assert.strictEqual(yield* actual, outcome, step._tag)
      standing = after
    })
    const beat = Effect.fnUntraced(function* (lists: boolean) {
      const reply = yield* server.beat({ connections: lists ? [id] : [], cutCursor: cursor })
      cursor = reply.cuts.cursor
      const [after, told] = Model.beat(standing, lists, now)
      standing = after
      return [reply.cuts.connections, told] as const
    })
    switch (step._tag) {
      case "Accept":
        return yield* compare(
          codeOf(connections.reportByServer(server, id, { status: "active" })),
          Model.accept(standing, now)
        )
      case "Open":
        yield* compare(
          codeOf(connections.reportByServer(server, id, { status: "active" })),
          Model.accept(standing, now)
        )
        return yield* Fixtures.pass(`${step.seconds} seconds`)
      case "ServerEnds":
        return yield* compare(
          codeOf(connections.reportByServer(server, id, { status: "ended" })),
          Model.endByServer(standing, now)
        )
      case "Refuse":
        return yield* compare(
          codeOf(connections.reportByServer(server, id, { status: "refused" })),
          Model.refuse(standing, now)
        )
      case "ClientReports":
        return yield* compare(
          codeOf(connections.reportByClient(someone, id, { metrics: metrics(1, 1) })),
          Model.progressOfClient(standing)
        )
      case "ClientEnds":
        return yield* compare(
          codeOf(connections.reportByClient(someone, id, { status: "ended" })),
          Model.endByClient(standing, now)
        )
      case "Disconnect":
        yield* connections.disconnect(defaultOrganizationId, id)
        standing = Model.disconnect(standing, now)
        return
      case "Beat": {
        const [orders, told] = yield* beat(step.lists)
        // What was told already, by its cursor, is told again only if the server still lists it.
        if (step.lists || told === null) {
          assert.deepStrictEqual(orders, told === null ? [] : [{ id, reason: told }], "what the server is told")
        }
        return
      }
      case "Wait":
        return yield* Fixtures.pass(`${step.seconds} seconds`)
      case "Silence": {
        yield* server.beat()
        standing = { ...standing, staleSince: null }
        yield* Fixtures.pass("140 seconds")
        yield* liveness.sweep
        standing = Model.offline(standing, yield* Clock.currentTimeMillis)
        yield* Fixtures.pass(`${step.seconds} seconds`)
        return yield* sweep
      }
      case "Sweep":
        return yield* sweep
      case "Settle":
        yield* Fixtures.pass("2 minutes")
        yield* sweep
    }
  })

  for (const each of script) yield* step(each)
  // However little was scripted, it comes to an end.
  yield* step({ _tag: "Beat", lists: false })
  return { stored: yield* stored(id), expected: expected(standing), loads: yield* loads(server) }
})

layer(Fixtures.layer)("The states of connections", (it) => {
  it.effect.prop(
    "C1 C2 C4 C5 C6 whatever happens in whatever order, the database and the rules agree",
    [Script],
    ([script]) =>
      Effect.gen(function* () {
        const { expected, loads, stored } = yield* play(script)
        assert.deepStrictEqual(stored, expected)
        const live = stored.status === "intent" || stored.status === "active" ? 1 : 0
        assert.deepStrictEqual(loads, { counted: live, live })
      }),
    { arbitrary: { runs: 80, size: 16, maxShrinks: 60 } }
  )
})
