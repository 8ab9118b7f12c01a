/** Which time charts of metrics show, as it stands in the URL, and in which steps. */
import { day, hour, minute, second } from "./time.ts"
import { searchOf } from "./views.ts"

const presets = [
  { value: "1h", label: "1 h", length: hour },
  { value: "6h", label: "6 h", length: 6 * hour },
  { value: "24h", label: "24 h", length: day },
  { value: "7d", label: "7 d", length: 7 * day },
  { value: "30d", label: "30 d", length: 30 * day }
] as const

export type MetricRange = (typeof presets)[number]["value"] | "custom"

export const metricRanges: ReadonlyArray<{ readonly value: MetricRange; readonly label: string }> = [
  ...presets,
  { value: "custom", label: "Custom" }
]

export interface MetricView {
  readonly range: MetricRange
  /** Where a preset range ends; null for now. */
  readonly end: number | null
  /** The ends of a custom range. */
  readonly from: number | null
  readonly to: number | null
  /** In seconds; null where it follows from the range. */
  readonly step: number | null
  readonly table: boolean
}

export const metricDefaults: MetricView = { range: "1h", end: null, from: null, to: null, step: null, table: false }

/** In seconds, from the finest that the broker answers. */
const steps = [10, 30, 60, 300, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800] as const

/** So many points a series may have at most; fewer where nobody chose, as more is not seen. */
const mostPoints = 2_000
const enoughPoints = 720
/** Nothing is kept for longer. */
const longest = 400 * day
const shortest = minute

const momentOf = (value: string | null) => {
  const at = value === null ? Number.NaN : Date.parse(value)
  return Number.isNaN(at) ? null : at
}

/** Reads the URL. What makes no sense there is left out rather than refused. */
export const parseMetricView = (params: Pick<URLSearchParams, "get">): MetricView => {
  const [from, to] = [momentOf(params.get("from")), momentOf(params.get("to"))]
  const isCustom = from !== null && to !== null && to - from >= shortest && to - from <= longest
  return {
    range: isCustom ? "custom" : (presets.find(({ value }) => value === params.get("range"))?.value ?? "1h"),
    end: isCustom ? null : momentOf(params.get("end")),
    from: isCustom ? from : null,
    to: isCustom ? to : null,
    step: steps.find((each) => each === Number(params.get("step"))) ?? null,
    table: params.get("as") === "table"
  }
}

const iso = (at: number | null) => (at === null ? "" : new Date(at).toISOString().replace(/\.000Z$/, "Z"))

/** The query string of a view, with defaults left out; `others` are what stands before it. */
export const metricSearch = (view: MetricView, others: ReadonlyArray<readonly [string, string]> = []) =>
  searchOf(
    [
      ...others,
      ["range", view.range === metricDefaults.range || view.range === "custom" ? "" : view.range],
      ["end", iso(view.end)],
      ["from", view.range === "custom" ? iso(view.from) : ""],
      ["to", view.range === "custom" ? iso(view.to) : ""],
      ["step", view.step === null ? "" : String(view.step)],
      ["as", view.table ? "table" : ""]
    ],
    [",", ":"]
  )

export interface MetricSpan {
  readonly from: number
  readonly to: number
  /** In seconds. */
  readonly step: number
}

/** Steps in which a range can be cut. */
export const metricStepsFor = (length: number): ReadonlyArray<number> =>
  steps.filter((step) => length / (step * second) <= mostPoints && step * second <= length / 4)

/** In steps no finer than servers report, with as many points as can be told apart. */
const stepFor = (length: number, intervalSeconds: number) =>
  steps.find((step) => length / (step * second) <= enoughPoints && step >= Math.min(intervalSeconds, 3_600)) ?? 604_800

/** What a view shows at a moment. It ends with a whole step, so that it moves by steps and not with the clock. */
export const metricSpanOf = (view: MetricView, now: number, intervalSeconds = 30): MetricSpan => {
  const preset = presets.find(({ value }) => value === view.range)
  const isCustom = preset === undefined && view.from !== null && view.to !== null
  const length = isCustom ? (view.to ?? 0) - (view.from ?? 0) : (preset?.length ?? hour)
  const step = metricStepsFor(length).find((each) => each === view.step) ?? stepFor(length, intervalSeconds)
  if (isCustom) return { from: view.from ?? 0, to: view.to ?? 0, step }
  const grain = Math.min(step, 60) * second
  const to = Math.ceil(Math.min(view.end ?? now, now) / grain) * grain
  return { from: to - length, to, step }
}

/** The view of the time before (-1) or after (1). */
export const metricShifted = (view: MetricView, by: 1 | -1, now: number): MetricView => {
  const { from, to } = metricSpanOf(view, now)
  if (view.range === "custom") return metricZoomed(view, from + by * (to - from), to + by * (to - from), now)
  const end = by < 0 ? from : to + (to - from)
  return { ...view, end: end >= now ? null : end }
}

/** A range of one's own, kept within what there can be. */
export const metricZoomed = (view: MetricView, from: number, to: number, now: number): MetricView => {
  const [first, last] = from <= to ? [from, to] : [to, from]
  const length = Math.min(longest, Math.max(5 * minute, last - first))
  const end = Math.min(
    Math.ceil(now / minute) * minute,
    Math.ceil((first + (last - first) / 2 + length / 2) / second) * second
  )
  return { ...view, range: "custom", end: null, from: end - length, to: end, step: null }
}

export const stepWords = (step: number) => {
  if (step < 60) return `${step} s`
  if (step < 3_600) return `${step / 60} min`
  return step < 86_400 ? `${step / 3_600} h` : `${step / 86_400} d`
}
