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

const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" })
const short = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit"
})
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" })

/** With the zone, for tooltips. */
export const absolute = (at: number) => full.format(at)
export const dated = (at: number) => short.format(at)
export const clockTime = (at: number) => clock.format(at)
