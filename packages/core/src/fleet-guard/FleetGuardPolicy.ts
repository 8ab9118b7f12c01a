/** How much silence at once is taken for a fault of something between, rather than of the servers (H6). */
import { Context, Duration } from "effect"

export const FleetGuardPolicy = Context.Reference<{
  /** More than this share of the live servers, and at least so many. Smaller fleets are never guarded. */
  readonly share: number
  readonly least: number
  /** When the number held has not moved for so long, while the broker listened, those who are held are gone. */
  readonly steadyFor: Duration.Duration
  /**
   * By what share of the expected the number held may move without counting as moving, and how many may be silent and
   * not held yet: somebody always comes and goes. One server may in any fleet.
   */
  readonly steadyWithin: number
  /** For how long a guard holds at most, while the broker listened, however much comes and goes. */
  readonly longest: Duration.Duration
}>("@broker/core/fleet-guard/FleetGuardPolicy", {
  defaultValue: () => ({
    share: 0.3,
    least: 5,
    steadyFor: Duration.minutes(10),
    steadyWithin: 0.01,
    longest: Duration.minutes(60)
  })
})
