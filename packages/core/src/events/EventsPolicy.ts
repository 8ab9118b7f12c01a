/** How fast events are given their place, how they are read, and for how long they are kept. */
import { Context, Duration } from "effect"

export const EventsPolicy = Context.Reference("@broker/core/events/EventsPolicy", {
  defaultValue: () => ({
    /** How often the leader looks for events that wait for their place. */
    publishEvery: Duration.millis(250),
    /** How many get theirs in one transaction, and for how long one run goes on while more wait. */
    publishBatch: 1_000,
    publishFor: Duration.seconds(10),
    /** How often a node looks for new events while somebody listens; a signal says it sooner. */
    pollEvery: Duration.seconds(1),
    /** How many events a node keeps at hand for those who listen. Whoever is further behind reads the table. */
    atHand: 1_000,
    /** For how long events can be read again. */
    keptFor: Duration.days(30),
    /** Events past their time that are deleted in one transaction, and for how long one run goes on. */
    pruneBatch: 5_000,
    pruneFor: Duration.seconds(10),
    /** How many streams one node keeps open for machines, and of one token. */
    streams: 1_000,
    streamsPerToken: 20,
    /** How many events one statement looks at for a text, and how many such statements make up a page at most. */
    window: 2_000,
    windows: 10
  })
})
