import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Database from "@broker/core/Database"
import { Leadership, NotLeader } from "@broker/core/nodes/Leadership"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Metric, Redacted, Ref, Schedule, Scope } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as FaultProxy from "../database/FaultProxy.ts"

/** A broker as far as leadership goes, with connections of its own. */
const node = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const layer = Leadership.layer.pipe(Layer.provideMerge(Database.layer({ url, maxConnections: 4 })))
  const services = yield* Layer.buildWithScope(Layer.fresh(layer), scope)
  return {
    leadership: Context.get(services, Leadership),
    sql: Context.get(services, SqlClient.SqlClient),
    shutDown: Scope.close(scope, Exit.void)
  }
})
type Node = Effect.Success<ReturnType<typeof node>>

/** How long, in milliseconds, until something holds. */
const waitedFor = Effect.fnUntraced(function* (check: Effect.Effect<boolean, unknown>) {
  const start = performance.now()
  yield* Effect.repeat(check, { schedule: Schedule.spaced("5 millis"), until: (holds) => holds }).pipe(
    Effect.timeout("20 seconds")
  )
  return performance.now() - start
})

const waitedForLead = ({ leadership }: Node) => waitedFor(leadership.isLeader)

const makeWork = ({ sql }: Node) => sql`create table work (id bigserial primary key, node text not null)`

const insert = ({ leadership, sql }: Node, name: string) =>
  leadership.fenced(sql`insert into work (node) values (${name})`)

const written = ({ sql }: Node) =>
  Effect.map(sql<{ node: string }>`select node from work order by id`, (rows) => rows.map(({ node }) => node))

const leader = fileURLToPath(new URL("./leader.ts", import.meta.url))

/** A process that leads and writes without pause. */
const startLeader = Effect.fnUntraced(function* (url: Redacted.Redacted, env: Record<string, string> = {}) {
  return yield* Effect.acquireRelease(
    Effect.callback<ChildProcess>((resume) => {
      const child = spawn(process.execPath, [leader], {
        env: { ...process.env, ...env, DATABASE_URL: Redacted.value(url) },
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.stdout.on("data", (chunk: Buffer) => {
        if (`${chunk}`.includes("leading")) resume(Effect.succeed(child))
      })
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
})

/** Pauses the leader for longer than its lease and checks that nothing it still had in mind was written. */
const pausedFor10s = Effect.fnUntraced(function* (env: Record<string, string>) {
  const url = yield* TestDatabase.createDatabase
  const other = yield* node(url)
  yield* waitedForLead(other)
  yield* makeWork(other)
  yield* other.shutDown
  const child = yield* startLeader(url, env)
  const heir = yield* node(url)
  yield* Effect.sleep("500 millis")

  child.kill("SIGSTOP")
  const took = yield* waitedForLead(heir)
  yield* insert(heir, "heir")
  yield* Effect.sleep(10_000 - took)
  const before = yield* written(heir)
  child.kill("SIGCONT")
  yield* Effect.sleep("2 seconds")
  assert.deepStrictEqual(yield* written(heir), before)
  assert.strictEqual(before.at(-1), "heir")
  assert.include(before, "child")
  assert.isBelow(took, 5_000)
})

describe("Leadership", { concurrent: true }, () => {
  it.live("J1 one of several nodes leads", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const nodes = yield* Effect.forEach([1, 2, 3], () => node(url), { concurrency: "unbounded" })
      yield* waitedFor(
        Effect.map(
          Effect.forEach(nodes, ({ leadership }) => leadership.isLeader),
          (all) => all.includes(true)
        )
      )
      for (let look = 0; look < 20; look++) {
        const leading = yield* Effect.forEach(nodes, ({ leadership }) => leadership.isLeader)
        assert.lengthOf(
          leading.filter((leads) => leads),
          1
        )
        yield* Effect.sleep("100 millis")
      }
    })
  )

  it.live("J1 a node that does not lead cannot write", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const first = yield* node(url)
      yield* waitedForLead(first)
      yield* makeWork(first)
      const second = yield* node(url)
      yield* insert(first, "first")

      assert.instanceOf(yield* Effect.flip(insert(second, "second")), NotLeader)
      assert.deepStrictEqual(yield* written(first), ["first"])
    })
  )

  it.live("J1 a write that was under way when the lease went is not committed", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const first = yield* node(url)
      yield* waitedForLead(first)
      yield* makeWork(first)
      // As if another node had taken over, though this one still believes in its lease.
      yield* first.sql`
        update leases
           set holder = gen_random_uuid(),
               token = token + 1,
               expires_at = clock_timestamp() + interval '3 s'`

      assert.instanceOf(yield* Effect.flip(insert(first, "first")), NotLeader)
      assert.deepStrictEqual(yield* written(first), [])
    })
  )

  it.live("J1 a take-over waits for the write that is under way", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const first = yield* node(url)
      yield* waitedForLead(first)
      yield* makeWork(first)
      const { leadership, sql } = first
      const slow = Effect.andThen(sql`insert into work (node) values ('first')`, sql`select pg_sleep(1.5)`)
      const writing = yield* Effect.forkScoped(leadership.fenced(slow))
      yield* Effect.sleep("200 millis")
      const token = yield* sql.withTransaction(
        Effect.andThen(sql`select name from leases for update`, sql`select count(*)::integer as committed from work`)
      )
      assert.deepStrictEqual(token, [{ committed: 1 }])
      yield* Fiber.join(writing)
    })
  )

  it.live("J1 a renewal does not wait for a long write", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const first = yield* node(url)
      yield* waitedForLead(first)
      yield* makeWork(first)
      yield* first.leadership.fenced(
        Effect.andThen(first.sql`insert into work (node) values ('first')`, first.sql`select pg_sleep(4)`)
      )
      assert.deepStrictEqual(yield* written(first), ["first"])
    })
  )

  it.live("F1 J2 the jobs of a killed node are taken over within 5 s", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const first = yield* node(url)
      yield* waitedForLead(first)
      yield* makeWork(first)
      yield* first.shutDown
      const child = yield* startLeader(url)
      const heir = yield* node(url)
      yield* Effect.sleep("500 millis")
      child.kill("SIGKILL")
      const took = yield* waitedForLead(heir)
      assert.isBelow(took, 5_000)
    })
  )

  it.live("J5 a node that shuts down hands its jobs over within 1 s", () =>
    Effect.gen(function* () {
      const url = yield* TestDatabase.createDatabase
      const first = yield* node(url)
      yield* waitedForLead(first)
      const second = yield* node(url)
      yield* Effect.sleep("300 millis")
      const [took] = yield* Effect.all([waitedForLead(second), first.shutDown], { concurrency: "unbounded" })
      assert.isBelow(took, 1_000)
    })
  )

  it.live("J1 F3 a paused holder cannot write", () => pausedFor10s({}), 60_000)

  it.live("J1 F3 nor one that was paused inside of a write", () => pausedFor10s({ SLOW: "1" }), 60_000)

  it.live("F5 a holder that loses the database stops within its lease", () =>
    Effect.gen(function* () {
      const proxy = yield* FaultProxy.make(yield* TestDatabase.createDatabase)
      const first = yield* node(proxy.url)
      yield* waitedForLead(first)
      const interrupted = yield* Ref.make(false)
      yield* Effect.never.pipe(
        Effect.onInterrupt(() => Ref.set(interrupted, true)),
        first.leadership.whileLeader,
        Effect.forkScoped
      )
      yield* Effect.sleep("100 millis")
      yield* proxy.stall
      const took = yield* waitedFor(Ref.get(interrupted))
      assert.isFalse(yield* first.leadership.isLeader)
      assert.isBelow(took, 3_300)
      yield* proxy.heal
      assert.isBelow(took + (yield* waitedForLead(first)), 8_000)
    })
  )
})

