/** What the analytics page shows, as it stands in the URL, and which span of time that is. */
import { AnalyticsDimension, AnalyticsStep, TimeZone } from "@broker/domain/Analytics"
import { DeviceId } from "@broker/domain/Device"
import { ServerId } from "@broker/domain/Server"
import { UserId } from "@broker/domain/User"
import { DateTime, Schema } from "effect"
import { day, hour } from "#lib/time.ts"
import { one, searchOf } from "#lib/views.ts"
import { dayOf, inZone, midnight, plain, plainDay } from "#lib/zoned.ts"

const presets = [
  { value: "24h", label: "24 h", days: 1 },
  { value: "7d", label: "7 d", days: 7 },
  { value: "30d", label: "30 d", days: 30 },
  { value: "90d", label: "90 d", days: 90 }
] as const

type Preset = (typeof presets)[number]["value"]

export const ranges: ReadonlyArray<{ readonly value: Preset | "custom"; readonly label: string }> = [
  ...presets,
  { value: "custom", label: "Custom" }
]

export interface AnalyticsView {
  readonly range: Preset | "custom"
  /** Where a preset ends; null for now. */
  readonly end: number | null
  /** The first and the last day of a custom range, such as 2026-11-23. */
  readonly from: string | null
  readonly to: string | null
  /** Null for the browser's. */
  readonly zone: string | null
  /** Null for what suits the range. */
  readonly step: AnalyticsStep | null
  readonly by: AnalyticsDimension
  readonly userId: UserId | null
  readonly serverId: ServerId | null
  readonly deviceId: DeviceId | null
  readonly platform: string | null
  readonly table: boolean
}

export const defaults: AnalyticsView = {
  range: "7d",
  end: null,
  from: null,
  to: null,
  zone: null,
  step: null,
  by: "server",
  userId: null,
  serverId: null,
  deviceId: null,
  platform: null,
  table: false
}

const isZone = Schema.is(TimeZone)
const isStep = Schema.is(AnalyticsStep)
const isDimension = Schema.is(AnalyticsDimension)

const momentOf = (value: string | null) => {
  const at = value === null ? Number.NaN : Date.parse(value)
  return Number.isNaN(at) ? null : at
}

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): AnalyticsView => {
  const from = dayOf(params.get("from"))
  const to = dayOf(params.get("to"))
  const isCustom = from !== null && to !== null && from <= to
  const by = params.get("by")
  const platform = params.get("platform")
  return {
    range: isCustom ? "custom" : (presets.find(({ value }) => value === params.get("range"))?.value ?? "7d"),
    end: isCustom ? null : momentOf(params.get("end")),
    from: isCustom ? from : null,
    to: isCustom ? to : null,
    zone: one((value): value is string => isZone(value), params.get("zone")),
    step: one(isStep, params.get("step")),
    by: isDimension(by) ? by : defaults.by,
    userId: one(Schema.is(UserId), params.get("user")),
    serverId: one(Schema.is(ServerId), params.get("server")),
    deviceId: one(Schema.is(DeviceId), params.get("device")),
    platform: platform === null || platform === "" ? null : platform.slice(0, 64),
    table: params.get("as") === "table"
  }
}

const minutes = (at: number) => `${new Date(at).toISOString().slice(0, 16)}Z`

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: AnalyticsView) =>
  searchOf(
    [
      ["range", view.range === defaults.range || view.range === "custom" ? "" : view.range],
      ["end", view.end === null ? "" : minutes(view.end)],
      ["from", view.from ?? ""],
      ["to", view.to ?? ""],
      ["zone", view.zone ?? ""],
      ["step", view.step ?? ""],
      ["by", view.by === defaults.by ? "" : view.by],
      ["user", view.userId ?? ""],
      ["server", view.serverId ?? ""],
      ["device", view.deviceId ?? ""],
      ["platform", view.platform ?? ""],
      ["as", view.table ? "table" : ""]
    ],
    [":", "/"]
  )

