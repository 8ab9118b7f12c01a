/** The organization's security settings in words: what is offered, and what it comes to. */
import type { ListedAdmin } from "@broker/domain/Admin"
import type { SecurityPolicy } from "@broker/domain/SecurityPolicy"
import { hasFactor } from "#lib/access.ts"
import { plural } from "#lib/numbers.ts"
import { day, hour, minute } from "#lib/time.ts"

const inSeconds = (length: number) => length / 1_000

export const idles = [
  5 * minute,
  15 * minute,
  30 * minute,
  hour,
  2 * hour,
  4 * hour,
  8 * hour,
  12 * hour,
  day,
  7 * day
].map(inSeconds)

export const lifetimes = [hour, 4 * hour, 8 * hour, 12 * hour, day, 3 * day, 7 * day, 14 * day, 30 * day].map(inSeconds)

/** In days; null for ever. */
export const retentions: ReadonlyArray<number | null> = [null, 90, 180, 365, 730, 1_095, 1_825, 3_650]

/** "2 hours", "90 minutes", "7 days": in the largest unit that fits without a rest. */
export const lengthWords = (seconds: number) => {
  if (seconds % 86_400 === 0) return plural(seconds / 86_400, "day")
  if (seconds % 3_600 === 0) return plural(seconds / 3_600, "hour")
  return seconds % 60 === 0 ? plural(seconds / 60, "minute") : plural(seconds, "second")
}

export const retentionWords = (days: number | null) => {
  if (days === null) return "for ever"
  return days % 365 === 0 ? plural(days / 365, "year") : plural(days, "day")
}

/** With the value that holds now, wherever it came from. */
export const offered = <Value extends number | null>(values: ReadonlyArray<Value>, value: Value) =>
  values.includes(value) ? values : [...values, value].toSorted((a, b) => (a === null ? -1 : b === null ? 1 : a - b))

/** What it comes to for those who have no second factor. Null where nothing is known of them. */
export const factorEffect = (admins: ReadonlyArray<ListedAdmin> | null) => {
  if (admins === null) return "Admins who have none can do nothing but add one, from their next click on."
  const active = admins.filter(({ state }) => state === "active")
  const without = active.filter((admin) => !hasFactor(admin))
  if (without.length === 0) return "Every admin has one already."
  const who = `${without.length} of ${plural(active.length, "admin")}`
  return `${who} ${without.length === 1 ? "has" : "have"} none and will have to add one: until then they can do nothing else.`
}

/** The whole in a sentence. */
export const effect = ({
  auditRetentionDays,
  requireFactor,
  sessionIdleSeconds,
  sessionLifetimeSeconds
}: SecurityPolicy) => {
  const factor = requireFactor ? "Everybody needs a second factor" : "A second factor is up to each admin"
  const idle =
    sessionIdleSeconds >= sessionLifetimeSeconds
      ? `a session ends after ${lengthWords(sessionLifetimeSeconds)}, used or not`
      : `a session ends after ${lengthWords(sessionIdleSeconds)} without use, and after ${lengthWords(sessionLifetimeSeconds)} in any case`
  const log =
    auditRetentionDays === null
      ? "audit entries are kept for ever"
      : `audit entries are deleted after ${retentionWords(auditRetentionDays)}`
  return `${factor}, ${idle}, and ${log}.`
}
