/** How long an agent waits before it tries again. */
import { Duration } from "effect"

const first = 1
const longest = 60

/**
 * After so many failures in a row: doubling from 1 s to 60 s. The random half keeps a fleet that lost its broker in one
 * moment from coming back in one moment.
 *
 * @param random from 0 to 1
 */
export const afterFailures = (failures: number, random: number) =>
  Duration.seconds(Math.min(longest, first * 2 ** Math.min(failures - 1, 30)) * (0.5 + random / 2))

/** Around a given time, a tenth more or less. */
export const around = (duration: Duration.Duration, random: number) => Duration.times(duration, 0.9 + random / 5)
