/** When a saved report is made: plain choices and the cron expressions that they are, and both in words. */
import { zoneWords } from "#lib/zoned.ts"

export interface Schedule {
  readonly cron: string
  readonly timeZone: string
}

export type Every = "day" | "weekday" | "week" | "month"

/** What people choose. */
export interface Plain {
  readonly every: Every
  /** Of a week, 0 for Sunday. */
  readonly weekday: number
  /** Of a month; no later than one that every month has. */
  readonly day: number
  readonly hour: number
  readonly minute: number
}

export const usual: Plain = { every: "week", weekday: 1, day: 1, hour: 7, minute: 0 }

/** The last day that every month has. */
export const lastDay = 28

export const everies: ReadonlyArray<{ readonly value: Every; readonly label: string }> = [
  { value: "day", label: "Every day" },
  { value: "weekday", label: "Monday to Friday" },
  { value: "week", label: "Every week" },
  { value: "month", label: "Every month" }
]

const dayNames = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const

/** As a week begins in most of the world. */
export const weekdays: ReadonlyArray<{ readonly value: number; readonly label: string }> = [1, 2, 3, 4, 5, 6, 0].map(
  (value) => ({ value, label: dayNames[value] ?? "" })
)

export const cronOf = ({ day, every, hour, minute, weekday }: Plain) => {
  const days = { day: "* * *", weekday: "* * 1-5", week: `* * ${weekday}`, month: `${day} * *` }[every]
  return `${minute} ${hour} ${days}`
}

const within = (text: string | undefined, most: number) => {
  const value = text !== undefined && /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN
  return value <= most ? value : null
}

/** The plain choice that an expression is; null for one that only experts write. */
export const plainOf = (cron: string): Plain | null => {
  const [minutes, hours, days, months, weekday, ...more] = cron.trim().split(/\s+/)
  const [minute, hour] = [within(minutes, 59), within(hours, 23)]
  if (minute === null || hour === null || months !== "*" || more.length > 0) return null
  const at = { ...usual, hour, minute }
  if (days === "*") {
    if (weekday === "*") return { ...at, every: "day" }
    if (weekday === "1-5") return { ...at, every: "weekday" }
    const day = within(weekday, 7)
    return day === null ? null : { ...at, every: "week", weekday: day % 7 }
  }
  const day = within(days, lastDay)
  return day === null || day === 0 || weekday !== "*" ? null : { ...at, every: "month", day }
}

const two = (value: number) => String(value).padStart(2, "0")

/** "07:00" */
export const timeOf = ({ hour, minute }: Pick<Plain, "hour" | "minute">) => `${two(hour)}:${two(minute)}`

const ordinal = (day: number) => {
  const tail = day > 10 && day < 20 ? "th" : ({ 1: "st", 2: "nd", 3: "rd" }[day % 10] ?? "th")
  return `${day}${tail}`
}

/** "every Monday at 07:00, Europe/Berlin" */
export const scheduleWords = ({ cron, timeZone }: Schedule) => {
  const plain = plainOf(cron)
  const zone = zoneWords(timeZone)
  if (plain === null) return `by cron ${cron}, ${zone}`
  const days = {
    day: "every day",
    weekday: "Monday to Friday",
    week: `every ${dayNames[plain.weekday]}`,
    month: `on the ${ordinal(plain.day)} of every month`
  }[plain.every]
  return `${days} at ${timeOf(plain)}, ${zone}`
}
