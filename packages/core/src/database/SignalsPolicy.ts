/** How soon a listener that hears nothing is found out, and how patiently it connects again. */
import { Context, Duration } from "effect"

export const SignalsPolicy = Context.Reference<{
  /** A silent stall is noticed within twice this. */
  readonly pingEvery: Duration.Duration
  readonly firstRetry: Duration.Duration
  readonly lastRetry: Duration.Duration
}>("@broker/core/database/SignalsPolicy", {
  defaultValue: () => ({
    pingEvery: Duration.seconds(5),
    firstRetry: Duration.millis(100),
    lastRetry: Duration.seconds(2)
  })
})
