import { Liveness } from "@broker/core/heartbeats/Liveness"
import { Nodes } from "@broker/core/nodes/Nodes"
import type { ServerId } from "@broker/domain/Server"
import * as Fixtures from "@broker/testing/Fixtures"
import { assert, layer } from "@effect/vitest"
import { Clock, DateTime, Duration, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Model from "./LivenessModel.ts"

const { beat, boot, joined, pass } = Fixtures

const Step = Schema.Union([
  /** The next heartbeat of the boot that is on. */
  Schema.TaggedStruct("Beat", { skewed: Schema.Literals([false, false, false, true]) }),
  Schema.TaggedStruct("Duplicate", {}),
  Schema.TaggedStruct("Late", { back: Schema.Literals([1, 2, 5]) }),
  Schema.TaggedStruct("Restart", {}),
  /** A heartbeat of an earlier boot that was long under way. */
  Schema.TaggedStruct("OldBoot", { which: Schema.Literals([0, 1, 2]) }),
  /** Time passes, in intervals that the server was told: on the very deadline, and just past it. */
  Schema.TaggedStruct("Wait", { intervals: Schema.Literals([0.5, 1, 2, 2.001, 4, 4.001]) }),
  Schema.TaggedStruct("WaitLong", {}),
  Schema.TaggedStruct("Sweep", {}),
  /** Silence until it is noticed, and a heartbeat. */
  Schema.TaggedStruct("Flap", {}),
  /** Nobody listens for a time. */
  Schema.TaggedStruct("Outage", { seconds: Schema.Literals([2, 5, 100, 1_000]) })
])
type Step = typeof Step.Type

const Script = Schema.Array(Step).check(Schema.isMaxLength(30))

/** What stands in the database of a server. */
const stored = Effect.fnUntraced(function* (id: ServerId) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Record<string, unknown>>`
    select liveness, liveness_reason as reason, boot_id as boot, seq::int, good_streak as streak, falls
      from server_presence
     where server_id = ${id}`
  const moves = yield* sql<{ after: string; reason: string | null; at: Date }>`
    select after, reason, at from server_transitions where server_id = ${id} and axis = 'liveness' order by id`
  return { ...row, moves: moves.map((move) => ({ ...move, at: move.at.getTime() })) }
})

/** The same, as the model has it. */
const expected = ({ boot, falls, liveness, moves, reason, seq, streak }: Model.Standing) => ({
  liveness,
  reason,
  boot: boot ?? null,
  seq,
  streak,
  falls,
  moves
})

/** Plays a script with a server of its own and with the model. */
const play = Effect.fnUntraced(function* (script: ReadonlyArray<Step>) {
  const liveness = yield* Liveness
  const nodes = yield* Nodes
  const server = yield* joined()
  yield* pass(0)
  yield* nodes.beat
  const boots = [boot()]
  let seq = 0
  let standing = Model.unheard
  let lastBeat = yield* Clock.currentTimeMillis
  let listeningSince = 0

  const hear = Effect.fnUntraced(function* (bootId: string, number: number, skewed: boolean) {
    const now = yield* DateTime.now
    const at = DateTime.toEpochMillis(now)
    const sentAt = DateTime.formatIso(DateTime.add(now, { minutes: skewed ? 3 : 0 }))
    const reply = yield* beat(server, bootId, number, { sentAt })
    const interval = Math.round(reply.nextHeartbeatSeconds * 1_000)
    standing = Model.hear(standing, { boot: bootId, seq: number, at, skewed, interval })
    assert.strictEqual(reply.liveness, standing.liveness)
  })

  const wait = Effect.fnUntraced(function* (duration: Duration.Input) {
    yield* pass(duration)
    lastBeat = yield* Clock.currentTimeMillis
  })

  const sweep = Effect.gen(function* () {
    yield* liveness.sweep
    const now = yield* Clock.currentTimeMillis
    listeningSince = Model.listeningSince(listeningSince, lastBeat, now)
    lastBeat = now
    standing = Model.sweep(standing, now, listeningSince)
  })

  const run = (step: Step) => {
    const current = boots[0] ?? ""
    switch (step._tag) {
      case "Beat":
        return hear(current, ++seq, step.skewed)
      case "Duplicate":
        return hear(current, seq, false)
      case "Late":
        return hear(current, Math.max(0, seq - step.back), false)
      case "OldBoot":
        return hear(boots[1 + step.which] ?? current, seq, false)
      case "Restart":
        boots.unshift(boot())
        seq = 1
        return hear(boots[0] ?? "", seq, false)
      case "Wait":
        return wait(Duration.millis(Math.round(standing.interval * step.intervals)))
      case "WaitLong":
        return wait("11 minutes")
      case "Sweep":
        return sweep
      case "Flap":
        return Effect.gen(function* () {
          yield* wait(Duration.millis(standing.interval * 2 + 1))
          yield* sweep
          yield* hear(current, ++seq, false)
        })
      case "Outage":
        return Effect.andThen(TestClock.adjust(Duration.seconds(step.seconds)), sweep)
    }
  }

  yield* Effect.forEach(script, run, { discard: true })
  return { stored: yield* stored(server.id), expected: expected(standing) }
})

