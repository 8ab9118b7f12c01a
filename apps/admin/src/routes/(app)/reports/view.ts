/** Which report the page shows, as it stands in the URL. */
import { TimeZone } from "@broker/domain/Analytics"
import { maxReportDays, ReportKind, type ReportParameters, type ReportRange } from "@broker/domain/Report"
import { GroupId } from "@broker/domain/Server"
import { DateTime, Schema } from "effect"
import { day } from "#lib/time.ts"
import { one, searchOf } from "#lib/views.ts"
import { dayOf, daysOf, midnight, plain, plainDay } from "#lib/zoned.ts"

type Named = Extract<ReportRange, { readonly kind: "named" }>["name"]

export const presets: ReadonlyArray<{
  readonly value: "yesterday" | "last-week" | "last-month" | "7d" | "30d" | "90d"
  readonly label: string
  readonly range: ReportRange
}> = [
  { value: "yesterday", label: "Yesterday", range: { kind: "named", name: "yesterday" } },
  { value: "last-week", label: "Last week", range: { kind: "named", name: "last_week" } },
  { value: "last-month", label: "Last month", range: { kind: "named", name: "last_month" } },
  { value: "7d", label: "7 d", range: { kind: "days", days: 7 } },
  { value: "30d", label: "30 d", range: { kind: "days", days: 30 } },
  { value: "90d", label: "90 d", range: { kind: "days", days: 90 } }
]

export type Preset = (typeof presets)[number]["value"]

export const ranges: ReadonlyArray<{ readonly value: Preset | "custom"; readonly label: string }> = [
  ...presets.map(({ label, value }) => ({ label, value })),
  { value: "custom", label: "Custom" }
]

export const tabs = [
  { value: "look", label: "Report" },
  { value: "saved", label: "Saved" },
  { value: "made", label: "Made" }
] as const

/** By which column a table of the report is sorted, where somebody chose one. */
export interface TableSort {
  readonly table: string
  readonly column: string
  readonly down: boolean
}

export interface ReportsView {
  readonly tab: (typeof tabs)[number]["value"]
  readonly kind: ReportKind
  readonly range: Preset | "custom"
  /** The first and the last day of a custom range, such as 2026-11-23. */
  readonly from: string | null
  readonly to: string | null
  /** Null for the browser's. */
  readonly zone: string | null
  readonly groupId: GroupId | null
  readonly compare: boolean
  readonly table: boolean
  readonly sort: TableSort | null
  /** The page of those that were made. */
  readonly cursor: string | null
  /** Whether the dialog that saves it is open. */
  readonly saving: boolean
}

const defaults: ReportsView = {
  tab: "look",
  kind: "usage",
  range: "7d",
  from: null,
  to: null,
  zone: null,
  groupId: null,
  compare: true,
  table: false,
  sort: null,
  cursor: null,
  saving: false
}

const isZone = Schema.is(TimeZone)

const sortOf = (value: string | null): TableSort | null => {
  const [, down, table, column] = /^(-?)([\w-]{1,64})\.([\w-]{1,64})$/.exec(value ?? "") ?? []
  return table === undefined || column === undefined ? null : { table, column, down: down === "-" }
}

/** Reads the URL. What makes no sense there is left out rather than refused: links get cut and edited. */
export const parseView = (params: Pick<URLSearchParams, "get">): ReportsView => {
  const [from, to] = [dayOf(params.get("from")), dayOf(params.get("to"))]
  const isCustom = from !== null && to !== null && from <= to && plain(to) - plain(from) < maxReportDays * day
  return {
    tab: tabs.find(({ value }) => value === params.get("tab"))?.value ?? defaults.tab,
    kind: one(Schema.is(ReportKind), params.get("kind")) ?? defaults.kind,
    range: isCustom ? "custom" : (presets.find(({ value }) => value === params.get("range"))?.value ?? defaults.range),
    from: isCustom ? from : null,
    to: isCustom ? to : null,
    zone: one((value): value is string => isZone(value), params.get("zone")),
    groupId: one(Schema.is(GroupId), params.get("group")),
    compare: params.get("compare") !== "no",
    table: params.get("as") === "table",
    sort: sortOf(params.get("sort")),
    cursor: params.get("cursor"),
    saving: params.get("save") === "1"
  }
}

/** The query string of a view, with defaults left out, so that equal views have equal links. */
export const viewSearch = (view: ReportsView) =>
  searchOf(
    [
      ["tab", view.tab === defaults.tab ? "" : view.tab],
      ["kind", view.kind === defaults.kind ? "" : view.kind],
      ["range", view.range === defaults.range || view.range === "custom" ? "" : view.range],
      ["from", view.from ?? ""],
      ["to", view.to ?? ""],
      ["zone", view.zone ?? ""],
      ["group", view.groupId ?? ""],
      ["compare", view.compare ? "" : "no"],
      ["as", view.table ? "table" : ""],
      ["sort", view.sort === null ? "" : `${view.sort.down ? "-" : ""}${view.sort.table}.${view.sort.column}`],
      ["cursor", view.cursor ?? ""],
      ["save", view.saving ? "1" : ""]
    ],
    [":", "/"]
  )

const rangeOf = (view: ReportsView, zone: string): ReportRange => {
  const preset = presets.find(({ value }) => value === view.range)
  if (preset !== undefined) return preset.range
  if (view.from === null || view.to === null) return { kind: "days", days: 7 }
  return {
    kind: "between",
    from: DateTime.makeUnsafe(midnight(view.from, zone)),
    to: DateTime.makeUnsafe(midnight(plainDay(plain(view.to) + day), zone))
  }
}

/** What is asked of the broker for a view. */
export const parametersOf = (view: ReportsView, browserZone: string): ReportParameters => {
  const timeZone = view.zone ?? browserZone
  return { kind: view.kind, range: rangeOf(view, timeZone), timeZone, groupId: view.groupId, compare: view.compare }
}

/** The view that shows what a saved report or one that was made is about. */
export const viewOf = ({ compare, groupId, kind, range, timeZone }: ReportParameters): ReportsView => {
  const view = { ...defaults, kind, zone: timeZone, groupId, compare }
  if (range.kind === "between") {
    const span = { from: range.from.epochMilliseconds, to: range.to.epochMilliseconds, zone: timeZone }
    return { ...view, range: "custom", ...daysOf(span) }
  }
  const preset = presets.find((each) =>
    each.range.kind === "named"
      ? range.kind === "named" && each.range.name === range.name
      : each.range.kind === "days" && range.kind === "days" && each.range.days === range.days
  )
  return preset === undefined ? view : { ...view, range: preset.value }
}

/** A range of its own, in whole days, whichever end is named first, no longer than a report may be. */
export const customised = (view: ReportsView, from: string, to: string): ReportsView => {
  const [first, last] = from <= to ? [from, to] : [to, from]
  const earliest = plainDay(Math.max(plain(first), plain(last) - (maxReportDays - 1) * day))
  return { ...view, range: "custom", from: earliest, to: last }
}

/** The days before (-1) or after (1) those that are shown, as many. */
export const shifted = (view: ReportsView, by: 1 | -1, shown: { readonly from: string; readonly to: string }) => {
  const move = by * (plain(shown.to) - plain(shown.from) + day)
  return customised(view, plainDay(plain(shown.from) + move), plainDay(plain(shown.to) + move))
}

const named: Record<Named, string> = { yesterday: "yesterday", last_week: "last week", last_month: "last month" }

/** A range in words: "last week", "the 30 days before". */
export const rangeWords = (range: ReportRange, timeZone: string) => {
  if (range.kind === "named") return named[range.name]
  if (range.kind === "days") return range.days === 1 ? "the day before" : `the ${range.days} days before`
  const { from, to } = daysOf({ from: range.from.epochMilliseconds, to: range.to.epochMilliseconds, zone: timeZone })
  return from === to ? from : `${from} to ${to}`
}
