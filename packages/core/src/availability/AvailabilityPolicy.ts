import { Context } from "effect"

/** How the availability of a fleet is worked out. */
export const AvailabilityPolicy = Context.Reference<{
  /** One statement answers for so many servers: a fleet of any size stays within the time that statements have. */
  readonly serversAtOnce: number
}>("@broker/core/availability/AvailabilityPolicy", { defaultValue: () => ({ serversAtOnce: 10_000 }) })
