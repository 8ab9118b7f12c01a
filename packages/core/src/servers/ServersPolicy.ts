/** How often servers report, and how long the broker waits before it worries. */
import { Context, Duration } from "effect"

export const ServersPolicy = Context.Reference<{
  /** What a server is told, give or take 10 % (H1). */
  readonly heartbeatInterval: Duration.Duration
  /** Missed heartbeats until `degraded` and until `offline` (H2), counted in the interval that the server was told. */
  readonly degradedAfterMissed: number
  readonly offlineAfterMissed: number
  /** How far off a server's clock may be (H4). */
  readonly maxClockSkew: Duration.Duration
  /** This many falls within the window, and a server has to be steady before it is `online` again (H2). */
  readonly flappingFalls: number
  readonly flappingWindow: Duration.Duration
  readonly sweepEvery: Duration.Duration
  /** How many servers one sweep moves at most: a mass outage is worked off over several. */
  readonly sweepLimit: number
  /** Heartbeats that may wait for the database before more are refused (H7). */
  readonly heartbeatBuffer: number
  /** How long a heartbeat waits for the database before it is answered from memory (H7). */
  readonly heartbeatPatience: Duration.Duration
  /** How far off a signed timestamp may be (B4). */
  readonly maxTimestampSkew: Duration.Duration
  /** How long a lost registration may be asked for again without another use (B2). */
  readonly registrationRepeatWindow: Duration.Duration
  /** How long an old token outlives its successor at most. */
  readonly tokenOverlap: Duration.Duration
  /** How long a challenge may be answered (V1). */
  readonly challengeLifetime: Duration.Duration
  /** The wait before an unanswered challenge is asked again, doubled each time up to the maximum (V2). */
  readonly challengeBackoff: Duration.Duration
  readonly challengeBackoffMax: Duration.Duration
}>("@broker/core/servers/ServersPolicy", {
  defaultValue: () => ({
    heartbeatInterval: Duration.seconds(30),
    degradedAfterMissed: 2,
    offlineAfterMissed: 4,
    maxClockSkew: Duration.minutes(2),
    flappingFalls: 3,
    flappingWindow: Duration.minutes(10),
    sweepEvery: Duration.seconds(2),
    sweepLimit: 5_000,
    heartbeatBuffer: 100_000,
    heartbeatPatience: Duration.millis(250),
    maxTimestampSkew: Duration.minutes(5),
    registrationRepeatWindow: Duration.minutes(10),
    tokenOverlap: Duration.hours(4),
    challengeLifetime: Duration.seconds(60),
    challengeBackoff: Duration.minutes(1),
    challengeBackoffMax: Duration.hours(1)
  })
})
