/** Where webhooks may lead, how often they are tried, and how much at once. */
import { Context, Duration } from "effect"
import type { IpNetwork } from "effect/net"

export const WebhooksPolicy = Context.Reference<{
  /** Networks that targets may be in though they are not on the internet (W2). */
  readonly allowedNetworks: ReadonlyArray<IpNetwork.IpNetwork>
  /** Whether targets may be reached by http, which anybody on the way can read. */
  readonly http: boolean
  /** How long an attempt may take, from the connection to the end of the answer. */
  readonly timeout: Duration.Duration
  /** How long a name may take to be looked up, and for how long nobody asks again for one that took longer. */
  readonly lookUp: Duration.Duration
  readonly slowNames: Duration.Duration
  /** How much of an answer is read and kept. */
  readonly answerBytes: number
  /** How long to wait after the first, the second, … failure of a delivery; after all others as after the last. */
  readonly backOff: ReadonlyArray<Duration.Duration>
  /** Waits are so much longer or shorter, by chance: those who failed together do not come back together. */
  readonly jitter: number
  /** From its first failure on, a delivery is tried for so long; and so long a webhook may fail before it is paused. */
  readonly tryFor: Duration.Duration
  /** The longest that a target may ask for by `Retry-After`. */
  readonly longestRetryAfter: Duration.Duration
  /** So many failures in a row put a webhook to rest. */
  readonly failuresTolerated: number
  /** How long it rests before the first, the second, … trial. */
  readonly rests: ReadonlyArray<Duration.Duration>
  /** How long what a node took up is its own, unless it says again that it is at work. */
  readonly lease: Duration.Duration
  /** How many deliveries are under way at once: of one webhook on all nodes, and on one node of all webhooks. */
  readonly perWebhook: number
  readonly perNode: number
  /** How long a node stays with one subject of one webhook, before others have their turn. */
  readonly stay: Duration.Duration
  /** How often a node looks for what is due; a hint makes it look at once. */
  readonly every: Duration.Duration
  /** How long the secret of before signs beside the new one. */
  readonly overlap: Duration.Duration
  /** How long deliveries and their attempts are kept. */
  readonly keep: Duration.Duration
  /** How many rows of a kind are deleted in one transaction, and for how long one run goes on while there are more. */
  readonly prunedAtOnce: number
  readonly pruneFor: Duration.Duration
}>("@broker/core/webhooks/WebhooksPolicy", {
  defaultValue: () => ({
    allowedNetworks: [],
    http: false,
    timeout: Duration.seconds(15),
    lookUp: Duration.seconds(5),
    slowNames: Duration.minutes(1),
    answerBytes: 4_096,
    backOff: [
      Duration.seconds(5),
      Duration.seconds(30),
      Duration.minutes(2),
      Duration.minutes(10),
      Duration.minutes(30),
      Duration.hours(2),
      Duration.hours(6),
      Duration.hours(12)
    ],
    jitter: 0.1,
    tryFor: Duration.days(3),
    longestRetryAfter: Duration.hours(1),
    failuresTolerated: 5,
    rests: [
      Duration.seconds(30),
      Duration.minutes(1),
      Duration.minutes(5),
      Duration.minutes(15),
      Duration.minutes(30),
      Duration.hours(1)
    ],
    lease: Duration.seconds(4),
    perWebhook: 8,
    perNode: 64,
    stay: Duration.seconds(20),
    every: Duration.seconds(1),
    overlap: Duration.hours(24),
    keep: Duration.days(30),
    prunedAtOnce: 5_000,
    pruneFor: Duration.seconds(10)
  })
})
