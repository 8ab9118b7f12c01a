/** How long things around connections live, and how many there may be. */
import { Context, Duration } from "effect"

export const ConnectionsPolicy = Context.Reference<{
  /** How long an intent waits for its server (C2). */
  readonly intentLifetime: Duration.Duration
  /** How long a grant is good for (C3). */
  readonly grantLifetime: Duration.Duration
  /** How long connections outlive the silence of their server (C5). */
  readonly staleLifetime: Duration.Duration
  /** How long a server has to list a connection that it reported active (C4). */
  readonly liveSetGrace: Duration.Duration
  /** How long the broker waits for the other side's account of an ended connection. */
  readonly settlement: Duration.Duration
  /** After how long an order to cut that was not confirmed is overdue (C6). */
  readonly cutPatience: Duration.Duration
  /** Of keys and devices made from now on (C2). */
  readonly connectionsPerKey: number
  readonly connectionsPerDevice: number
  readonly devicesPerUser: number
  /** How long a client is signed in. */
  readonly sessionLifetime: Duration.Duration
  /** How long a discovery answer may be given again on a node that heard of no change (C8). */
  readonly discoveryFreshness: Duration.Duration
  /** How often expired intents, lost servers and unsettled accounts are looked for. */
  readonly sweepEvery: Duration.Duration
  /** How many connections one sweep moves at most of each kind. */
  readonly sweepLimit: number
  /** How long connections that are over are kept, and what they came to. */
  readonly history: Duration.Duration
  readonly usageHistory: Duration.Duration
}>("@broker/core/connections/ConnectionsPolicy", {
  defaultValue: () => ({
    intentLifetime: Duration.seconds(60),
    grantLifetime: Duration.minutes(2),
    staleLifetime: Duration.seconds(60),
    liveSetGrace: Duration.seconds(10),
    settlement: Duration.minutes(2),
    cutPatience: Duration.seconds(90),
    connectionsPerKey: 10,
    connectionsPerDevice: 5,
    devicesPerUser: 10,
    sessionLifetime: Duration.minutes(15),
    discoveryFreshness: Duration.seconds(1),
    sweepEvery: Duration.seconds(1),
    sweepLimit: 5_000,
    history: Duration.days(90),
    usageHistory: Duration.days(400)
  })
})
