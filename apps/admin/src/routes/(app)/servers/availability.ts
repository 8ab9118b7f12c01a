/** How a server was to be had, day by day. */
import type { AvailabilityDayView } from "#lib/availability.ts"

/** So many days are shown. */
export const strip = 30

/** Of all days together: up in the time in which it could have been. */
export const shareOf = (days: ReadonlyArray<AvailabilityDayView>) => {
  const up = days.reduce((sum, one) => sum + one.up, 0)
  const down = days.reduce((sum, one) => sum + one.down, 0)
  return up + down === 0 ? null : up / (up + down)
}
