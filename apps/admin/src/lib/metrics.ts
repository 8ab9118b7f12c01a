/** Metrics that the dashboard understands; servers may send others beside them. */
import { type MetricSeries, MetricsAnswer } from "@broker/domain/Metric"
import { Schema } from "effect"
import { bytes, count, milliseconds, percent } from "./numbers.ts"
import { duration, second } from "./time.ts"
import { capital } from "./words.ts"

export const decodeMetrics = Schema.decodeUnknownSync(MetricsAnswer)

type Metrics = Readonly<Record<string, number>>

export const cpuShare = (metrics: Metrics) => metrics["cpu"]

/** The part of the memory that is in use, where the server tells both numbers. */
export const memoryShare = (metrics: Metrics) => {
  const used = metrics["memoryUsedBytes"]
  const total = metrics["memoryTotalBytes"]
  return used === undefined || total === undefined || total <= 0 ? undefined : used / total
}

/** A chart of one or two metrics with a unit in common. */
export interface MetricChart {
  readonly title: string
  readonly format: (value: number) => string
  /** The top of the scale, where it is fixed. */
  readonly top?: number
  readonly binary?: boolean
  /** Units that the scale steps in, the smallest first. */
  readonly units?: ReadonlyArray<number>
  readonly series: ReadonlyArray<{ readonly name: string; readonly label: string }>
}

const compact = new Intl.NumberFormat("en-GB", { notation: "compact", maximumSignificantDigits: 3 })
const plain = (value: number) =>
  Math.abs(value) < 10_000 ? count(Number(value.toPrecision(3))) : compact.format(value)
const perSecond = (value: number) => `${bytes(value)}/s`
const lasting = (value: number) => duration(value * second)

const understood: ReadonlyArray<MetricChart> = [
  { title: "Processor", format: percent, top: 1, series: [{ name: "cpu", label: "Processor" }] },
  {
    title: "Memory",
    format: bytes,
    binary: true,
    series: [
      { name: "memoryUsedBytes", label: "In use" },
      { name: "memoryTotalBytes", label: "All" }
    ]
  },
  {
    title: "Traffic",
    format: perSecond,
    binary: true,
    series: [
      { name: "rxBytes", label: "Received" },
      { name: "txBytes", label: "Sent" }
    ]
  },
  { title: "Round trip", format: milliseconds, series: [{ name: "rttMs", label: "Round trip" }] },
  {
    title: "Active connections",
    format: plain,
    series: [{ name: "activeConnections", label: "Active connections" }]
  },
  { title: "Load, mean of a minute", format: plain, series: [{ name: "load1", label: "Load" }] },
  {
    title: "Time since its start",
    format: lasting,
    units: [60, 3_600, 86_400],
    series: [{ name: "uptimeSeconds", label: "Time since its start" }]
  }
]

/** A name such as `diskUsedBytes`, `disk_used_bytes` or `disk.used` in words. */
const nameWords = (name: string) =>
  capital(
    name.replace(/([a-z0-9])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`).replaceAll(/[_.]/g, " ")
  )

/** Of a metric that nobody told the dashboard about: the unit as its name tells, if it does. */
const unknownChart = ({ kind, name }: Pick<MetricSeries, "kind" | "name">): MetricChart => {
  const isBytes = /bytes$/i.test(name)
  const isCounter = kind === "counter"
  const format = isBytes
    ? isCounter
      ? perSecond
      : bytes
    : /(millis|_ms|Ms)$/.test(name) && !isCounter
      ? milliseconds
      : isCounter
        ? (value: number) => `${plain(value)}/s`
        : plain
  return { title: nameWords(name), format, binary: isBytes, series: [{ name, label: nameWords(name) }] }
}

/** What there is to draw: what is understood first, then all else by name. */
export const metricCharts = (
  series: ReadonlyArray<Pick<MetricSeries, "kind" | "name">>
): { readonly known: ReadonlyArray<MetricChart>; readonly others: ReadonlyArray<MetricChart> } => {
  const there = new Set(series.map(({ name }) => name))
  const known = understood
    .map((chart) => ({ ...chart, series: chart.series.filter(({ name }) => there.has(name)) }))
    .filter((chart) => chart.series.length > 0)
  const named = new Set(understood.flatMap((chart) => chart.series.map(({ name }) => name)))
  return {
    known,
    others: series
      .filter(({ name }) => !named.has(name))
      .toSorted((a, b) => a.name.localeCompare(b.name))
      .map(unknownChart)
  }
}
