/** Over which time the maintenance page tells availability, as it stands in the URL. */
import { day } from "#lib/time.ts"
import { searchOf } from "#lib/views.ts"

const presets = [
  { value: "7d", label: "7 d", days: 7 },
  { value: "30d", label: "30 d", days: 30 },
  { value: "90d", label: "90 d", days: 90 },
  { value: "365d", label: "365 d", days: 365 }
] as const

export type Range = (typeof presets)[number]["value"] | "custom"

export const ranges: ReadonlyArray<{ readonly value: Range; readonly label: string }> = [
  ...presets,
  { value: "custom", label: "Custom" }
]

export interface MaintenanceView {
  readonly range: Range
  /** The first and the last day of a custom range, by UTC. */
  readonly from: string | null
  readonly to: string | null
}

export const defaults: MaintenanceView = { range: "30d", from: null, to: null }

/** Nothing is kept for longer, in days. */
const longest = 400

const dayOf = (value: string | null) =>
  value !== null && /^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(`${value}T00:00:00Z`)) ? value : null

const start = (date: string) => Date.parse(`${date}T00:00:00Z`)

/** Reads the URL. What makes no sense there is left out rather than refused. */
export const parseView = (params: Pick<URLSearchParams, "get">): MaintenanceView => {
  const [from, to] = [dayOf(params.get("from")), dayOf(params.get("to"))]
  if (from !== null && to !== null && from <= to && start(to) - start(from) < longest * day) {
    return { range: "custom", from, to }
  }
  return { ...defaults, range: presets.find(({ value }) => value === params.get("range"))?.value ?? defaults.range }
}

export const viewSearch = (view: MaintenanceView) =>
  searchOf([
    ["range", view.range === defaults.range || view.range === "custom" ? "" : view.range],
    ["from", view.range === "custom" ? (view.from ?? "") : ""],
    ["to", view.range === "custom" ? (view.to ?? "") : ""]
  ])

/** Whole days by UTC; today only until now. */
export const spanOf = (view: MaintenanceView, now: number) => {
  if (view.range === "custom" && view.from !== null && view.to !== null) {
    const from = Math.min(start(view.from), Math.floor(now / day) * day)
    return { from, to: Math.max(from + 1_000, Math.min(now, start(view.to) + day)) }
  }
  const days = presets.find(({ value }) => value === view.range)?.days ?? 30
  return { from: (Math.floor(now / day) - days + 1) * day, to: now }
}

export const rangeOf = (view: MaintenanceView, now: number) => {
  const { from, to } = spanOf(view, now)
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString() }
}

/** The days of a span, for a custom range to start from. */
export const daysOf = ({ from, to }: { readonly from: number; readonly to: number }) => ({
  from: new Date(from).toISOString().slice(0, 10),
  to: new Date(to - 1).toISOString().slice(0, 10)
})

/** A range of one's own, whichever end is named first, cut to what is kept. */
export const customised = (from: string, to: string): MaintenanceView => {
  const [first, last] = from <= to ? [from, to] : [to, from]
  const earliest = Math.max(start(first), start(last) - (longest - 1) * day)
  return { range: "custom", from: new Date(earliest).toISOString().slice(0, 10), to: last }
}
