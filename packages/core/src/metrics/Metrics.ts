/** What servers measure: kept raw, rolled up, asked for, and forgotten when it is old (H9, H11). */
import { GroupNotFound } from "@broker/domain/Group"
import { isShare, kindOf, type MetricSeries, type MetricsAnswer, type MetricsQuery } from "@broker/domain/Metric"
import type { OrganizationId } from "@broker/domain/Organization"
import { type ServerId, ServerNotFound } from "@broker/domain/Server"
import { Clock, Context, DateTime, Duration, Effect, Layer, Option, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { type Family, families, introduction, sample } from "./Exposition.ts"
import { MetricsPolicy } from "./MetricsPolicy.ts"
import * as MetricsSql from "./MetricsSql.ts"

const minuteMillis = 60_000
const hourMillis = 3_600_000
const dayMillis = 86_400_000

/** How wide partitions are, and how far ahead they are made. */
const layout: Record<MetricsSql.Table, { readonly width: number; readonly ahead: number }> = {
  metric_samples: { width: hourMillis, ahead: 6 * hourMillis },
  metric_minutes: { width: dayMillis, ahead: 3 * dayMillis },
  metric_group_minutes: { width: dayMillis, ahead: 3 * dayMillis },
  metric_hours: { width: 10 * dayMillis, ahead: 20 * dayMillis },
  metric_group_hours: { width: 10 * dayMillis, ahead: 20 * dayMillis }
}

/** How many partitions of a table one run drops. */
const dropsPerRun = 48

/** How much of the backlog is looked at, at once. */
const lookMillis = hourMillis

/** How many series an answer has where none is named. */
const mostSeries = 64

/** How many of the metrics that servers have are exposed: those that most of them have. */
const mostExposed = 256

const exposedPerPage = 2_000

const floor = (millis: number, unit: number) => Math.floor(millis / unit) * unit

const at = (millis: number) => DateTime.makeUnsafe(millis)

const factFamilies: Record<MetricsSql.Fact, Family> = {
  up: { name: "broker_server_up", type: "gauge", help: "1 while the server is heard, 0 when it is not." },
  status: {
    name: "broker_server_status",
    type: "gauge",
    help: "The status of the server, as the label says it; always 1."
  },
  lastSeenAge: {
    name: "broker_server_last_seen_age_seconds",
    type: "gauge",
    help: "How long ago the server was heard last; missing where it never was."
  },
  connections: {
    name: "broker_server_connections",
    type: "gauge",
    help: "Connections that the server said were open."
  },
  connectionLimit: {
    name: "broker_server_connection_limit",
    type: "gauge",
    help: "Connections that the server may have."
  },
  load: {
    name: "broker_server_load_ratio",
    type: "gauge",
    help: "Connections of the server as a share of those it may have."
  }
}

export class Metrics extends Context.Service<
  Metrics,
  {
    query(
      organizationId: OrganizationId,
      query: MetricsQuery
    ): Effect.Effect<MetricsAnswer, ServerNotFound | GroupNotFound>
    /** The fleet as Prometheus reads it: lines of its text format. */
    exposition(organizationId: OrganizationId): Stream.Stream<string>
    /** Makes partitions ahead of time, and drops those past their time that are rolled up; tells how many of each. */
    readonly partition: Effect.Effect<{ readonly made: number; readonly dropped: number }>
    /** Rolls up what is complete: minutes and hours. Idempotent; tells how many of each. */
    readonly rollUp: Effect.Effect<{ readonly minutes: number; readonly hours: number }>
  }
>()("@broker/core/metrics/Metrics") {
  static readonly layer = Layer.effect(
    Metrics,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const policy = yield* MetricsPolicy
      const statements = yield* MetricsSql.make

      /** Samples while a step is finer than a minute and they are kept, then minutes, then hours. */
      const sourceOf = ({ from, scope, step }: MetricsQuery, now: number) => {
        const age = now - from.epochMilliseconds
        if (scope._tag === "Server" && step < 60 && age <= Duration.toMillis(policy.samples)) {
          return { source: "raw", unit: 1 } as const
        }
        return step < 3_600 && age <= Duration.toMillis(policy.minutes)
          ? ({ source: "minutes", unit: 60 } as const)
          : ({ source: "hours", unit: 3_600 } as const)
      }

      const mustExist = Effect.fnUntraced(function* (organizationId: OrganizationId, { scope }: MetricsQuery) {
        if (scope._tag === "Server") {
          const [server] = yield* statements.isServer({ organizationId, id: scope.id })
          if (server === undefined) return yield* new ServerNotFound()
          return scope.id
        }
        if (scope._tag === "Fleet") return organizationId
        const [group] = yield* statements.isGroup({ organizationId, id: scope.id })
        if (group === undefined) return yield* new GroupNotFound()
        return scope.id
      })

      const query = Effect.fn("Metrics.query")(
        function* (organizationId: OrganizationId, query: MetricsQuery) {
          const now = yield* DateTime.now
          const id = yield* mustExist(organizationId, query)
          const { source, unit } = sourceOf(query, now.epochMilliseconds)
          const step = Math.ceil(query.step / unit) * unit
          const asked = {
            id,
            names: query.names,
            // The first span is whole.
            from: at(floor(query.from.epochMilliseconds, step * 1_000)),
            to: query.to,
            step
          }
          const answer = (series: ReadonlyArray<MetricSeries>): MetricsAnswer => ({
            step,
            source,
            series: series.slice(0, mostSeries)
          })
          if (query.scope._tag === "Server") {
            const points = yield* {
              raw: statements.rawPoints,
              minutes: statements.serverMinutes,
              hours: statements.serverHours
            }[source](asked)
            return answer(
              seriesOf(points, ({ at, least, most, total, weight }) => ({
                at,
                mean: total / weight,
                min: least,
                max: most
              }))
            )
          }
          const points = yield* (source === "hours" ? statements.groupHours : statements.groupMinutes)(asked)
          return answer(
            seriesOf(points, (point) =>
              isShare(point.name)
                ? { at: point.at, mean: point.total / point.servers, min: point.least, max: point.most }
                : { at: point.at, mean: point.total / point.minutes, min: point.leastTotal, max: point.mostTotal }
            )
          )
        },
        Effect.catchTag(["SchemaError", "SqlError"], Effect.die)
      )

      /** Page by page, so that a fleet of any size takes as much memory as a page. */
      const paged = <E>(read: (after: ServerId | null) => Effect.Effect<ReadonlyArray<MetricsSql.Exposed>, E>) =>
        Stream.paginate<ServerId | null, ReadonlyArray<MetricsSql.Exposed>, E, never>(null, (after) =>
          Effect.map(read(after), (rows) => {
            const last = rows.length < exposedPerPage ? undefined : rows.at(-1)
            return [[rows], last === undefined ? Option.none() : Option.some(last.id)] as const
          })
        )

      const written = <E>(
        { name, ...family }: Family,
        labels: (server: MetricsSql.Exposed) => Readonly<Record<string, string>>,
        read: (after: ServerId | null) => Effect.Effect<ReadonlyArray<MetricsSql.Exposed>, E>
      ) =>
        Stream.concat(
          Stream.make(introduction({ name, ...family })),
          Stream.map(paged(read), (rows) =>
            rows.map((server) => (server.value === null ? "" : sample(name, labels(server), server.value))).join("")
          )
        ).pipe(Stream.filter((text) => text !== ""))

      const identity = ({ group, id, name }: MetricsSql.Exposed) => ({ server: name, id, group: group ?? "" })

      const exposition = (organizationId: OrganizationId) =>
        Stream.unwrap(
          Effect.gen(function* () {
            const now = yield* DateTime.now
            const names = yield* statements.exposedNames({ organizationId, limit: mostExposed })
            const page = { organizationId, limit: exposedPerPage }
            const known = MetricsSql.facts.map((fact) =>
              written(
                factFamilies[fact],
                (server) => ({ ...identity(server), ...(fact === "status" ? { status: server.status } : {}) }),
                (after) => statements.exposedFact({ ...page, fact, now, after })
              )
            )
            const own = families(names.map(({ name }) => name)).map(([metric, family]) =>
              written(family, identity, (after) => statements.exposedMetric({ ...page, metric, after }))
            )
            return Stream.flatMap(Stream.fromIterable([...known, ...own]), (lines) => lines)
          })
        ).pipe(Stream.orDie, Stream.withSpan("Metrics.exposition"))

      /** One minute: its servers in slices, then their groups, which are made of them. */
      const rollUpMinute = Effect.fnUntraced(function* ({ at, samples }: { at: DateTime.Utc; samples: number }) {
        const slices = Math.max(1, Math.ceil(samples / policy.rowsPerStatement))
        for (let slice = 0; slice < slices; slice++) yield* statements.writeMinute({ at, slice, slices })
        yield* statements.forgetGroupMinute(at)
        yield* statements.writeGroupMinute(at)
        yield* statements.minuteDone({ at, samples })
      })

      /** True while this run may go on. */
      const budget = Effect.map(Clock.monotonicTimeNanos, (began) =>
        Effect.map(Clock.monotonicTimeNanos, (now) => Number(now - began) / 1e6 < Duration.toMillis(policy.runBudget))
      )

      const rollUpMinutes = Effect.fnUntraced(function* (now: number, mayGoOn: Effect.Effect<boolean>) {
        const settled = floor(now - Duration.toMillis(policy.settle), minuteMillis)
        const closable = floor(now - Duration.toMillis(policy.late), minuteMillis)
        const { minutesUntil } = yield* statements.progress
        const begin = Effect.map(statements.firstSample, (first) =>
          Math.min(
            closable,
            Option.match(first, {
              onNone: () => closable,
              onSome: (at) => floor(at.epochMilliseconds, minuteMillis)
            })
          )
        )
        let from = minutesUntil === null ? yield* begin : minutesUntil.epochMilliseconds
        let minutes = 0
        while (true) {
          const to = Math.min(settled, from + lookMillis)
          if (to <= from) break
          const limit = policy.minutesPerRun - minutes
          // One more than may be done tells whether there are more.
          const due = yield* statements.dueMinutes({ from: at(from), to: at(to), limit: limit + 1 })
          let left: number | undefined
          for (const minute of due) {
            if (minutes >= policy.minutesPerRun || !(yield* mayGoOn)) {
              left = minute.at.epochMilliseconds
              break
            }
            yield* rollUpMinute(minute)
            minutes++
          }
          from = Math.max(from, Math.min(left ?? to, closable))
          if (left !== undefined || to === settled || from < to || !(yield* mayGoOn)) break
        }
        yield* statements.closeMinutes(new Date(from))
        return minutes
      })

      /** Hours whose minutes are all closed. One of many servers takes several runs. */
      const rollUpHours = Effect.fnUntraced(function* (mayGoOn: Effect.Effect<boolean>) {
        const { hourSlice, hourSlices, hoursUntil, minutesUntil } = yield* statements.progress
        if (minutesUntil === null) return 0
        const begin = Effect.map(statements.firstSample, (first) =>
          Math.min(minutesUntil.epochMilliseconds, Option.getOrElse(first, () => minutesUntil).epochMilliseconds)
        )
        let from = hoursUntil === null ? floor(yield* begin, hourMillis) : hoursUntil.epochMilliseconds
        let [slice, slices] = [hourSlice, hourSlices]
        let hours = 0
        while (from + hourMillis <= minutesUntil.epochMilliseconds && (yield* mayGoOn)) {
          const hour = { from: at(from), to: at(from + hourMillis) }
          if (slices === 0) {
            const { rows } = yield* statements.minutesOf(hour)
            slices = Math.max(1, Math.ceil(rows / policy.rowsPerStatement))
          }
          yield* statements.writeHour({ ...hour, slice, slices })
          slice++
          if (slice < slices) continue
          yield* statements.writeGroupHour(hour)
          from += hourMillis
          hours++
          slice = 0
          slices = 0
        }
        yield* statements.hoursDone({ until: at(from), slice, slices })
        return hours
      })

      /** One transaction: what was rolled up and how far that is are never apart. */
      const rollUp = Effect.gen(function* () {
        yield* statements.lockProgress
        yield* statements.prepareRollUp
        const mayGoOn = yield* budget
        const minutes = yield* rollUpMinutes((yield* DateTime.now).epochMilliseconds, mayGoOn)
        return { minutes, hours: yield* rollUpHours(mayGoOn) }
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("Metrics.rollUp"))

      /** Before when each table may be forgotten: what is past its time, as far as it is rolled up. */
      const horizons = Effect.fnUntraced(function* (now: number) {
        const { hoursUntil, minutesUntil } = yield* statements.progress
        const nothing = Number.NEGATIVE_INFINITY
        const before = (kept: Duration.Duration, rolledUp: number) => Math.min(now - Duration.toMillis(kept), rolledUp)
        const samples = before(
          policy.samples,
          // A minute's growth is counted from the sample before it.
          (minutesUntil?.epochMilliseconds ?? nothing) - Duration.toMillis(MetricsSql.longestSilence)
        )
        const minutes = before(policy.minutes, hoursUntil?.epochMilliseconds ?? nothing)
        const hours = before(policy.hours, now)
        return {
          metric_samples: samples,
          metric_minutes: minutes,
          metric_group_minutes: minutes,
          metric_hours: hours,
          metric_group_hours: hours
        } satisfies Record<MetricsSql.Table, number>
      })

      const makeAhead = Effect.fnUntraced(function* (table: MetricsSql.Table, now: number) {
        const { ahead, width } = layout[table]
        const known = new Set((yield* statements.partitions(table)).map(({ since }) => since.epochMilliseconds))
        let made = 0
        for (let since = floor(now, width); since <= now + ahead; since += width) {
          if (known.has(since)) continue
          const { done } = yield* statements.makePartition({ table, since: at(since), until: at(since + width) })
          if (done) made++
        }
        return made
      })

      const forget = Effect.fnUntraced(function* (table: MetricsSql.Table, horizon: number) {
        if (!Number.isFinite(horizon)) return 0
        yield* statements.forgetLoose(table, new Date(horizon))
        const old = (yield* statements.partitions(table)).filter(({ until }) => until.epochMilliseconds <= horizon)
        let dropped = 0
        for (const { name } of old.slice(0, dropsPerRun)) {
          const { done } = yield* statements.dropPartition(name)
          // Somebody is in the way: another time.
          if (!done) break
          dropped++
        }
        return dropped
      })

      const partition = Effect.gen(function* () {
        yield* statements.lockProgress
        const now = (yield* DateTime.now).epochMilliseconds
        const horizon = yield* horizons(now)
        yield* statements.forgetFormer(new Date(now - Duration.toMillis(policy.samples)))
        let made = 0
        for (const table of MetricsSql.tables) made += yield* makeAhead(table, now)
        let dropped = 0
        for (const table of MetricsSql.tables) dropped += yield* forget(table, horizon[table])
        return { made, dropped }
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("Metrics.partition"))

      return Metrics.of({ query, exposition, partition, rollUp })
    })
  )
}

type Pointed = { readonly at: DateTime.Utc; readonly mean: number; readonly min: number; readonly max: number }

/** Rows that come ordered by name and time. */
const seriesOf = <Row extends { readonly name: string }>(
  rows: ReadonlyArray<Row>,
  pointOf: (row: Row) => Pointed
): ReadonlyArray<MetricSeries> =>
  [...Map.groupBy(rows, ({ name }) => name)].map(([name, rows]) => ({
    name,
    kind: kindOf(name),
    points: rows.map(pointOf)
  }))
