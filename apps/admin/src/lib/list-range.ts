/** The time that a list is narrowed to, as it stands in the URL: a preset back from now, or two ends. */
import { day, hour } from "./time.ts"

const presets = [
  { value: "1h", label: "1 h", length: hour },
  { value: "24h", label: "24 h", length: day },
  { value: "7d", label: "7 d", length: 7 * day },
  { value: "30d", label: "30 d", length: 30 * day }
] as const

type Preset = (typeof presets)[number]["value"]
export type Range = Preset | "all" | "custom"

export const ranges: ReadonlyArray<{ readonly value: Range; readonly label: string }> = [
  ...presets,
  { value: "all", label: "All" },
  { value: "custom", label: "Custom" }
]

export interface Ranged {
  readonly range: Range
  /** The ends of a custom range; null where it is open. */
  readonly from: number | null
  readonly to: number | null
}

export const anyTime: Ranged = { range: "all", from: null, to: null }

const momentOf = (value: string | null) => {
  const at = value === null ? Number.NaN : Date.parse(value)
  return Number.isNaN(at) ? null : at
}

export const parseRange = (params: Pick<URLSearchParams, "get">): Ranged => {
  const from = momentOf(params.get("from"))
  const to = momentOf(params.get("to"))
  const preset = presets.find(({ value }) => value === params.get("range"))?.value ?? "all"
  return { range: from !== null || to !== null ? "custom" : preset, from, to }
}

const minutes = (at: number | null) => (at === null ? "" : `${new Date(at).toISOString().slice(0, 16)}Z`)

/** What of the query string says it; `:` is left readable in it. */
export const rangeSearch = ({ from, range, to }: Ranged): ReadonlyArray<readonly [string, string]> => [
  ["range", range === "all" || range === "custom" ? "" : range],
  ["from", range === "custom" ? minutes(from) : ""],
  ["to", range === "custom" ? minutes(to) : ""]
]

const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString())

/** The ends as the broker is asked for them. */
export const rangeEnds = ({ from, range, to }: Ranged, now: number) => {
  if (range === "custom") return { from: iso(from), to: iso(to) }
  const length = presets.find(({ value }) => value === range)?.length
  return { from: length === undefined ? null : iso(now - length), to: null }
}
