/** The next times of a schedule, by the rule that the broker has. Apart from its words: cron is much code. */
import { nextSlot, ReportSchedule } from "@broker/domain/Report"
import { DateTime, Option, Schema } from "effect"
import type { Schedule } from "./schedule.ts"

const isSchedule = Schema.is(ReportSchedule)

/** The next times after a moment; null where the expression is none, or never comes. */
export const upcoming = (schedule: Schedule, now: number, count = 3): ReadonlyArray<number> | null => {
  if (!isSchedule(schedule)) return null
  const times: Array<number> = []
  for (let after = DateTime.makeUnsafe(now); times.length < count; ) {
    const slot = nextSlot(schedule, after)
    if (Option.isNone(slot)) return null
    after = slot.value
    times.push(DateTime.toEpochMillis(after))
  }
  return times
}
