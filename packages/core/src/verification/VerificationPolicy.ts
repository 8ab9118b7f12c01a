/** How often servers are asked who they are, how many at once, and how their capabilities are checked. */
import { Context, Duration } from "effect"

export const VerificationPolicy = Context.Reference<{
  /** How often a server proves itself, unless its group says otherwise (V3). */
  readonly period: Duration.Duration
  /** How often the broker looks for servers to ask. */
  readonly every: Duration.Duration
  /** So many times what the fleet comes to are asked in one run at most, while there is a backlog. */
  readonly catchUp: number
  /** So many may be asked in one run however small the fleet. */
  readonly leastPerRun: number
  /** So long after a proof nothing new about a server is reason enough to ask again. */
  readonly rest: Duration.Duration
  /** Within this time the whole fleet may be asked where nobody is verified: servers wait to be of use. */
  readonly unverifiedWithin: Duration.Duration
  /** Questions in a row that a verified server may leave unanswered before it is none. */
  readonly silencesTolerated: number
  /** How long a new key that was never used stands beside the one of now (V4). */
  readonly nextKeyLifetime: Duration.Duration
  /** How long questions are kept. */
  readonly history: Duration.Duration
  /** How long it is kept how many of them ended how, for reports. */
  readonly tallies: Duration.Duration
  /** How long what a check of a capability found holds. */
  readonly checkLifetime: Duration.Duration
  readonly checkEvery: Duration.Duration
  /** How many servers one run checks, how many of them at once, and how long one try may take. */
  readonly checkLimit: number
  readonly checkConcurrency: number
  readonly checkTimeout: Duration.Duration
  /** Whether checks connect to addresses that are not public, as in a lab. */
  readonly privateChecks: boolean
}>("@broker/core/verification/VerificationPolicy", {
  defaultValue: () => ({
    period: Duration.hours(6),
    every: Duration.seconds(5),
    catchUp: 3,
    leastPerRun: 20,
    rest: Duration.minutes(10),
    unverifiedWithin: Duration.minutes(10),
    silencesTolerated: 5,
    nextKeyLifetime: Duration.days(7),
    history: Duration.days(30),
    tallies: Duration.days(400),
    checkLifetime: Duration.hours(24),
    checkEvery: Duration.seconds(10),
    checkLimit: 200,
    checkConcurrency: 16,
    checkTimeout: Duration.seconds(3),
    privateChecks: false
  })
})
