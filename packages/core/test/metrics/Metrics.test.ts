import { randomUUID } from "node:crypto"
import * as HeartbeatsSql from "@broker/core/heartbeats/HeartbeatsSql"
import { Metrics } from "@broker/core/metrics/Metrics"
import { MetricsPolicy } from "@broker/core/metrics/MetricsPolicy"
import { ServersPolicy } from "@broker/core/servers/ServersPolicy"
import { isShare, kindOf, type MetricsQuery } from "@broker/domain/Metric"
import { defaultOrganizationId } from "@broker/domain/Organization"
import { GroupId, ServerId } from "@broker/domain/Server"
import * as TestDatabase from "@broker/testing/TestDatabase"
import { assert, layer } from "@effect/vitest"
import { DateTime, Duration, Effect, Exit, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Model from "./RollUpModel.ts"

const second = 1_000
const minute = 60_000
const hour = 3_600_000
const day = 86_400_000

const began = Date.parse("2027-01-01T00:00:00Z")

/** Small pieces, a few of them a run: so that few samples take several of everything. */
const policy = Layer.succeed(MetricsPolicy, {
  ...MetricsPolicy.defaultValue(),
  rowsPerStatement: 3,
  runBudget: Duration.millis(20)
})

const onDatabase = Metrics.layer.pipe(Layer.provide(policy), Layer.provideMerge(TestDatabase.layer))

const server = Effect.fnUntraced(function* (groupId: string | null = null) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  yield* sql`
    insert into servers (id, organization_id, name, name_key, admission, admission_since, duty, duty_since, public_key,
                         endpoints, capabilities, tags, labels, registered_at, group_id)
    values (${id}, ${defaultOrganizationId}, ${id}, ${id}, 'approved', now(), 'serving', now(),
            ${Buffer.from(id.slice(0, 32))}, '[]', '{}', '{}', '{}', now(), ${groupId}::uuid)`
  return ServerId.make(id)
})

const group = Effect.fnUntraced(function* (parentId: string | null = null) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  yield* sql`
    insert into groups (id, organization_id, parent_id, name, name_key, created_at)
    values (${id}, ${defaultOrganizationId}, ${parentId}::uuid, ${id}, ${id}, now())`
  return GroupId.make(id)
})

/** As a heartbeat does that is written now. */
const write = Effect.fnUntraced(function* ({ at, boot, metrics, seq, server }: Model.Sample) {
  const sql = yield* SqlClient.SqlClient
  const now = yield* DateTime.now
  yield* sql`
    insert into metric_samples (server_id, at, boot_id, seq, metrics)
    values (${server}, ${new Date(at)}, ${boot}, ${BigInt(seq)}, ${JSON.stringify(metrics)}::text::jsonb)`
  if (at < now.epochMilliseconds - minute) {
    yield* sql`insert into metric_late (at) values (date_trunc('minute', ${new Date(at)}::timestamptz))`
  }
})

/** Forgets whatever was measured and rolled up. */
const forget = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`
    truncate metric_samples, metric_minutes, metric_hours, metric_group_minutes, metric_group_hours,
             metric_minutes_done, metric_late, metric_late_hours`
  yield* sql`update metric_progress set until = '-infinity', after = null`
  yield* TestClock.setTime(began)
})

const rollUp = Metrics.use(({ rollUp }) => rollUp)

const progress = SqlClient.SqlClient.use(
  (sql) => sql`
    select (select string_agg(p::text, ',' order by unit) from metric_progress p) as progress,
           (select string_agg(d::text, ',' order by at) from metric_minutes_done d) as open,
           (select count(*)::int from metric_late) as late,
           (select string_agg(h::text, ',' order by at) from metric_late_hours h) as hours`
)

const Rows = Schema.Array(
  Schema.Struct({
    id: Schema.String,
    at: Schema.DateFromString.pipe(Schema.toType),
    metrics: Schema.Record(Schema.String, Schema.Array(Schema.Finite))
  })
)

/** As often as there is something to do. */
const untilNothingIsLeft = <A, E, R>(run: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    for (;;) {
      const before = yield* progress
      yield* run
      if (JSON.stringify(before) === JSON.stringify(yield* progress)) return
    }
  })

const rolledUp = untilNothingIsLeft(rollUp)

