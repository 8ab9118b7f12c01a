import * as GroupCommit from "@broker/core/database/GroupCommit"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Queue, Ref, Scope } from "effect"
import { ConnectionError, SqlError, SqlSyntaxError } from "effect/sql/SqlError"
import { TestClock } from "effect/testing"

interface Item {
  readonly key: string
  readonly number: number
}

type Write = (items: ReadonlyArray<Item>) => Effect.Effect<ReadonlyMap<string, number>, SqlError>

const away = new SqlError({ reason: new ConnectionError({ cause: new Error("no route"), operation: "connect" }) })
const broken = new SqlError({ reason: new SqlSyntaxError({ cause: new Error("syntax error"), operation: "execute" }) })

const answers = (items: ReadonlyArray<Item>) => new Map(items.map(({ key, number }) => [key, number]))

/** A buffer that writes as a test says, and the batches it wrote. */
const buffer = Effect.fnUntraced(function* (
  write: Write,
  options: { readonly maxBatch?: number; readonly maxPending?: number } = {}
) {
  const batches = yield* Ref.make<ReadonlyArray<ReadonlyArray<Item>>>([])
  const scope = yield* Scope.fork(yield* Effect.scope)
  const commit = yield* GroupCommit.make<string, Item, number>({
    keyOf: ({ key }) => key,
    newer: (waiting, arriving) => (waiting.number > arriving.number ? waiting : arriving),
    maxBatch: options.maxBatch ?? 100,
    maxPending: options.maxPending ?? 100,
    patience: Duration.millis(250),
    write: (items) =>
      Effect.tap(
        write(items),
        Ref.update(batches, (all) => [...all, items])
      )
  }).pipe(Scope.provide(scope))
  return { ...commit, batches: Ref.get(batches), shutDown: Scope.close(scope, Exit.void) }
})

const atOnce: Write = (items) => Effect.succeed(answers(items))

/** Fails until it is told to go on. */
const mendable = Effect.gen(function* () {
  const works = yield* Ref.make(false)
  const write: Write = (items) =>
    Effect.flatMap(Ref.get(works), (works) => (works ? Effect.succeed(answers(items)) : Effect.fail(away)))
  return { write, mend: Ref.set(works, true) }
})

/** Holds every batch until it is let through. */
const gated = Effect.gen(function* () {
  const arrived = yield* Queue.unbounded<Deferred.Deferred<void>>()
  const write: Write = (items) =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      yield* Queue.offer(arrived, gate)
      yield* Deferred.await(gate)
      return answers(items)
    })
  return { write, next: Queue.take(arrived) }
})

const item = (key: string, number = 1): Item => ({ key, number })

const pushAll = (commit: GroupCommit.GroupCommit<string, Item, number>, items: ReadonlyArray<Item>) =>
  Effect.forEach(items, commit.push, { concurrency: "unbounded" })

