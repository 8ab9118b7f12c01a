/** Gives up on servers that have gone silent. */
import { Context, DateTime, Effect, identity, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Signals } from "../database/Signals.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { FleetGuards, type Moment } from "../fleet-guard/FleetGuards.ts"
import { Nodes } from "../nodes/Nodes.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import * as HeartbeatsSql from "./HeartbeatsSql.ts"

/** How many were moved where. */
type Moved = Readonly<Record<"degraded" | "offline" | "unknown", number>>

export class Liveness extends Context.Service<
  Liveness,
  {
    /** Moves servers that missed their heartbeats (H2), or holds them (H6); tells how many went where. */
    readonly sweep: Effect.Effect<Moved>
    /** The same, with all that it writes in a transaction that a fence is around. */
    sweepWithin<E, R>(fence: (write: Effect.Effect<Moved>) => Effect.Effect<Moved, E, R>): Effect.Effect<Moved, E, R>
  }
>()("@broker/core/heartbeats/Liveness") {
  static readonly layer = Layer.effect(
    Liveness,
    Effect.gen(function* () {
      const nodes = yield* Nodes
      const signals = yield* Signals
      const policy = yield* ServersPolicy
      const guards = yield* FleetGuards
      const sql = yield* SqlClient.SqlClient
      const statements = HeartbeatsSql.make(sql, policy)

      /** What a guard holds, and what it lets go, is decided and done in one transaction. */
      const judge = Effect.fnUntraced(function* (moment: Moment) {
        // A node that was overtaken may sweep once more beside its successor: only one of them does, as both would lock
        // guards of several organizations. The other moves nobody, and has its turn again soon.
        if (!(yield* statements.claim).isClaimed) return []
        const holding = yield* guards.holding
        const due = yield* statements.due(moment)
        for (const { lost, organizationId } of due) {
          if (lost > 0 && !holding.has(organizationId)) yield* guards.consider(organizationId, moment)
        }
        const moved = due.length === 0 ? [] : yield* statements.sweep({ ...moment, limit: policy.sweepLimit })
        yield* guards.settle(moment)
        // Any one of them: whoever shows servers looks at all of them again.
        if (moved[0] !== undefined) yield* signals.notify(discoveryTopic, moved[0].serverId)
        return moved
      }, sql.withTransaction)

      const sweepWithin = <E, R>(fence: (write: Effect.Effect<Moved>) => Effect.Effect<Moved, E, R>) =>
        Effect.gen(function* () {
          // They are judged as of now, however long it takes until they are: what comes after, nobody may have heard.
          const now = yield* DateTime.now
          // Before anyone is judged, the broker looks at itself: it may have been away until just now (H5). Not in the
          // transaction, which would keep this node from beating until the last server has moved.
          yield* nodes.beat
          const write = Effect.gen(function* () {
            const moved = yield* judge({ now, listeningSince: yield* nodes.listeningSince })
            const count = (to: string) => moved.filter(({ liveness }) => liveness === to).length
            return { degraded: count("degraded"), offline: count("offline"), unknown: count("unknown") }
          })
          return yield* fence(Effect.orDie(write))
        }).pipe(Effect.withSpan("Liveness.sweep"))

      return Liveness.of({ sweep: sweepWithin(identity), sweepWithin })
    })
  )
}
