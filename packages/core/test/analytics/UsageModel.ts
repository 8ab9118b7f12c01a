/** Rule C7 once more, without a database: what connections come to, over time. Times in milliseconds. */
import { DateTime } from "effect"

export interface Connection {
  readonly user: string
  readonly device: string
  readonly server: string
  readonly group: string | null
  readonly platform: string
  readonly activeAt: number
  /** Null for one that is live. */
  readonly endedAt: number | null
  readonly rxBytes: number
  readonly txBytes: number
}

export interface Figures {
  readonly connections: number
  readonly users: number
  readonly devices: number
  readonly seconds: number
  readonly rxBytes: number
  readonly txBytes: number
}

/** What was moved of so many bytes, evenly over the connection, until a moment of it. */
const moved = (bytes: number, connection: { readonly activeAt: number; readonly endedAt: number }, until: number) => {
  const { activeAt, endedAt } = connection
  const at = Math.min(Math.max(until, activeAt), endedAt)
  if (activeAt === endedAt) return until > activeAt ? bytes : 0
  return Math.floor(bytes * ((at - activeAt) / (endedAt - activeAt)))
}

/** What connections come to within a span. */
export const figures = (connections: ReadonlyArray<Connection>, from: number, to: number, now: number): Figures => {
  const touching = connections
    .map((connection) => ({ ...connection, endedAt: connection.endedAt ?? now }))
    .filter(({ activeAt, endedAt }) => (activeAt >= from && activeAt < to) || (activeAt < from && endedAt > from))
  const sum = (of: (connection: (typeof touching)[number]) => number) =>
    touching.reduce((total, connection) => total + of(connection), 0)
  return {
    connections: touching.filter(({ activeAt }) => activeAt >= from).length,
    users: new Set(touching.map(({ user }) => user)).size,
    devices: new Set(touching.map(({ device }) => device)).size,
    seconds: sum(({ activeAt, endedAt }) => Math.min(endedAt, to) - Math.max(activeAt, from)) / 1_000,
    rxBytes: sum(
      (connection) => moved(connection.rxBytes, connection, to) - moved(connection.rxBytes, connection, from)
    ),
    txBytes: sum(
      (connection) => moved(connection.txBytes, connection, to) - moved(connection.txBytes, connection, from)
    )
  }
}

const hour = 3_600_000

/** When the hour began on the clocks of a zone, or the day in its calendar. */
const startOf = (at: number, step: "hour" | "day", timeZone: string) => {
  const zoned = DateTime.makeZonedUnsafe(at, { timeZone })
  if (step === "day") return DateTime.startOf(zoned, "day").epochMilliseconds
  const offset = DateTime.zonedOffset(zoned)
  return Math.floor((at + offset) / hour) * hour - offset
}

/** When each step of a range begins, as the clocks of a zone show it. */
export const steps = (from: number, to: number, step: "hour" | "day", timeZone: string) => {
  const starts = new Set<number>()
  for (let at = from; at < to; at += hour / 4) starts.add(startOf(at, step, timeZone))
  return [...starts]
}
