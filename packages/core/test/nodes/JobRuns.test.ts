import { Installation } from "@broker/core/Installation"
import { Monitoring } from "@broker/core/monitoring/Monitoring"
import * as JobRuns from "@broker/core/nodes/JobRuns"
import { Leadership } from "@broker/core/nodes/Leadership"
import { NodeMeter, rates } from "@broker/core/nodes/NodeMeter"
import { Nodes } from "@broker/core/nodes/Nodes"
import * as Fixtures from "@broker/testing/Fixtures"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, DateTime, Duration, Effect, Layer, Ref } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

const base = Monitoring.layer.pipe(
  Layer.provideMerge(TestDatabase.layer),
  Layer.provideMerge(Layer.effectDiscard(TestClock.setTime(Fixtures.start.epochMilliseconds)))
)

/** The monitoring of now: what it told last is not asked again. */
const state = Effect.gen(function* () {
  yield* TestClock.adjust("2001 millis")
  return yield* Monitoring.use(({ broker }) => broker)
})

const jobOf = (name: string) => Effect.map(state, ({ jobs }) => jobs.find((job) => job.name === name))

layer(base)("what jobs tell of themselves", (it) => {
  /** As `Leadership.job` runs it, one run after the other. */
  const teller = (name: string, every: Duration.Input) =>
    Effect.map(SqlClient.SqlClient, (sql) => {
      const writes = Ref.makeUnsafe(0)
      const write = JobRuns.write(sql)
      const told = JobRuns.teller(name, Duration.fromInputUnsafe(every), (runs) =>
        Effect.andThen(
          write(runs),
          Ref.update(writes, (n) => n + 1)
        )
      )
      const ran = (outcome: JobRuns.JobOutcome, problem: string | null = null) =>
        Effect.flatMap(DateTime.now, (startedAt) => told({ startedAt, took: Duration.millis(20), outcome, problem }))
      return { ran, writes: Ref.get(writes) }
    })

  it.effect("a run, its outcome, and the run to come", () =>
    Effect.gen(function* () {
      const { ran } = yield* teller("hourly", "1 hour")
      const startedAt = yield* DateTime.now
      yield* ran("done")
      assert.deepStrictEqual(yield* jobOf("hourly"), {
        name: "hourly",
        everySeconds: 3_600,
        runs: 1,
        failures: 0,
        lastStartedAt: startedAt,
        lastTookMillis: 20,
        lastOutcome: "done",
        lastProblem: null,
        lastFailedAt: null,
        nextRunAt: DateTime.add(startedAt, { hours: 1 }),
        overdue: false
      })
      yield* TestClock.adjust("4 hours")
      assert.isTrue((yield* jobOf("hourly"))?.overdue)
    })
  )

  it.effect(
    "a job that runs twice a second writes once in 5 s, or when its outcome changes, and counts every run",
    () =>
      Effect.gen(function* () {
        const { ran, writes } = yield* teller("often", "500 millis")
        for (let run = 0; run < 40; run++) {
          yield* ran("done")
          yield* TestClock.adjust("500 millis")
        }
        assert.strictEqual(yield* writes, 4)
        yield* ran("failed", "The database was away")
        assert.strictEqual(yield* writes, 5)
        assert.deepInclude(yield* jobOf("often"), { runs: 41, failures: 1, lastOutcome: "failed" })
        yield* ran("done")
        assert.deepInclude(yield* jobOf("often"), {
          runs: 42,
          failures: 1,
          lastOutcome: "done",
          lastProblem: "The database was away"
        })
      })
  )

  it.effect("J1 a node that was overtaken does not write over what its heir told", () =>
    Effect.gen(function* () {
      const paused = yield* teller("overtaken", "1 minute")
      const heir = yield* teller("overtaken", "1 minute")
      const startedAt = yield* DateTime.now
      yield* TestClock.adjust("1 minute")
      yield* heir.ran("done")
      yield* TestClock.setTime(startedAt.epochMilliseconds)
      yield* paused.ran("lost")
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* jobOf("overtaken"), { lastOutcome: "done", runs: 1 })
    })
  )

  it.effect("what cannot be told now is told with the next run, and the job goes on", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { ran } = yield* teller("untold", "1 minute")
      yield* sql`alter table job_runs rename to job_runs_away`
      yield* ran("done")
      yield* sql`alter table job_runs_away rename to job_runs`
      yield* TestClock.adjust("1 minute")
      yield* ran("done")
      assert.deepInclude(yield* jobOf("untold"), { runs: 2 })
    })
  )

  it.effect("jobs of the leader tell by themselves, and no message of an error is kept", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const leader = Layer.mock(Leadership, {
        whileLeader: (effect) => Effect.andThen(effect, Effect.never),
        tell: JobRuns.write(sql)
      })
      const failing = Leadership.job({
        name: "failing",
        every: "10 seconds",
        run: sql`select 'hunter2'::int`.pipe(Effect.asVoid)
      })
      yield* Layer.build(failing.pipe(Layer.provide(leader)))
      // The statement takes the time that it takes.
      const told = sql`select last_problem from job_runs where job = 'failing'`
      yield* Effect.repeat(told, { until: (rows) => rows.length > 0 })
      assert.deepInclude(yield* jobOf("failing"), {
        lastOutcome: "failed",
        lastProblem: "A statement failed (22P02)",
        failures: 1
      })
    })
  )
})

