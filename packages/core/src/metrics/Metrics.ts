/** What servers measure: kept raw, rolled up, asked for, and forgotten when it is old (H9, H11). */
import { GroupNotFound } from "@broker/domain/Group"
import { isShare, kindOf, type MetricSeries, type MetricsAnswer, type MetricsQuery } from "@broker/domain/Metric"
import type { OrganizationId } from "@broker/domain/Organization"
import { ServerNotFound } from "@broker/domain/Server"
import { Array, type Cause, Clock, Context, DateTime, Duration, Effect, Layer, type Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { type Family, families, introduction, labels, sample } from "./Exposition.ts"
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

/** How much of the backlog is looked at, at once: counting samples of more would take longer than a statement may. */
const lookMillis = 4 * minuteMillis

/** How many closed minutes with late samples are taken at once. */
const latePerLook = 4

/** How many series an answer has where none is named. */
const mostSeries = 64

/** How many of the metrics that servers have are exposed: those that most of them have. */
const mostExposed = 256

const exposedPerPage = 2_000

/** How many metrics are held in memory at once, each with a number for each server. */
const exposedPerPass = 32

const floor = (millis: number, unit: number) => Math.floor(millis / unit) * unit

const at = (millis: number) => DateTime.makeUnsafe(millis)

const guardFamily: Family = {
  name: "broker_fleet_guard_open",
  type: "gauge",
  help: "1 while the fleet guard holds servers that fell silent at once as unknown, else 0."
}

/** A family, and what it says of a server: nothing where that is not known. */
interface Exposure {
  readonly family: Family
  readonly valueOf: (server: MetricsSql.Exposed) => number | null | undefined
  readonly isStatus?: boolean
}

/** What is exposed of every server, beside what it measures itself. */
const facts: ReadonlyArray<Exposure> = [
  {
    family: { name: "broker_server_up", type: "gauge", help: "1 while the server is heard, 0 when it is not." },
    valueOf: ({ up }) => (up ? 1 : 0)
  },
  {
    family: {
      name: "broker_server_status",
      type: "gauge",
      help: "The status of the server, as the label says it; always 1."
    },
    valueOf: () => 1,
    isStatus: true
  },
  {
    family: {
      name: "broker_server_last_seen_age_seconds",
      type: "gauge",
      help: "How long ago the server was heard last; missing where it never was."
    },
    valueOf: ({ lastSeenAge }) => lastSeenAge
  },
  {
    family: {
      name: "broker_server_connections",
      type: "gauge",
      help: "Connections that the server said were open."
    },
    valueOf: ({ connections }) => connections
  },
  {
    family: {
      name: "broker_server_connection_limit",
      type: "gauge",
      help: "Connections that the server may have."
    },
    valueOf: ({ connectionLimit }) => connectionLimit
  },
  {
    family: {
      name: "broker_server_load_ratio",
      type: "gauge",
      help: "Connections of the server as a share of those it may have."
    },
    valueOf: ({ load }) => load
  }
]

/** A page of servers, kept as small as it goes: the labels as they are written, and a column of numbers per family. */
interface Page {
  readonly labels: ReadonlyArray<string>
  readonly statuses: ReadonlyArray<string>
  readonly columns: ReadonlyArray<Float64Array>
}

const missing = Number.NaN

const pageOf = (servers: ReadonlyArray<MetricsSql.Exposed>, exposures: ReadonlyArray<Exposure>): Page => ({
  labels: servers.map(({ group, id, name }) => labels({ server: name, id, group: group ?? "" })),
  statuses: servers.map(({ status }) => status),
  columns: exposures.map(({ valueOf }) => Float64Array.from(servers, (server) => valueOf(server) ?? missing))
})

const linesOf = ({ family, isStatus }: Exposure, { columns, labels: known, statuses }: Page, index: number) => {
  let lines = ""
  columns[index]?.forEach((value, at) => {
    if (Number.isNaN(value)) return
    const own = known[at] ?? ""
    lines += sample(family.name, isStatus === true ? `${own},${labels({ status: statuses[at] ?? "" })}` : own, value)
  })
  return lines
}

type Failure = SqlError | Schema.SchemaError | Cause.NoSuchElementError

/** Runs a transaction, such as one that fails once this node leads no more. */
export type Within<E> = <A>(write: Effect.Effect<A, Failure>) => Effect.Effect<A, Failure | E>

type RollUp = <E>(within: Within<E>) => Effect.Effect<number, Failure | E>

export class Metrics extends Context.Service<
  Metrics,
  {
    query(
      organizationId: OrganizationId,
      query: MetricsQuery
    ): Effect.Effect<MetricsAnswer, ServerNotFound | GroupNotFound>
    /** The fleet as Prometheus reads it, lines of its text format: all of it, or a failure. */
    exposition(organizationId: OrganizationId): Effect.Effect<Stream.Stream<string>>
    /** Makes partitions ahead of time, and drops those past their time that are rolled up; tells how many of each. */
    readonly partition: Effect.Effect<{ readonly made: number; readonly dropped: number }>
    /**
     * Rolls up minutes that are complete, and such again as got late samples, for as long as a run may take; tells how
     * many. Idempotent, in transactions of one statement's work: one that fails undoes nothing of those before it.
     */
    readonly rollUpMinutes: RollUp
    /** Rolls up hours whose minutes are closed, in the same way. */
    readonly rollUpHours: RollUp
    /** Both, by whoever calls it. */
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

      const pages = Effect.fnUntraced(function* (organizationId: OrganizationId, exposures: ReadonlyArray<Exposure>) {
        const now = yield* DateTime.now
        const pages: Array<Page> = []
        for (let after: string | undefined = MetricsSql.ends.first; after !== undefined; ) {
          const servers: ReadonlyArray<MetricsSql.Exposed> = yield* statements.exposed({
            organizationId,
            after,
            now,
            limit: exposedPerPage
          })
          pages.push(pageOf(servers, exposures))
          after = servers.length < exposedPerPage ? undefined : servers.at(-1)?.id
        }
        return pages
      })

      /** Families stand one after the other, each with all servers: so these are read first, once for all families. */
      const written = Effect.fnUntraced(function* (organizationId: OrganizationId, exposures: ReadonlyArray<Exposure>) {
        const known = yield* pages(organizationId, exposures)
        return Stream.fromIterable(exposures).pipe(
          Stream.flatMap((exposure) =>
            Stream.concat(
              Stream.make(introduction(exposure.family)),
              Stream.map(Stream.fromIterable(known), (page) => linesOf(exposure, page, exposures.indexOf(exposure)))
            )
          ),
          Stream.filter((text) => text !== "")
        )
      })

      const exposition = Effect.fn("Metrics.exposition")(function* (organizationId: OrganizationId) {
        const names = yield* statements.exposedNames({ organizationId, limit: mostExposed })
        const { open } = yield* statements.isGuarded(organizationId)
        const own = families(names.map(({ name }) => name)).map(
          ([metric, family]): Exposure => ({ family, valueOf: ({ metrics }) => metrics?.[metric] })
        )
        const [first = [], ...others] = Array.chunksOf([...facts, ...own], exposedPerPass)
        return Stream.make(introduction(guardFamily), sample(guardFamily.name, "", open ? 1 : 0)).pipe(
          // What cannot be read at all is an answer of its own, and no stream that ends early.
          Stream.concat(yield* written(organizationId, first)),
          Stream.concat(
            Stream.flatMap(Stream.fromIterable(others), (exposures) =>
              Stream.unwrap(written(organizationId, exposures))
            )
          ),
          Stream.orDie
        )
      }, Effect.orDie)

      /** True while this run may go on. */
      const budget = Effect.map(Clock.monotonicTimeNanos, (began) =>
        Effect.map(Clock.monotonicTimeNanos, (now) => Number(now - began) / 1e6 < Duration.toMillis(policy.runBudget))
      )

      /** How many rows a statement takes on: fewer after one that failed, as it may have taken too long. */
      let rowsPerStatement = policy.rowsPerStatement
      const paced = <A, E>(run: Effect.Effect<A, E>) =>
        run.pipe(
          Effect.tap(() =>
            Effect.sync(() => {
              rowsPerStatement = Math.min(policy.rowsPerStatement, Math.ceil(rowsPerStatement * 1.1))
            })
          ),
          Effect.tapError(() =>
            Effect.sync(() => {
              rowsPerStatement = Math.max(1, Math.floor(rowsPerStatement / 2))
            })
          )
        )

      const sliceAfter = (after: string | null, count: number) =>
        Effect.map(
          statements.serverAfter({ after: after ?? MetricsSql.ends.first, count }),
          ([server]): typeof MetricsSql.Slice.Encoded => ({
            after: after ?? MetricsSql.ends.first,
            upTo: server?.id ?? MetricsSql.ends.last
          })
        )

      /** What is to do next, after whatever had nothing to do was closed; nothing while somebody else is at it. */
      const nextMinutes = Effect.gen(function* () {
        const now = (yield* DateTime.now).epochMilliseconds
        const settled = floor(now - Duration.toMillis(policy.settle), minuteMillis)
        const closable = floor(now - Duration.toMillis(policy.late), minuteMillis)
        const [claimed] = yield* statements.claim("minute")
        if (claimed === undefined) return { due: [], goesOn: false }
        const sampleSince = (since: DateTime.Utc | null) =>
          Effect.map(statements.nextSample(since), ({ at }) =>
            Math.min(closable, at === null ? closable : floor(at.epochMilliseconds, minuteMillis))
          )
        const from = claimed.until === null ? yield* sampleSince(null) : claimed.until.epochMilliseconds
        if (claimed.until === null) yield* statements.begin(new Date(from))
        yield* statements.takeLate(new Date(from))
        const late = yield* statements.lateMinutes({ until: at(from), limit: latePerLook })
        if (late.length > 0) return { due: late, goesOn: true }
        const to = Math.min(settled, from + lookMillis)
        if (to <= from) return { due: [], goesOn: false }
        const due = yield* statements.dueMinutes({ from: at(from), to: at(to) })
        if (due.length > 0) return { due, goesOn: true }
        const until = Math.min(closable, Math.max(to, yield* sampleSince(at(to))))
        if (until <= from) return { due: [], goesOn: false }
        yield* statements.closeMinutes(new Date(until))
        return { due: [], goesOn: until < closable }
      })

      /** Some servers of a minute; with the last of them the groups, which are made of all. Tells what is left. */
      const rollUpSlice = Effect.fnUntraced(function* (minute: MetricsSql.Due) {
        const [claimed] = yield* statements.claim("minute")
        if (claimed === undefined || claimed.until === null) return undefined
        yield* statements.prepareRollUp
        const all = yield* statements.servers
        // As many of the servers as have so many samples, if all have equally many.
        const count = Math.max(1, Math.floor((rowsPerStatement * all) / Math.max(minute.samples, 1)))
        const slice = yield* sliceAfter(minute.after, count)
        yield* statements.writeMinute({ at: minute.at, ...slice })
        const isWhole = slice.upTo === MetricsSql.ends.last
        if (isWhole) {
          yield* statements.forgetGroupMinute(minute.at)
          yield* statements.writeGroupMinute(minute.at)
        }
        const done: MetricsSql.Due = { ...minute, after: isWhole ? null : slice.upTo }
        if (isWhole && DateTime.isLessThan(minute.at, claimed.until)) {
          yield* statements.lateMinuteDone(DateTime.toDateUtc(minute.at))
        } else yield* statements.minuteDone(done)
        return done
      })

      const rollUpMinutes: RollUp = Effect.fn("Metrics.rollUpMinutes")(function* (within) {
        const mayGoOn = yield* budget
        let minutes = 0
        do {
          const { due, goesOn } = yield* within(nextMinutes)
          for (const minute of due) {
            let left: MetricsSql.Due | undefined = minute
            do {
              left = yield* paced(within(rollUpSlice(left)))
              if (left?.after === null) minutes++
            } while (left !== undefined && left.after !== null && (yield* mayGoOn))
            if (!(yield* mayGoOn)) return minutes
          }
          if (!goesOn) return minutes
        } while (yield* mayGoOn)
        return minutes
      })

      /** Some servers of an hour; with the last of them the groups. */
      const rollUpHour = Effect.fnUntraced(function* (from: number, after: string | null) {
        const hour = { from: at(from), to: at(from + hourMillis) }
        yield* statements.prepareRollUp
        const slice = yield* sliceAfter(after, Math.max(1, Math.floor(rowsPerStatement / 60)))
        yield* statements.writeHour({ ...hour, ...slice })
        if (slice.upTo !== MetricsSql.ends.last) return slice.upTo
        yield* statements.writeGroupHour(hour)
        return null
      })

      /** The next part of an hour: of the one that comes next, or else of one with late samples. Tells what it did. */
      const rollUpHourPart = Effect.gen(function* () {
        const idle = { hours: 0, goesOn: false }
        const [claimed] = yield* statements.claim("hour")
        const minutesUntil = yield* statements.minutesUntil
        if (claimed === undefined || claimed.until === null || minutesUntil === null) return idle
        const from = claimed.until.epochMilliseconds
        const to = at(from + hourMillis)
        if (to.epochMilliseconds <= minutesUntil.epochMilliseconds) {
          const { some } = yield* statements.hasMinutes({ from: claimed.until, to })
          const after = some ? yield* rollUpHour(from, claimed.after) : null
          yield* statements.hourProgress({ until: after === null ? to : claimed.until, after })
          return { hours: some && after === null ? 1 : 0, goesOn: true }
        }
        const [late] = yield* statements.lateHours({ until: claimed.until })
        if (late === undefined) return idle
        const after = yield* rollUpHour(late.at.epochMilliseconds, late.after)
        if (after === null) yield* statements.lateHourDone(late.at)
        else yield* statements.lateHourProgress({ at: late.at, after })
        return { hours: after === null ? 1 : 0, goesOn: true }
      })

      const rollUpHours: RollUp = Effect.fn("Metrics.rollUpHours")(function* (within) {
        const mayGoOn = yield* budget
        let hours = 0
        do {
          const part = yield* paced(within(rollUpHourPart))
          hours += part.hours
          if (!part.goesOn) break
        } while (yield* mayGoOn)
        return hours
      })

      const rollUp = Effect.gen(function* () {
        return { minutes: yield* rollUpMinutes(sql.withTransaction), hours: yield* rollUpHours(sql.withTransaction) }
      }).pipe(Effect.orDie)

      /** Before when each table may be forgotten: what is past its time, as far as it is rolled up. */
      const horizons = Effect.fnUntraced(function* (now: number) {
        const { hour, minute } = yield* statements.held
        const before = (kept: Duration.Duration, rolledUp: DateTime.Utc | null) =>
          rolledUp === null
            ? Number.NEGATIVE_INFINITY
            : Math.min(now - Duration.toMillis(kept), rolledUp.epochMilliseconds)
        // A minute's growth is counted from the sample before it.
        const samples = before(policy.samples, minute && DateTime.subtractDuration(minute, MetricsSql.longestSilence))
        const minutes = before(policy.minutes, hour)
        const hours = now - Duration.toMillis(policy.hours)
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

      /** Beside roll-ups, for which it waits for nobody: what they have left behind stays so. */
      const partition = Effect.gen(function* () {
        const now = (yield* DateTime.now).epochMilliseconds
        const horizon = yield* horizons(now)
        yield* statements.forgetFormer(new Date(now - Duration.toMillis(policy.samples)))
        let made = 0
        for (const table of MetricsSql.tables) made += yield* makeAhead(table, now)
        let dropped = 0
        for (const table of MetricsSql.tables) dropped += yield* forget(table, horizon[table])
        return { made, dropped }
      }).pipe(sql.withTransaction, Effect.orDie, Effect.withSpan("Metrics.partition"))

      return Metrics.of({ query, exposition, partition, rollUpMinutes, rollUpHours, rollUp })
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