const rolledUpMinutes = untilNothingIsLeft(
  Effect.flatMap(SqlClient.SqlClient, (sql) => Metrics.use((metrics) => metrics.rollUpMinutes(sql.withTransaction)))
)

const columns = {
  server: ["weights", "totals", "least", "most"],
  group: ["minutes", "servers", "totals", "least_totals", "most_totals", "least", "most"]
}

const rows = Effect.fnUntraced(function* (table: string) {
  const sql = yield* SqlClient.SqlClient
  const isGroup = table.startsWith("metric_group")
  const id = isGroup ? "scope_id" : "server_id"
  const numbers = (isGroup ? columns.group : columns.server).map((column) => `${column}[i]`).join(", ")
  const found = yield* sql`
    select ${sql(id)} as id, at, (select jsonb_object_agg(names[i], jsonb_build_array(${sql.literal(numbers)}))
                                    from generate_subscripts(names, 1) as i) as metrics
      from ${sql(table)}
     order by 1, 2`
  const decoded = yield* Schema.decodeUnknownEffect(Rows)(found)
  return new Map(decoded.map(({ at, id, metrics }) => [`${id} ${at.toISOString()}`, metrics]))
})

const all = Effect.all({
  minutes: rows("metric_minutes"),
  hours: rows("metric_hours"),
  groupMinutes: rows("metric_group_minutes"),
  groupHours: rows("metric_group_hours")
})

/** Sums of fractions may differ in their last digits. */
const rounded = (rows: ReadonlyMap<string, Readonly<Record<string, ReadonlyArray<number>>>>) =>
  Object.fromEntries(
    [...rows]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, metrics]) => [
        key,
        Object.fromEntries(
          Object.entries(metrics)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, numbers]) => [name, numbers.map((number) => Number(number.toPrecision(10)))])
        )
      ])
  )

const Beaten = Schema.Struct({
  server: Schema.Literals([0, 1, 2]),
  after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 * hour })),
  /** Several in a few minutes, too. */
  closely: Schema.Literals([true, true, false]),
  boot: Schema.Literals([0, 0, 0, 1]),
  late: Schema.Literals([0, 0, 20 * second, 100 * second, 9 * minute, 2 * hour]),
  rxBytes: Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }))),
  cpu: Schema.Literals([0, 0.25, 0.5, 1]),
  queueLength: Schema.Int.check(Schema.isBetween({ minimum: -5, maximum: 500 }))
})

const Plan = Schema.Struct({
  beats: Schema.Array(Beaten).check(Schema.isMaxLength(30)),
  rollUps: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 * hour }))).check(
    Schema.isMaxLength(8)
  )
})

/** The samples of a plan, with the moment that each is written at: of one server in the order of their time (H7). */
const written = (plan: typeof Plan.Type, servers: ReadonlyArray<string>, boots: ReadonlyArray<string>) => {
  const last = new Map<string, number>()
  return plan.beats
    .map((beat) => ({ ...beat, at: began + (beat.closely ? beat.after % (5 * minute) : beat.after) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, boot, cpu, late, queueLength, rxBytes, server }, seq) => {
      const sample: Model.Sample = {
        server: servers[server] ?? "",
        // No two at once: who is first then is nobody's to say.
        at: at + seq,
        boot: boots[boot] ?? "",
        seq,
        metrics: { cpu, queueLength, ...(rxBytes === null ? {} : { rxBytes }) }
      }
      const moment = Math.max(last.get(sample.server) ?? 0, sample.at + late)
      last.set(sample.server, moment)
      return { sample, moment }
    })
}

