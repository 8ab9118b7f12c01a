/** Values of reports as people read them, the same on every machine. */
import type { ReportCell, ReportFigure, ReportUnit } from "@broker/domain/Report"
import { DateTime } from "effect"
import type { Span } from "./ReportPeriod.ts"

const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December"
]
const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

/** Where nothing is known. */
export const nothing = "–"

const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

const grouped = (digits: string) => digits.replaceAll(/\B(?=(\d{3})+(?!\d))/gu, ",")

export const count = (value: number) => grouped(String(Math.round(value)))

export const bytes = (value: number) => {
  const at = Math.min(binary.length - 1, value < 1 ? 0 : Math.floor(Math.log2(value) / 10))
  const scaled = value / 1024 ** at
  return `${scaled < 10 && at > 0 ? scaled.toFixed(1) : count(scaled)} ${binary[at]}`
}

/** So many digits that 99.995 % is not read as all of it, and none where there are none. */
const share = (value: number) => {
  const percent = value * 100
  if (percent === 0 || percent === 100) return `${percent} %`
  if (percent > 99.995) return "99.99+ %"
  if (percent >= 99 || percent < 1) return percent < 0.01 ? "below 0.01 %" : `${percent.toFixed(2)} %`
  return `${Number(percent.toFixed(1))} %`
}

const units = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1]
] as const

/** The two largest units of a length: `3 d 4 h`. */
const seconds = (value: number) => {
  if (value < 10) return `${value === Math.round(value) ? value : value.toFixed(1)} s`
  const whole = Math.round(value)
  const at = units.findIndex(([, size]) => whole >= size)
  const [unit, size] = units[at] ?? units[3]
  const next = units[at + 1]
  const first = `${count(Math.floor(whole / size))} ${unit}`
  if (next === undefined) return first
  const rest = Math.floor((whole % size) / next[1])
  return rest === 0 ? first : `${first} ${rest} ${next[0]}`
}

const milliseconds = (value: number) => `${value > 0 && value < 10 ? value.toFixed(1) : count(value)} ms`

const numbers: Record<ReportUnit, (value: number) => string> = {
  count,
  bytes,
  bytes_per_second: (value) => `${bytes(value)}/s`,
  seconds,
  milliseconds,
  share,
  text: String,
  time: String
}

export const numberWords = (value: number | null, unit: ReportUnit) => (value === null ? nothing : numbers[unit](value))

const two = (value: number) => String(value).padStart(2, "0")

const zoned = (at: DateTime.Utc, timeZone: string) =>
  DateTime.toParts(DateTime.setZone(at, DateTime.zoneMakeNamedUnsafe(timeZone)))

export const timeWords = (at: DateTime.Utc, timeZone: string) => {
  const { day, hour, minute, month, year } = zoned(at, timeZone)
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}`
}

/** A step, as an axis has it. */
export const stepWords = (at: DateTime.Utc, timeZone: string, step: "hour" | "day") => {
  const { day, hour, month } = zoned(at, timeZone)
  return step === "hour" ? `${two(hour)}:00` : `${day} ${(months[month - 1] ?? "").slice(0, 3)}`
}

export const cellWords = (value: ReportCell, unit: ReportUnit, timeZone: string) => {
  if (value === null) return nothing
  if (typeof value === "number") return numberWords(value, unit)
  return unit === "time" ? timeWords(DateTime.makeUnsafe(value), timeZone) : value
}

/** A time as a heading: whole days as days, and anything else to the minute. */
export const spanWords = ({ from, to }: Span, timeZone: string) => {
  const [first, end] = [zoned(from, timeZone), zoned(to, timeZone)]
  const last = zoned(DateTime.subtract(to, { milliseconds: 1 }), timeZone)
  const isWhole = first.hour + first.minute + end.hour + end.minute === 0
  if (!isWhole) return `${timeWords(from, timeZone)} to ${timeWords(to, timeZone)}`
  const of = ({ month }: { readonly month: number }) => months[month - 1] ?? ""
  if (first.year !== last.year) {
    return `${first.day} ${of(first)} ${first.year} to ${last.day} ${of(last)} ${last.year}`
  }
  if (first.month !== last.month) return `${first.day} ${of(first)} to ${last.day} ${of(last)} ${last.year}`
  if (first.day !== last.day) return `${first.day}–${last.day} ${of(last)} ${last.year}`
  return `${weekdays[first.weekDay] ?? ""}, ${first.day} ${of(first)} ${first.year}`
}

export interface Change {
  /** Such as `12 % more`. */
  readonly words: string
  readonly direction: "up" | "down" | "none"
  readonly news: "good" | "bad" | "neither"
}

/** What became of a figure since the time before; null where that can't be told. */
export const changeOf = ({ better, previous, unit, value }: ReportFigure): Change | null => {
  if (value === null || previous === null) return null
  const difference = value - previous
  if (difference === 0) return { words: "as before", direction: "none", news: "neither" }
  const direction = difference > 0 ? "up" : "down"
  const news = better === "neither" ? "neither" : (better === "more") === difference > 0 ? "good" : "bad"
  const more = difference > 0 ? "more" : "less"
  if (unit === "share") {
    const points = Math.abs(difference) * 100
    return { words: `${points < 0.01 ? "below 0.01" : points.toFixed(2)} points ${more}`, direction, news }
  }
  if (previous === 0) return { words: "none before", direction, news }
  const ratio = value / previous
  if (ratio >= 10) return { words: `${count(ratio)} times as much`, direction, news }
  const percent = Math.abs(ratio - 1) * 100
  return { words: `${percent < 1 ? percent.toFixed(1) : Math.round(percent)} % ${more}`, direction, news }
}
