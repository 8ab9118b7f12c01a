/** Whether a signed request was meant for now (B4, V4). */
import { TimestampOutOfRange } from "@broker/domain/Registration"
import { DateTime, Duration, Effect } from "effect"

/** Refuses a timestamp that is further off the broker's clock than `maxSkew`. */
export const requireTimely = Effect.fnUntraced(function* (timestamp: string, maxSkew: Duration.Duration) {
  const skew = Math.abs(Date.parse(timestamp) - DateTime.toEpochMillis(yield* DateTime.now))
  if (skew > Duration.toMillis(maxSkew)) return yield* new TimestampOutOfRange()
})