layer(onDatabase)("Metrics", (it) => {
  it.effect.prop(
    "H9 H11 roll-ups are what the samples come to, whenever they came and whenever they were rolled up",
    [Plan],
    ([plan]) =>
      Effect.gen(function* () {
        yield* forget
        const parent = yield* group()
        const child = yield* group(parent)
        const [one, two, three] = [yield* server(child), yield* server(parent), yield* server()]
        const boots = [randomUUID(), randomUUID()]
        const samples = written(plan, [one, two, three], boots)
        const events = [
          ...samples.map(({ moment, sample }) => ({ at: moment, happens: write(sample) })),
          ...plan.rollUps.map((after) => ({ at: began + after, happens: Effect.asVoid(rollUp) }))
        ].toSorted((a, b) => a.at - b.at)
        for (const { at, happens } of events) {
          yield* TestClock.setTime(at)
          yield* happens
        }
        yield* TestClock.setTime(began + 6 * hour)
        yield* rolledUp
        const found = yield* all
        const told = samples.map(({ sample }) => sample)
        assert.deepStrictEqual(rounded(found.minutes), rounded(Model.rolled(told, minute)))
        assert.deepStrictEqual(rounded(found.hours), rounded(Model.rolled(told, hour)))
        const scopes = new Map<string, ReadonlyArray<string>>([
          [one, [child, parent, defaultOrganizationId]],
          [two, [parent, defaultOrganizationId]],
          [three, [defaultOrganizationId]]
        ])
        assert.deepStrictEqual(
          rounded(found.groupMinutes),
          rounded(Model.groupMinutes(told, (server) => scopes.get(server) ?? []))
        )
        // Once more, and from scratch: nothing is different.
        yield* SqlClient.SqlClient.use(
          (sql) => sql`
            update metric_progress set until = '-infinity', after = null`
        )
        yield* rolledUp
        const again = yield* all
        for (const table of ["minutes", "hours", "groupMinutes", "groupHours"] as const) {
          assert.deepStrictEqual(rounded(again[table]), rounded(found[table]))
        }
      }),
    { timeout: 180_000, arbitrary: { runs: 12, size: 30, maxShrinks: 20 } }
  )

  const told = Effect.fnUntraced(function* (
    server: string,
    samples: ReadonlyArray<readonly [after: number, metrics: Record<string, number>, boot?: string]>
  ) {
    const usual = "00000000-0000-4000-8000-000000000001"
    for (const [seq, [after, metrics, boot]] of samples.entries()) {
      yield* write({ server, at: began + after, boot: boot ?? usual, seq, metrics })
    }
  })

  const asked = (fields: Partial<MetricsQuery> & Pick<MetricsQuery, "scope">): MetricsQuery => ({
    names: [],
    from: DateTime.makeUnsafe(began),
    to: DateTime.makeUnsafe(began + hour),
    step: 60,
    ...fields
  })

  const answered = (query: MetricsQuery) => Metrics.use((metrics) => metrics.query(defaultOrganizationId, query))

  const pointsOf = (query: MetricsQuery, name: string) =>
    Effect.map(answered(query), ({ series }) =>
      (series.find((one) => one.name === name)?.points ?? []).map(({ at, max, mean, min }) => [
        (at.epochMilliseconds - began) / second,
        mean,
        min,
        max
      ])
    )

  it.effect(
    "H11 a counter is a rate, and neither a restart, a smaller value nor a long silence makes a wrong one",
    () =>
      Effect.gen(function* () {
        yield* forget
        const id = yield* server()
        const restarted = randomUUID()
        yield* told(id, [
          [0, { rxBytes: 1_000_000 }],
          [30 * second, { rxBytes: 1_000_300 }],
          [60 * second, { rxBytes: 1_000_900 }],
          // The machine counted anew.
          [90 * second, { rxBytes: 30 }],
          [120 * second, { rxBytes: 330 }],
          // The agent restarted, and its machine counts on.
          [150 * second, { rxBytes: 5_000_000 }, restarted],
          [180 * second, { rxBytes: 5_000_060 }, restarted],
          // Another boot counts less than before.
          [3 * hour, { rxBytes: 99_000_000 }, restarted]
        ])
        yield* TestClock.setTime(began + 4 * hour)
        const query = asked({ scope: { _tag: "Server", id }, step: 10 })
        const rates = [
          [30, 10, 10, 10],
          [60, 20, 20, 20],
          [120, 10, 10, 10],
          [180, 2, 2, 2]
        ]
        assert.deepStrictEqual(yield* pointsOf(query, "rxBytes"), rates)
        yield* rolledUp
        assert.deepStrictEqual(yield* pointsOf({ ...query, step: 60 }, "rxBytes"), [
          [0, 10, 10, 10],
          [60, 20, 20, 20],
          [120, 10, 10, 10],
          [180, 2, 2, 2]
        ])
        assert.deepStrictEqual(yield* pointsOf({ ...query, step: 120 }, "rxBytes"), [
          [0, 15, 10, 20],
          [120, 6, 2, 10]
        ])
        const { source, step } = yield* answered({ ...query, step: 4_000, to: DateTime.makeUnsafe(began + 4 * hour) })
        assert.deepStrictEqual([source, step], ["hours", 7_200])
      })
  )

  it.effect("a group's shares are a mean and its amounts a sum, with all that stand below it", () =>
    Effect.gen(function* () {
      yield* forget
      const parent = yield* group()
      const child = yield* group(parent)
      const [one, two, three] = [yield* server(parent), yield* server(child), yield* server()]
      const of = (n: number) => [
        [1 * second, { cpu: 0.2 * n, memoryUsedBytes: 10 * n, txBytes: 100 * n }] as const,
        [31 * second, { cpu: 0.2 * n, memoryUsedBytes: 30 * n, txBytes: 400 * n }] as const
      ]
      yield* told(one, of(1))
      yield* told(two, of(2))
      yield* told(three, of(4))
      yield* TestClock.setTime(began + 5 * minute)
      yield* rolledUp
      const scope = { _tag: "Group", id: parent } as const
      const close = (name: string, wanted: ReadonlyArray<number>) =>
        Effect.map(pointsOf(asked({ scope }), name), (points) => {
          assert.lengthOf(points, 1)
          for (const [index, value] of wanted.entries()) assert.approximately(points[0]?.[index] ?? 0, value, 1e-9)
        })
      yield* close("cpu", [0, 0.3, 0.2, 0.4])
      yield* close("memoryUsedBytes", [0, 60, 30, 90])
      yield* close("txBytes", [0, 30, 30, 30])
      assert.deepStrictEqual(yield* pointsOf(asked({ scope: { _tag: "Fleet" } }), "txBytes"), [[0, 70, 70, 70]])
      assert.deepStrictEqual(yield* pointsOf(asked({ scope: { _tag: "Group", id: child } }), "txBytes"), [
        [0, 20, 20, 20]
      ])
      // Hours that are not rolled up yet come from their minutes.
      assert.deepStrictEqual(yield* pointsOf(asked({ scope: { _tag: "Fleet" }, step: 3_600 }), "txBytes"), [
        [0, 70, 70, 70]
      ])
    })
  )

  it.effect("only what is asked for is answered, gaps are gaps, and nothing of another organization", () =>
    Effect.gen(function* () {
      yield* forget
      const id = yield* server()
      yield* told(id, [
        [0, { cpu: 0.5, my_own: 7 }],
        [20 * minute, { cpu: 1, my_own: 8 }]
      ])
      yield* TestClock.setTime(began + hour)
      yield* rolledUp
      const query = asked({ scope: { _tag: "Server", id } })
      assert.deepStrictEqual(
        (yield* answered(query)).series.map(({ name }) => name),
        ["cpu", "my_own"]
      )
      const { series } = yield* answered({ ...query, names: ["my_own", "other"] })
      assert.deepStrictEqual(
        series.map(({ name, points }) => [name, points.length]),
        [["my_own", 2]]
      )
      const unknown = yield* Effect.flip(
        answered({ ...query, scope: { _tag: "Server", id: ServerId.make(randomUUID()) } })
      )
      assert.strictEqual(unknown._tag, "ServerNotFound")
      const nowhere = yield* Effect.flip(
        answered({ ...query, scope: { _tag: "Group", id: GroupId.make(randomUUID()) } })
      )
      assert.strictEqual(nowhere._tag, "GroupNotFound")
    })
  )

  it.effect("the finest that is kept of a time, and no finer than asked for", () =>
    Effect.gen(function* () {
      yield* forget
      const id = yield* server()
      yield* TestClock.setTime(began + 100 * day)
      const sourceOf = (ago: number, step: number, scope: MetricsQuery["scope"] = { _tag: "Server", id }) =>
        Effect.map(
          answered(
            asked({
              scope,
              step,
              from: DateTime.makeUnsafe(began + 100 * day - ago),
              to: DateTime.makeUnsafe(began + 100 * day - ago + step * second)
            })
          ),
          ({ source, step }) => [source, step]
        )
      assert.deepStrictEqual(yield* sourceOf(hour, 30), ["raw", 30])
      assert.deepStrictEqual(yield* sourceOf(hour, 60), ["minutes", 60])
      assert.deepStrictEqual(yield* sourceOf(hour, 30, { _tag: "Fleet" }), ["minutes", 60])
      assert.deepStrictEqual(yield* sourceOf(2 * day, 30), ["minutes", 60])
      assert.deepStrictEqual(yield* sourceOf(2 * day, 100), ["minutes", 120])
      assert.deepStrictEqual(yield* sourceOf(20 * day, 60), ["hours", 3_600])
      assert.deepStrictEqual(yield* sourceOf(hour, 3_600), ["hours", 3_600])
    })
  )

  it.effect("J3 a roll-up that is killed midway keeps what was whole, and the next one does the rest", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const scope = yield* group()
      for (let n = 0; n < 8; n++) {
        yield* told(
          yield* server(scope),
          Array.from({ length: 20 }, (_, index) => [index * 30 * second, { cpu: index, txBytes: index }] as const)
        )
      }
      yield* TestClock.setTime(began + 2 * hour)
      yield* sql`
        create function refuse_roll_up() returns trigger language plpgsql as $$
        begin
          raise exception 'killed';
        end
        $$`
      for (const table of ["metric_group_minutes", "metric_group_hours"]) {
        yield* sql`
          create trigger killed before insert on ${sql(table)} for each row
          when (new.at in ('2027-01-01T00:00:00Z', '2027-01-01T00:05:00Z')) execute function refuse_roll_up()`
      }
      const failed = Effect.map(Effect.exit(rolledUp), Exit.isFailure)
      assert.isTrue(yield* failed)
      // Some of its servers, and none of its groups.
      const some = (yield* rows("metric_minutes")).size
      assert.isAbove(some, 0)
      assert.isBelow(some, 80)
      assert.strictEqual((yield* rows("metric_group_minutes")).size, 0)
      yield* sql`drop trigger killed on metric_group_minutes`
      // An hour that cannot be rolled up keeps no minutes from it.
      assert.isTrue(yield* failed)
      assert.strictEqual((yield* rows("metric_minutes")).size, 80)
      assert.strictEqual((yield* rows("metric_group_minutes")).size, 20)
      assert.strictEqual((yield* rows("metric_group_hours")).size, 0)
      yield* sql`drop trigger killed on metric_group_hours`
      yield* sql`drop function refuse_roll_up`
      yield* rolledUp
      assert.strictEqual((yield* rows("metric_hours")).size, 8)
      assert.strictEqual((yield* rows("metric_group_hours")).size, 2)
    })
  )

  it.effect("of two roll-ups at once one works, and the other neither waits nor fails", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      yield* told(yield* server(), [[0, { cpu: 1 }]])
      yield* TestClock.setTime(began + 2 * hour)
      // In no transaction of this one.
      const elsewhere = yield* Effect.context<Metrics>()
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`select 1 from metric_progress for update`
          assert.deepStrictEqual(yield* Effect.promise(() => Effect.runPromiseWith(elsewhere)(rollUp)), {
            minutes: 0,
            hours: 0
          })
        })
      )
      yield* rolledUp
      assert.strictEqual((yield* rows("metric_group_hours")).size, 1)
    })
  )

  it.effect("numbers at the ends of what there is break no roll-up", () =>
    Effect.gen(function* () {
      yield* forget
      const id = yield* server()
      yield* told(id, [
        [0, { cpu: Number.MAX_VALUE, rxBytes: 0, tiny: Number.MIN_VALUE, txBytes: -Number.MAX_VALUE }],
        [second, { cpu: Number.MAX_VALUE, rxBytes: Number.MAX_VALUE, tiny: 5e-324, txBytes: Number.MAX_VALUE }],
        [61 * second, { cpu: -Number.MAX_VALUE, rxBytes: Number.MAX_VALUE, tiny: -5e-324 }]
      ])
      yield* TestClock.setTime(began + 2 * hour)
      yield* rolledUp
      const { series } = yield* answered(asked({ scope: { _tag: "Fleet" } }))
      assert.lengthOf(series, 4)
    })
  )

  const partition = Metrics.use(({ partition }) => partition)

  const Beat = Schema.Struct({
    server: Schema.Literals([0, 1, 2]),
    after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 * hour - 1 })),
    cpu: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
    queueLength: Schema.Int.check(Schema.isBetween({ minimum: -5, maximum: 500 })),
    grown: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }))
  })

  it.effect.prop(
    "H9 charts of hours are plain sums over samples, on either side of what is rolled up and across it",
    [Schema.Array(Beat).check(Schema.isBetweenLength(8, 40))],
    ([beats]) =>
      Effect.gen(function* () {
        yield* forget
        const scope = yield* group()
        const [one, two, three] = [yield* server(scope), yield* server(scope), yield* server()]
        const servers = [one, two, three]
        const counted = new Map<string, number>()
        const samples = beats
          .toSorted((a, b) => a.after - b.after)
          .map(({ after, cpu, grown, queueLength, server }, seq): Model.Sample => {
            const id = servers[server] ?? ""
            counted.set(id, (counted.get(id) ?? 0) + grown)
            return {
              server: id,
              at: began + after,
              boot: "00000000-0000-4000-8000-000000000001",
              seq,
              metrics: { cpu, queueLength, rxBytes: counted.get(id) ?? 0 }
            }
          })
        for (const sample of samples) yield* write(sample)
        // Of four hours the first two are rolled up as hours, the others as minutes only.
        yield* TestClock.setTime(began + 2 * hour + 3 * minute)
        yield* rolledUp
        yield* TestClock.setTime(began + 4 * hour + 5 * minute)
        yield* rolledUpMinutes
        const scopes = new Map<string, ReadonlyArray<string>>([
          [one, [scope, defaultOrganizationId]],
          [two, [scope, defaultOrganizationId]],
          [three, [defaultOrganizationId]]
        ])
        const asChart = Effect.fnUntraced(function* (scope: MetricsQuery["scope"], step: number) {
          const { series } = yield* answered(
            asked({ scope, step: step / second, to: DateTime.makeUnsafe(began + 4 * hour) })
          )
          return Object.fromEntries(
            series.flatMap(({ name, points }) =>
              points.map(({ at, max, mean, min }) => [
                `${name} ${at.epochMilliseconds - began}`,
                [mean, min, max].map((number) => Number(number.toPrecision(9)))
              ])
            )
          )
        })
        const compare = Effect.gen(function* () {
          for (const step of [hour, 3 * hour, 6 * hour]) {
            for (const id of [one, two, three]) {
              assert.deepStrictEqual(
                yield* asChart({ _tag: "Server", id }, step),
                Model.serverChart(samples, id, began, step)
              )
            }
            for (const [id, asked] of [
              [scope, { _tag: "Group", id: scope }],
              [defaultOrganizationId, { _tag: "Fleet" }]
            ] as const) {
              assert.deepStrictEqual(
                yield* asChart(asked, step),
                Model.groupChart(samples, (server) => scopes.get(server) ?? [], id, began, step)
              )
            }
          }
        })
        yield* compare
        // Hours stand for themselves: their minutes may go.
        yield* SqlClient.SqlClient.use((sql) =>
          Effect.forEach(
            ["metric_minutes", "metric_group_minutes"],
            (table) => sql`delete from ${sql(table)} where at < ${new Date(began + 2 * hour)}`
          )
        )
        yield* compare
      }),
    { timeout: 120_000, arbitrary: { runs: 6, size: 40, maxShrinks: 10 } }
  )

  it.effect("H9 what comes hours late is in its minute and its hour, and waits for them before it is dropped", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const { beat } = HeartbeatsSql.make(sql, yield* ServersPolicy)
      const { notedAfter } = yield* MetricsPolicy
      const far = 100 * day
      const boot = randomUUID()
      /** Written now, whenever it was heard. */
      const heard = Effect.fnUntraced(function* (serverId: ServerId, seq: number, after: number, cpu: number) {
        const lateBefore = DateTime.subtractDuration(yield* DateTime.now, notedAfter)
        yield* beat({
          lateBefore,
          beats: [
            {
              serverId,
              bootId: boot,
              seq,
              seenAt: new Date(began + far + after),
              skewSeconds: 0,
              intervalSeconds: 30,
              activeConnections: 0,
              metrics: { cpu }
            }
          ]
        })
      })
      const [punctual, late] = [yield* server(), yield* server()]
      yield* TestClock.setTime(began + far)
      yield* partition
      for (const [seq, after] of [10 * minute, 11 * minute, 70 * minute].entries()) {
        yield* TestClock.setTime(began + far + after)
        yield* heard(punctual, seq, after, 1)
      }
      assert.lengthOf(yield* sql`select 1 from metric_late`, 0)
      yield* TestClock.setTime(began + far + 5 * hour)
      yield* rolledUp
      const chart = (scope: MetricsQuery["scope"], step: number) =>
        pointsOf(
          asked({
            scope,
            step,
            from: DateTime.makeUnsafe(began + far),
            to: DateTime.makeUnsafe(began + far + 2 * hour)
          }),
          "cpu"
        )
      const base = far / second
      assert.deepStrictEqual(yield* chart({ _tag: "Fleet" }, 3_600), [
        [base, 1, 1, 1],
        [base + 3_600, 1, 1, 1]
      ])
      // A node that was cut off writes what it had heard, in several goes.
      yield* heard(late, 1, 10 * minute + second, 3)
      yield* rollUp
      yield* heard(late, 2, 10 * minute + 2 * second, 5)
      yield* heard(late, 3, 11 * minute, 9)
      yield* TestClock.setTime(began + far + 40 * hour)
      yield* partition
      assert.lengthOf(yield* sql`select 1 from metric_samples where server_id = ${late}`, 3)
      yield* rolledUp
      assert.deepStrictEqual(yield* chart({ _tag: "Server", id: late }, 60), [
        [base + 600, 4, 3, 5],
        [base + 660, 9, 9, 9]
      ])
      assert.deepStrictEqual(yield* chart({ _tag: "Server", id: late }, 3_600), [[base, 17 / 3, 3, 9]])
      assert.deepStrictEqual(yield* chart({ _tag: "Fleet" }, 60), [
        [base + 600, 2.5, 1, 5],
        [base + 660, 5, 1, 9],
        [base + 4_200, 1, 1, 1]
      ])
      assert.deepStrictEqual(yield* chart({ _tag: "Fleet" }, 3_600), [
        [base, 3.75, 1, 9],
        [base + 3_600, 1, 1, 1]
      ])
      yield* partition
      assert.lengthOf(yield* sql`select 1 from metric_samples`, 0)
      for (const table of ["metric_late", "metric_late_hours", "metric_minutes_done"]) {
        assert.lengthOf(yield* sql`select 1 from ${sql(table)}`, 0)
      }
    })
  )

  const partitionsOf = (table: string) =>
    Effect.map(
      SqlClient.SqlClient.use((sql) => sql`select name, since, until from metric_partitions(${table}::text::regclass)`),
      Schema.decodeUnknownSync(
        Schema.Array(Schema.Struct({ name: Schema.String, since: Schema.Date, until: Schema.Date }))
      )
    )

  it.effect("H9 partitions are made ahead of time, once", () =>
    Effect.gen(function* () {
      yield* forget
      const { made } = yield* partition
      assert.isAbove(made, 10)
      assert.strictEqual((yield* partition).made, 0)
      for (const [table, ahead] of [
        ["metric_samples", 6 * hour],
        ["metric_minutes", 3 * day],
        ["metric_hours", 20 * day]
      ] as const) {
        const last = (yield* partitionsOf(table)).at(-1)
        assert.isAtLeast(last?.until.getTime() ?? 0, began + ahead, table)
      }
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* partition).made, 1)
    })
  )

  it.effect("H9 without a partition a sample lands beside, is rolled up, read and forgotten like any other", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const id = yield* server()
      const far = 300 * day
      yield* told(id, [
        [far, { cpu: 0.25 }],
        [far + 30 * second, { cpu: 0.75 }]
      ])
      assert.lengthOf(yield* sql`select 1 from metric_samples_default`, 2)
      yield* TestClock.setTime(began + far + hour)
      // Its hour stays where it is; those to come get partitions.
      assert.isAbove((yield* partition).made, 5)
      yield* rolledUp
      assert.deepStrictEqual(
        yield* pointsOf(
          asked({
            scope: { _tag: "Server", id },
            from: DateTime.makeUnsafe(began + far),
            to: DateTime.makeUnsafe(began + far + hour)
          }),
          "cpu"
        ),
        [[far / second, 0.5, 0.25, 0.75]]
      )
      yield* TestClock.adjust("26 hours")
      yield* rolledUp
      yield* partition
      assert.lengthOf(yield* sql`select 1 from metric_samples_default`, 0)
    })
  )

  it.effect("H9 retention drops what is past its time, and nothing that is not rolled up", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const id = yield* server()
      const far = 500 * day
      yield* TestClock.setTime(began + far)
      yield* partition
      yield* told(id, [[far + minute, { cpu: 1 }]])
      // Nobody rolled anything up for a month.
      yield* TestClock.adjust("30 days")
      yield* partition
      assert.lengthOf(yield* sql`select 1 from metric_samples`, 1)
      yield* rolledUp
      assert.lengthOf(yield* sql`select 1 from metric_minutes`, 1)
      assert.isAbove((yield* partition).dropped, 5)
      assert.lengthOf(yield* sql`select 1 from metric_samples`, 0)
      assert.lengthOf(yield* sql`select 1 from metric_minutes`, 0)
      assert.lengthOf(yield* sql`select 1 from metric_group_minutes`, 0)
      assert.lengthOf(yield* sql`select 1 from metric_hours`, 1)
      assert.lengthOf(yield* sql`select 1 from metric_group_hours`, 1)
      yield* TestClock.adjust("380 days")
      yield* partition
      assert.lengthOf(yield* sql`select 1 from metric_hours`, 0)
    })
  )

  it.effect("H9 minutes go before hours only when hours have them", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const id = yield* server()
      const far = 1_500 * day
      yield* TestClock.setTime(began + far)
      yield* partition
      yield* told(id, [[far + minute, { cpu: 1 }]])
      yield* TestClock.adjust("3 minutes")
      yield* rollUp
      assert.lengthOf(yield* sql`select 1 from metric_minutes`, 1)
      yield* TestClock.adjust("20 days")
      yield* partition
      assert.lengthOf(yield* sql`select 1 from metric_minutes`, 1)
    })
  )

  it.effect("what brokers of the release before hear is taken over, as often as they write it", () =>
    Effect.gen(function* () {
      yield* forget
      const sql = yield* SqlClient.SqlClient
      const id = yield* server()
      const boot = randomUUID()
      for (const [after, cpu] of [
        [5 * second, 0.25],
        [35 * second, 0.75]
      ] as const) {
        const at = new Date(began + after)
        yield* sql`
          insert into server_presence (server_id, liveness_since, boot_id, seq, last_seen_at)
          values (${id}, ${at}, ${boot}, ${BigInt(after)}, ${at})
          on conflict (server_id) do update set last_seen_at = ${at}, boot_id = ${boot}, seq = ${BigInt(after)}`
        yield* sql`
          insert into server_samples (server_id, minute, metrics)
          values (${id}, ${new Date(began)}, ${JSON.stringify({ cpu })}::text::jsonb)
          on conflict (server_id, minute) do update set metrics = excluded.metrics`
      }
      yield* TestClock.setTime(began + 5 * minute)
      yield* rolledUp
      assert.deepStrictEqual(yield* pointsOf(asked({ scope: { _tag: "Server", id } }), "cpu"), [[0, 0.5, 0.25, 0.75]])
    })
  )

  it.effect.each([
    ["rxBytes", "counter", false],
    ["txBytes", "counter", false],
    ["rxWanBytes", "counter", false],
    ["tx_lan_bytes", "counter", false],
    ["requestsTotal", "counter", false],
    ["http.requests_total", "counter", false],
    ["memoryTotal", "gauge", false],
    ["memoryTotalBytes", "gauge", false],
    ["diskTotal", "gauge", false],
    ["memoryUsedBytes", "gauge", false],
    ["rxlessBytes", "gauge", false],
    ["cpu", "gauge", true],
    ["load1", "gauge", true],
    ["rttMs", "gauge", true],
    ["uptimeSeconds", "gauge", true]
  ] as const)("%s is a %s to the broker and to its database", ([name, kind, share]) =>
    Effect.gen(function* () {
      yield* forget
      assert.strictEqual(kindOf(name), kind)
      assert.strictEqual(isShare(name), share)
      const id = yield* server()
      yield* told(id, [
        [0, { [name]: 4 }],
        [2 * second, { [name]: 10 }]
      ])
      yield* TestClock.setTime(began + 5 * minute)
      yield* rolledUp
      const [point] = yield* pointsOf(asked({ scope: { _tag: "Server", id } }), name)
      assert.strictEqual(point?.[1], kind === "counter" ? 3 : 7)
    })
  )
})
