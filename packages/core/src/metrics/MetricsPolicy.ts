/** How long what servers measure is kept, and when it is rolled up (H9). */
import { Context, Duration } from "effect"

export const MetricsPolicy = Context.Reference<{
  readonly samples: Duration.Duration
  readonly minutes: Duration.Duration
  readonly hours: Duration.Duration
  /** A minute is rolled up this long after its end: by then nearly all of it is written. */
  readonly settle: Duration.Duration
  /** What comes later than this after its minute is kept as a sample, and in no roll-up. */
  readonly late: Duration.Duration
  /** How long one run goes on, counted between statements. */
  readonly runBudget: Duration.Duration
  /** How many minutes one run takes on. */
  readonly minutesPerRun: number
  /** How many rows one statement rolls up. */
  readonly rowsPerStatement: number
}>("@broker/core/metrics/MetricsPolicy", {
  defaultValue: () => ({
    samples: Duration.hours(24),
    minutes: Duration.days(14),
    hours: Duration.days(400),
    settle: Duration.seconds(10),
    late: Duration.minutes(10),
    runBudget: Duration.seconds(8),
    minutesPerRun: 240,
    rowsPerStatement: 20_000
  })
})
