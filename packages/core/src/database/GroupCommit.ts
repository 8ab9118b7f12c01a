/**
 * Many small writes as few big ones: whatever arrives while one batch is being written makes up the next.
 *
 * Everyone who adds to a batch waits for the same answer, so the cost of waiting is one Deferred per batch. A batch
 * that the database does not take is tried again for as long as it is away; meanwhile the next one grows, up to a
 * bound beyond which callers are turned away.
 */
import { type Cause, Deferred, Duration, Effect, Exit, Option, Schedule } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { find, isUnavailable } from "./SqlFailure.ts"

/** The buffer is at its bound. */
export const full = Symbol.for("@broker/core/database/GroupCommit/full")
/** Taken into the buffer; the database has not answered yet. */
export const accepted = Symbol.for("@broker/core/database/GroupCommit/accepted")

export interface GroupCommit<Key, Item, Answer> {
  /** Adds an item. A newer one with the same key takes the place of an older one that still waits. */
  push(item: Item): Effect.Effect<ReadonlyMap<Key, Answer> | typeof accepted | typeof full>
  /** How many items wait. */
  readonly pending: () => number
}

interface Batch<Key, Item, Answer> {
  readonly items: Map<Key, Item>
  readonly done: Deferred.Deferred<ReadonlyMap<Key, Answer> | typeof accepted | typeof full>
}

/** Between tries of a batch while the database is away. */
const retrying = Schedule.min([Schedule.exponential("50 millis", 1.7), Schedule.spaced("1 second")]).pipe(
  Schedule.jittered
)

/** How long the last batches may take when the process stops (J5). */
const farewell = Duration.seconds(5)

export const make = Effect.fnUntraced(function* <Key, Item, Answer>(options: {
  readonly keyOf: (item: Item) => Key
  /** Which of two items with one key is to be written. */
  readonly newer: (a: Item, b: Item) => Item
  readonly maxBatch: number
  readonly maxPending: number
  /** How long callers wait for the database before they hear `accepted`. */
  readonly patience: Duration.Duration
  readonly write: (items: ReadonlyArray<Item>) => Effect.Effect<ReadonlyMap<Key, Answer>, SqlError>
}) {
  const scope = yield* Effect.scope
  const fresh = (): Batch<Key, Item, Answer> => ({ items: new Map(), done: Deferred.makeUnsafe() })
  const ready: Array<Batch<Key, Item, Answer>> = []
  let open = fresh()
  let pending = 0
  let wake: (() => void) | undefined

  const impatience = (batch: Batch<Key, Item, Answer>) =>
    Effect.andThen(Effect.sleep(options.patience), Deferred.succeed(batch.done, accepted))

  const push: GroupCommit<Key, Item, Answer>["push"] = (item) =>
    Effect.suspend((): ReturnType<GroupCommit<Key, Item, Answer>["push"]> => {
      const batch = open
      const key = options.keyOf(item)
      const waiting = batch.items.get(key)
      if (waiting === undefined && pending >= options.maxPending) return Effect.succeed(full)
      if (waiting === undefined) pending += 1
      batch.items.set(key, waiting === undefined ? item : options.newer(waiting, item))
      if (batch.items.size >= options.maxBatch) {
        ready.push(batch)
        open = fresh()
      }
      wake?.()
      const answer = Deferred.await(batch.done)
      return batch.items.size > 1 ? answer : Effect.andThen(Effect.forkIn(impatience(batch), scope), answer)
    })

  const take = (): Batch<Key, Item, Answer> | undefined => {
    const batch = ready.shift()
    if (batch !== undefined) return batch
    if (open.items.size === 0) return undefined
    const taken = open
    open = fresh()
    return taken
  }

  const commit = (batch: Batch<Key, Item, Answer>) =>
    Effect.suspend(() => options.write([...batch.items.values()])).pipe(
      Effect.tapCause((cause) => Effect.logDebug("A batch was not written", cause)),
      Effect.catchCause((cause: Cause.Cause<SqlError>) =>
        Option.match(Option.filter(find(cause), isUnavailable), {
          onNone: () => Effect.failCause(cause),
          onSome: Effect.fail
        })
      ),
      Effect.retry({ schedule: retrying, while: isUnavailable }),
      // What is wrong with the batch itself, waiting does not mend: it is dropped, and the log says so.
      Effect.tapCause((cause) => Effect.logError("A batch was given up", cause)),
      Effect.orDie,
      Effect.exit,
      Effect.flatMap((exit) => {
        pending -= batch.items.size
        return Exit.isSuccess(exit)
          ? Deferred.succeed(batch.done, exit.value)
          : Deferred.failCause(batch.done, exit.cause)
      })
    )

  const arrival = Effect.callback<void>((resume) => {
    wake = () => {
      wake = undefined
      // All requests of this turn of the event loop join the batch.
      setImmediate(() => resume(Effect.void))
    }
    if (ready.length > 0 || open.items.size > 0) wake()
  })

  const next = Effect.suspend(() => {
    const batch = take()
    if (batch === undefined) return Effect.void
    // The process stops: what was under way is written again, which changes nothing if it was written already.
    return Effect.onInterrupt(commit(batch), () => Effect.sync(() => ready.unshift(batch)))
  })

  const drain = Effect.gen(function* () {
    while (ready.length > 0 || open.items.size > 0) yield* next
  })

  /** Whoever waits for what can't be written any more hears so, and may turn to another node. */
  const giveUp = Effect.suspend(() => {
    const left = [...ready.splice(0), open]
    open = fresh()
    const lost = left.reduce((sum, { items }) => sum + items.size, 0)
    pending -= lost
    return Effect.forEach(left, ({ done }) => Deferred.succeed(done, full), { discard: true }).pipe(
      Effect.tap(lost > 0 ? Effect.logError("Stopped before all was written", { lost }) : Effect.void)
    )
  })

  yield* Effect.addFinalizer(() =>
    Effect.interruptible(drain).pipe(
      Effect.timeoutOption(farewell),
      Effect.ignoreCause({ log: "Error" }),
      Effect.andThen(giveUp)
    )
  )
  yield* Effect.andThen(arrival, next).pipe(Effect.forever, Effect.forkScoped)

  return { push, pending: () => pending } satisfies GroupCommit<Key, Item, Answer>
})
