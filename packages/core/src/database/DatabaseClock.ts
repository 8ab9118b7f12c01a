/**
 * One clock for all nodes: the database's.
 *
 * Replaces Effect's `Clock` by one that runs with this machine's monotonic
 * clock and is set by the database, so that nothing that happens to a node's
 * wall clock reaches the product. Not for tests, which bring a clock of their
 * own.
 */
import { Clock, Context, Duration, Effect, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"

export class DatabaseClock extends Context.Service<
  DatabaseClock,
  {
    /** How far the database is ahead of this machine's wall clock. */
    readonly offsetMillis: Effect.Effect<number>
    /** Whether the two clocks moved apart by more than a second between the last two looks: not ready to serve. */
    readonly drifted: Effect.Effect<boolean>
  }
>()("@broker/core/database/DatabaseClock") {}

const measureEvery = Duration.minutes(1)
const watchEvery = Duration.seconds(1)
const samples = 5
const tolerated = 1_000
/** An answer that took longer says too little about when it was given. */
const slowest = 500

const base = Context.get(Context.empty(), Clock.Clock)
const monotonicMillis = () => Number(base.monotonicTimeNanosUnsafe()) / 1e6

/** Database time minus monotonic time, by the quickest of a few round trips. Undefined when all were slow. */
const measure = Effect.gen(function* () {
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  let best: { readonly took: number; readonly ahead: number } | undefined
  for (let sample = 0; sample < samples; sample++) {
    const before = monotonicMillis()
    const [row] = yield* sql`select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`
    const after = monotonicMillis()
    const took = after - before
    if (took <= slowest && (best === undefined || took < best.took)) {
      best = { took, ahead: Number(row?.["now"]) - (before + after) / 2 }
    }
  }
  return best?.ahead
}).pipe(Effect.withSpan("DatabaseClock.measure"))

/** Effect's own clock, except for what time it is. */
const clockOf = (millis: () => number): Clock.Clock => {
  const currentTimeMillisUnsafe = () => Math.floor(millis())
  const currentTimeNanosUnsafe = () => BigInt(Math.floor(millis() * 1_000)) * 1_000n
  return {
    currentTimeMillisUnsafe,
    currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
    currentTimeNanosUnsafe,
    currentTimeNanos: Effect.sync(currentTimeNanosUnsafe),
    monotonicTimeNanosUnsafe: () => base.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: base.monotonicTimeNanos,
    sleep: (duration) => base.sleep(duration)
  }
}

const make = Effect.gen(function* () {
  let ahead = (yield* measure) ?? Date.now() - monotonicMillis()
  let drifted = false
  let measuredAt = monotonicMillis()
  let wall = Date.now() - monotonicMillis()

  const align = Effect.gen(function* () {
    const now = yield* measure
    if (now === undefined) return
    const moved = now - ahead
    drifted = Math.abs(moved) > tolerated
    ahead = now
    measuredAt = monotonicMillis()
    if (drifted) yield* Effect.logWarning("The database's clock moved against this machine's", { millis: moved })
  })

  // A machine that slept, or whose clock was set, is noticed by its two clocks: then the minute is not waited for.
  const watch = Effect.gen(function* () {
    const now = Date.now() - monotonicMillis()
    const jumped = Math.abs(now - wall) > tolerated
    wall = now
    if (jumped || monotonicMillis() - measuredAt >= Duration.toMillis(measureEvery)) yield* align
  })

  yield* watch.pipe(
    Effect.ignoreCause({ log: "Debug" }),
    Effect.repeat(Schedule.spaced(watchEvery)),
    Effect.annotateLogs({ fiber: "DatabaseClock" }),
    Effect.provideService(Clock.Clock, base),
    Effect.forkScoped
  )

  const service = DatabaseClock.of({
    offsetMillis: Effect.sync(() => ahead + monotonicMillis() - Date.now()),
    drifted: Effect.sync(() => drifted)
  })
  return Context.make(DatabaseClock, service).pipe(
    Context.add(
      Clock.Clock,
      clockOf(() => ahead + monotonicMillis())
    )
  )
})

export const layer = Layer.effectContext(make)
