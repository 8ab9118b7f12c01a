/** How long what servers measure is kept, and when it is rolled up (H9). */
import { Context, Duration } from "effect"

export const MetricsPolicy = Context.Reference<{
  readonly samples: Duration.Duration
  readonly minutes: Duration.Duration
  readonly hours: Duration.Duration
  /** A minute is rolled up this long after its end: by then nearly all of it is written. */
  readonly settle: Duration.Duration
  /** A minute is closed this long after its end: what comes later is noted, and has it rolled up again. */
  readonly late: Duration.Duration
  /** From which age on a sample is noted as late: shorter than `late` by more than it takes to be written. */
  readonly notedAfter: Duration.Duration
  /** How long one run goes on, counted between statements; at least one is run. */
  readonly runBudget: Duration.Duration
  /** How many rows one statement rolls up. */
  readonly rowsPerStatement: number
}>("@broker/core/metrics/MetricsPolicy", {
  defaultValue: () => ({
    samples: Duration.hours(24),
    minutes: Duration.days(14),
    hours: Duration.days(400),
    settle: Duration.seconds(10),
    late: Duration.minutes(2),
    notedAfter: Duration.minutes(1),
    runBudget: Duration.seconds(20),
    rowsPerStatement: 10_000
  })
})