layer(base)("what nodes tell of themselves", (it) => {
  const node = Layer.build(
    Layer.fresh(Nodes.layer).pipe(
      Layer.provide(Layer.succeed(Installation, { audience: "https://broker.example", version: "test" }))
    )
  ).pipe(Effect.map(Context.get(Nodes)))

  it.effect("the one with the lease leads, figures come with the beat, and the silent are not alive", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const figures = { cpu: 0.25, memoryBytes: 1e8, lagMillis: 3, heartbeatsPerSecond: 500, requestsPerSecond: 520 }
      const [leader, follower] = [yield* node, yield* node]
      yield* leader.tell(figures)
      yield* leader.beat
      yield* follower.beat
      yield* sql`insert into leases (name, holder, token, expires_at, acquired_at)
                 values ('jobs', ${leader.id}, 1, clock_timestamp() + interval '1 minute', clock_timestamp())`
      const { nodes } = yield* state
      assert.deepStrictEqual(
        nodes.map(({ id, role }) => ({ id, role })),
        [
          { id: leader.id, role: "leader" },
          { id: follower.id, role: "follower" }
        ]
      )
      assert.deepInclude(nodes[0], figures)
      assert.deepInclude(nodes[1], { cpu: null, memoryBytes: null, lagMillis: null, alive: true })

      yield* TestClock.adjust("6 seconds")
      yield* leader.beat
      assert.deepStrictEqual(
        (yield* state).nodes.map(({ alive }) => alive),
        [true, false]
      )
    })
  )
})

describe("NodeMeter", () => {
  it("rates are of the time between two looks", () => {
    assert.deepStrictEqual(
      rates(
        { atMillis: 1_000, cpuSeconds: 1, heartbeats: 100, requests: 200 },
        { atMillis: 6_000, cpuSeconds: 2, heartbeats: 600, requests: 200 }
      ),
      { cpu: 0.2, heartbeatsPerSecond: 100, requestsPerSecond: 0 }
    )
  })

  it.effect("measures this process", () =>
    Effect.gen(function* () {
      const { read } = yield* NodeMeter
      const figures = yield* read
      assert.isAbove(figures.memoryBytes, 1e7)
      assert.isTrue(Object.values(figures).every((figure) => Number.isFinite(figure) && figure >= 0))
      // What it measured stands for a few seconds.
      assert.deepStrictEqual(yield* read, figures)
    }).pipe(Effect.provide(NodeMeter.layer))
  )
})
