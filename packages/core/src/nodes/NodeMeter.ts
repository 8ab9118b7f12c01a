/** What a process measures of itself, to tell with its sign of life. */
import { monitorEventLoopDelay } from "node:perf_hooks"
import { Clock, Context, Effect, Layer, Metric, Schema } from "effect"

/** Shares are of one processor. */
export const NodeFigures = Schema.Struct({
  cpu: Schema.Finite,
  memoryBytes: Schema.Finite,
  /** How late its timers come, the worst 1 in 100. */
  lagMillis: Schema.Finite,
  heartbeatsPerSecond: Schema.Finite,
  requestsPerSecond: Schema.Finite
})
export type NodeFigures = typeof NodeFigures.Type

/** What has run up since the process started. */
export interface Totals {
  readonly atMillis: number
  readonly cpuSeconds: number
  readonly heartbeats: number
  readonly requests: number
}

/** Figures are of at least that long, so that they stand still enough to be read. */
const windowMillis = 5_000

/** How often the event loop is looked at; the histogram counts that as delay. */
const resolutionMillis = 20

const perSecond = (from: number, to: number, millis: number) => Math.max(0, ((to - from) * 1_000) / millis)

/** The rates between two looks, apart from what is as it is at the second. */
export const rates = (from: Totals, to: Totals) => {
  const millis = Math.max(1, to.atMillis - from.atMillis)
  return {
    cpu: perSecond(from.cpuSeconds, to.cpuSeconds, millis),
    heartbeatsPerSecond: perSecond(from.heartbeats, to.heartbeats, millis),
    requestsPerSecond: perSecond(from.requests, to.requests, millis)
  }
}

/** The sum of a counter over all its labels. */
const counted = (all: ReadonlyArray<Metric.Metric.Snapshot>, id: string) =>
  all.reduce(
    (sum, metric) => (metric.id === id && metric.type === "Counter" ? sum + Number(metric.state.count) : sum),
    0
  )

export class NodeMeter extends Context.Service<
  NodeMeter,
  {
    /** How this process does: of the last few seconds, or since it started. */
    readonly read: Effect.Effect<NodeFigures>
  }
>()("@broker/core/nodes/NodeMeter") {
  static readonly layer = Layer.effect(
    NodeMeter,
    Effect.gen(function* () {
      const loop = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const started = monitorEventLoopDelay({ resolution: resolutionMillis })
          started.enable()
          return started
        }),
        (started) => Effect.sync(() => started.disable())
      )

      const totals = Effect.gen(function* () {
        const metrics = yield* Metric.snapshot
        const { system, user } = process.cpuUsage()
        return {
          atMillis: Number(yield* Clock.monotonicTimeNanos) / 1e6,
          cpuSeconds: (system + user) / 1e6,
          heartbeats: counted(metrics, "broker_heartbeats_total"),
          requests: counted(metrics, "broker_http_requests_total")
        } satisfies Totals
      })

      let from = yield* totals
      let last: NodeFigures | undefined

      const read = Effect.gen(function* () {
        const now = Number(yield* Clock.monotonicTimeNanos) / 1e6
        if (last !== undefined && now - from.atMillis < windowMillis) return last
        const to = yield* totals
        // NaN before its first sample.
        const delay = loop.percentile(99) / 1e6
        last = {
          ...rates(from, to),
          memoryBytes: process.memoryUsage.rss(),
          lagMillis: Number.isFinite(delay) ? Math.max(0, delay - resolutionMillis) : 0
        }
        from = to
        loop.reset()
        return last
      }).pipe(Effect.withSpan("NodeMeter.read"))

      return NodeMeter.of({ read })
    })
  )
}
