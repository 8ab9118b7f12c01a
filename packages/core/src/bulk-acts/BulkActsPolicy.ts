/** How bulk actions are carried out. */
import { Context, Duration } from "effect"

export const BulkActsPolicy = Context.Reference("@broker/core/bulk-acts/BulkActsPolicy", {
  defaultValue: () => ({
    /** So many servers one act may be about. */
    maxServers: 100_000,
    /** So many servers are reached in one run, by all acts together, and so many acts take part. */
    serversPerRun: 100,
    actsPerRun: 10,
    /** What was reached is written when the run ends, so that no lock is held for long. */
    runFor: Duration.seconds(1),
    /** How long an act is shown after its end. */
    keep: Duration.days(30)
  })
})
