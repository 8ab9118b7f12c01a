/** For how much of a time servers could be used, in words and as strips: decoded, aligned to days, never rounded up. */
import {
  AvailabilityDay,
  type AvailabilityFigures,
  BrokerOutage,
  GroupAvailability,
  ListedWindow,
  ServerAvailability
} from "@broker/domain/Availability"
import { Schema } from "effect"
import { plural } from "./numbers.ts"
import { day, duration, second } from "./time.ts"

export type AvailabilityDayView = typeof AvailabilityDay.Type
export type WindowView = typeof ListedWindow.json.Type

export const decodeServerAvailability = Schema.decodeUnknownSync(ServerAvailability)
export const decodeGroupAvailabilities = Schema.decodeUnknownSync(Schema.Array(GroupAvailability))
export const decodeAvailabilityDays = Schema.decodeUnknownSync(
  Schema.Record(Schema.String, Schema.Array(AvailabilityDay))
)
export const decodeOutages = Schema.decodeUnknownSync(Schema.Array(BrokerOutage))
export const decodeWindow = Schema.decodeUnknownSync(ListedWindow.json)
export const decodeWindows = Schema.decodeUnknownSync(Schema.Array(ListedWindow.json))

/** A share with two places, cut off rather than rounded: nothing that was down at all is 100 %. */
export const shareWords = (share: number | null) => {
  if (share === null) return "–"
  const cut = Math.floor(share * 10_000 + 1e-6) / 100
  return `${cut === 100 ? "100" : cut.toFixed(2)} %`
}

/** The days that a strip shows, oldest first; the last is today. Days begin at midnight UTC. */
export const daysUntil = (now: number, length: number): ReadonlyArray<string> =>
  Array.from({ length }, (_, index) => new Date(now - (length - 1 - index) * day).toISOString().slice(0, 10))

/** The range that holds those days. */
export const rangeOfDays = (now: number, length: number) => {
  const today = Math.floor(now / day) * day
  return { from: new Date(today - (length - 1) * day).toISOString(), to: new Date(now).toISOString() }
}

/** A day as parts of one, from the ground up; what is missing to one was not told of. */
export interface DayBar {
  readonly day: string
  readonly figures: AvailabilityFigures | null
  readonly up: number
  readonly unknown: number
  readonly excluded: number
  readonly down: number
}

/** However short something was, it is seen: so much of a day's height at least. */
const least = 0.14

/** Days in order, with those of which nothing is known. */
export const dayBars = (
  days: ReadonlyArray<AvailabilityDayView>,
  shown: ReadonlyArray<string>
): ReadonlyArray<DayBar> => {
  const byDay = new Map(days.map((each) => [each.day, each]))
  return shown.map((day): DayBar => {
    const figures = byDay.get(day)
    const total = figures === undefined ? 0 : figures.up + figures.down + figures.unknown + figures.excluded
    if (figures === undefined || total <= 0) {
      return { day, figures: null, up: 0, unknown: 0, excluded: 0, down: 0 }
    }
    const tall = (seconds: number) => (seconds === 0 ? 0 : Math.max(least, seconds / total))
    const sum = tall(figures.up) + tall(figures.down) + tall(figures.unknown) + tall(figures.excluded)
    return {
      day,
      figures,
      up: tall(figures.up) / sum,
      unknown: tall(figures.unknown) / sum,
      excluded: tall(figures.excluded) / sum,
      down: tall(figures.down) / sum
    }
  })
}

/** Several times together. */
export const summed = (all: ReadonlyArray<AvailabilityFigures>): AvailabilityFigures => {
  const sum = (of: (figures: AvailabilityFigures) => number) => all.reduce((total, figures) => total + of(figures), 0)
  const up = sum((figures) => figures.up)
  const down = sum((figures) => figures.down)
  return {
    up,
    down,
    unknown: sum((figures) => figures.unknown),
    excluded: sum((figures) => figures.excluded),
    share: up + down === 0 ? null : up / (up + down)
  }
}

export const lengthWords = (seconds: number) => duration(seconds * second)

/** "99.95 % available, down 12 min": what a day, or all of a strip, comes to. */
export const figuresWords = (figures: AvailabilityFigures | null) => {
  if (figures === null) return "nothing is known"
  const parts = [
    figures.share === null ? "not expected to be up" : `${shareWords(figures.share)} available`,
    ...(figures.down > 0 ? [`down ${lengthWords(figures.down)}`] : []),
    ...(figures.unknown > 0 ? [`unknown ${lengthWords(figures.unknown)}`] : []),
    ...(figures.excluded > 0 ? [`excluded ${lengthWords(figures.excluded)}`] : [])
  ]
  return parts.join(", ")
}

const short = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" })

/** "23 Nov", as UTC has it. */
export const dayWords = (day: string) => short.format(Date.parse(`${day}T00:00:00Z`))

/** A strip for those who do not see it: the whole, then the worst days. */
export const stripWords = (bars: ReadonlyArray<DayBar>) => {
  const known = bars.flatMap(({ day, figures }) => (figures === null ? [] : [{ day, figures }]))
  const title = `Last ${plural(bars.length, "day")}`
  if (known.length === 0) return `${title}: nothing is known`
  const down = known.filter(({ figures }) => figures.down > 0)
  const worst = down.toSorted((a, b) => b.figures.down - a.figures.down).slice(0, 5)
  const told =
    down.length === 0
      ? "never down"
      : `down on ${plural(down.length, "day")}: ${worst.map(({ day, figures }) => `${dayWords(day)} ${lengthWords(figures.down)}`).join(", ")}${down.length > worst.length ? " and more" : ""}`
  return `${title}: ${shareWords(summed(known.map(({ figures }) => figures)).share)} available, ${told}`
}