export const isFiltered = (view: AnalyticsView) =>
  view.userId !== null || view.serverId !== null || view.deviceId !== null || view.platform !== null

/** The span of a view. Its ends are where steps begin, in the zone. */
export interface Span {
  readonly from: number
  /** The end, itself outside. */
  readonly to: number
  readonly zone: string
  readonly step: AnalyticsStep
  /** How many days it has; a day need not have 24 hours. */
  readonly days: number
}

/** So many hours can be told one by one. */
const mostHourlyDays = 60

/** Which steps a range can be cut into. */
export const stepsFor = (days: number): ReadonlyArray<AnalyticsStep> => {
  if (days <= 1) return ["hour"]
  return days <= mostHourlyDays ? ["hour", "day"] : ["day"]
}

const stepFor = (days: number, wanted: AnalyticsStep | null): AnalyticsStep => {
  const possible = stepsFor(days)
  if (wanted !== null && possible.includes(wanted)) return wanted
  return days <= 7 ? "hour" : "day"
}

const millisOf = (time: DateTime.Zoned) => DateTime.toEpochMillis(time)

const addDays = (at: number, days: number, zone: string) => millisOf(DateTime.add(inZone(at, zone), { days }))

/** The end of the step that a moment lies in. */
const ceil = (at: number, step: AnalyticsStep, zone: string) => {
  if (step === "day") {
    const start = millisOf(DateTime.startOf(inZone(at, zone), "day"))
    return start === at ? at : millisOf(DateTime.startOf(DateTime.add(inZone(start, zone), { days: 1 }), "day"))
  }
  // Hours begin on the hour of the zone, which in some is a quarter or half of UTC's.
  const start = millisOf(DateTime.startOf(inZone(at, zone), "hour"))
  return start === at ? at : start + hour
}

export const spanOf = (view: AnalyticsView, now: number, browserZone: string): Span => {
  const zone = view.zone ?? browserZone
  if (view.from !== null && view.to !== null) {
    const days = Math.round((plain(view.to) - plain(view.from)) / day) + 1
    const from = midnight(view.from, zone)
    return {
      from,
      to: midnight(plainDay(plain(view.to) + day), zone),
      zone,
      step: stepFor(days, view.step),
      days
    }
  }
  const days = presets.find(({ value }) => value === view.range)?.days ?? 7
  const step = stepFor(days, view.step)
  const to = ceil(Math.min(view.end ?? now, now), step, zone)
  return { from: days === 1 ? to - day : addDays(to, -days, zone), to, zone, step, days }
}

/** As much time right before it: as long as what of the span is past by now, so that like is held against like. */
export const spanBefore = (span: Span, now: number): Span => {
  const from =
    span.days === 1 && span.step === "hour"
      ? span.from - (span.to - span.from)
      : addDays(span.from, -span.days, span.zone)
  return { ...span, from, to: Math.min(span.from, from + Math.max(hour / 4, Math.min(span.to, now) - span.from)) }
}

/** The view of the time before (-1) or after (1). */
export const shifted = (view: AnalyticsView, by: 1 | -1, now: number, browserZone: string): AnalyticsView => {
  const span = spanOf(view, now, browserZone)
  if (view.from !== null && view.to !== null) {
    const move = by * span.days * day
    return { ...view, from: plainDay(plain(view.from) + move), to: plainDay(plain(view.to) + move) }
  }
  const end = by < 0 ? span.from : span.days === 1 ? span.to + day : addDays(span.to, span.days, span.zone)
  return { ...view, end: end >= now ? null : end }
}

/** A range of its own, in whole days. */
export const customised = (view: AnalyticsView, from: string, to: string): AnalyticsView =>
  from <= to
    ? { ...view, range: "custom", end: null, from, to }
    : { ...view, range: "custom", end: null, from: to, to: from }
