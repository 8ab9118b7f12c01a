/** Which time a report is about: where its days begin, and what lies before it (C7). */
import type { ReportParameters } from "@broker/domain/Report"
import { DateTime } from "effect"

export interface Span {
  readonly from: DateTime.Utc
  /** The end, itself outside. */
  readonly to: DateTime.Utc
}

export interface Period extends Span {
  /** As many days before, or else as much time; null where nothing is compared. */
  readonly previous: Span | null
  readonly step: "hour" | "day"
}

const quarterMillis = 900_000
const dayMillis = 86_400_000

/** Longer ones are told by the day. */
const mostHours = 72

type Asked = Pick<ReportParameters, "range" | "timeZone" | "compare">

/** The midnight that begins the day of an instant, so many days away. */
const midnight = (at: DateTime.DateTime, timeZone: string, days = 0) => {
  const zoned = DateTime.setZone(at, DateTime.zoneMakeNamedUnsafe(timeZone))
  // By noon: a day may begin later than at midnight, and last 23 or 25 hours.
  const noon = DateTime.add(DateTime.setParts(zoned, { hour: 12, minute: 0, second: 0, millisecond: 0 }), { days })
  return DateTime.toUtc(DateTime.startOf(noon, "day"))
}

const isMidnight = (at: DateTime.Utc, timeZone: string) => DateTime.Equivalence(at, midnight(at, timeZone))

const lengthOf = ({ from, to }: Span) => to.epochMilliseconds - from.epochMilliseconds

/** Figures are kept by the quarter of an hour, with which every day of every zone begins. */
const widened = ({ from, to }: Span): Span => ({
  from: DateTime.makeUnsafe(Math.floor(from.epochMilliseconds / quarterMillis) * quarterMillis),
  to: DateTime.makeUnsafe(Math.ceil(to.epochMilliseconds / quarterMillis) * quarterMillis)
})

const spanOf = ({ range, timeZone }: Asked, asOf: DateTime.Utc): Span => {
  if (range.kind === "between") return widened(range)
  const today = DateTime.setZone(asOf, DateTime.zoneMakeNamedUnsafe(timeZone))
  const day = (days: number) => midnight(today, timeZone, days)
  if (range.kind === "days") return { from: day(-range.days), to: day(0) }
  switch (range.name) {
    case "yesterday":
      return { from: day(-1), to: day(0) }
    case "last_week": {
      const sinceMonday = (DateTime.getPart(today, "weekDay") + 6) % 7
      return { from: day(-sinceMonday - 7), to: day(-sinceMonday) }
    }
    case "last_month": {
      const first = (months: number) => {
        const noon = DateTime.setParts(today, { day: 1, hour: 12, minute: 0, second: 0, millisecond: 0 })
        return midnight(DateTime.add(noon, { months }), timeZone)
      }
      return { from: first(-1), to: first(0) }
    }
  }
}

const before = (span: Span, timeZone: string): Span => {
  const { from, to } = span
  if (isMidnight(from, timeZone) && isMidnight(to, timeZone)) {
    return { from: midnight(from, timeZone, -Math.round(lengthOf(span) / dayMillis)), to: from }
  }
  return { from: DateTime.subtract(from, { milliseconds: lengthOf(span) }), to: from }
}

/** The time of a report as of an instant: that of a slot, or now. */
export const resolve = (asked: Asked, asOf: DateTime.Utc): Period => {
  const span = spanOf(asked, asOf)
  return {
    ...span,
    previous: asked.compare ? before(span, asked.timeZone) : null,
    step: lengthOf(span) <= mostHours * 3_600_000 ? "hour" : "day"
  }
}