/** A node that leads, or does not, as a test says. */
const always = (leads: boolean) =>
  Layer.mock(Leadership, {
    isLeader: Effect.succeed(leads),
    whileLeader: (effect) => (leads ? Effect.andThen(effect, Effect.never) : Effect.never)
  })

const counted = Effect.fnUntraced(function* (name: string, leads: boolean, outcome: Effect.Effect<void, Error>) {
  const runs = yield* Ref.make(0)
  yield* Layer.build(
    Leadership.job({
      name,
      every: "10 seconds",
      budget: "5 seconds",
      run: Effect.andThen(
        Ref.update(runs, (n) => n + 1),
        outcome
      )
    }).pipe(Layer.provide(always(leads)))
  )
  return runs
})

const total = (job: string, outcome: string) =>
  Effect.map(
    Metric.snapshot,
    (all) =>
      all.find(
        ({ attributes, id }) =>
          id === "broker_job_runs_total" && attributes?.["job"] === job && attributes["outcome"] === outcome
      )?.state
  )

describe("Leadership.job", () => {
  it.effect("runs at once and then on schedule", () =>
    Effect.gen(function* () {
      const runs = yield* counted("plain", true, Effect.void)
      yield* TestClock.adjust("21 seconds")
      assert.strictEqual(yield* Ref.get(runs), 3)
      assert.deepInclude(yield* total("plain", "done"), { count: 3 })
    })
  )

  it.effect("J1 does not run elsewhere", () =>
    Effect.gen(function* () {
      const runs = yield* counted("elsewhere", false, Effect.void)
      yield* TestClock.adjust("21 seconds")
      assert.strictEqual(yield* Ref.get(runs), 0)
    })
  )

  it.effect("goes on after runs that failed, died or took too long", () =>
    Effect.gen(function* () {
      const failed = yield* counted("failing", true, Effect.fail(new Error("no luck")))
      const died = yield* counted("dying", true, Effect.die(new Error("no luck at all")))
      const endless = yield* counted("endless", true, Effect.never)
      yield* TestClock.adjust("26 seconds")
      assert.deepStrictEqual(yield* Effect.forEach([failed, died, endless], Ref.get), [3, 3, 3])
      assert.deepInclude(yield* total("failing", "failed"), { count: 3 })
    })
  )
})