describe("GroupCommit", () => {
  it.effect("H7 what arrives together is written together", () =>
    Effect.gen(function* () {
      const commit = yield* buffer(atOnce)
      yield* pushAll(commit, [item("a"), item("b"), item("c")])
      assert.deepStrictEqual(yield* commit.batches, [[item("a"), item("b"), item("c")]])
    })
  )

  it.effect("H7 everyone hears the answer for the batch", () =>
    Effect.gen(function* () {
      const commit = yield* buffer(atOnce)
      const heard = yield* pushAll(commit, [item("a", 1), item("b", 2)])
      const expected = new Map([
        ["a", 1],
        ["b", 2]
      ])
      assert.deepStrictEqual(heard, [expected, expected])
    })
  )

  it.effect("H7 what arrives during a write makes up the next batch", () =>
    Effect.gen(function* () {
      const gate = yield* gated
      const commit = yield* buffer(gate.write)
      const first = yield* Effect.forkChild(commit.push(item("a")))
      const open = yield* gate.next
      const others = yield* Effect.forkChild(pushAll(commit, [item("b"), item("c")]), { startImmediately: true })
      yield* Deferred.succeed(open, undefined)
      yield* Deferred.succeed(yield* gate.next, undefined)
      yield* Fiber.joinAll([first, others])
      assert.deepStrictEqual(yield* commit.batches, [[item("a")], [item("b"), item("c")]])
    })
  )

  it.effect("H7 of one key the newer item is written, whichever came first", () =>
    Effect.gen(function* () {
      const commit = yield* buffer(atOnce)
      yield* pushAll(commit, [item("a", 2), item("a", 3), item("a", 1)])
      assert.deepStrictEqual(yield* commit.batches, [[item("a", 3)]])
    })
  )

  it.effect("H7 a batch has a bound", () =>
    Effect.gen(function* () {
      const commit = yield* buffer(atOnce, { maxBatch: 2 })
      yield* pushAll(
        commit,
        ["a", "b", "c", "d", "e"].map((key) => item(key))
      )
      assert.deepStrictEqual(
        (yield* commit.batches).map((batch) => batch.length),
        [2, 2, 1]
      )
    })
  )

  it.effect("H7 the buffer has a bound, and a newer item of a known key fits in all the same", () =>
    Effect.gen(function* () {
      const { mend, write } = yield* mendable
      const commit = yield* buffer(write, { maxPending: 2 })
      const waiting = yield* Effect.forkChild(pushAll(commit, [item("a"), item("b")]), { startImmediately: true })
      assert.strictEqual(yield* commit.push(item("c")), GroupCommit.full)
      const newer = yield* Effect.forkChild(commit.push(item("b", 2)), { startImmediately: true })
      assert.strictEqual(commit.pending(), 2)
      yield* mend
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.joinAll([waiting, newer])
      assert.strictEqual(commit.pending(), 0)
    })
  )

  it.effect("H7 with the database away callers hear within their patience that it is accepted", () =>
    Effect.gen(function* () {
      const { mend, write } = yield* mendable
      const commit = yield* buffer(write)
      const waiting = yield* Effect.forkChild(commit.push(item("a")), { startImmediately: true })
      yield* TestClock.adjust("249 millis")
      const early = waiting.pollUnsafe()
      yield* TestClock.adjust("1 millis")
      const heard = yield* Fiber.join(waiting)
      yield* mend
      assert.deepStrictEqual([early, heard], [undefined, GroupCommit.accepted])
    })
  )

  it.effect("H7 what was accepted is written when the database is back", () =>
    Effect.gen(function* () {
      const { mend, write } = yield* mendable
      const commit = yield* buffer(write)
      const waiting = yield* Effect.forkChild(commit.push(item("a")), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(waiting)
      yield* mend
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* commit.batches, [[item("a")]])
      assert.strictEqual(commit.pending(), 0)
    })
  )

  it.effect("H7 a batch that can never be written is given up, and the next one is written", () =>
    Effect.gen(function* () {
      const commit = yield* buffer((items) =>
        items.some(({ key }) => key === "bad") ? Effect.fail(broken) : atOnce(items)
      )
      assert.isTrue(Exit.isFailure(yield* Effect.exit(commit.push(item("bad")))))
      yield* commit.push(item("good"))
      assert.deepStrictEqual(yield* commit.batches, [[item("good")]])
      assert.strictEqual(commit.pending(), 0)
    })
  )

  it.effect("H7 a write that dies harms its own batch only", () =>
    Effect.gen(function* () {
      const commit = yield* buffer((items) =>
        items.some(({ key }) => key === "bad") ? Effect.die(new Error("a bug")) : atOnce(items)
      )
      assert.isTrue(Exit.isFailure(yield* Effect.exit(commit.push(item("bad")))))
      yield* commit.push(item("good"))
      assert.deepStrictEqual(yield* commit.batches, [[item("good")]])
    })
  )

  it.effect("J5 what waits is written before the process stops", () =>
    Effect.gen(function* () {
      const commit = yield* buffer(atOnce)
      const waiting = yield* Effect.forkChild(commit.push(item("a")), { startImmediately: true })
      yield* commit.shutDown
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* commit.batches, [[item("a")]])
    })
  )

  it.effect("J5 a batch that the stop interrupts is written again", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const tries = yield* Ref.make(0)
      const commit = yield* buffer((items) =>
        Effect.gen(function* () {
          if ((yield* Ref.updateAndGet(tries, (n) => n + 1)) > 1) return answers(items)
          yield* Deferred.succeed(begun, undefined)
          return yield* Effect.never
        })
      )
      const waiting = yield* Effect.forkChild(commit.push(item("a")), { startImmediately: true })
      yield* Deferred.await(begun)
      yield* commit.shutDown
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* commit.batches, [[item("a")]])
    })
  )

  it.effect("J5 with the database away the process stops after 5 seconds all the same, and callers hear so", () =>
    Effect.gen(function* () {
      const { write } = yield* mendable
      const commit = yield* buffer(write)
      const waiting = yield* Effect.forkChild(commit.push(item("a")), { startImmediately: true })
      const stopping = yield* Effect.forkChild(commit.shutDown, { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* Fiber.join(waiting), GroupCommit.full)
    })
  )
})
