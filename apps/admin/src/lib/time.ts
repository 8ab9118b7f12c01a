/** Times as people read them. Everything is in epoch milliseconds, and takes the present as a parameter. */
import { DateTime } from "effect"

export const millis = (time: DateTime.Utc) => DateTime.toEpochMillis(time)
export const maybeMillis = (time: DateTime.Utc | null) => (time === null ? null : millis(time))

export const second = 1_000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour

/** "now", "12 s ago", "5 min ago", "3 h ago", "2 d ago". */
export const ago = (at: number, now: number) => {
  const passed = now - at
  return passed < 2 * second ? "now" : `${span(passed)} ago`
}

/** "in 5 min", and "now" for what is due. */
export const until = (at: number, now: number) => (at <= now ? "now" : `in ${span(at - now)}`)

/** A duration by its largest unit, rounded down. */
export const span = (duration: number) => {
  const passed = Math.max(0, duration)
  if (passed < minute) return `${Math.floor(passed / second)} s`
  if (passed < hour) return `${Math.floor(passed / minute)} min`
  if (passed < day) return `${Math.floor(passed / hour)} h`
  return `${Math.floor(passed / day)} d`
}

/** How long something took or lasts, by its two largest units. */
export const duration = (length: number) => {
  const passed = Math.max(0, length)
  if (passed < minute) return `${Math.floor(passed / second)} s`
  const [large, small, largeName, smallName] =
    passed < hour ? [minute, second, "min", "s"] : passed < day ? [hour, minute, "h", "min"] : [day, hour, "d", "h"]
  const rest = Math.floor((passed % large) / small)
  const whole = `${Math.floor(passed / large)} ${largeName}`
  return rest === 0 ? whole : `${whole} ${rest} ${smallName}`
}

/** What a field for date and time shows: local time to the minute, without a zone. */
export const localTime = (at: number) =>
  new Date(at - new Date(at).getTimezoneOffset() * minute).toISOString().slice(0, 16)

/** From the value of a field for date and time, which speaks local time without a zone. */
export const secondsUntil = (localTime: string, now: number) =>
  Math.round((new Date(localTime).getTime() - now) / second)

const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" })
const short = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit"
})
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" })
const precise = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" })

/** With the zone, for tooltips. */
export const absolute = (at: number) => full.format(at)
export const dated = (at: number) => short.format(at)
export const clockTime = (at: number) => clock.format(at)
/** To the second. */
export const preciseTime = (at: number) => precise.format(at)
