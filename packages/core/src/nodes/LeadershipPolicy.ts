/** How long the jobs may rest when the node that runs them is gone. */
import { Context, Duration } from "effect"

export const LeadershipPolicy = Context.Reference<{
  /** Work is taken over this long after the last sign of life, at the latest. */
  readonly ttl: Duration.Duration
  readonly renewEvery: Duration.Duration
  /** How often the others look whether the lease is free. */
  readonly pollEvery: Duration.Duration
  /** How long a fenced transaction may rest: less than `ttl`, as it holds up the take-over. */
  readonly idleInFence: Duration.Duration
}>("@broker/core/nodes/LeadershipPolicy", {
  defaultValue: () => ({
    ttl: Duration.seconds(3),
    renewEvery: Duration.seconds(1),
    pollEvery: Duration.millis(500),
    idleInFence: Duration.seconds(2)
  })
})
