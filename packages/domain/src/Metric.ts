/** What servers measure, over time: raw for a day, by the minute for two weeks, by the hour for 400 days (H9). */
import { Schema } from "effect"
import { Text } from "./Primitives.ts"
import { GroupId, ServerId } from "./Server.ts"

/** Whose: one server's, all of a group and below, or the whole fleet's. */
export const MetricScope = Schema.Union([
  Schema.TaggedStruct("Server", { id: ServerId }),
  Schema.TaggedStruct("Group", { id: GroupId }),
  Schema.TaggedStruct("Fleet", {})
])
export type MetricScope = typeof MetricScope.Type

const maxPoints = 2_000

/** In seconds. */
export const MetricStep = Schema.Int.check(Schema.isBetween({ minimum: 10, maximum: 86_400 * 7 }))

export const MetricsQuery = Schema.Struct({
  scope: MetricScope,
  /** Which; all that there are where none is named. */
  names: Schema.Array(Text(64)).check(Schema.isMaxLength(16)),
  from: Schema.DateTimeUtcFromString,
  /** The end, itself outside. */
  to: Schema.DateTimeUtcFromString,
  /** In seconds; rounded up to what is kept of that time. */
  step: MetricStep
}).check(
  Schema.makeFilter(({ from, step, to }) => {
    const seconds = (to.epochMilliseconds - from.epochMilliseconds) / 1_000
    if (seconds <= 0) return { path: ["to"], issue: "must be after from" }
    return seconds / step <= maxPoints || { path: ["step"], issue: `must leave at most ${maxPoints} points` }
  })
)
export type MetricsQuery = typeof MetricsQuery.Type

/**
 * - `gauge`: a level, such as `cpu`
 * - `counter`: what only grows until the server starts anew, such as `rxBytes`; shown as what came per second (H11)
 */
export const MetricKind = Schema.Literals(["gauge", "counter"])
export type MetricKind = typeof MetricKind.Type

/**
 * What tells a counter by its name, in words that JavaScript and PostgreSQL read alike: `rxBytes` and `txBytes`, also with
 * something in between (`rxWanBytes`, `tx_lan_bytes`), and what ends in `Total` or `_total`, unless it is the size of
 * something (`memoryTotal`, `diskTotal`).
 */
export const counterPattern =
  "^(rx|tx)([A-Z_.].*)?(Bytes|_bytes)$|^(?!memory|mem|swap|disk|storage|filesystem|fs|cpu)[A-Za-z0-9_.]*(Total|_total)$"

const counterNames = new RegExp(counterPattern)

/** A metric that is not known to count is a level. */
export const kindOf = (name: string): MetricKind => (counterNames.test(name) ? "counter" : "gauge")

const shareNames =
  /^(cpu|load|uptime|temperature)|(Ms|Seconds|Ratio|Share|Percent|Celsius)$|_(ms|seconds|ratio|share|percent|celsius)$/

/** Whether several servers' values make sense as their mean only: shares, times and loads, rather than amounts. */
export const isShare = (name: string): boolean => kindOf(name) === "gauge" && shareNames.test(name)

/**
 * A span of time. Of a gauge the mean, the least and the most; of a counter the increase per second in `mean`, and
 * the slowest and the fastest. Of several servers: shares and times (`cpu`, `rttMs`: `isShare`) as their mean, with the
 * least and the most of any server; all else as their sum, with the least and the most that it came to.
 */
export const MetricPoint = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  mean: Schema.Finite,
  min: Schema.Finite,
  max: Schema.Finite
})

export const MetricSeries = Schema.Struct({
  name: Schema.String,
  kind: MetricKind,
  /** In order of time; a span without a sample is missing. */
  points: Schema.Array(MetricPoint)
})
export type MetricSeries = typeof MetricSeries.Type

export const MetricsAnswer = Schema.Struct({
  /** What it was rounded to, in seconds. */
  step: Schema.Int,
  source: Schema.Literals(["raw", "minutes", "hours"]),
  series: Schema.Array(MetricSeries)
})
export type MetricsAnswer = typeof MetricsAnswer.Type
