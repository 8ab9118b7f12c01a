/** Gives up on servers that have gone silent, and forgets samples that have grown old. */
import { Context, DateTime, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Signals } from "../database/Signals.ts"
import { discoveryTopic } from "../discovery/DiscoveryTopic.ts"
import { Nodes } from "../nodes/Nodes.ts"
import { ServersPolicy } from "../servers/ServersPolicy.ts"
import * as HeartbeatsSql from "./HeartbeatsSql.ts"

/** Raw samples are kept for a day (H9). */
const sampleLifetime = { hours: 24 }

export class Liveness extends Context.Service<
  Liveness,
  {
    /** Moves servers that missed their heartbeats (H2); tells how many went where. */
    readonly sweep: Effect.Effect<{ readonly degraded: number; readonly offline: number }>
    /** Deletes samples past their time, a bounded number at once; tells how many. */
    readonly prune: Effect.Effect<number>
  }
>()("@broker/core/heartbeats/Liveness") {
  static readonly layer = Layer.effect(
    Liveness,
    Effect.gen(function* () {
      const nodes = yield* Nodes
      const signals = yield* Signals
      const policy = yield* ServersPolicy
      const statements = HeartbeatsSql.make(yield* SqlClient.SqlClient, policy)

      const sweep = Effect.gen(function* () {
        // Before anyone is judged, the broker looks at itself: it may have been away until just now (H5).
        yield* nodes.beat
        const moved = yield* statements.sweep({
          now: yield* DateTime.now,
          listeningSince: yield* nodes.listeningSince,
          limit: policy.sweepLimit
        })
        // Any one of them: whoever shows servers looks at all of them again.
        if (moved[0] !== undefined) yield* signals.notify(discoveryTopic, moved[0].serverId)
        const offline = moved.filter(({ liveness }) => liveness === "offline").length
        return { degraded: moved.length - offline, offline }
      }).pipe(Effect.orDie, Effect.withSpan("Liveness.sweep"))

      const prune = Effect.gen(function* () {
        const before = DateTime.subtract(yield* DateTime.now, sampleLifetime)
        return yield* statements.pruneSamples(DateTime.toDateUtc(before))
      }).pipe(Effect.orDie, Effect.withSpan("Liveness.prune"))

      return Liveness.of({ sweep, prune })
    })
  )
}
