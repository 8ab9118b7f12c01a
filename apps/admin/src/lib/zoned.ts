/** Days, hours and words of a time zone, which need not be the browser's. */
import { DateTime } from "effect"

/** A day such as 2026-11-23; null for what is none. */
export const dayOf = (value: string | null) =>
  value !== null && /^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(value)) ? value : null

/** Days without a zone, for counting with them. */
export const plain = (date: string) => Date.parse(`${date}T00:00:00Z`)
export const plainDay = (at: number) => new Date(at).toISOString().slice(0, 10)

export const inZone = (at: number, zone: string) => DateTime.makeZonedUnsafe(at, { timeZone: zone })

/** The midnight that a day such as 2026-11-23 begins with there. */
export const midnight = (date: string, zone: string) =>
  DateTime.toEpochMillis(DateTime.makeZonedUnsafe(`${date}T00:00:00`, { timeZone: zone, adjustForTimeZone: true }))

interface Span {
  readonly from: number
  /** The end, itself outside. */
  readonly to: number
  readonly zone: string
}

/** The first and the last day of a span, for a custom range to start from. */
export const daysOf = ({ from, to, zone }: Span) => ({
  from: DateTime.formatIsoDate(inZone(from, zone)),
  to: DateTime.formatIsoDate(inZone(to - 1, zone))
})

/** Times of a zone in words. An hour that comes twice is told apart by its offset. */
export const labels = (zone: string, step: "hour" | "day") => {
  const date = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short" })
  const weekday = new Intl.DateTimeFormat("en-GB", { timeZone: zone, weekday: "short", day: "numeric", month: "short" })
  const time = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" })
  const full = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    timeZoneName: "short"
  })
  const fullDate = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric"
  })
  const spanning = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short", year: "numeric" })
  return {
    /** Of one step, where there is room. */
    step: (at: number) => (step === "hour" ? full.format(at) : fullDate.format(at)),
    /** Of one step, next to its value. */
    brief: (at: number) => (step === "hour" ? `${date.format(at)}, ${time.format(at)}` : weekday.format(at)),
    date: (at: number) => date.format(at),
    time: (at: number) => time.format(at),
    /** Of a whole span, its end outside. */
    span: (from: number, to: number) => spanning.formatRange(from, to - 1)
  }
}

/** Every zone there is, the browser's and UTC first. */
export const zonesFrom = (browserZone: string) => [
  ...new Set([browserZone, "UTC", ...Intl.supportedValuesOf("timeZone")])
]

export const zoneWords = (zone: string) => zone.replaceAll("_", " ")

/** A moment there: "Mon, 30 Nov 2026, 07:00". */
export const momentIn = (at: number, zone: string) =>
  new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    weekday: "short",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit"
  }).format(at)

export const isMidnight = (at: number, zone: string) =>
  DateTime.toEpochMillis(DateTime.startOf(inZone(at, zone), "day")) === at
