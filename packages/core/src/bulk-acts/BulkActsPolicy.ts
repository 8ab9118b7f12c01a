/** How bulk actions are carried out. */
import { Context, Duration } from "effect"

export const BulkActsPolicy = Context.Reference("@broker/core/bulk-acts/BulkActsPolicy", {
  defaultValue: () => ({
    /** So many servers one act may be about. */
    maxServers: 100_000,
    /** So many are noted, or forgotten, by one statement, so that none takes long. */
    atOnce: 5_000,
    /** So many servers are reached in one run, by all acts together, and so many acts take part. */
    serversPerRun: 100,
    actsPerRun: 10,
    /** After this long a run leaves the rest to the next. */
    runFor: Duration.seconds(1),
    /** So often a server is tried that the database could not change in time. */
    tries: 5,
    /** How long an act is shown after its end. */
    keep: Duration.days(30)
  })
})
