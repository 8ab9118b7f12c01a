/** Analytics in words. */
import type { Analytics, AnalyticsDimension } from "@broker/domain/Analytics"
import { count } from "#lib/numbers.ts"
import { hour, millis, minute, second } from "#lib/time.ts"

export const dimensions: ReadonlyArray<{ readonly value: AnalyticsDimension; readonly label: string }> = [
  { value: "server", label: "Server" },
  { value: "group", label: "Group" },
  { value: "user", label: "User" },
  { value: "platform", label: "Platform" }
]

/** Whether anything is known of a step yet; what comes after what is counted may be there in part. */
export const isCounted = ({ at, connections, seconds }: Analytics["steps"][number], until: number) =>
  millis(at) < until || connections > 0 || seconds > 0

/** How a group of figures is called; servers need not be in a group. */
export const nameOf = (by: AnalyticsDimension, { key, name }: { readonly key: string; readonly name: string }) => {
  if (name !== "") return name
  return by === "group" ? "No group" : key === "" ? "Not told" : key
}

/** A sum of time, in hours where it has some: days would hide that it is many people's. */
export const time = (seconds: number) => {
  const length = seconds * second
  if (length < minute) return `${Math.round(seconds)} s`
  if (length < hour) return `${Math.round(length / minute)} min`
  const hours = length / hour
  return `${hours < 10 ? hours.toFixed(1) : count(Math.round(hours))} h`
}