layer(Fixtures.layer)("Liveness", (it) => {
  it.effect.prop(
    "H2 H3 H4 H5 whatever happens in whatever order, the database and the rules agree",
    [Script],
    ([script]) =>
      Effect.gen(function* () {
        const { expected, stored } = yield* play(script)
        assert.deepStrictEqual<unknown>(stored, expected)
      }),
    { arbitrary: { runs: 60, size: 30, maxShrinks: 60 } }
  )

  it.effect("H5 a node beats outside of what it judges in: what is rolled back was heard of all the same", () =>
    Effect.gen(function* () {
      const [liveness, nodes, sql] = [yield* Liveness, yield* Nodes, yield* SqlClient.SqlClient]
      const server = yield* joined()
      yield* beat(server, boot(), 1)
      yield* pass("121 seconds")
      const lost = liveness.sweepWithin((write) => sql.withTransaction(Effect.andThen(write, Effect.fail("lost"))))
      assert.strictEqual(yield* Effect.flip(lost), "lost")
      const [node] = yield* sql<{ lastSeenAt: Date }>`select last_seen_at from nodes where id = ${nodes.id}`
      assert.strictEqual(node?.lastSeenAt.getTime(), yield* Clock.currentTimeMillis)
      assert.strictEqual((yield* Fixtures.seen(server)).liveness, "online")
    })
  )

  /** A few numbers of a few boots, so that they come twice, late and out of order. */
  const Arrival = Schema.Struct({ boot: Schema.Literals([0, 1, 2, 3]), seq: Schema.Literals([1, 2, 3, 4, 5]) })

  it.effect.prop(
    "H3 of heartbeats that come twice, late and out of order, the newest of the newest boot counts",
    [Schema.Array(Arrival).check(Schema.isMaxLength(20))],
    ([arrivals]) =>
      Effect.gen(function* () {
        const server = yield* joined()
        const boots = [boot(), boot(), boot(), boot()]
        let standing = Model.unheard
        for (const arrival of arrivals) {
          const bootId = boots[arrival.boot] ?? ""
          yield* TestClock.adjust("1 second")
          const at = yield* Clock.currentTimeMillis
          yield* beat(server, bootId, arrival.seq)
          standing = Model.hear(standing, { boot: bootId, seq: arrival.seq, at, skewed: false, interval: 30_000 })
        }
        const sql = yield* SqlClient.SqlClient
        const rows = yield* sql<{ lastSeenAt: Date | null }>`
          select boot_id as boot, seq::int, last_seen_at from server_presence where server_id = ${server.id}`
        assert.deepStrictEqual<unknown>(
          rows.map((row) => ({ ...row, lastSeenAt: row.lastSeenAt?.getTime() })),
          [{ boot: standing.boot ?? null, seq: standing.seq, lastSeenAt: standing.seenAt }]
        )
      }),
    { arbitrary: { runs: 40, size: 20, maxShrinks: 40 } }
  )

  it.effect.prop(
    "H3 of heartbeats of one boot that come at once, the newest counts",
    [Schema.Array(Schema.Literals([1, 2, 3, 4, 5, 6, 7, 8])).check(Schema.isMaxLength(20))],
    ([seqs]) =>
      Effect.gen(function* () {
        const server = yield* joined()
        const bootId = boot()
        yield* Effect.forEach(seqs, (seq) => beat(server, bootId, seq), { concurrency: "unbounded", discard: true })
        const sql = yield* SqlClient.SqlClient
        const [row] = yield* sql`select seq::int from server_presence where server_id = ${server.id}`
        assert.deepStrictEqual(row, { seq: Math.max(0, ...seqs) })
      }),
    { arbitrary: { runs: 30, size: 20, maxShrinks: 20 } }
  )
})
