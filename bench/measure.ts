/** What every measurement needs. */
import { Clock, Effect } from "effect"

/** How long an effect takes, in milliseconds. */
export const milliseconds = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const from = yield* Clock.currentTimeNanos
    yield* effect
    return Number((yield* Clock.currentTimeNanos) - from) / 1e6
  })

/** The time within which that share of all was done; NaN of none. */
export const percentile = (times: ReadonlyArray<number>, share: number) =>
  times.toSorted((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN
