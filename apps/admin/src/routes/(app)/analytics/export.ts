/** Figures as CSV, as they are on screen. */
import type { Analytics, AnalyticsDimension } from "@broker/domain/Analytics"
import { DateTime } from "effect"
import { download, line } from "#lib/csv.ts"
import { millis } from "#lib/time.ts"
import { daysOf } from "#lib/zoned.ts"
import type { Span } from "./range.ts"
import { isCounted, nameOf } from "./words.ts"

const figures = ["connections", "users", "devices", "seconds", "rx_bytes", "tx_bytes"]

const cells = (sum: Analytics["totals"]) => [
  sum.connections,
  sum.users,
  sum.devices,
  sum.seconds,
  sum.rxBytes,
  sum.txBytes
]

const name = (what: string, span: Span) => {
  const { from, to } = daysOf(span)
  return `analytics-${what}-${from}-${to}.csv`
}

/** Steps are told in UTC and in the zone; those that are not counted yet are left out. */
export const stepLines = (report: Analytics, { step, zone }: Pick<Span, "step" | "zone">) => [
  line([step, `${step}_in_zone`, ...figures]),
  ...report.steps
    .filter((sum) => isCounted(sum, millis(report.completeUntil)))
    .map((sum) =>
      line([
        DateTime.formatIso(sum.at),
        DateTime.formatIsoOffset(DateTime.makeZonedUnsafe(millis(sum.at), { timeZone: zone })),
        ...cells(sum)
      ])
    )
]

export const groupLines = (report: Analytics, by: AnalyticsDimension) => [
  line([by, "key", ...figures]),
  ...report.groups.map((group) => line([nameOf(by, group), group.key, ...cells(group)]))
]

export const exportSteps = (report: Analytics, span: Span) => download(name("steps", span), stepLines(report, span))

export const exportGroups = (report: Analytics, by: AnalyticsDimension, span: Span) =>
  download(name(by, span), groupLines(report, by))
